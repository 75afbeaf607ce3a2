"""Values that a CF reader sees: signs, packing, missing values, attributes of a wrong type."""

import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
import eocodec.xarray
from eocodec.errors import InputError
from eocodec.formats.cf import Packing, fill_values, malformed, seen, seen_attrs, seen_dtype
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file
from eocodec.formats.dataset_room import unit_text
from eocodec.formats.fields import open_decoded, open_fields, write_fields
from eocodec.tile import EncodeSettings

RANDOM = np.random.default_rng(17)
ROWS, COLUMNS = 24, 50
WAVE = 8 * np.sin(np.arange(ROWS)[:, None] / 5) + 6 * np.cos(np.arange(COLUMNS) / 9)
NOISE = RANDOM.normal(0, 0.5, WAVE.shape)


def bounded(**asked):
    return CompressOptions(settings=EncodeSettings(**asked), overwrite=True)


def write(path, dtype, samples, model="NETCDF4", fill=None, **attrs):
    """Write a field "f" of these stored samples."""
    with netCDF4.Dataset(path, "w", format=model) as nc:
        nc.createDimension("lat", samples.shape[0])
        nc.createDimension("lon", samples.shape[1])
        variable = nc.createVariable("f", dtype, ("lat", "lon"), fill_value=fill)
        variable.set_auto_maskandscale(False)
        for key, value in attrs.items():
            variable.setncattr(key, value)
        variable[:] = samples
    return path


def there_and_back(source, options=None):
    """Return the report; `back.nc` lies beside the source."""
    report = compress_file([source], source.with_suffix(".eoc"), options or bounded())
    with (
        open_fields(source) as (_, kind),
        open_decoded(str(source.with_suffix(".eoc"))) as decoded,
    ):
        write_fields(decoded, source.with_name("back.nc"), format=kind, overwrite=True)
    return report


def attributes(path):
    """Return {name: (type, dtype, text)} of the attributes of "f", and its dtype."""
    with netCDF4.Dataset(path) as nc:
        found = {key: nc["f"].getncattr(key) for key in nc["f"].ncattrs()}
        return nc["f"].dtype, {
            key: (type(value), getattr(value, "dtype", None), str(value))
            for key, value in found.items()
        }


def stored(path):
    with netCDF4.Dataset(path) as nc:
        nc["f"].set_auto_maskandscale(False)
        return nc["f"][:]


def values(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of several missing values
        with xr.open_dataset(path, **options) as ds:
            return ds.f.values


@pytest.mark.parametrize("fill", [None, -1])
@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({"max_error": 2.5}, lambda v: 2.5),
        ({"max_relative_error": 0.02}, lambda v: 0.02 * v),
        ({"max_error_sqrt": 0.2}, lambda v: 0.2 * np.sqrt(v)),
    ],
)
def test_bounds_of_unsigned_samples_hold_for_what_a_reader_sees(asked, allowed, fill, tmp_path):
    # They cross 127, where the stored samples jump from 127 to -128.
    samples = np.clip(127 + 4 * (WAVE + NOISE), 0, 254).astype("u1").view("i1")
    if fill is not None:
        samples[3:7, 5:20] = fill
    source = write(tmp_path / "u.nc", "i1", samples, fill=fill, _Unsigned="true")
    there_and_back(source, bounded(**asked))
    one, other = values(source).astype(float), values(tmp_path / "back.nc").astype(float)
    error = np.abs(one - other)
    known = np.isfinite(one)
    assert known.sum() == samples.size - (0 if fill is None else 60)
    assert np.array_equal(known, np.isfinite(other))
    assert error[known].max() > 0
    assert (error[known] <= np.broadcast_to(allowed(one), one.shape)[known]).all()
    assert attributes(source) == attributes(tmp_path / "back.nc")
    with xr.open_dataset(tmp_path / "u.eoc", engine="eocodec") as ds:
        assert np.array_equal(ds.f.values.astype(float), other, equal_nan=True)
    with eocodec.open(tmp_path / "u.eoc") as reader:
        assert reader["f"].header.dtype == np.uint8


