"""GeoTIFF to `.eoc` and back: every sample and everything said about them is kept."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

import eocodec
from eocodec.formats.geotiff import (
    CompressOptions,
    GeoTiff,
    compress_geotiff,
    rasters_of,
    write_cog,
    write_geotiff,
)
from eocodec.formats.raster import without_georeference_warning
from eocodec.tile import EncodeSettings

DATA = Path(__file__).parents[1] / "data"
LOSSLESS = CompressOptions(settings=EncodeSettings(lossless=True), tile_size=64, threads=1)


@pytest.fixture(autouse=True)
def _quiet():
    with without_georeference_warning():
        yield


def write_tiff(path, pixels, **profile):
    """Write a GeoTIFF and return it opened for more metadata."""
    count, height, width = pixels.shape
    target = rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=pixels.dtype.name,
        count=count,
        height=height,
        width=width,
        **profile,
    )
    target.write(pixels)
    return target


def round_trip(source, folder, options=LOSSLESS):
    """Compress `source` and restore it; return the path of the restored file."""
    container, restored = folder / "x.eoc", folder / "restored.tif"
    compress_geotiff([source], container, options)
    with eocodec.open(container) as reader:
        reader.validate()
        (raster,) = rasters_of(reader)
        write_geotiff(raster, restored)
    return restored


def described(path):
    """Everything that rasterio tells of a file, but how it is laid out on disk."""
    with rasterio.open(path) as source:
        spaces = set(source.tag_namespaces()) - {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS"}
        points, points_crs = source.gcps
        return {
            "shape": (source.count, source.height, source.width),
            "dtypes": source.dtypes,
            "crs": source.crs,
            "transform": source.transform,
            "gcps": ([(p.row, p.col, p.x, p.y, p.z) for p in points], points_crs),
            "rpcs": source.rpcs and source.rpcs.to_gdal(),
            "nodata": str(source.nodatavals),
            "tags": {space: source.tags(ns=space) for space in spaces} | {"": source.tags()},
            "band tags": [source.tags(index) for index in source.indexes],
            "band spaces": [
                {space: source.tags(index, ns=space) for space in source.tag_namespaces(index)}
                for index in source.indexes
            ],
            "descriptions": source.descriptions,
            "scales": source.scales,
            "offsets": source.offsets,
            "units": source.units,
            "colours": source.colorinterp,
            "mask flags": source.mask_flag_enums,
        }


def pixels_of(path):
    with rasterio.open(path) as source:
        return source.read()


@pytest.mark.parametrize(
    "name",
    ["s2_chesapeake.tif", "s2_chesapeake_nodata.tif", "s2_chesapeake_20m.tif"],
)
def test_sample_files_come_back_whole(name, tmp_path):
    restored = round_trip(DATA / name, tmp_path)
    assert described(restored) == described(DATA / name)
    np.testing.assert_array_equal(pixels_of(restored), pixels_of(DATA / name))


def test_tags_scales_units_and_colours_are_kept(tmp_path):
    pixels = np.arange(2 * 20 * 30, dtype=np.int16).reshape(2, 20, 30)
    source = tmp_path / "tagged.tif"
    with write_tiff(source, pixels, crs="EPSG:3035", transform=Affine(5, 1, 4e6, 2, -5, 3e6)) as t:
        t.update_tags(TIFFTAG_SOFTWARE="none", quote='a "b" <c> & ü', AREA_OR_POINT="Point")
        t.update_tags(ns="MINE", depth="3")
        t.update_tags(2, unit_note="K")
        t.update_tags(1, ns="MINE", inner="yes")
        t.descriptions = ("temperature", None)
        t.scales, t.offsets, t.units = (0.1, 1.0), (273.15, 0.0), ("K", "")
        t.colorinterp = [ColorInterp.undefined, ColorInterp.alpha]

    restored = round_trip(source, tmp_path)

    assert described(restored) == described(source)
    assert described(restored)["tags"][""]["quote"] == 'a "b" <c> & ü'
    np.testing.assert_array_equal(pixels_of(restored), pixels)


def test_ground_control_points_are_kept(tmp_path):
    points = [
        GroundControlPoint(row=0, col=0, x=10.5, y=50.25, z=3.0),
        GroundControlPoint(row=0, col=16, x=10.7, y=50.26, z=4.0),
        GroundControlPoint(row=16, col=3.5, x=10.4, y=50.1, z=5.0),
    ]
    source = tmp_path / "gcps.tif"
    with write_tiff(source, np.ones((1, 16, 16), np.uint8)) as target:
        target.gcps = (points, rasterio.crs.CRS.from_epsg(4326))

    restored = round_trip(source, tmp_path)

    assert described(restored) == described(source)
    assert described(restored)["gcps"][0][2] == (16, 3.5, 10.4, 50.1, 5.0)


def test_rational_polynomials_are_kept(tmp_path):
    rpc = RPC(
        height_off=100.5,
        height_scale=500.0,
        lat_off=50.0,
        lat_scale=0.5,
        line_den_coeff=[1.0] + [0.001 * k for k in range(19)],
        line_num_coeff=[0.1 * k for k in range(20)],
        line_off=8.0,
        line_scale=8.0,
        long_off=10.0,
        long_scale=0.5,
        samp_den_coeff=[1.0] + [-0.002 * k for k in range(19)],
        samp_num_coeff=[0.3 * k for k in range(20)],
        samp_off=7.0,
        samp_scale=7.0,
        err_bias=0.5,
        err_rand=0.25,
    )
    source = tmp_path / "rpc.tif"
    with write_tiff(source, np.ones((1, 16, 16), np.uint8)) as target:
        target.rpcs = rpc

    restored = round_trip(source, tmp_path)

    assert described(source)["rpcs"] is not None
    assert described(restored) == described(source)


def test_a_dataset_mask_is_kept(tmp_path):
    mask = np.full((100, 90), 255, np.uint8)
    mask[10:40, 50:] = 0
    source = tmp_path / "masked.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        target = write_tiff(source, np.full((3, 100, 90), 7, np.uint8), photometric="rgb")
        target.write_mask(mask)
        target.close()

    restored = round_trip(source, tmp_path)

    assert described(restored) == described(source)
    with rasterio.open(restored) as result:
        np.testing.assert_array_equal(result.dataset_mask(), mask)


def test_a_colour_table_is_kept(tmp_path):
    source = tmp_path / "classes.tif"
    with write_tiff(source, np.eye(16, dtype=np.uint8)[None]) as target:
        target.write_colormap(1, {0: (10, 20, 30, 255), 1: (200, 100, 0, 255)})

    restored = round_trip(source, tmp_path)

    assert described(restored)["colours"] == (ColorInterp.palette,)
    with rasterio.open(restored) as result, rasterio.open(source) as original:
        assert result.colormap(1) == original.colormap(1)


def test_a_crs_without_a_code_is_kept(tmp_path):
    proj = "+proj=laea +lat_0=12.5 +lon_0=7.25 +x_0=100 +y_0=200 +ellps=GRS80 +units=m"
    source = tmp_path / "crs.tif"
    transform = Affine(2, 0, 5, 0, -2, 6)
    with write_tiff(source, np.ones((1, 8, 8), np.float32), crs=proj, transform=transform):
        pass
    restored = round_trip(source, tmp_path)
    assert described(restored)["crs"] == described(source)["crs"]
    assert described(restored)["crs"].to_epsg() is None


@pytest.mark.parametrize("nodata", [None, 0, np.nan, -9999.0])
def test_nan_and_nodata_are_exact(nodata, tmp_path):
    random = np.random.default_rng(3)
    pixels = random.normal(100, 20, (2, 70, 130)).astype(np.float32)
    pixels[random.random(pixels.shape) < 0.1] = np.nan
    pixels[:, :20] = -9999.0 if nodata is None else nodata
    source = tmp_path / "holes.tif"
    with write_tiff(source, pixels, nodata=nodata):
        pass
    restored = round_trip(source, tmp_path)
    assert described(restored)["nodata"] == described(source)["nodata"]
    np.testing.assert_array_equal(pixels_of(restored), pixels)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]),
    st.integers(1, 4),
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(0, 2**32 - 1),
)
def test_any_raster_comes_back(dtype, count, height, width, seed):
    import tempfile

    random = np.random.default_rng(seed)
    size = count * height * width
    pixels = random.integers(-100, 100, size).astype(dtype).reshape(count, height, width)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with write_tiff(folder / "any.tif", pixels), without_georeference_warning():
            pass
        with without_georeference_warning():
            restored = round_trip(folder / "any.tif", folder)
            np.testing.assert_array_equal(pixels_of(restored), pixels)


def test_bands_outside_the_model_keep_their_places(tmp_path):
    names = ["B12", "B01", "B11", "B8A", "SCL", "B08", "B07", "B06", "B05", "B04", "B03", "B02"]
    pixels = np.arange(12 * 30 * 40, dtype=np.uint16).reshape(12, 30, 40)
    source = tmp_path / "twelve.tif"
    with write_tiff(source, pixels) as target:
        target.descriptions = names
    restored = round_trip(source, tmp_path)
    assert described(restored)["descriptions"] == tuple(names)
    np.testing.assert_array_equal(pixels_of(restored), pixels)


def test_a_failed_run_leaves_nothing(tmp_path):
    source = tmp_path / "cut.tif"
    source.write_bytes((DATA / "s2_chesapeake.tif").read_bytes()[:300_000])
    with pytest.raises(eocodec.EocodecError):
        compress_geotiff([source], tmp_path / "x.eoc", LOSSLESS)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tif"]


def test_a_damaged_container_leaves_no_geotiff(tmp_path):
    container = tmp_path / "x.eoc"
    compress_geotiff([DATA / "s2_chesapeake.tif"], container, LOSSLESS)
    damaged = bytearray(container.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    with eocodec.open(bytes(damaged)) as reader:
        (raster,) = rasters_of(reader)
        with pytest.raises(eocodec.FormatError):
            write_geotiff(raster, tmp_path / "y.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["x.eoc"]


def test_existing_files_are_kept_unless_overwriting_is_allowed(tmp_path):
    container, target = tmp_path / "x.eoc", tmp_path / "y.tif"
    compress_geotiff([DATA / "s2_chesapeake_20m.tif"], container, LOSSLESS)
    target.write_text("mine")
    with eocodec.open(container) as reader:
        (raster,) = rasters_of(reader)
        with pytest.raises(eocodec.InputError, match="exists"):
            write_geotiff(raster, target)
        assert target.read_text() == "mine"
        write_geotiff(raster, target, overwrite=True)
    assert pixels_of(target).shape == (6, 128, 128)


def test_cog_export_has_overviews_and_everything_else(tmp_path):
    random = np.random.default_rng(1)
    pixels = random.integers(1, 200, (2, 700, 1100)).astype(np.uint16)
    source, target = tmp_path / "x.tif", tmp_path / "cog.tif"
    with write_tiff(source, pixels, crs="EPSG:32633", transform=Affine.scale(10, -10)) as tiff:
        tiff.descriptions = ("one", "two")
        tiff.update_tags(origin="test")
    compress_geotiff([source], tmp_path / "x.eoc", LOSSLESS)
    with eocodec.open(tmp_path / "x.eoc") as reader:
        (raster,) = rasters_of(reader)
        write_cog(raster, target)
    with rasterio.open(target) as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.overviews(1) == [2, 4]
        assert cog.descriptions == ("one", "two")
        assert cog.tags()["origin"] == "test"
        assert cog.crs.to_epsg() == 32633
        np.testing.assert_array_equal(cog.read(), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cog.tif", "x.eoc", "x.tif"]


def test_bands_of_different_nodata_are_refused(tmp_path):
    vrt = tmp_path / "two.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><NoDataValue>{band}</NoDataValue>'
        "</VRTRasterBand>"
        for band in (1, 2)
    )
    vrt.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4">{bands}</VRTDataset>')
    with pytest.raises(eocodec.InputError, match="nodata"):
        GeoTiff(vrt)


def test_complex_samples_are_refused(tmp_path):
    source = tmp_path / "complex.tif"
    with write_tiff(source, np.ones((1, 4, 4), np.complex64)):
        pass
    with pytest.raises(eocodec.InputError, match="complex64"):
        GeoTiff(source)


def tagged(path, pixels, nodata, **profile):
    """Write a GeoTIFF whose nodata is any text, which only GDAL itself does."""
    with write_tiff(path.with_suffix(".raw"), pixels, **profile):
        pass
    described = path.with_suffix(".vrt")
    rasterio.shutil.copy(path.with_suffix(".raw"), described, driver="VRT")
    text = described.read_text()
    parts = text.split("<VRTRasterBand")
    parts[1:] = [
        part.replace(">", f"><NoDataValue>{nodata}</NoDataValue>", 1) for part in parts[1:]
    ]
    described.write_text("<VRTRasterBand".join(parts))
    rasterio.shutil.copy(described, path, driver="GTiff")
    return path


def nodata_text(path):
    """Return what GDAL says of nodata of each band."""
    copy = path.with_suffix(".told.vrt")
    rasterio.shutil.copy(path, copy, driver="VRT")
    return [
        band.findtext("NoDataValue")
        for band in ElementTree.parse(copy).getroot().findall("VRTRasterBand")
    ]


WIDE = [
    ("int64", -(2**63)),
    ("int64", 2**63 - 1),
    ("uint64", 2**64 - 1),
    ("int64", 2**53 + 1),
    ("uint64", 0),
]
BEYOND = [
    ("uint16", "-9999"),
    ("uint8", "-9999"),
    ("uint8", "256"),
    ("int8", "-9999"),
    ("uint32", "-9999"),
    ("int16", "nan"),
    ("uint16", "0.5"),
    ("int32", "1e30"),
]


@pytest.mark.parametrize(("dtype", "nodata"), WIDE)
@pytest.mark.parametrize("bound", [None, 100])
def test_nodata_of_64_bit_integers_is_exact(dtype, nodata, bound, tmp_path):
    pixels = np.random.default_rng(0).integers(1, 10**6, (2, 40, 40)).astype(dtype)
    pixels[0, :9] = nodata
    pixels[1, 30:, 5:9] = nodata
    source = tagged(tmp_path / "a.tif", pixels, nodata)
    asked = EncodeSettings(lossless=bound is None, max_error=bound)
    restored = round_trip(
        source, tmp_path, CompressOptions(settings=asked, tile_size=64, threads=1)
    )
    with eocodec.open(tmp_path / "x.eoc") as reader:
        assert reader.nodata == nodata
        assert isinstance(reader.nodata, int)
    assert nodata_text(restored) == [str(nodata)] * 2
    back = pixels_of(restored)
    np.testing.assert_array_equal(back == nodata, pixels == nodata)
    valid = pixels != nodata
    error = np.abs(back[valid].astype(float) - pixels[valid].astype(float))
    assert error.max() <= (bound or 0)


@pytest.mark.parametrize(("dtype", "nodata"), BEYOND)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_nodata_outside_the_dtype_is_told_again_and_marks_nothing(
    dtype, nodata, compression, tmp_path
):
    pixels = np.random.default_rng(0).integers(1, 120, (2, 40, 40)).astype(dtype)
    pixels[0, :3] = 0
    source = tagged(tmp_path / "a.tif", pixels, nodata)
    before = described(source)
    if compression:
        restored = round_trip(source, tmp_path)
    else:
        container, restored = tmp_path / "x.eoc", tmp_path / "cog.tif"
        compress_geotiff([source], container, LOSSLESS)
        with eocodec.open(container) as reader:
            write_cog(rasters_of(reader)[0], restored)
    assert nodata_text(restored) == nodata_text(source)
    np.testing.assert_array_equal(pixels_of(restored), pixels)
    after = described(restored)
    assert {**after, "tags": None} == {**before, "tags": None}
    with rasterio.open(restored) as file:
        assert (file.dataset_mask() == 255).all() or dtype == "int8"


def test_nodata_outside_the_dtype_goes_beside_a_dataset_mask_and_tags(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 9, (1, 70, 90)).astype("uint16")
    source = tagged(tmp_path / "a.tif", pixels, "-9999", crs="EPSG:32633")
    with rasterio.open(source, "r+") as target:
        target.update_tags(PLACE="here")
        target.set_band_description(1, "depth of a river, in words that need room in the file")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            target.write_mask(pixels[0] > 4)
    restored = round_trip(source, tmp_path)
    assert nodata_text(restored) == ["-9999"]
    assert described(restored) == described(source)
    with rasterio.open(restored) as file:
        np.testing.assert_array_equal(file.dataset_mask() != 0, pixels[0] > 4)


@pytest.mark.parametrize(("first", "other"), [("-9999", "-9998"), ("-9999", "nan")])
def test_bands_of_different_hidden_nodata_are_refused(first, other, tmp_path):
    tagged(tmp_path / "a.tif", np.ones((2, 8, 8), "uint16"), first)
    path = tmp_path / "a.vrt"
    text = path.read_text()
    at = text.rindex(first)
    path.write_text(text[:at] + other + text[at + len(first) :])
    with pytest.raises(eocodec.InputError, match="different nodata"):
        compress_geotiff([path], tmp_path / "x.eoc", LOSSLESS)
    assert not (tmp_path / "x.eoc").exists()


def test_nodata_that_a_tiff_of_64_bits_would_change_is_refused(tmp_path):
    container, restored = tmp_path / "x.eoc", tmp_path / "r.tif"
    array = np.ones((1, 8, 8), "int64")
    container.write_bytes(eocodec.compress(array, nodata=float("nan")))
    with (
        eocodec.open(container) as reader,
        pytest.raises(eocodec.InputError, match="int64 cannot have the nodata value nan"),
    ):
        write_geotiff(rasters_of(reader)[0], restored)
    assert list(tmp_path.iterdir()) == [container]


def test_nodata_beyond_float32_that_a_tiff_would_change_is_refused(tmp_path):
    source = tagged(tmp_path / "a.tif", np.ones((1, 8, 8), "float32"), "-1.7976931348623157e+308")
    with pytest.raises(eocodec.InputError, match="float32 cannot have the nodata value"):
        compress_geotiff([source], tmp_path / "x.eoc", LOSSLESS)
    assert not (tmp_path / "x.eoc").exists()
    # GDAL itself keeps such a value beside the file; the tag alone it reads as an infinity.
    source.with_name("a.tif.aux.xml").unlink()
    assert nodata_text(round_trip(source, tmp_path)) == ["-inf"]
