"""The comparison within error bounds: every codec keeps its bound, tables tell sizes and differences."""

import json

import numpy as np
import pytest
import rasterio

from bench.guarantee import (
    LOSSLESS,
    NEAR_LOSSLESS,
    OURS,
    Sizes,
    mean_table,
    measure_sizes,
    native,
    raster_table,
    read_rasters,
)


@pytest.fixture
def stack():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:70, :80]
    ground = 900 + 300 * np.sin(x / 15) + 200 * np.cos(y / 11) + rng.normal(0, 12, (70, 80))
    gains = np.linspace(0.7, 1.3, 4)[:, None, None]
    return (ground * gains + rng.normal(0, 4, (4, 70, 80))).astype(np.uint16)


@pytest.mark.parametrize("bound", [0, 3])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_codec_keeps_the_bound(stack, bound):
    sizes, broken = measure_sizes({"scene.10m": stack}, bound)
    assert broken == []
    assert set(sizes.bpppb) == {codec.name for codec in (NEAR_LOSSLESS if bound else LOSSLESS)}
    assert all(1 < sizes.bpppb[name]["scene.10m"] < 16 for name in sizes.bpppb)


def test_tables_tell_means_and_differences_to_the_best():
    lossless = Sizes(0, {OURS: {"a.10m": 4.0, "b": 2.0}, "x": {"a.10m": 5.0, "b": 3.0}})
    near = Sizes(2, {OURS: {"a.10m": 2.0, "b": 1.0}, "y": {"a.10m": 2.5, "b": 0.5}})
    assert native(["a.10m", "b"]) == ["a.10m"]
    rows = mean_table(["a.10m", "b"], [lossless, near]).rows
    assert list(map(list, rows)) == [
        [OURS, "3.000", "1.500"],
        ["x", "4.000", "-"],
        ["y", "-", "1.500"],
        [f"{OURS} against the best", "-25.0 %", "+0.0 %"],
    ]
    rows = raster_table(["a.10m", "b"], [lossless, near]).rows
    assert list(map(list, rows)) == [
        ["a.10m", "4.000 (-20.0 %)", "2.000 (-20.0 %)"],
        ["b", "2.000 (-33.3 %)", "1.000 (+100.0 %)"],
    ]


def test_rasters_of_one_split_are_read_on_their_own_grids(tmp_path, stack):
    scenes = [
        {"id": "a", "split": "test", "files": ["a.10m.tif"]},
        {"id": "b", "split": "val", "files": ["b.10m.tif"]},
        {"id": "c", "split": "test", "files": ["c.h5"]},
    ]
    (tmp_path / "index.json").write_text(json.dumps({"scenes": scenes}))
    shape = {"count": 4, "height": 70, "width": 80, "dtype": "uint16"}
    transform = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(
        tmp_path / "a.10m.tif", "w", driver="GTiff", transform=transform, **shape
    ) as out:
        out.write(stack)
    rasters = read_rasters(tmp_path, "test")
    assert list(rasters) == ["a.10m"]
    assert (rasters["a.10m"] == stack).all()
