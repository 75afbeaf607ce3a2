"""netCDF and GRIB through containers: samples within bounds, everything else identical."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

import eocodec
from eocodec.errors import InputError
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file, holds_fields, total_samples
from eocodec.formats.field_comparison import compare_fields, open_either
from eocodec.formats.fields import open_decoded, open_fields, write_fields
from eocodec.formats.netcdf import write_netcdf
from eocodec.formats.real_information import BitPairs
from eocodec.tile import EncodeSettings
from eocodec.xarray.stored import field_tile

CAMS = "tests/data/cams_co.nc"
GRIB = "tests/data/era5_levels.grib"
LOSSLESS = EncodeSettings(lossless=True)


def bounded(**settings):
    return CompressOptions(settings=EncodeSettings(**settings))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A netCDF-4 file with a bit of everything that CF allows."""
    path = tmp_path_factory.mktemp("odd") / "odd.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in {"time": None, "lev": 5, "lat": 20, "lon": 30, "n": 2, "char": 6}.items():
            nc.createDimension(name, size)

        def add(name, dtype, dims, values, fill=None, **attrs):
            variable = nc.createVariable(name, dtype, dims, fill_value=fill, zlib=len(dims) > 2)
            variable.set_auto_maskandscale(False)
            variable.set_auto_chartostring(False)
            variable.setncatts(attrs)
            variable[...] = values

        lat, lon = np.linspace(60, 41, 20), np.linspace(0, 29, 30)
        wave = 250 + 20 * np.sin(lat[:, None] / 9 + lon / 7) + np.cos(lat[:, None] * lon % 7) / 200
        t = (wave + 3 * np.arange(5)[:, None, None] + np.zeros((3, 1, 1, 1))).astype("f4")
        t[1, 2, 3:9, 4:8] = np.nan
        add("time", "f8", ("time",), [0.25, 0.5, 0.75], units="days since 2020-01-01", bounds="tb")
        add("tb", "f8", ("time", "n"), [[0, 0.25], [0.25, 0.5], [0.5, 0.75]])
        add("lev", "i4", ("lev",), np.arange(5), positive="down", formula_terms="a: hyam b: hybm")
        add("hyam", "f8", ("lev",), [0.1, 2000.0, 10000.5, 5000.0, 0.0])
        add("hybm", "f4", ("lev",), [0.0, 0.1, 0.3, 0.7, 0.998])
        add("lat", "f4", ("lat",), lat, units="degrees_north")
        add("lon", "f4", ("lon",), lon, units="degrees_east", valid_range=np.float32([0, 360]))
        add("area", "f8", ("lat", "lon"), np.cos(np.radians(lat))[:, None] + 0 * lon)
        add("t", "f4", ("time", "lev", "lat", "lon"), t, units="K", cell_measures="area: area")
        turned = np.moveaxis(t, (0, 1), (3, 2))
        add(
            "turned",
            "f4",
            ("lat", "lon", "lev", "time"),
            turned,
            np.float32(-9),
            grid_mapping="crs",
        )
        surface = np.where(t[:, 0] > 270, -999, t[:, 0]).astype("f8")
        surface[0, :2] = -9
        add("ps", "f8", ("time", "lat", "lon"), surface, -9.0, missing_value=-999.0)
        add("crs", "S1", (), "", grid_mapping_name="latitude_longitude", inverse_flattening=298.25)
        names = np.array([list("Berlin"), list("Rom\0\0\0")], "S1")
        add("place", "S1", ("n", "char"), names, long_name="où")
        add("note", str, ("n",), np.array(["längs", ""], object))
        add("kind", "u1", ("lat", "lon"), (t[0, 0] > 260), flag_values=np.uint8([0, 1]))
        add("count", "i8", ("n",), [2**60 + 1, -5])
        add("seconds", "i4", (), 7)
        nc.setncatts({"title": "odd", "version": np.int16(3), "ratio": np.float32(0.1)})
        nc.setncattr_string("words", ["one", "two"])
    return path


def there_and_back(source, folder, options):
    """Compress and decompress; return the folder's `back.nc` and the headers by name."""
    compress_file([source], folder / "x.eoc", options)
    with eocodec.open(folder / "x.eoc") as reader:
        headers = {header.name: header for header in reader.arrays}
    with open_fields(source) as (_, kind), open_decoded(str(folder / "x.eoc")) as ds:
        write_fields(ds, folder / "back.nc", format=kind if kind != "GRIB" else None)
    return folder / "back.nc", headers


