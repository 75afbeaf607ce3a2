"""Files whose bands are named as producers name them: what is found in them, and what is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import eocodec
from eocodec.bands import BANDS, MODEL_BANDS, band
from eocodec.cli import commands
from eocodec.errors import InputError
from eocodec.formats.geotiff import CompressOptions, compress_geotiff
from eocodec.formats.raster import GeoTiff

DATA = Path(__file__).parents[1] / "data"
FORCE = [
    "BLUE",
    "GREEN",
    "RED",
    "REDEDGE1",
    "REDEDGE2",
    "REDEDGE3",
    "BROADNIR",
    "NIR",
    "SWIR1",
    "SWIR2",
]
LOSSLESS = eocodec.EncodeSettings(lossless=True)

with rasterio.open(DATA / "s2_chesapeake.tif") as _source:
    STACK = _source.read(window=rasterio.windows.Window(0, 0, 64, 64))
    PLACE = {"crs": _source.crs, "transform": _source.transform}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, descriptions=None, band_tags=(), tags=None, pixels=STACK):
    profile = {"count": len(pixels), "height": 64, "width": 64, "dtype": "uint16", **PLACE}
    with rasterio.open(path, "w", driver="GTiff", **profile) as target:
        target.write(pixels)
        target.descriptions = descriptions or [None] * len(pixels)
        target.update_tags(**(tags or {}))
        for number, (space, values) in enumerate(band_tags, 1):
            target.update_tags(number, ns=space, **values)
    return path


def names_of(path):
    with GeoTiff(path) as raster:
        return [band.name for band in raster.bands]


def run(*args, status=0):
    result = CliRunner().invoke(commands, [str(arg) for arg in args])
    assert result.exit_code == status, result.output
    return result.output


def test_bands_of_force_are_named_and_bounded_by_their_canonical_names():
    assert names_of(write("x.tif", FORCE)) == list(MODEL_BANDS)
    run("compress", "x.tif", "x.eoc", "--max-error", "B8A=4,B11=9")
    (array,) = json.loads(run("info", "x.eoc", "--json"))["arrays"]
    assert array["bands"] == list(MODEL_BANDS)
    assert array["max_error"] == [None] * 7 + [4, 9, None]
    run("decompress", "x.eoc", "-o", "y.tif")
    with rasterio.open("y.tif") as decoded:
        assert decoded.descriptions == tuple(FORCE)
        assert 0 < np.abs(decoded.read(8).astype(int) - STACK[7]).max() <= 4


def test_names_of_the_bands_option_are_understood_as_a_whole():
    write("x.tif")
    run("compress", "x.tif", "x.eoc", "--bands", ",".join(FORCE))
    (array,) = json.loads(run("info", "x.eoc", "--json"))["arrays"]
    assert array["bands"] == list(MODEL_BANDS)


@pytest.mark.parametrize("kind", ["imagery", "envi"])
def test_wavelengths_in_tags_name_bands_without_a_description(kind):
    centres = [band(name).wavelength_nm["S2B"] for name in MODEL_BANDS]
    tags = {
        "imagery": [("IMAGERY", {"CENTRAL_WAVELENGTH_UM": f"{nm / 1000:.4f}"}) for nm in centres],
        "envi": [(None, {"wavelength": str(nm), "wavelength_units": "nm"}) for nm in centres],
    }[kind]
    assert names_of(write("x.tif", None, tags)) == list(MODEL_BANDS)
    counted = [f"Band {number}" for number in range(1, 11)]
    assert names_of(write("y.tif", counted, tags)) == list(MODEL_BANDS)
    assert names_of(write("z.tif", ["NDVI"] * 10, tags)) == [None] * 10
    run("compress", "x.tif", "x.eoc", "--max-error", "B8A=4")
    assert json.loads(run("info", "x.eoc", "--json"))["arrays"][0]["bands"] == list(MODEL_BANDS)


def test_tags_of_the_raster_tell_whose_numbers_its_bands_have():
    numbers = ["B2", "B3", "B4", "B5", "B6", "B7"]
    pixels = STACK[:6]
    assert names_of(write("x.tif", numbers, pixels=pixels)) == [None] * 6
    ours = write("y.tif", numbers, tags={"PLATFORM": "Sentinel-2A"}, pixels=pixels)
    assert names_of(ours) == ["B02", "B03", "B04", "B05", "B06", "B07"]
    theirs = {"SPACECRAFT_ID": "LANDSAT_9"}
    assert names_of(write("z.tif", MODEL_BANDS, tags=theirs)) == [None] * 10


def test_bands_that_look_alike_have_no_name_and_are_told_where_one_is_needed():
    twice = ["B02", "blue", *MODEL_BANDS[2:]]
    write("x.tif", twice)
    run("compress", "x.tif", "x.eoc", "--lossless")
    (array,) = json.loads(run("info", "x.eoc", "--json"))["arrays"]
    assert array["bands"] == twice
    told = "bands 1 ('B02') and 2 ('blue') look like B02: name every band"
    output = run("features", "x.eoc", "-o", "f.npy", "--transform", "indices", status=1)
    assert "needs bands B02, B03, which array 'data' lacks" in output
    assert told in output
    assert "--bands B02,other,B04,B05" in output
    right = ",".join(MODEL_BANDS)
    run("features", "x.eoc", "-o", "f.npy", "--transform", "indices", "--bands", right)


def test_compress_tells_of_bands_that_look_alike_and_keeps_them_exactly():
    write("x.tif", ["B02", "blue", *MODEL_BANDS[2:]])
    report = compress_geotiff(["x.tif"], "x.eoc", CompressOptions())
    (told,) = [text for text in report.warnings if "look like" in text]
    assert told.startswith("bands 1 ('B02') and 2 ('blue') look like B02: name every band")
    assert told.endswith("--bands B02,other,B04,B05,B06,B07,B08,B8A,B11,B12")
    with eocodec.open("x.eoc") as reader:
        for array in reader.arrays:
            for described, decoded in zip(
                array.bands, reader.array(array.name).read(), strict=True
            ):
                if described.description in ("B02", "blue"):
                    assert described.name is None
                    np.testing.assert_array_equal(decoded, STACK[described.position])
    report = compress_geotiff(["x.tif"], "y.eoc", CompressOptions(bands=MODEL_BANDS))
    assert not any("look like" in text for text in report.warnings)


def test_names_that_an_older_file_gives_twice_are_read_from_the_descriptions():
    older = [*MODEL_BANDS[:7], "B08", *MODEL_BANDS[8:]]
    pairs = zip(older, FORCE, strict=True)
    bands = [eocodec.Band(name=name, description=text) for name, text in pairs]
    data = eocodec.compress(STACK, bands=bands, settings=LOSSLESS)
    right = eocodec.compress(STACK, bands=MODEL_BANDS, settings=LOSSLESS)
    with eocodec.open(data) as found, eocodec.open(right) as expected:
        np.testing.assert_array_equal(
            found.transform("indices").values, expected.transform("indices").values
        )
        with pytest.raises(
            InputError, match=r"bands 1 \('B2'\) and 2 \('blue'\) are all named as B02"
        ):
            found.transform("indices", bands=["B2", "blue", *MODEL_BANDS[2:]])


def test_names_of_every_band_are_those_of_the_table():
    thirteen = [entry.name.lower() for entry in BANDS]
    pixels = np.concatenate([STACK, STACK[:3]])
    assert names_of(write("x.tif", thirteen, pixels=pixels)) == [entry.name for entry in BANDS]
