"""Measures of what compression does to a frozen model's answers."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import entropy

from bench.downstream.effect import compare_cross_entropy, contingency, symmetric_divergence
from bench.downstream.features import band_statistics
from bench.downstream.frozen import FrozenModel, code_split, cosine_similarity
from bench.downstream.index_errors import IndexErrors, index_maps
from bench.downstream.patches import LabelledPatches
from bench.downstream.versions import JPEG, OURS, Quality, code_patch
from bench.measures import ndvi_error
from eocodec import EncodeSettings, encode_tile


def test_symmetric_divergence_is_that_of_two_bernoulli_distributions():
    before, after = np.array([[0.2, 0.9]]), np.array([[0.3, 0.5]])
    found = symmetric_divergence(logit(before), logit(after))
    for label in range(2):
        p, q = ([x[0, label], 1 - x[0, label]] for x in (before, after))
        assert found[0, label] == pytest.approx(entropy(p, q) + entropy(q, p))
    assert (symmetric_divergence(before, before) == 0).all()


def test_contingency_counts_categories_before_and_after():
    before = logit(np.array([[0.1, 0.25], [0.6, 0.9]]))
    after = logit(np.array([[0.3, 0.26], [0.4, 0.74]]))
    assert contingency(before, after).tolist() == [
        [0, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ]


def test_paired_test_finds_a_small_steady_rise_and_no_change():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 4))
    labels = rng.random((50, 4)) < 0.5
    worse = logits - 0.1 * np.where(labels, 1, -1)
    found = compare_cross_entropy(logits, worse, labels)
    assert 0 < found.difference < 0.1
    assert found.p_value < 1e-9
    assert found.half_width < found.difference
    same = compare_cross_entropy(logits, logits, labels)
    assert (same.difference, same.p_value) == (0, 1)
    noise = compare_cross_entropy(logits, logits + rng.normal(0, 0.01, logits.shape), labels)
    assert noise.p_value > 0.05
    assert noise.half_width > abs(noise.difference)


def test_index_errors_agree_with_ndvi_and_tell_the_sign(stack):
    decoded = stack.copy()
    decoded[6] += 100
    errors = IndexErrors()
    errors.add(stack, decoded)
    assert errors.mean("ndvi") == pytest.approx(ndvi_error(decoded, stack), rel=1e-4)
    assert errors.bias("ndvi") == pytest.approx(errors.mean("ndvi"))
    assert errors.bias("ndwi") < 0
    assert errors.rms("ndvi") > errors.mean("ndvi")
    assert errors.mean("nbr") == 0
    ndmi = (stack[7].astype(float) - stack[8]) / (stack[7].astype(float) + stack[8])
    assert np.allclose(index_maps(stack)["ndmi"], ndmi, atol=1e-5)


def test_versions_are_prefixes_of_one_tile_and_jpeg_near_their_rates(stack):
    versions = code_patch(stack)
    ours = [versions[Quality(OURS, layers)] for layers in range(1, 8)]
    errors = [np.abs(v.pixels.astype(float) - stack).mean() for v in ours]
    assert sorted(errors, reverse=True) == errors
    assert errors[-1] < 10
    assert ours[-1].bytes == len(encode_tile(stack, EncodeSettings(layers=7)))
    for layers in (6, 7):
        ratio = versions[Quality(JPEG, layers)].bytes / ours[layers - 1].bytes
        assert 0.7 < ratio < 1.4


def test_frozen_models_see_every_patch_at_every_quality(stack):
    stacks = np.stack([stack, np.roll(stack, 9, axis=2), stack[:, ::-1]])
    patches = LabelledPatches(
        name="three",
        classes=("a", "b"),
        names=("0", "1", "2"),
        labels=np.array([[1, 0], [0, 1], [1, 1]], bool),
        splits={"test": np.arange(3)},
        read=lambda name: stacks[int(name)],
    )
    model = FrozenModel("mean", band_statistics, lambda features: features[:, :2] / 1000)
    seen = []
    coded = code_split(patches, patches.splits["test"], [model], seen.append)
    assert seen == [3]
    assert coded.samples == stacks.size
    answers = coded.answers["mean"]
    assert np.allclose(np.concatenate(answers.original), stacks[:, :2].mean(axis=(2, 3)) / 1000)
    finest, coarsest = Quality(OURS, 7), Quality(OURS, 1)
    assert coded.rmse(finest) < 15 < coded.rmse(coarsest)
    assert coded.bpppb(finest) > 5 * coded.bpppb(coarsest)
    assert np.concatenate(answers.cosines[finest]).min() > 0.9999
    assert np.allclose(
        np.concatenate(answers.decoded[finest]), np.concatenate(answers.original), atol=0.01
    )


def test_cosine_of_parallel_orthogonal_and_zero_features():
    first = np.array([[1, 2], [1, 0], [0, 0]], np.float32)
    second = np.array([[2, 4], [0, 3], [1, 1]], np.float32)
    assert cosine_similarity(first, second) == pytest.approx([1, 0, 0])