def test_signed_samples_may_be_stored_as_unsigned(tmp_path):
    samples = np.round(4 * (WAVE + NOISE)).astype("i1").view("u1")
    source = write(tmp_path / "s.nc", "u1", samples, _Unsigned="false", scale_factor=0.5)
    report = there_and_back(source, bounded(max_error=1.0))
    one, other = values(source), values(tmp_path / "back.nc")
    assert one.min() < 0 < one.max()
    assert np.abs(one - other).max() == report.parts[0].max_error == 1.0
    assert report.parts[0].rmse == pytest.approx(float(np.sqrt(np.mean((one - other) ** 2))))
    assert attributes(source) == attributes(tmp_path / "back.nc")


@pytest.mark.parametrize("fill", [None, np.int16(-1)])
def test_unsigned_variables_of_datasets_go_to_containers_and_zarr(fill, tmp_path):
    samples = np.clip(32767 + 30 * (WAVE + NOISE), 0, 65000).astype("u2").view("i2")
    extra = {"fill": fill}
    if fill is not None:
        samples[:2] = fill
    source = write(tmp_path / "u.nc", "i2", samples, **extra, _Unsigned="true", units="m")
    with xr.open_dataset(source) as ds:
        ds.eoc.to_eoc(tmp_path / "u.eoc", max_error=7)
        with xr.open_dataset(tmp_path / "u.eoc", engine="eocodec") as back:
            error = np.abs(back.f.astype(float) - ds.f.astype(float))
            assert 0 < float(error.max()) <= 7
            assert np.array_equal(np.isnan(back.f), np.isnan(ds.f))
        encoding = eocodec.xarray.encoding(ds, max_error=7)
        ds.to_zarr(tmp_path / "u.zarr", encoding=encoding, consolidated=False)
        with xr.open_zarr(tmp_path / "u.zarr", consolidated=False) as back:
            error = np.abs(back.f.astype(float) - ds.f.astype(float))
            assert 0 < float(error.max()) <= 7
            assert np.array_equal(np.isnan(back.f), np.isnan(ds.f))
    with open_decoded(str(tmp_path / "u.eoc")) as decoded:
        assert decoded.f.dtype == np.int16
        assert decoded.f.attrs["_Unsigned"] == "true"
        write_fields(decoded, tmp_path / "d.zarr")
        with xr.open_zarr(tmp_path / "d.zarr", consolidated=False) as back:
            again = values(tmp_path / "u.eoc", engine="eocodec")
            assert np.array_equal(back.f.values, again, equal_nan=fill is not None)


@pytest.mark.parametrize(
    ("dtype", "fill", "missing"),
    [
        ("f4", -9.0, np.float32(-999.0)),
        ("f4", None, np.array([-999.9, 1e20, np.nan], "f4")),
        ("f8", np.nan, np.array([-1.0, -2.0, -3.0])),
        ("i2", -32768, np.array([-9999, 32767], "i2")),
        ("i8", -(2**63), np.array([2**63 - 1, -7], "i8")),
    ],
)
def test_several_missing_values_are_exact_and_the_rest_is_bounded(dtype, fill, missing, tmp_path):
    samples = (1000 + 20 * (WAVE + NOISE)).astype(dtype)
    special = [value for value in (fill, *np.ravel(missing)) if value is not None]
    places = RANDOM.integers(0, samples.size, (len(special), 20))
    for value, at in zip(special, places, strict=True):
        samples.ravel()[at] = value
    whole = write(tmp_path / "exact.nc", dtype, samples)
    compress_file([whole], tmp_path / "exact.eoc", bounded(lossless=True))
    source = write(tmp_path / "f.nc", dtype, samples, fill=fill, missing_value=missing)
    report = there_and_back(source, bounded(max_error=3))
    back = stored(tmp_path / "back.nc")
    is_special = np.isin(samples, special) | (samples != samples)
    assert np.array_equal(back[is_special], samples[is_special], equal_nan=dtype[0] == "f")
    assert not np.isin(back[~is_special], special).any()
    error = np.abs(back[~is_special].astype("f8") - samples[~is_special].astype("f8"))
    assert 2 < error.max() <= 3
    assert report.parts[0].max_error == error.max()
    assert (report.parts[0].mode, report.warnings) == ("within a bound", ())
    assert attributes(source) == attributes(tmp_path / "back.nc")
    assert report.size < 0.7 * (tmp_path / "exact.eoc").stat().st_size