def test_packed_cams_comes_back_as_the_very_file(tmp_path):
    back, headers = there_and_back(CAMS, tmp_path, CompressOptions())
    assert headers["co"].max_error == 0
    assert headers["co"].dtype == np.int16
    with netCDF4.Dataset(CAMS) as one, netCDF4.Dataset(back) as other:
        assert other.data_model == one.data_model == "NETCDF3_64BIT_OFFSET"
        assert list(other.variables) == list(one.variables)
        assert other.dimensions["time"].isunlimited()
        assert other["co"].scale_factor.dtype == one["co"].scale_factor.dtype
    with xr.open_dataset(CAMS) as one, xr.open_dataset(back) as other:
        xr.testing.assert_identical(one.load(), other.load())
        assert one.co.isnull().sum() == 35


def test_everything_odd_comes_back(odd, tmp_path):
    back, headers = there_and_back(odd, tmp_path, CompressOptions())
    assert {name for name, header in headers.items() if header.max_error != 0} == {
        "t",
        "turned",
        "ps",
    }
    with open_either(str(odd)) as (one, _), open_either(str(back)) as (other, _):
        result = compare_fields(one, other)
        assert result.differing == ()
        assert one.encoding["unlimited_dims"] == other.encoding["unlimited_dims"] == {"time"}
        assert [field.name for field in result.fields] == ["t", "turned", "ps"]
        for field in result.fields:  # ps has two kinds of missing values
            assert 0 < field.max_relative_error <= headers[field.name].max_relative_error
            assert field.invalid_mismatches == 0
        kinds = {value: int((one.ps.values == value).sum()) for value in (-9, -999)}
        assert kinds == {value: int((other.ps.values == value).sum()) for value in kinds}
        assert min(kinds.values()) > 0
    with netCDF4.Dataset(odd) as one, netCDF4.Dataset(back) as other:
        assert other["lev"].dtype == np.int32
        assert other.ratio.dtype == np.float32
        assert other.words == one.words == ["one", "two"]
        assert other["note"][:].tolist() == ["längs", ""]
        assert other["t"].filters() == one["t"].filters()
        assert other["turned"].dimensions == ("lat", "lon", "lev", "time")


def test_the_engine_decodes_what_a_file_says(odd, tmp_path):
    compress_file([odd], tmp_path / "x.eoc", bounded(lossless=True))
    skip = {"drop_variables": ["ps"]}  # xarray warns of two kinds of missing values
    with xr.open_dataset(odd, **skip) as one, xr.open_dataset(tmp_path / "x.eoc", **skip) as other:
        assert other.time.values[1] == np.datetime64("2020-01-01T12")
        assert other.place.values.tolist() == [b"Berlin", b"Rom"]
        xr.testing.assert_identical(one.load(), other.load())
        assert np.array_equal(other.turned[3, 5:9, ::-1, 1], one.turned[3, 5:9, ::-1, 1], True)


def test_default_bound_is_that_of_the_real_information(odd, tmp_path):
    with open_fields(odd) as (ds, _):
        values = ds.t.values
    bits = BitPairs(values.dtype)
    bits.add(values, np.isfinite(values))
    kept, fewer = bits.keepbits(0.99), bits.keepbits(0.7)
    assert 1 <= fewer < kept <= 10
    compress_file([odd], tmp_path / "x.eoc", CompressOptions(keep_real_information={"t": 0.7}))
    with eocodec.open(tmp_path / "x.eoc") as reader:
        assert reader["t"].header.max_error is None
        assert reader["t"].header.max_relative_error == 2.0 ** -(fewer + 1)
        assert reader["turned"].header.max_relative_error == 2.0 ** -(kept + 1)


def test_zeros_tell_nothing_of_the_bits_of_clouds(tmp_path):
    lat, lon = np.linspace(-3, 3, 60)[:, None], np.linspace(0, 20, 200)
    cloud = np.sin(lon + lat) + 0.01 * np.cos(997 * lat * lon % 89) - 0.5
    cloud = np.maximum(cloud, 0).astype("f4")
    few = np.where(np.arange(200) < 4, cloud, 0).astype("f4")
    axes = ("lat", "lon")
    write_netcdf(xr.Dataset({"cloud": (axes, cloud), "few": (axes, few)}), tmp_path / "c.nc")
    _, headers = there_and_back(tmp_path / "c.nc", tmp_path, CompressOptions())
    bits = BitPairs(np.dtype("f4"))
    bits.add(cloud, np.ones(cloud.shape, bool))
    assert bits.keepbits(0.99) == 23
    assert headers["cloud"].max_relative_error == 2.0**-3
    assert headers["few"].max_error == 0


