"""`eocodec features`: the three formats, their geolocation, mistakes, and the same bytes every time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

import eocodec
from eocodec.cli import commands
from tests.formats.http_server import http_server

SAMPLE = Path(__file__).parents[1] / "data" / "s2_chesapeake_nodata.tif"
PATCHES = ["--transform", "indices", "--patch", "64"]


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "x.eoc"
    run("compress", SAMPLE, path)
    return path


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args, status=0, stdin=None):
    result = CliRunner().invoke(commands, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def error_of(*args, status=1):
    result = run("features", *args, status=status)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: ")
    return line


@pytest.fixture
def expected(container):
    with eocodec.open(container) as reader:
        return reader.transform("indices", patch=64)


def test_parquet_has_a_row_a_patch_with_its_place(container, expected):
    result = run("features", container, *PATCHES, "-o", "f.parquet")
    assert result.stdout == "f.parquet: 18 features (indices) of 4 x 4 patches of 64 pixels\n"
    table = pq.read_table("f.parquet")
    assert table.column_names == ["row", "column", "x", "y", "valid", *expected.names]
    assert table["row"].to_pylist() == [0] * 4 + [64] * 4 + [128] * 4 + [192] * 4
    assert table["x"].to_pylist() == [449010 + 320 + 640 * n for n in range(4)] * 4
    assert table["y"].to_pylist()[::4] == [4177460 - 320 - 640 * n for n in range(4)]
    np.testing.assert_array_equal(table["valid"], expected.valid.ravel())
    np.testing.assert_array_equal(table["bsi_std"], expected["bsi_std"].ravel())
    about = json.loads(table.schema.metadata[b"eocodec"])
    assert about["crs"] == "EPSG:32618"
    assert about["affine"] == [640, 0, 449010, 0, -640, 4177460]
    assert (about["transform"], about["patch"]) == ("indices", 64)


def test_npy_holds_places_and_features(container, expected):
    run("features", container, *PATCHES, "-o", "f.npy")
    found = np.load("f.npy")
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found["features"], expected.values)
    np.testing.assert_array_equal(found["x"], expected.x)
    np.testing.assert_array_equal(found["column"][0], expected.column)
    about = json.loads(Path("f.npy.json").read_text())
    assert about["features"] == list(expected.names)
    assert about["crs"] == "EPSG:32618"
    assert sorted(path.name for path in Path().iterdir()) == ["f.npy", "f.npy.json"]


def test_zarr_is_a_grid_for_xarray(container, expected):
    run("features", container, *PATCHES, "--stride", "32", "-o", "f.zarr")
    with eocodec.open(container) as reader:
        expected = reader.transform("indices", patch=64, stride=32)
    with xr.open_zarr("f.zarr", consolidated=False, chunks=None) as found:
        assert found.features.dims == ("feature", "y", "x")
        ndvi = found.features.sel(feature="ndvi_mean")
        np.testing.assert_array_equal(ndvi, expected["ndvi_mean"])
        np.testing.assert_array_equal(found.valid, expected.valid)
        assert found.x.values.tolist() == [449010 + 320 + 320 * n for n in range(7)]
        assert float(found.y[1]) == 4177460 - 640
        assert found.row.values.tolist() == expected.row.tolist()
        assert found.spatial_ref.attrs["GeoTransform"] == "449170.0 320.0 0.0 4177300.0 0.0 -320.0"
        assert rasterio.CRS.from_wkt(found.spatial_ref.attrs["crs_wkt"]).to_epsg() == 32618


def test_patches_without_valid_pixels_are_told(tmp_path):
    with rasterio.open(SAMPLE) as source:
        stack, names = source.read(), source.descriptions
    stack[:, :64, :64] = 0
    data = eocodec.compress(stack[:, :64, :128], bands=names, nodata=0)
    Path("x.eoc").write_bytes(data)
    result = run("features", "x.eoc", *PATCHES, "-o", "f.npy")
    assert "1 patches have nothing to compute features of; theirs are NaN" in result.stdout
    found = np.load("f.npy")
    assert np.isnan(found["features"][0, 0]).all()
    assert np.isnan(found["x"]).all()


def test_layers_bands_and_the_raster_can_be_chosen(container):
    run("features", container, *PATCHES, "--layers", 2, "-o", "two.npy")
    with eocodec.open(container) as reader:
        expected = reader.transform("indices", patch=64, layers=2)
        stack = reader.read(bands=["B03", "B08", "B11"])
    np.testing.assert_array_equal(np.load("two.npy")["features"], expected.values)
    with eocodec.create(
        "two.eoc",
        arrays=[
            eocodec.array_header(name=name, shape=(3, 64, 64), dtype="uint16") for name in "ab"
        ],
        settings=eocodec.EncodeSettings(lossless=True),
    ) as writer:
        for name, part in (("a", stack[:, :64, :64]), ("b", stack[:, 64:128, 64:128])):
            writer.write(None, part, array=name)
    told = error_of("two.eoc", *PATCHES, "--array", "b", "--bands", "B03,B08,B11", "-o", "b.npy")
    assert told.endswith("which array 'b' lacks; it has B03, B08, B11")
    assert "needs bands B02, B04, B05, B8A, B12, " in told


def test_a_url_is_read_where_it_lies(container):
    run("features", container, "--transform", "tokens", "-o", "local.npy")
    with http_server(container.read_bytes()) as (url, _):
        run("features", url, "--transform", "tokens", "-o", "remote.npy")
    assert Path("remote.npy").read_bytes() == Path("local.npy").read_bytes()


@pytest.mark.parametrize(
    ("args", "message", "status"),
    [
        (["-o", "f.csv"], "features end in .parquet, .npy or .zarr", 2),
        (["-o", "-"], "cannot be written to standard output", 2),
        (
            ["-o", "there.npy"],
            "there.npy exists; name another file with -o FILE, or pass --overwrite",
            2,
        ),
        (["-o", "folder.zarr", "--overwrite"], "folder.zarr is a folder that is no Zarr group", 1),
        (["-o", "f.npy", "--transform", "none"], "no transform 'none'; installed: indices", 1),
        (["-o", "f.npy", "--transform", "tokens", "--patch", 8], "takes multiples of 16", 1),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(container, args, message, status):
    Path("there.npy").write_bytes(b"kept")
    Path("folder.zarr").mkdir()
    assert message in error_of(container, *args, status=status)
    assert sorted(path.name for path in Path().iterdir()) == ["folder.zarr", "there.npy"]
    assert Path("there.npy").read_bytes() == b"kept"


def test_without_pyarrow_parquet_says_what_is_missing(container, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = error_of(container, *PATCHES, "-o", "f.parquet")
    assert "pip install 'eocodec[features]'" in message
    assert list(Path().iterdir()) == []


def test_an_existing_grid_is_replaced_when_asked(container):
    for patch in (64, 128):
        args = ["--patch", patch, "--overwrite", "-o", "f.zarr"]
        run("features", container, "--transform", "indices", *args)
    with xr.open_zarr("f.zarr", consolidated=False, chunks=None) as found:
        assert found.features.shape == (18, 2, 2)


def test_damage_is_told_and_leaves_nothing(container):
    with eocodec.open(container) as reader:
        tile = next(reader.tiles())
    data = bytearray(container.read_bytes())
    data[tile.offset + tile.layer_ends[0] - 1] ^= 1
    Path("x.eoc").write_bytes(data)
    assert "tile layer 0 does not match" in error_of("x.eoc", *PATCHES, "-o", "f.zarr")
    assert [path.name for path in Path().iterdir()] == ["x.eoc"]


def test_list_tells_what_is_installed():
    listed = run("features", "--list").stdout
    assert "indices: mean and deviation of NDVI, NDWI" in listed
    assert "bands    B02, B03, B04, B05, B08, B8A, B11, B12" in listed
    assert "\ntokens: " in listed


def test_numbers_are_the_same_bit_for_bit_whatever_the_threads(container):
    run_each = """
import sys
from click.testing import CliRunner
from eocodec.cli import commands
threads, folder, source = sys.argv[1:]
for name in ("indices", "tokens", "ssl-s2"):
    args = ["features", source, "--transform", name, "--stride", "48", "--threads", threads]
    CliRunner().invoke(commands, [*args, "-o", f"{folder}/{name}.npy"], catch_exceptions=False)
"""
    for cores, threads in (("1", "1"), ("2", "3")):
        Path(cores).mkdir()
        limits = {"OPENBLAS_NUM_THREADS": cores, "OMP_NUM_THREADS": cores}
        command = [sys.executable, "-c", run_each, threads, cores, container]
        subprocess.run(command, check=True, env={**os.environ, **limits})
    for name in ("indices", "tokens", "ssl-s2"):
        one, two = (Path(cores, f"{name}.npy").read_bytes() for cores in "12")
        assert len(one) > 5 * 5 * 4 * 18
        assert one == two