def test_a_field_of_very_many_missing_values_is_exact_and_says_so(tmp_path):
    samples = (50 + WAVE + NOISE).astype("f4")
    source = write(tmp_path / "f.nc", "f4", samples, missing_value=np.arange(-20, 0).astype("f4"))
    report = there_and_back(source, bounded(max_error=1))
    assert np.array_equal(stored(tmp_path / "back.nc"), samples)
    assert report.warnings == (
        "f is kept exactly: it names 20 missing values, at most 12 can be kept beside an error",
    )
    assert report.parts[0].mode == "exact"


WRONG = {
    "missing_value": ["-99.9f", ["a", "b"]],
    "scale_factor": ["1/100", 0.0, np.nan, np.inf, np.array([1.0, 2.0])],
    "add_offset": ["none", np.float32(np.inf), np.array([1.0, 2.0])],
    "valid_range": ["0 to 1", 3],
    "valid_min": ["low"],
    "coordinates": [5, np.array([1.0, 2.0])],
    "grid_mapping": [np.array([1, 2])],
    "units": [5.0],
    "_Unsigned": [1, "perhaps"],
    "standard_name": [1],
}


@pytest.mark.filterwarnings("ignore:variable 'f' has _Unsigned")
@pytest.mark.parametrize("model", ["NETCDF3_CLASSIC", "NETCDF4"])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_attributes_of_a_wrong_type_are_kept_and_say_nothing(dtype, model, tmp_path):
    samples = (100 + 20 * (WAVE + NOISE)).astype(dtype)
    for key, wrong in WRONG.items():
        for value in wrong:
            if model != "NETCDF4" and isinstance(value, list):
                continue
            said = {key: np.int32(value) if isinstance(value, int) else value}
            source = write(tmp_path / "f.nc", dtype, samples, model, **said)
            there_and_back(source, bounded(max_error=3))
            error = np.abs(stored(tmp_path / "back.nc").astype(float) - samples.astype(float))
            assert 2 < error.max() <= 3, (key, value)
            assert attributes(source) == attributes(tmp_path / "back.nc")
            with eocodec.open(tmp_path / "f.eoc") as reader:
                assert unit_text(reader["f"].header) == ""
            with xr.open_dataset(tmp_path / "f.eoc", engine="eocodec") as ds:
                assert np.array_equal(ds.f.values, stored(tmp_path / "back.nc"))
                assert str(ds.f.attrs.get(key, ds.f.encoding.get(key))) == str(said[key])


def test_a_fill_value_of_another_type_is_kept(tmp_path):
    samples = (100 + 20 * (WAVE + NOISE)).astype("f4")
    source = write(
        tmp_path / "f.nc", "f4", samples, "NETCDF3_CLASSIC", xFillValue="none", xFillValue2="1"
    )
    # No library writes it, but some files have it.
    source.write_bytes(source.read_bytes().replace(b"xFillValue\0\0", b"_FillValue\0\0"))
    there_and_back(source, bounded(max_error=3))
    assert attributes(source)[1]["_FillValue"] == (bytes, None, "b'none'")
    assert attributes(source) == attributes(tmp_path / "back.nc")


