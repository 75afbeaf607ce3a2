"""Two rasters compared: peaks, metadata, tiles decoded once, samples of every dtype."""

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

import eocodec
from eocodec.formats.comparison import compare_rasters, open_raster
from eocodec.formats.eoc.tile_access import TileAccess
from eocodec.formats.geotiff import CompressOptions, compress_geotiff
from eocodec.formats.raster import without_georeference_warning
from eocodec.formats.tiles_once import TilesOnce
from eocodec.tile import EncodeSettings

DATA = Path(__file__).parents[1] / "data"
SAMPLE = DATA / "s2_chesapeake_nodata.tif"
LOSSLESS = EncodeSettings(lossless=True)
PIXELS = np.random.default_rng(3).integers(100, 3000, (3, 90, 70)).astype("uint16")


def compare(one, other, **options):
    with open_raster(str(one)) as a, open_raster(str(other)) as b:
        return compare_rasters(a, b, **options)


def write_tif(path, pixels, change=None, mask=None, **profile):
    options = {"driver": "GTiff", "dtype": pixels.dtype, "count": len(pixels)}
    options |= {"height": pixels.shape[1], "width": pixels.shape[2]}
    options |= {"crs": "EPSG:32633", "transform": Affine(10, 0, 5e5, 0, -10, 6e6)} | profile
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        without_georeference_warning(),
        rasterio.open(path, "w", **options) as target,
    ):
        target.write(pixels)
        if mask is not None:
            target.write_mask(mask)
        if change is not None:
            change(target)
    return path


@pytest.fixture
def decoded_tiles(monkeypatch):
    """Numbers of the tiles that were decoded, by name of the file and of the array."""
    calls = []
    decode = TileAccess.call

    def call(self, function, number, data):
        calls.append((self._name, self._header.name, number))
        return decode(self, function, number, data)

    monkeypatch.setattr(TileAccess, "call", call)
    return calls


def compress(source, target, tile_size=512, **options):
    compress_geotiff([source], target, CompressOptions(tile_size=tile_size, **options))
    return target


