"""The figures of the feature model's card, on shipped crops."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from bench.features import label_table, similarity_table, windows
from eocodec.transforms.simclr import SimclrFeatures

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of 128 x 192 pixels; patches of 64 x 64 labelled as dark or bright."""
    folder = tmp_path_factory.mktemp("scenes")
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        profile, pixels = source.profile, source.read()
    with rasterio.open(folder / "val.tif", "w", **profile | {"height": 128, "width": 192}) as file:
        file.write(pixels[:, :128, :192])
    patches = windows(pixels, 64)
    brightness = patches.mean(axis=(1, 2, 3))
    entries = [{"id": "scene", "split": "val", "weight": 1.0, "files": ["val.tif"]}]
    for split in ("train", "val"):
        with h5py.File(folder / f"{split}.h5", "w") as file:
            file["b10"] = patches[:, [0, 1, 2, 6]]
            file["b20"] = patches[:, [3, 4, 5, 7, 8, 9], ::2, ::2]
            file["label"] = (brightness > np.median(brightness)).astype(np.uint8)
            file["label"].attrs["classes"] = ["dark", "bright"]
        entries.append({"id": f"{split}-patches", "split": split, "files": [f"{split}.h5"]})
    (folder / "index.json").write_text(json.dumps({"scenes": entries}))
    return folder


def test_features_of_more_layers_are_closer(folder: Path) -> None:
    table = similarity_table(folder, "val", SimclrFeatures())
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4 (default)", "5", "6", "7"]
    errors, means = ([float(row[column]) for row in table.rows] for column in (1, 2))
    assert errors == sorted(errors, reverse=True)
    assert means == sorted(means)
    assert means[0] < 0.999
    assert means[3] >= 0.99
    assert table.note.startswith("6 windows;")


def test_probes_know_the_patches_that_they_were_fitted_to(folder: Path) -> None:
    table = label_table(folder, "val", SimclrFeatures())
    sizes = {row[0]: row[1] for row in table.rows}
    assert sizes == {"ssl-s2": "480", "tokens": "90", "band statistics": "20"}
    assert [row[4] for row in table.rows] == ["1.000"] * 3
    assert all(0 < float(row[2]) < 1 for row in table.rows)


def test_windows_keep_rows_and_columns() -> None:
    stack = np.arange(10 * 5 * 7).reshape(10, 5, 7)
    cut = windows(stack, 2)
    assert cut.shape == (6, 10, 2, 2)
    np.testing.assert_array_equal(cut[4], stack[:, 2:4, 2:4])
