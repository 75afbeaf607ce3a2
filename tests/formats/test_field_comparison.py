"""Two files of fields compared: tiles decoded once, values as CF readers see them, what else differs."""

import math
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file
from eocodec.formats.eoc.tile_access import TileAccess
from eocodec.formats.field_comparison import compare_fields, open_either
from eocodec.formats.field_errors import ErrorSum
from eocodec.formats.field_values import FieldValues
from eocodec.formats.netcdf import write_netcdf
from eocodec.tile import EncodeSettings

DATA = Path(__file__).parents[1] / "data"
CAMS = DATA / "cams_co.nc"


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


def compress(source, target, tile_size=512, **settings):
    chosen = EncodeSettings(**(settings or {"lossless": True}))
    compress_file([source], target, CompressOptions(settings=chosen, tile_size=tile_size))
    return target


def compare(one, other, **options):
    with open_either(str(one)) as (a, of_a), open_either(str(other)) as (b, of_b):
        return compare_fields(a, b, of_b, reference_arrays=of_a, **options)


def times_of_cams(path, times, size, dims):
    """Write `times` times of a corner of the real field, each another corner."""
    with xr.open_dataset(CAMS, decode_cf=False) as ds:
        field = ds.co.values
    data = np.stack(
        [field[t % 4, t % 16 : t % 16 + size, t % 32 : t % 32 + size] for t in range(times)]
    )
    data = data.transpose([("time", "lat", "lon").index(dim) for dim in dims])
    write_netcdf(xr.Dataset({"co": (dims, data, {"scale_factor": 2.0})}), path)
    return path


@pytest.mark.parametrize("dims", [("time", "lat", "lon"), ("lat", "time", "lon")])
def test_many_small_times_of_one_tile_are_decoded_once(tmp_path, decoded_tiles, dims):
    times_of_cams(tmp_path / "a.nc", 120, 8, dims)
    compress(tmp_path / "a.nc", tmp_path / "a.eoc", max_error=19.0)
    decoded_tiles.clear()
    result = compare(tmp_path / "a.nc", tmp_path / "a.eoc")
    (co,) = result.fields
    assert co.promise == (18.0, None, None)
    assert (co.max_error, co.valid, result.kept) == (18.0, 120 * 8 * 8, True)
    assert [call[2] for call in decoded_tiles] == [0]


def test_tiles_of_several_times_are_decoded_once(tmp_path, decoded_tiles):
    ramp = np.arange(300, dtype="i2")[:, None, None] * np.ones((1, 24, 24), "i2")
    write_netcdf(xr.Dataset({"v": (("time", "lat", "lon"), ramp)}), tmp_path / "a.nc")
    compress(tmp_path / "a.nc", tmp_path / "a.eoc")
    ramp[170, 3, 4] = 999
    write_netcdf(xr.Dataset({"v": (("time", "lat", "lon"), ramp)}), tmp_path / "b.nc")
    with open_either(str(tmp_path / "a.eoc")) as (_, arrays):
        grid = arrays.array("v").header.grid
    assert grid.counts == (2, 1, 1)
    decoded_tiles.clear()
    result = compare(tmp_path / "b.nc", tmp_path / "a.eoc")
    assert (result.fields[0].max_error, result.fields[0].beyond) == (999 - 170, 1)
    assert [call[2] for call in decoded_tiles] == [0, 1]


@pytest.mark.parametrize(("one", "other"), [(32, 32), (16, 24), (24, 16), (16, 512)])
def test_each_tile_of_two_containers_is_decoded_once(tmp_path, decoded_tiles, one, other):
    for name, size in (("a", one), ("b", other)):
        compress(CAMS, tmp_path / f"{name}.eoc", size)
    decoded_tiles.clear()
    result = compare(tmp_path / "a.eoc", tmp_path / "b.eoc")
    assert result.kept
    assert result.fields[0].max_error == 0
    assert result.fields[0].valid == 8157
    assert len(decoded_tiles) == len(set(decoded_tiles))
    with (
        open_either(str(tmp_path / "a.eoc")) as (_, a),
        open_either(str(tmp_path / "b.eoc")) as (_, b),
    ):
        assert len(decoded_tiles) == sum(s.array("co").header.grid.tiles for s in (a, b))


def unsigned(path, change=0):
    samples = np.arange(250, 256, dtype="u1").reshape(1, 2, 3).repeat(40, 0).repeat(40, 1)
    samples[0, 0] = 0
    samples[3, 79] += np.uint8(change)  # 253 to 255 wrap
    attrs = {"_Unsigned": "true", "_FillValue": np.int8(-3), "scale_factor": 0.5}
    ds = xr.Dataset({"v": (("time", "lat", "lon"), samples.view("i1"), attrs)})
    write_netcdf(ds, path, overwrite=True)
    return path


