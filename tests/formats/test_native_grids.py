"""10 m and 20 m files: one stack for the model, and both files back."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import eocodec
from eocodec.formats.geotiff import GeoTiff, rasters_of, write_native
from eocodec.formats.native import NativeGrid, NativePair
from eocodec.formats.raster import windows, without_georeference_warning
from eocodec.resample import upsample2

DATA = Path(__file__).parents[1] / "data"
FINE, COARSE = DATA / "s2_chesapeake_10m.tif", DATA / "s2_chesapeake_20m.tif"


@pytest.fixture(autouse=True)
def _quiet():
    with without_georeference_warning():
        yield


def write(path, pixels, **profile):
    count, height, width = pixels.shape
    size = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **size, **profile) as target:
        target.write(pixels)
    return path


def whole(raster, rows=None, columns=None):
    """Read a raster in windows of the given size, or at once."""
    _, height, width = raster.shape
    out = np.empty(raster.shape, raster.dtype)
    for window in windows(height, width, rows or height, columns or width):
        out[(slice(None), *window)] = raster.read(*window)
    return out


def test_a_pair_holds_both_files_at_10_m():
    with GeoTiff(FINE) as fine, GeoTiff(COARSE) as coarse:
        pair = NativePair(fine, coarse)
        pixels = whole(pair)
        assert [band.native_factor for band in pair.bands] == [1] * 4 + [2] * 6
        assert [band.position for band in pair.bands] == list(range(10))
        np.testing.assert_array_equal(pixels[:4], whole(fine))
        np.testing.assert_array_equal(pixels[4:], np.rint(upsample2(whole(coarse))))


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (256, 20)])
def test_windows_agree_with_the_whole(size):
    with GeoTiff(FINE) as fine, GeoTiff(COARSE) as coarse:
        pair = NativePair(fine, coarse)
        np.testing.assert_array_equal(whole(pair, *size), whole(pair))
        grid = NativeGrid(pair, range(4, 10))
        np.testing.assert_array_equal(whole(grid, *size), whole(grid))


def test_20_m_bands_come_back_from_an_exact_stack():
    with GeoTiff(FINE) as fine, GeoTiff(COARSE) as coarse:
        grid = NativeGrid(NativePair(fine, coarse), range(4, 10))
        error = whole(grid).astype(int) - whole(coarse)
        # Rounding the 10 m samples shifts the 20 m ones by less than one DN, and few by one half.
        assert np.abs(error).max() <= 1
        assert np.mean(error != 0) < 0.12


@pytest.mark.parametrize("nodata", [0, 9])
def test_holes_stay_where_they_are(nodata, tmp_path):
    random = np.random.default_rng(5)
    fine = random.integers(50, 90, (4, 45, 61)).astype(np.uint16)
    coarse = random.integers(8, 11, (6, 23, 31)).astype(np.uint16)
    coarse[:, :5, 20:] = nodata
    coarse[2, 10, 10] = nodata
    write(tmp_path / "10.tif", fine, nodata=nodata)
    write(tmp_path / "20.tif", coarse, nodata=nodata)
    with GeoTiff(tmp_path / "10.tif") as a, GeoTiff(tmp_path / "20.tif") as b:
        pair = NativePair(a, b)
        stack = whole(pair)
        repeated = (coarse == nodata).repeat(2, 1).repeat(2, 2)[:, :45, :61]
        np.testing.assert_array_equal(stack[4:] == nodata, repeated)
        back = whole(NativeGrid(pair, range(4, 10)), 7, 9)
        np.testing.assert_array_equal(back == nodata, coarse == nodata)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint16", 65535),
        ("uint8", 255),
        ("int16", -32768),
        ("int8", 127),
        ("uint32", 2**32 - 1),
        ("float32", -9999.0),
        ("float64", float("nan")),
    ],
)
def test_valid_samples_beside_nodata_stay_valid_both_ways(dtype, nodata, tmp_path):
    random = np.random.default_rng(6)
    near = 0 if nodata != nodata else nodata
    step = -1 if near > 0 else 1
    fine = (near + step * random.integers(1, 4, (1, 45, 61))).astype(dtype)
    coarse = (near + step * random.integers(1, 4, (2, 23, 31))).astype(dtype)
    coarse[:, random.random((23, 31)) < 0.2] = nodata
    write(tmp_path / "10.tif", fine, nodata=nodata)
    write(tmp_path / "20.tif", coarse, nodata=nodata)
    holes = np.isnan(coarse) if nodata != nodata else coarse == nodata
    with GeoTiff(tmp_path / "10.tif") as a, GeoTiff(tmp_path / "20.tif") as b:
        pair = NativePair(a, b)
        stack = whole(pair)[1:]
        found = np.isnan(stack) if nodata != nodata else stack == nodata
        np.testing.assert_array_equal(found, holes.repeat(2, 1).repeat(2, 2)[:, :45, :61])
        back = whole(NativeGrid(pair, range(1, 3)), 7, 9)
        found = np.isnan(back) if nodata != nodata else back == nodata
        np.testing.assert_array_equal(found, holes)


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_one_invalid_fine_pixel_makes_no_coarse_one_invalid(at, tmp_path):
    pixels = np.full((1, 8, 8), 500, np.uint16)
    pixels[0, 2 + at[0], 4 + at[1]] = 0
    with GeoTiff(write(tmp_path / "10.tif", pixels, nodata=0)) as raster:
        assert (whole(NativeGrid(raster, [0])) == 500).all()


@pytest.mark.parametrize(
    ("shape", "profile", "words"),
    [
        ((2, 8, 9), {}, "half the rows and columns"),
        ((2, 8, 8), {"nodata": 3}, "nodata"),
        ((2, 8, 8), {"crs": "EPSG:32634"}, "coordinate reference"),
        ((2, 8, 8), {"transform": Affine(20, 0, 40, 0, -20, 0)}, "same place"),
    ],
)
def test_files_that_are_no_pair_are_refused(shape, profile, words, tmp_path):
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 0, 0, -10, 0)}
    fine = write(tmp_path / "a.tif", np.ones((1, 16, 16), np.uint8), **place)
    doubled = {**place, "transform": Affine(20, 0, 0, 0, -20, 0)}
    coarse = write(tmp_path / "b.tif", np.ones(shape, np.uint8), **{**doubled, **profile})
    with (
        GeoTiff(fine) as a,
        GeoTiff(coarse) as b,
        pytest.raises(eocodec.InputError, match=words),
    ):
        NativePair(a, b)


@pytest.mark.parametrize(
    ("factor", "words"), [(1, "no bands that came from"), (2, "no bands at 10 m")]
)
def test_a_raster_of_one_grid_is_not_split(factor, words, tmp_path):
    bands = [eocodec.Band(name="B05", native_factor=factor)]
    lossless = eocodec.EncodeSettings(lossless=True)
    data = eocodec.compress(np.ones((1, 8, 8), "uint8"), settings=lossless, bands=bands)
    with eocodec.open(data) as reader:
        (raster,) = rasters_of(reader)
        with pytest.raises(eocodec.InputError, match=words):
            write_native(raster, tmp_path / "a.tif", tmp_path / "b.tif")
    assert list(tmp_path.iterdir()) == []