def test_datasets_with_attributes_of_a_wrong_type_are_written(tmp_path):
    samples = (100 + 20 * (WAVE + NOISE)).astype("f4")
    samples[2, 3:9] = np.nan
    array = xr.DataArray(samples, dims=("lat", "lon"), name="f")
    array.encoding = {"missing_value": "none", "_FillValue": np.float32(-9), "scale_factor": "1/2"}
    array.eoc.to_eoc(tmp_path / "f.eoc", max_error=1)
    with xr.open_dataset(tmp_path / "f.eoc", engine="eocodec") as ds:
        assert np.nanmax(np.abs(ds.f.values - samples)) <= 1
        assert np.array_equal(np.isnan(ds.f.values), np.isnan(samples))
        assert (ds.f.attrs["scale_factor"], ds.f.attrs["missing_value"]) == ("1/2", "none")
    array.encoding = {"missing_value": np.array([-8, -7], "f4")}
    array.eoc.to_eoc(tmp_path / "f.eoc", overwrite=True)
    with open_decoded(str(tmp_path / "f.eoc")) as ds:
        assert (ds.f.values == -8).sum() == 6
        assert ds.f.attrs["missing_value"].tolist() == [-8, -7]


@given(
    st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]),
    st.sampled_from(["true", "false", "True", None, 1]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_seen_samples_have_the_bits_and_fills_of_stored_ones(dtype, told, data):
    dtype = np.dtype(dtype)
    limits = np.iinfo(dtype)
    whole = st.integers(int(limits.min), int(limits.max))
    samples = np.array(data.draw(st.lists(whole, min_size=1)), dtype)
    fill = data.draw(st.sampled_from(samples.tolist()))
    attrs = {"_FillValue": dtype.type(fill)} | ({} if told is None else {"_Unsigned": told})
    shown = seen(samples, attrs)
    flips = isinstance(told, str) and (told.lower() == "true") == (dtype.kind == "i")
    assert shown.dtype == seen_dtype(dtype, attrs)
    assert (shown.dtype != dtype) == flips
    assert np.array_equal(shown.astype(dtype), samples)
    (special,) = fill_values(attrs, dtype)
    assert np.array_equal(shown == shown.dtype.type(special), samples == fill)
    again = seen_attrs(attrs, dtype)
    assert fill_values(again, shown.dtype) == [special]
    assert ("_Unsigned" in again) == (told is not None and not flips)


def test_packing_is_only_what_is_one_number():
    assert Packing.of({"scale_factor": np.array([2.0], "f4")}) == Packing(2.0, 0.0)
    assert Packing.of({"scale_factor": -0.5, "add_offset": np.int16(3)}).values(
        np.array([1, 2])
    ).tolist() == [2.5, 2.0]
    assert Packing.of({"scale_factor": None, "add_offset": 2.0}) == Packing(1.0, 2.0)
    assert Packing.of({"scale_factor": "0.1", "add_offset": 2.0}) == Packing()
    assert malformed({"scale_factor": 0, "_FillValue": "x", "coordinates": 3, "units": 3}) == [
        "scale_factor",
        "_FillValue",
        "coordinates",
    ]
    assert fill_values({"_FillValue": -1, "missing_value": [2.5, 7, 300]}, np.dtype("u1")) == [7]


def test_objects_and_complex_samples_are_refused_by_name(tmp_path):
    field = xr.DataArray(np.ones((2, 8, 8), "f4"), dims=("band", "y", "x"), name="f")
    for odd in ([{"scale": 1e-4}, None], [[1, 2], None], ["a", 1]):
        objects = np.empty(2, object)
        objects[:] = odd
        with pytest.raises(InputError, match=r"'raster:bands'.*drop_vars\('raster:bands'\)"):
            field.assign_coords({"raster:bands": ("band", objects)}).eoc.to_eoc(tmp_path / "a.eoc")
    waves = xr.Dataset({"slc": (("y", "x"), np.ones((64, 64), "c8"))})
    with pytest.raises(InputError, match=r"'slc' holds complex64.*real and imaginary"):
        waves.eoc.to_eoc(tmp_path / "a.eoc")
    halves = xr.Dataset({"half": (("y", "x"), np.ones((1200, 1000), "f2"))})
    with pytest.raises(InputError, match=r"'half'.*float16.*float32"):
        halves.eoc.to_eoc(tmp_path / "a.eoc")
    assert list(tmp_path.iterdir()) == []
