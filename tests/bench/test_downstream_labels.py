"""Few labels: draws, linear probes, the network from scratch, and the whole report."""

import json
import re

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from bench.downstream.__main__ import main
from bench.downstream.eurosat import FILE_BANDS
from bench.downstream.features import STATISTICS, all_features, band_statistics, extractor_of
from bench.downstream.label_shares import (
    TOP_1,
    ProbeMethod,
    deviation,
    draw_order,
    label_counts,
    run_label_shares,
    score,
)
from bench.downstream.patches import LabelledPatches
from bench.downstream.probe import Scaling, _fit, cross_entropy, fit_probe
from bench.downstream.scratch import ScratchConfig, train_classifier
from eocodec.bands import MODEL_BANDS
from eocodec.transforms.indices import SpectralIndices
from eocodec.transforms.resnet import ResNetConfig

TINY = ScratchConfig(
    network=ResNetConfig(depth=18, width=4), epochs=0, least_steps=20, learning_rate=5e-3
)


@pytest.fixture
def patches(stack):
    """Forty patches of 32 x 32: bright ones of one class, dark ones of another."""
    rng = np.random.default_rng(0)
    bright = np.arange(40) % 2 == 0
    corners = rng.integers(0, 32, (40, 2))
    stacks = [
        stack[:, top : top + 32, left : left + 32] // (1 if high else 3)
        for high, (top, left) in zip(bright, corners, strict=True)
    ]
    return LabelledPatches(
        name="forty",
        classes=("bright", "dark"),
        names=tuple(map(str, range(40))),
        labels=np.stack([bright, ~bright], axis=1),
        splits={"train": np.arange(20), "val": np.arange(20, 30), "test": np.arange(30, 40)},
        read=lambda name: stacks[int(name)],
    )


def test_counts_are_the_shares_that_exist(patches):
    assert label_counts(patches) == [2, 20]

    def counts_of(number):
        train = {"train": np.arange(number)}
        return label_counts(
            LabelledPatches("many", tuple("abcd"), (), np.ones((number, 4), bool), train, read=None)
        )

    assert counts_of(5000) == [5, 50, 500, 5000]
    assert counts_of(500) == [5, 50, 500]
    assert counts_of(166) == [4, 17, 166]


def test_every_class_comes_first_and_draws_are_nested(patches):
    orders = [draw_order(patches, seed) for seed in (0, 0, 1)]
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    for order in orders:
        assert sorted(order) == list(range(20))
        assert patches.labels[order[:2]].any(axis=0).all()


def test_probe_is_the_regularised_logistic_regression():
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (60, 5))
    labels = (features[:, :1] + rng.normal(0, 1, (60, 1))) > 0
    weights, bias = _fit(features, labels, 0.1)
    reference = LogisticRegression(C=1 / (60 * 0.1), tol=1e-8).fit(features, labels[:, 0])
    assert np.allclose(weights[:, 0], reference.coef_[0], atol=1e-3)
    assert np.allclose(bias, reference.intercept_, atol=1e-3)


def test_probe_takes_the_strength_that_is_best_on_val():
    rng = np.random.default_rng(0)
    labels = rng.random((20, 2)) < 0.5
    noise = rng.normal(0, 1, (20, 30)).astype(np.float32)
    scaling = Scaling.of(noise)
    other = (rng.normal(0, 1, (50, 30)).astype(np.float32), rng.random((50, 2)) < 0.5)
    assert fit_probe(scaling, (noise, labels), other).strength == 1
    found = fit_probe(scaling, (noise, labels), (noise, labels))
    assert found.strength < 1e-4
    assert cross_entropy(found.logits(noise), labels).mean() < 0.01


def test_scores_of_known_answers():
    labels = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], bool)
    logits = np.array([[2.0, -1], [-1, 1], [-0.5, -1], [-2, 1]])
    found = score(labels, logits)
    assert found[TOP_1] == 0.75
    assert found["subset accuracy"] == 0.5
    assert found["recall"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert TOP_1 not in score(np.ones((2, 2), bool), np.ones((2, 2)))
    assert deviation([1.0, 3.0]) == pytest.approx(2**0.5)


def test_probe_of_statistics_tells_bright_from_dark(patches):
    features = all_features(patches, band_statistics, np.arange(40))
    pixels = patches.pixels([3])
    assert np.allclose(features[3, :10], pixels[0].mean(axis=(1, 2)))
    assert np.allclose(features[3, 10:], pixels[0].std(axis=(1, 2)), rtol=1e-4)
    methods = {STATISTICS: ProbeMethod(patches, features)}
    scores = run_label_shares(patches, methods, range(2), lambda: None)
    assert [(found.count, found.seed) for found in scores] == [(2, 0), (20, 0), (2, 1), (20, 1)]
    assert all(found.measures[TOP_1] == 1 for found in scores if found.count == 20)


def test_transforms_become_extractors_of_dn(stack):
    extract = extractor_of(SpectralIndices())
    nir, red = stack[6].astype(float), stack[2].astype(float)
    ndvi = (nir - red) / (nir + red)
    assert extract(stack[None])[0, 0] == pytest.approx(ndvi.mean(), abs=1e-5)


def test_network_learns_and_is_the_same_again(patches, tmp_path):
    def answers(seed, folder):
        chosen = patches.splits["train"]
        network = train_classifier(patches, chosen, TINY, seed=seed, folder=tmp_path / folder)
        return network.classify(network.features(patches.pixels(patches.splits["test"])))

    logits = answers(0, "one")
    assert cross_entropy(logits, patches.labels[30:]).mean() < 0.4
    assert (answers(0, "two") == logits).all()
    assert (answers(0, "one") == logits).all()
    assert (answers(1, "one") != logits).any()
    assert len(list((tmp_path / "one").iterdir())) == 2


def write_tiff(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = rasterio.Affine(10, 0, 0, 0, -10, 0)
    shape = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", transform=transform, **shape
    ) as out:
        out.write(pixels)


def write_eurosat(folder, kind, name, stack):
    pixels = np.zeros((13, 64, 64), np.uint16)
    pixels[[FILE_BANDS.index(band) for band in MODEL_BANDS]] = stack
    write_tiff(folder / kind / f"{kind}_{name}.tif", pixels)


def write_bigearthnet(folder, kind, name, stack):
    patch = folder / f"{kind}_{name}"
    for band, plane in zip(MODEL_BANDS, stack, strict=True):
        step = 1 if band in ("B02", "B03", "B04", "B08") else 2
        write_tiff(patch / f"{patch.name}_{band}.tif", plane[None, ::step, ::step])
    labels = ["Pastures", "Water bodies"] if kind == "River" else ["Mixed forest"]
    (patch / f"{patch.name}_labels_metadata.json").write_text(json.dumps({"labels": labels}))


@pytest.mark.parametrize("write", [write_eurosat, write_bigearthnet])
def test_one_command_reports_on_a_folder(tmp_path, stack, write):
    for number in range(5):
        for kind, divisor in (("Forest", 1), ("River", 3)):
            turned = np.roll(stack, 7 * number, axis=1) // divisor
            write(tmp_path / "set", kind, str(number), turned)
    out = tmp_path / "out"
    arguments = [str(tmp_path / "set"), "--out", str(out), "--quick", "--transform", "indices"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    html = (out / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert html.count("<h2>") == 5
    for text in ("probe of band statistics", "network from scratch", "eocodec, 7 layers", "NDVI"):
        assert text in html
    rows = (out / "label-shares.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3


def test_folders_without_patches_give_one_line(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "neither BigEarthNet" in result.output
    assert not (tmp_path / "out").exists()