@pytest.mark.parametrize(("one", "other"), [(512, 512), (64, 96), (96, 64), (48, 128), (128, 48)])
def test_each_tile_is_decoded_once(tmp_path, decoded_tiles, one, other):
    with rasterio.open(SAMPLE) as source:
        pixels = source.read([1, 4], window=((0, 110), (0, 130)))
    write_tif(tmp_path / "a.tif", pixels, nodata=0)
    for name, size in (("a", one), ("b", other)):
        compress(tmp_path / "a.tif", tmp_path / f"{name}.eoc", size, settings=LOSSLESS)
    decoded_tiles.clear()
    result = compare(tmp_path / "a.eoc", tmp_path / "b.eoc")
    assert result.figures.total_rmse == 0
    assert result.figures.invalid_mismatches == 0
    tiles = sum(-(-110 // size) * -(-130 // size) for size in (one, other))
    assert len(decoded_tiles) == len(set(decoded_tiles)) == tiles


def test_each_tile_of_every_part_is_decoded_once(tmp_path, decoded_tiles):
    with rasterio.open(SAMPLE) as source:
        pixels = source.read(window=((60, 100), (40, 104)))
        names = source.descriptions
    more = np.concatenate([pixels, pixels[:1] // 7])
    mask = np.where(np.arange(64) % 9, 255, 0).astype("u1") * np.ones((40, 1), "u1")

    def describe(target):
        target.descriptions = (*names, "haze")

    write_tif(tmp_path / "a.tif", more, describe, mask)
    compress(tmp_path / "a.tif", tmp_path / "a.eoc", 48, settings=EncodeSettings(max_error=20))
    with eocodec.open(tmp_path / "a.eoc") as reader:
        parts = [(header.name, header.grid.tiles) for header in reader.arrays]
    assert len(parts) >= 2
    decoded_tiles.clear()
    result = compare(tmp_path / "a.tif", tmp_path / "a.eoc")
    assert result.kept
    assert result.figures.valid_pixels == (int((mask > 0).sum()),) * 11
    expected = [(name, number) for name, count in parts for number in range(count)]
    assert sorted(call[1:] for call in decoded_tiles) == sorted(expected)


def test_tiles_once_reads_any_windows_and_keeps_nothing():
    pixels = np.arange(5 * 70 * 90, dtype="u4").reshape(5, 70, 90)
    data = eocodec.compress(pixels, settings=LOSSLESS, tile_size=(2, 32, 48))
    with eocodec.open(data) as reader:
        once = TilesOnce(reader)
        for plane in range(0, 5, 3):
            for top in range(0, 70, 50):
                for left in range(0, 90, 20):
                    box = slice(plane, min(plane + 3, 5)), slice(top, min(top + 50, 70))
                    box = (*box, slice(left, min(left + 20, 90)))
                    np.testing.assert_array_equal(once.read(*box), pixels[box])
    assert once._kept == {}


S2 = ("B02", "B03", "B04")


@pytest.mark.parametrize(
    ("pixels", "names", "scale", "peak", "chosen"),
    [
        (PIXELS, S2, None, 10000, "reflectance 1 of Sentinel-2 bands"),
        (PIXELS, S2, 0.0001, 10000, "reflectance 1 by the scale of the file"),
        (PIXELS, S2, 0.0005, 2000, "reflectance 1 by the scale of the file"),
        ((PIXELS / 10000).astype("f4"), S2, None, 1, "reflectance 1 of Sentinel-2 bands"),
        (PIXELS.astype("f4"), S2, None, 10000, "reflectance 1 of Sentinel-2 bands"),
        ((PIXELS // 12).astype("u1"), S2, None, 255, "8 bits"),
        ((PIXELS // 12).astype("u1"), ("a", "b", "c"), None, 255, "8 bits"),
        (PIXELS, ("a", "b", "c"), None, None, "range of the data"),
        (PIXELS.astype("f8") - 700.5, ("vv", "vh", "x"), None, None, "range of the data"),
    ],
)
def test_the_peak_is_that_of_the_data(tmp_path, pixels, names, scale, peak, chosen):
    def describe(target):
        target.descriptions = names
        if scale is not None:
            target.scales = [scale] * 3

    write_tif(tmp_path / "a.tif", pixels, describe)
    other = pixels.copy()
    other[0, 0, 0] += 1
    write_tif(tmp_path / "b.tif", other, describe)
    result = compare(tmp_path / "a.tif", tmp_path / "b.tif")
    peak = float(np.ptp(pixels)) if peak is None else peak
    assert (result.peak.value, result.peak.chosen) == (peak, chosen)
    assert result.figures.peak == peak
    error = math.sqrt(1 / (90 * 70))
    assert result.figures.psnr[0] == pytest.approx(20 * math.log10(peak / error))
    asked = compare(tmp_path / "a.tif", tmp_path / "b.tif", peak=7)
    assert (asked.peak.value, asked.peak.chosen, asked.figures.peak) == (7, "given", 7)


def test_the_range_is_that_of_valid_samples_of_the_whole_raster(tmp_path):
    pixels = np.full((2, 600, 40), 50, "int16")
    pixels[0, :300], pixels[1, 599, 39], pixels[0, 599] = -9999, 420, 8
    write_tif(tmp_path / "a.tif", pixels, nodata=-9999)
    assert compare(tmp_path / "a.tif", tmp_path / "a.tif").peak.value == 412
    write_tif(tmp_path / "c.tif", np.full_like(pixels, 3))
    constant = compare(tmp_path / "c.tif", tmp_path / "a.tif")
    assert constant.peak.value == 0
    assert math.isnan(constant.figures.total_psnr)


def gcps(target):
    points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(9, 9, 3, 4)]
    target.gcps = ([*points, GroundControlPoint(9, 0, 3, 2)], rasterio.crs.CRS.from_epsg(4326))


def descriptions(target):
    target.set_band_description(2, "haze")


def scales(target):
    target.scales, target.offsets = (1, 1, 0.5), (0, 3, 0)


def units(target):
    target.set_band_unit(1, "mm")
    target.set_band_unit(3, "mm")


def tags(target):
    target.update_tags(DATE="2020")
    target.update_tags(ns="MINE", a="b")
    target.update_tags(3, STATISTICS_MEAN="4")


def colours(target):
    target.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]


def point(target):
    target.update_tags(AREA_OR_POINT="Point")


@pytest.mark.parametrize(
    ("profile", "change", "differing"),
    [
        ({"nodata": 0}, None, ["nodata (None, 0)"]),
        ({"crs": "EPSG:32634"}, None, ["CRS (EPSG:32633, EPSG:32634)"]),
        ({"transform": Affine(10, 0, 0, 0, -10, 0)}, None, ["transform ((10.0, 0.0, 500000.0, "]),
        ({}, descriptions, ["description of band 2 (None, 'haze')"]),
        ({}, scales, ["offset of band 2 (0.0, 3.0)", "scale of band 3 (1.0, 0.5)"]),
        ({}, units, ["unit of bands 1, 3 (None, 'mm')"]),
        (
            {},
            tags,
            [
                "tag DATE (None, '2020')",
                "tag MINE:a (None, 'b')",
                "tag STATISTICS_MEAN of band 3 (None, '4')",
            ],
        ),
        (
            {},
            colours,
            [
                "colour of band 1 (None, 'blue')",
                "colour of band 2 (None, 'green')",
                "colour of band 3 (None, 'red')",
            ],
        ),
        ({}, point, ["what a pixel stands for ('area', 'point')"]),
        (
            {"crs": None, "transform": None},
            gcps,
            [
                "CRS (EPSG:32633, None)",
                "transform (",
                "ground control points (None, ",
                "CRS of the ground control points (None, EPSG:4326)",
            ],
        ),
    ],
)
def test_metadata_that_differ_are_named(tmp_path, profile, change, differing):
    write_tif(tmp_path / "a.tif", PIXELS)
    write_tif(tmp_path / "b.tif", PIXELS, change, **profile)
    result = compare(tmp_path / "a.tif", tmp_path / "b.tif")
    assert len(result.differing) == len(differing)
    assert all(
        text.startswith(start) for text, start in zip(result.differing, differing, strict=True)
    )
    assert not result.kept
    compress(tmp_path / "b.tif", tmp_path / "b.eoc", settings=LOSSLESS)
    assert compare(tmp_path / "b.tif", tmp_path / "b.eoc").differing == ()
    assert compare(tmp_path / "a.tif", tmp_path / "b.eoc").differing == result.differing


def test_masks_dtypes_and_colour_tables_are_compared(tmp_path):
    mask = np.full((90, 70), 255, "u1")
    mask[3, :5] = 0
    write_tif(tmp_path / "a.tif", PIXELS[:1])
    write_tif(tmp_path / "m.tif", PIXELS[:1], mask=mask)
    write_tif(tmp_path / "n.tif", PIXELS[:1], mask=mask[::-1])
    write_tif(tmp_path / "f.tif", PIXELS[:1].astype("f4"))
    assert compare(tmp_path / "a.tif", tmp_path / "m.tif").differing == (
        "dataset mask (False, True)",
    )
    apart = compare(tmp_path / "m.tif", tmp_path / "n.tif")
    assert apart.differing == ("dataset mask at 10 pixels",)
    assert compare(tmp_path / "a.tif", tmp_path / "f.tif").differing == (
        "dtype ('uint16', 'float32')",
    )
    compress(tmp_path / "m.tif", tmp_path / "m.eoc", settings=LOSSLESS)
    assert compare(tmp_path / "m.tif", tmp_path / "m.eoc").kept
    assert compare(tmp_path / "n.tif", tmp_path / "m.eoc").differing == apart.differing

    classes = (PIXELS[:1] % 4).astype("u1")
    for name, red in (("p", 200), ("q", 201)):
        write_tif(
            tmp_path / f"{name}.tif", classes, lambda t, r=red: t.write_colormap(1, {1: (r, 0, 0)})
        )
    (text,) = compare(tmp_path / "p.tif", tmp_path / "q.tif").differing
    assert text.startswith("colour table of band 1 (")


def test_a_lost_or_moved_nodata_sample_is_no_copy(tmp_path):
    pixels = PIXELS.copy()
    pixels[0, 5:9] = 0
    write_tif(tmp_path / "a.tif", pixels, nodata=0)
    assert compare(tmp_path / "a.tif", tmp_path / "a.tif").kept
    for value, place in ((7, (0, 5, 3)), (0, (1, 5, 3))):
        other = pixels.copy()
        other[place] = value
        write_tif(tmp_path / "b.tif", other, nodata=0)
        result = compare(tmp_path / "a.tif", tmp_path / "b.tif")
        assert result.figures.invalid_mismatches == 1
        assert not result.kept
    nan = PIXELS.astype("f4")
    nan[2, 8] = np.nan
    write_tif(tmp_path / "n.tif", nan, nodata=math.nan)
    assert compare(tmp_path / "n.tif", tmp_path / "n.tif").kept


@pytest.mark.parametrize("dtype", ["uint64", "int64"])
def test_large_whole_numbers_are_told_apart(tmp_path, dtype):
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    pixels = np.full((1, 20, 20), most - 3, dtype)
    pixels[0, 0], pixels[0, 1] = least, most - 1
    other = pixels.copy()
    other[0, 2, :4] -= 1
    other[0, 0, 0] = most
    write_tif(tmp_path / "a.tif", pixels)
    write_tif(tmp_path / "b.tif", other)
    result = compare(tmp_path / "a.tif", tmp_path / "b.tif")
    assert result.figures.max_error == (float(most - least),)
    other[0, 0, 0] = least
    write_tif(tmp_path / "b.tif", other)
    figures = compare(tmp_path / "a.tif", tmp_path / "b.tif").figures
    assert figures.max_error == (1,)
    assert figures.rmse == (math.sqrt(4 / 400),)


def test_infinities_and_huge_samples_are_compared_without_warning(tmp_path):
    pixels = np.ones((3, 20, 20))
    pixels[:, 0], pixels[:, 1], pixels[:, 2] = np.inf, 1.7e308, -1.7e308
    write_tif(tmp_path / "a.tif", pixels)
    equal = compare(tmp_path / "a.tif", tmp_path / "a.tif")
    assert equal.kept
    assert equal.figures.max_error == (0, 0, 0)
    other = pixels.copy()
    other[0, 0, 0], other[1, 1] = 5, -1.7e308
    write_tif(tmp_path / "b.tif", other)
    figures = compare(tmp_path / "a.tif", tmp_path / "b.tif").figures
    assert figures.max_error == (math.inf, math.inf, 0)
    assert figures.psnr[2] == math.inf
    compress(tmp_path / "a.tif", tmp_path / "a.eoc", settings=LOSSLESS)
    assert compare(tmp_path / "b.tif", tmp_path / "a.eoc").beyond == (1, 20, 0)
