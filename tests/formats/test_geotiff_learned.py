"""GeoTIFF through the learned mode: what is promised exactly stays exact."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

import eocodec
from eocodec.cli import commands
from eocodec.codec_models import find_card
from eocodec.formats.raster import without_georeference_warning
from eocodec.metrics import compare

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "s2_chesapeake_nodata.tif"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args):
    result = CliRunner().invoke(commands, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.output


def read(path):
    with rasterio.open(path) as source:
        return source.read(), source.descriptions, source.tags()


def test_no_valid_sample_becomes_nodata():
    run("compress", SAMPLE, "x.eoc", "--tile-size", 128)
    run("decompress", "x.eoc")
    original, decoded = read(SAMPLE)[0], read("x.tif")[0]
    np.testing.assert_array_equal(decoded == 0, original == 0)


def test_invalid_samples_and_metadata_are_exact():
    run("compress", SAMPLE, "x.eoc", "--tile-size", 128)
    run("decompress", "x.eoc")
    original, names, tags = read(SAMPLE)
    decoded, decoded_names, decoded_tags = read("x.tif")
    assert np.count_nonzero(original == 0) > 1000
    assert not decoded[original == 0].any()
    assert (decoded_names, decoded_tags) == (names, tags)
    assert 0 < compare(original, decoded, nodata=0).total_rmse < 100


def test_more_layers_have_less_error():
    run("compress", SAMPLE, "x.eoc")
    original, _, _ = read(SAMPLE)
    errors = []
    for layers in range(1, find_card().default_layers + 1):
        run("decompress", "x.eoc", "-o", "y.tif", "--layers", layers, "--overwrite")
        errors.append(compare(original, read("y.tif")[0], nodata=0).total_rmse)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2


PLACE = {"crs": "EPSG:32618", "transform": Affine(10, 0, 487320, 0, -10, 4312440)}


@pytest.mark.parametrize(("place", "most"), [({}, 90), (PLACE, 108)], ids=["bare", "placed"])
def test_all_but_the_tile_of_a_small_stack_takes_few_bytes(place, most):
    pixels, names, _ = read(SAMPLE)
    size = {"count": 10, "height": 120, "width": 120, "dtype": "uint16"}
    with without_georeference_warning():
        with rasterio.open("x.tif", "w", driver="GTiff", **size, **place) as target:
            target.write(pixels[:, :120, 40:160])
            target.descriptions = names
        run("compress", "x.tif", "x.eoc")
    with eocodec.open("x.eoc") as reader:
        (tile,) = reader.tiles()
        assert reader.header.band_names == names
        assert reader.crs == place.get("crs")
    assert Path("x.eoc").stat().st_size - tile.size <= most


def test_bands_are_found_whatever_their_order_and_others_stay_exact(tmp_path):
    pixels, names, _ = read(SAMPLE)
    other = np.random.default_rng(4).integers(0, 999, (2, *pixels.shape[1:])).astype(np.uint16)
    order = [11, 3, 10, 0, 7, 1, 2, 9, 8, 6, 5, 4]
    shuffled = np.concatenate([pixels, other])[order]
    labels = [[*names, "B09", "SCL"][index] for index in order]
    with rasterio.open(SAMPLE) as source:
        profile = {**source.profile, "count": 12}
    with rasterio.open("in.tif", "w", **profile) as target:
        target.write(shuffled)
        target.descriptions = labels

    run("compress", "in.tif")
    run("decompress", "in.eoc", "-o", "out.tif")

    decoded, descriptions, _ = read("out.tif")
    assert descriptions == tuple(labels)
    np.testing.assert_array_equal(decoded[[0, 2]], shuffled[[0, 2]])
    assert max(compare(shuffled, decoded, nodata=0).rmse) < 150


def test_bands_can_be_named():
    pixels, _, _ = read(SAMPLE)
    with rasterio.open(SAMPLE) as source, rasterio.open("in.tif", "w", **source.profile) as target:
        target.write(pixels)
    run("compress", "in.tif", "--bands", "B2,B3,B4,B5,B6,B7,B8,B8A,B11,B12")
    assert "B8A" in run("info", "in.eoc")
    run("decompress", "in.eoc", "-o", "out.tif")
    assert read("out.tif")[1] == (None,) * 10


def test_native_bands_come_back_on_their_grids():
    fine, coarse = DATA / "s2_chesapeake_10m.tif", DATA / "s2_chesapeake_20m.tif"
    run("compress", fine, coarse, "pair.eoc", "--quality", find_card().layers)
    run("decompress", "pair.eoc", "--native")
    for original, restored in ((fine, "pair.10m.tif"), (coarse, "pair.20m.tif")):
        with rasterio.open(original) as a, rasterio.open(restored) as b:
            assert (a.transform, a.crs, a.descriptions) == (b.transform, b.crs, b.descriptions)
            assert a.tags() == b.tags()
            assert a.tags(ns="PROVENANCE") == b.tags(ns="PROVENANCE")
            assert max(compare(a.read(), b.read()).rmse) < 60
    run("decompress", "pair.eoc", "-o", "stack.tif")
    assert read("stack.tif")[0].shape == (10, 256, 256)


def test_a_target_error_is_met():
    run("compress", SAMPLE, "x.eoc", "--target-rmse", 40)
    run("decompress", "x.eoc")
    reached = compare(read(SAMPLE)[0], read("x.tif")[0], nodata=0).total_rmse
    assert 36 < reached <= 40


def test_a_target_error_and_a_bound_are_met_together():
    report = run("compress", SAMPLE, "x.eoc", "--target-rmse", 60, "--max-error", 90)
    run("decompress", "x.eoc")
    original, decoded = read(SAMPLE)[0].astype(int), read("x.tif")[0].astype(int)
    reached = compare(original, decoded, nodata=0).total_rmse
    assert reached < 60
    assert f"RMSE {reached:.4g} DN, largest error {np.abs(decoded - original).max()} DN" in report
    assert 0 < np.abs(decoded - original).max() <= 90
    run("decompress", "x.eoc", "-o", "y.tif", "--layers", 2)
    assert np.abs(read("y.tif")[0].astype(int) - original).max() > 90


def test_a_ratio_is_met():
    report = run("compress", SAMPLE, "x.eoc", "--ratio", 30)
    size = Path("x.eoc").stat().st_size
    assert 30 <= 200 * 231 * 20 / size < 33, report