def test_bounds_by_variable_hold_in_the_unit_of_values(odd, tmp_path):
    options = CompressOptions(
        max_error={"t": 0.27}, max_relative_error={"turned": 1e-3}, max_range_error={"t": 0.005}
    )
    back, headers = there_and_back(odd, tmp_path, options)
    with open_either(str(odd)) as (one, _), open_either(str(back)) as (other, _):
        t, turned, _ = compare_fields(one, other).fields
    assert headers["t"].max_error == pytest.approx(0.005 * t.range)
    assert 0.1 < t.max_error <= headers["t"].max_error < 0.26
    assert 0 < turned.max_relative_error <= 1e-3


def test_packed_samples_are_bounded_in_steps(tmp_path):
    with open_fields(CAMS) as (ds, _):
        step = float(ds.co.attrs["scale_factor"])
    for number, (options, steps) in enumerate(
        [
            (bounded(max_error=3.4 * step), 3),
            (bounded(max_error=0.9 * step), 0),
            (CompressOptions(max_range_error=1e-3), 65),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        back, headers = there_and_back(CAMS, folder, options)
        assert headers["co"].max_error == steps
        with open_either(CAMS) as (one, _), open_either(str(back)) as (other, _):
            (co,) = compare_fields(one, other).fields
        assert co.max_error == pytest.approx(steps * step)
        assert co.invalid_mismatches == 0


def test_relative_bounds_of_packed_samples_hold_for_the_values(tmp_path):
    back, headers = there_and_back(CAMS, tmp_path, bounded(max_relative_error=0.01))
    with open_either(CAMS) as (one, _), open_either(str(back)) as (other, _):
        (co,) = compare_fields(one, other).fields
        values = one.co.values[one.co.values != -32767].astype(float)
    offset = float(one.co.attrs["add_offset"]) / float(one.co.attrs["scale_factor"])
    assert headers["co"].max_error == np.floor(0.01 * np.abs(values + offset).min())
    assert 0.001 < co.max_relative_error <= 0.01


def test_what_was_never_written_stays_so(tmp_path):
    t = np.linspace(250, 260, 3000, dtype="f4").reshape(2, 30, 50)
    t[1, 20:] = netCDF4.default_fillvals["f4"]
    ds = xr.Dataset({"t": (("time", "lat", "lon"), t)})
    write_netcdf(ds, tmp_path / "t.nc")
    back, _ = there_and_back(tmp_path / "t.nc", tmp_path, CompressOptions(max_range_error=0.1))
    with open_fields(back) as (other, _):
        assert "_FillValue" not in other.t.attrs
        assert np.array_equal(other.t.values[1, 20:], t[1, 20:])
        assert 0.2 < np.abs(other.t.values - t).max() <= 1.01


def test_hybrid_and_pressure_levels_of_grib_become_netcdf_and_zarr(tmp_path):
    with xr.open_dataset(GRIB, engine="cfgrib", backend_kwargs=HYBRID) as hybrid:
        expected = hybrid.t.values
    back, headers = there_and_back(GRIB, tmp_path, bounded(max_error=0.02))
    assert headers["t"].dims == ("time", "isobaricInhPa", "latitude", "longitude")
    with open_decoded(str(tmp_path / "x.eoc")) as ds:
        write_fields(ds, tmp_path / "back.zarr")
    with xr.open_dataset(back) as ds, xr.open_zarr(tmp_path / "back.zarr", consolidated=False) as z:
        xr.testing.assert_equal(ds, z)
        assert ds.t_hybrid.dims == ("hybrid", "latitude_hybrid", "longitude_hybrid")
        assert ds.t_hybrid.attrs["GRIB_pv"][:5].tolist() == [0, 5000, 10000, 2000, 0]
        assert 0 < np.abs(ds.t_hybrid.values - expected).max() <= 0.02
        assert ds.t.attrs["GRIB_shortName"] == "t"
        assert ds.isobaricInhPa.values.tolist() == [1000, 700, 400]
        assert ds.time.values[1] == np.datetime64("2017-06-01T12")
        assert set(ds.r.coords) >= {"valid_time", "step", "latitude"}
        assert int(ds.r.isnull().sum()) == 30
    with open_either(GRIB) as (one, _), open_either(str(tmp_path / "x.eoc")) as (other, known):
        result = compare_fields(one, other, known)
        assert result.differing == ()
        assert [(field.promise[0], field.beyond) for field in result.fields] == [(0.02, 0)] * 3


HYBRID = {"indexpath": "", "filter_by_keys": {"typeOfLevel": "hybrid"}}


def test_a_broken_promise_is_found(tmp_path):
    compress_file([GRIB], tmp_path / "x.eoc", bounded(max_error=0.1))
    with open_either(GRIB) as (one, _), open_either(str(tmp_path / "x.eoc")) as (other, known):
        moved = one.load().copy(deep=True)
        moved.t.values[0, 1, 2, 3] += 0.5
        fields = {field.name: field for field in compare_fields(moved, other, known).fields}
        moved.attrs["title"] = "moved"
        moved = moved.drop_vars("step")
        assert compare_fields(moved, other).differing == (
            "attribute title ('moved', absent)",
            "step (only in B)",
        )
    assert (fields["t"].beyond, fields["r"].beyond) == (1, 0)


def test_long_rows_are_coded_and_come_back(tmp_path):
    rows = np.cumsum(np.random.default_rng(2).integers(-3, 4, 20_000)).astype("i4")
    write_netcdf(xr.Dataset({"x": ("obs", rows, {"units": "1"})}), tmp_path / "r.nc")
    back, headers = there_and_back(tmp_path / "r.nc", tmp_path, CompressOptions())
    assert headers["x"].shape == (1, 20_000)
    with open_fields(tmp_path / "r.nc") as (one, _), open_fields(back) as (other, _):
        xr.testing.assert_identical(one, other)


def test_tiles_hold_levels_and_few_enough_samples():
    assert field_tile((16, 60, 3, 3), 512) == (960, 512, 512)
    assert field_tile((4, 60, 241, 480), 512) == (60, 512, 512)
    assert field_tile((6, 1, 121, 480), 512) == (2, 512, 512)
    planes, rows, columns = field_tile((1, 137, 451, 900), 512)
    assert planes == 137
    assert 2**23 < planes * rows * columns <= 2**24
    assert field_tile((2, 3, 30, 40), 16) == (3, 16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (CompressOptions(max_error={"co2": 1.0}), "no field is called 'co2'; there are co"),
        (CompressOptions(ratio=4), "ratio is for rasters"),
        (CompressOptions(settings=LOSSLESS, max_range_error=0.1), "lossless leaves no error"),
        (CompressOptions(max_range_error=1.5), "max_range_error is a share"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        compress_file([CAMS], tmp_path / "x.eoc", options)
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_are_refused(tmp_path):
    with netCDF4.Dataset(tmp_path / "groups.nc", "w") as nc:
        nc.createGroup("inside")
    (tmp_path / "text.nc").write_text("no netCDF")
    (tmp_path / "text.grib").write_bytes(b"GRIB and nothing else")
    for name, message in {
        "groups": "groups: inside",
        "text": "no netCDF file",
        "none": "no such",
    }.items():
        with pytest.raises(InputError, match=message):
            compress_file([tmp_path / f"{name}.nc"], tmp_path / "x.eoc", CompressOptions())
    with pytest.raises(InputError, match=r"text\.grib"):
        compress_file([tmp_path / "text.grib"], tmp_path / "x.eoc", CompressOptions())
    with pytest.raises(InputError, match="one netCDF or GRIB file, not 2"):
        compress_file([CAMS, CAMS], tmp_path / "x.eoc", CompressOptions())
    with pytest.raises(InputError, match="max_range_error is for fields"):
        compress_file(
            ["tests/data/s2_berlin.tif"], tmp_path / "x.eoc", CompressOptions(max_range_error=1)
        )
    assert not (tmp_path / "x.eoc").exists()


def test_fields_are_known_by_ending_or_first_bytes(tmp_path):
    assert holds_fields("there/is/none.grib2")
    assert not holds_fields("tests/data/s2_berlin.tif")
    (tmp_path / "cams").write_bytes(Path(CAMS).read_bytes())
    assert holds_fields(tmp_path / "cams")
    assert total_samples([tmp_path / "cams"], CompressOptions()) == 4 * 32 * 64
