"""The commands on netCDF and GRIB."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from eocodec.cli import commands
from eocodec.formats.netcdf import write_netcdf

DATA = Path(__file__).parents[1] / "data"
CAMS = str(DATA / "cams_co.nc")
GRIB = str(DATA / "era5_levels.grib")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args, status=0, stdin=None):
    result = CliRunner().invoke(commands, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def test_netcdf_goes_there_and_back():
    run("compress", CAMS, "cams.eoc", "--max-error", "co=5e-10")
    assert "ok, 1 arrays" in run("validate", "cams.eoc").stdout
    run("decompress", "cams.eoc")
    with xr.open_dataset(CAMS) as one, xr.open_dataset("cams.nc") as other:
        errors = np.abs(one.co - other.co)
        assert 4e-10 < float(errors.max()) <= 5e-10
        assert one.co.attrs == other.co.attrs
        assert one.attrs == other.attrs
        for name in one.coords:
            xr.testing.assert_identical(one[name].variable, other[name].variable)
    info = run("info", "cams.eoc").stdout
    assert "fields of NETCDF3_64BIT_OFFSET; beside the arrays: " in info
    assert "unit       kg kg**-1 = sample * 2.61" in info
    assert "bands" not in info
    result = run("compare", CAMS, "cams.eoc").stdout
    assert "promised max error of co: 4.96" in result
    assert "; kept" in result
    assert "differ: none" in result
    run("decompress", "-", "piped.nc", stdin=Path("cams.eoc").read_bytes())
    assert Path("piped.nc").read_bytes() == Path("cams.nc").read_bytes()


def test_compare_of_fields_names_what_differs_and_exits_with_one():
    run("compress", CAMS, "cams.eoc", "--max-error", "co=5e-10")
    with xr.open_dataset(CAMS, decode_cf=False) as ds:
        moved = ds.load()
    moved.attrs["source"] = "elsewhere"
    moved.co.values[1, 2, 3] += 40
    write_netcdf(moved, "moved.nc", format="NETCDF3_64BIT_OFFSET")
    text = run("compare", "moved.nc", "cams.eoc", status=1).stdout
    assert "NOT kept by 1 samples" in text
    assert "differs: attribute source ('elsewhere', absent)\n" in text
    assert "PSNR peak: 1.71" in text
    said = json.loads(
        run("compare", "moved.nc", "cams.eoc", "--json", "--peak", 1e-6, status=1).stdout
    )
    (co,) = said["fields"]
    assert (co["psnr_peak"], co["psnr_peak_chosen"], co["beyond"]) == (1e-6, "given", 1)
    assert said["differing"] == ["attribute source ('elsewhere', absent)"]
    assert co["psnr"] == pytest.approx(20 * np.log10(1e-6 / co["rmse"]))
    message = run("compare", CAMS, "cams.eoc", "--layers", 7, status=2).stderr
    assert "--layers 7 is more than there are: cams.eoc has " in message


def test_grib_gives_netcdf_and_zarr():
    report = run("compress", GRIB, "-o", "g.eoc", "--max-range-error", "t=1e-3,r=0.01").stdout
    assert "bits a sample\n" in report
    assert "max error 0.1 % of the range" in report
    run("decompress", "g.eoc", "-o", "g.zarr")
    run("decompress", "g.eoc")
    with xr.open_dataset("g.nc") as one, xr.open_zarr("g.zarr", consolidated=False) as other:
        xr.testing.assert_equal(one, other)
    fields = json.loads(run("compare", GRIB, "g.nc", "--json").stdout)["fields"]
    shares = {field["name"]: field["max_error"] / field["range"] for field in fields}
    assert 5e-4 < shares["t"] <= 1e-3
    assert 5e-3 < shares["r"] <= 1e-2
    assert json.loads(run("info", "g.eoc", "--json").stdout)["source_format"] == "GRIB"


@pytest.mark.parametrize(
    ("args", "words", "status"),
    [
        (("compress", CAMS, "--max-error", "no2=1", "-o", "x.eoc"), ["'no2'", "co"], 1),
        (("compress", CAMS, "--bands", "B02", "-o", "x.eoc"), ["bands", "rasters"], 1),
        (("compress", CAMS, "--max-range-error", "2"), ["--max-range-error"], 2),
        (("compress", GRIB, "--keep-real-information", "1", "--lossless"), ["exclude"], 2),
        (("compress", "none.nc"), ["none.nc"], 1),
        (("compare", CAMS, CAMS, "--png", "x.png"), ["--png"], 2),
        (("compare", CAMS, GRIB), ["no field of the same name"], 1),
    ],
)
def test_misuse_is_said_in_a_line(args, words, status, tmp_path):
    result = run(*args, status=status)
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: ")
    assert all(word in line for word in words)
    assert os.listdir(tmp_path) == []


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    monkeypatch.setitem(sys.modules, "cfgrib", None)
    message = run("compress", CAMS, "-o", "x.eoc", status=1).stderr
    assert "pip install 'eocodec[fields]'" in message
    message = run("compress", GRIB, "-o", "x.eoc", status=1).stderr
    assert "pip install 'eocodec[fields]'" in message