def test_values_are_those_of_unsigned_samples(tmp_path):
    same = compare(unsigned(tmp_path / "a.nc"), tmp_path / "a.nc")
    (v,) = same.fields
    assert same.kept
    assert v.range == 255 / 2
    assert v.valid == 40 * 80 * 3 - 40 * 40
    (v,) = compare(tmp_path / "a.nc", unsigned(tmp_path / "b.nc", change=3)).fields
    assert v.max_error == 253 / 2
    assert v.invalid_mismatches == 1  # 253 is missing


def test_bounds_hold_for_unsigned_values():
    attrs = {"_Unsigned": "true"}
    one = xr.Variable(("lat", "lon"), np.array([[-1, 0, 5, -2]], "i1"), attrs)
    header = _header("int8", (1, 4), max_error=2.0)
    errors = ErrorSum(FieldValues(one), FieldValues(one), header)
    errors.add(0, one.values[None], np.array([[[1, 1, 3, -3]]], "i1"))
    found = errors.result("v", "", None)
    assert (found.max_error, found.beyond) == (254, 1)
    shares = ErrorSum(
        FieldValues(one), FieldValues(one), replace(header, max_error=None, max_relative_error=0.01)
    )
    shares.add(0, one.values[None], np.array([[[-3, 0, 5, -5]]], "i1"))
    assert shares.result("v", "", None).beyond == 1  # 2 of 255 is within, 3 of 254 beyond


def _header(dtype, shape, **promise):
    from eocodec.formats.eoc import array_header

    dims = ("level", "lat", "lon")[-len(shape) :]
    return replace(array_header(shape=shape, dtype=dtype, dims=dims), **promise)


def test_each_level_has_its_own_bound():
    one = xr.Variable(("level", "lat", "lon"), np.zeros((3, 1, 4), "f4"), {"scale_factor": -3.0})
    header = _header("float32", (3, 1, 4), max_error=(1.0, None, 0.0))
    errors = ErrorSum(FieldValues(one), FieldValues(one), header)
    other = np.array([[[1, 1.5, 0, -2]], [[9, 9, 9, 9]], [[0, 0.01, 0, np.nan]]], "f4")
    errors.add(0, one.values, other)
    found = errors.result("v", "", None)
    assert found.beyond == 4
    assert (found.promise, found.by_level) == ((3.0, None, None), True)
    assert found.invalid_mismatches == 1
    later = ErrorSum(FieldValues(one), FieldValues(one), header)
    later.add(2, one.values[2:], other[:1])
    assert later.result("v", "", None).beyond == 3


def test_square_root_and_relative_bounds_are_checked():
    one = xr.Variable(("lat", "lon"), np.array([[100, 4, -25, 0]], "i4"), {"scale_factor": 4.0})
    other = np.array([[[102, 5, -26, 1]]], "i4")
    for promise, beyond in (
        ({"max_error_sqrt": 0.2}, 2),
        ({"max_error_sqrt": 0.5}, 1),
        ({"max_relative_error": 0.03}, 3),
        ({"max_relative_error": 0.25}, 1),
        ({"max_relative_error": 0.25, "max_error": 1.0}, 2),
    ):
        errors = ErrorSum(FieldValues(one), FieldValues(one), _header("int32", (1, 4), **promise))
        errors.add(0, one.values[None], other)
        found = errors.result("v", "", None)
        assert found.beyond == beyond
        assert (found.max_error, found.max_relative_error) == (8, math.inf)


def test_missing_values_of_a_list_do_not_count(tmp_path):
    samples = np.arange(60, dtype="f4").reshape(6, 10)
    samples[0, :3], samples[1, :3], samples[2, 0] = -99, -9, np.nan
    attrs = {"_FillValue": np.float32(-99), "missing_value": np.array([-9, -99], "f4")}
    ds = xr.Dataset({"v": (("lat", "lon"), samples, attrs)})
    write_netcdf(ds, tmp_path / "a.nc")
    (v,) = compare(tmp_path / "a.nc", tmp_path / "a.nc").fields
    assert (v.valid, v.range, v.psnr_peak, v.invalid_mismatches) == (53, 56, 56, 0)
    assert v.psnr == math.inf
    samples[0, 0], samples[3, 3] = -9, -99
    write_netcdf(ds, tmp_path / "b.nc")
    (v,) = compare(tmp_path / "a.nc", tmp_path / "b.nc").fields
    assert v.invalid_mismatches == 2
    assert v.max_error == 0


def test_the_peak_is_the_range_of_each_field_or_given(tmp_path):
    wave = np.sin(np.arange(600.0)).reshape(20, 30).astype("f4")
    ds = xr.Dataset({name: (("lat", "lon"), wave * scale) for name, scale in (("a", 1), ("b", 9))})
    write_netcdf(ds, tmp_path / "a.nc")
    ds.a.values[0, 0] += 0.5
    ds.b.values[0, 0] += 4.5
    write_netcdf(ds, tmp_path / "b.nc")
    a, b = compare(tmp_path / "a.nc", tmp_path / "b.nc").fields
    assert b.psnr_peak == pytest.approx(9 * a.psnr_peak) == pytest.approx(18, rel=1e-3)
    assert a.psnr == pytest.approx(b.psnr)
    assert a.psnr == pytest.approx(20 * math.log10(a.range / a.rmse))
    assert a.psnr_peak_chosen == "range of the data"
    _, b = compare(tmp_path / "a.nc", tmp_path / "b.nc", peak=2).fields
    assert (b.psnr_peak, b.psnr_peak_chosen) == (2, "given")


@pytest.mark.filterwarnings("error")
def test_whole_numbers_of_64_bits_are_told_apart(tmp_path):
    samples = np.full((6, 10), 2**63, "u8")
    samples[0], samples[1] = 0, 2**64 - 2
    ds = xr.Dataset({"v": (("lat", "lon"), samples)})
    write_netcdf(ds, tmp_path / "a.nc")
    ds.v.values[2:4, 0] += 1
    write_netcdf(ds, tmp_path / "b.nc")
    (v,) = compare(tmp_path / "a.nc", tmp_path / "b.nc").fields
    assert (v.max_error, v.rmse) == (1, math.sqrt(2 / 60))


def make(path, change=lambda file: None):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("lat", 20)
        file.createDimension("lon", 30)
        lat = file.createVariable("lat", "f8", ("lat",))
        lat[:] = np.arange(20)
        lat.units = "degrees_north"
        t = file.createVariable("t", "f4", ("time", "lat", "lon"))
        t[:] = np.arange(1200).reshape(2, 20, 30)
        t.setncatts({"units": "K", "valid_min": np.float32(0), "steps": np.array([1, 2], "i2")})
        file.title = "made"
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda f: f.setncattr("title", "other"), ["attribute title ('made', 'other')"]),
        (lambda f: f.delncattr("title"), ["attribute title ('made', absent)"]),
        (
            lambda f: f["t"].setncattr("valid_min", 0.0),
            ["t:valid_min (np.float32(0.0), np.float64(0.0))"],
        ),
        (lambda f: f["t"].setncattr("steps", np.array([1, 2], "i4")), ["t:steps ("]),
        (lambda f: f["t"].setncattr("units", "degC"), ["t:units ('K', 'degC')"]),
        (lambda f: f["lat"].__setitem__(3, 7.5), ["lat"]),
        (lambda f: f.createVariable("n", "i4"), ["n (only in B)"]),
        (lambda f: f.renameVariable("lat", "phi"), ["lat (only in A)", "phi (only in B)"]),
    ],
)
def test_what_differs_is_named(tmp_path, change, differing):
    result = compare(make(tmp_path / "a.nc"), make(tmp_path / "b.nc", change))
    assert len(result.differing) == len(differing)
    assert all(
        text.startswith(start) for text, start in zip(result.differing, differing, strict=True)
    )
    assert not result.kept
    compress(tmp_path / "b.nc", tmp_path / "b.eoc")
    assert compare(tmp_path / "b.nc", tmp_path / "b.eoc").kept
    assert compare(tmp_path / "a.nc", tmp_path / "b.eoc").differing == result.differing


def test_dtypes_and_dimensions_that_may_grow_are_compared(tmp_path):
    make(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", decode_cf=False) as ds:
        ds.encoding["unlimited_dims"] = ()
        write_netcdf(ds, tmp_path / "b.nc")
        ds["t"] = ds.t.astype("f8")
        write_netcdf(ds, tmp_path / "c.nc")
    assert compare(tmp_path / "a.nc", tmp_path / "a.nc").kept
    assert compare(tmp_path / "a.nc", tmp_path / "b.nc").differing == (
        "unlimited dimension time (True, None)",
    )
    assert compare(tmp_path / "b.nc", tmp_path / "c.nc").differing == (
        "t dtype (float32, float64)",
    )
