"""Dimensions that repeat or that no variable has, and many small grids on Dask."""

import warnings

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
import eocodec.xarray
from eocodec.errors import FormatError
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file
from eocodec.formats.fields import open_decoded, open_fields, write_fields
from eocodec.xarray.dimensions import Dimension, distinct_dims, file_dimensions, repeated_dims
from eocodec.xarray.stored import blocks_of_times, field_axes

RANDOM = np.random.default_rng(8)
NAMES = st.sampled_from(["a", "b", "a_2", "time"])


def there_and_back(source, **options):
    compress_file([source], source.with_suffix(".eoc"), CompressOptions(**options))
    with open_decoded(str(source.with_suffix(".eoc"))) as ds:
        write_fields(ds, source.with_name("back.nc"), format="NETCDF4")
    return source.with_name("back.nc")


def dimensions(path):
    with netCDF4.Dataset(path) as nc:
        return [(name, len(dim), dim.isunlimited()) for name, dim in nc.dimensions.items()]


def test_dimensions_of_no_variable_are_kept_in_order(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        for name, size in {
            "time": None,
            "lat": 4,
            "nv": 2,
            "lon": 5,
            "obs": None,
            "end": 3,
        }.items():
            nc.createDimension(name, size)
        nc.createVariable("oro", "f4", ("lat", "lon"))[:] = RANDOM.random((4, 5))
        nc.createVariable("n", "f4", ("obs",))[:] = [1, 2, 3]
    back = there_and_back(tmp_path / "a.nc")
    assert dimensions(back) == dimensions(tmp_path / "a.nc")
    assert dimensions(back)[0] == ("time", 0, True)
    with xr.open_dataset(tmp_path / "a.eoc", engine="eocodec") as ds:
        assert dict(ds.sizes) == {"lat": 4, "lon": 5, "obs": 3}
        assert file_dimensions(ds)["nv"] == Dimension(2)
        ds.to_netcdf(tmp_path / "again.nc")


@pytest.mark.parametrize(
    "dims", [("lat", "lon", "layer", "layer"), ("layer", "layer", "lat", "lon")]
)
def test_an_averaging_kernel_of_one_dimension_twice_comes_back(dims, tmp_path):
    sizes = {"lat": 12, "lon": 9, "layer": 5}
    shape = [sizes[dim] for dim in dims]
    kernel = np.cumsum(RANDOM.normal(0, 0.1, shape), axis=dims.index("lon")).astype("f4")
    covariance = RANDOM.random((5, 5))
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        for name, size in sizes.items():
            nc.createDimension(name, size)
        nc.createVariable("layer", "f4", ("layer",))[:] = np.arange(5)
        nc.createVariable("o3", "f4", ("lat", "lon", "layer"))[:] = RANDOM.random((12, 9, 5))
        nc.createVariable("ak", "f4", dims)[:] = kernel
        nc.createVariable("cov", "f8", ("layer", "layer"))[:] = covariance
        texts = nc.createVariable("names", "S1", ("layer", "layer"))
        texts[:] = np.full((5, 5), b"x")
    back = there_and_back(tmp_path / "a.nc", max_error={"ak": 0.01})
    with netCDF4.Dataset(tmp_path / "a.nc") as one, netCDF4.Dataset(back) as other:
        assert dimensions(back) == dimensions(tmp_path / "a.nc")
        assert other["ak"].dimensions == dims
        assert other["names"].dimensions == other["cov"].dimensions == ("layer", "layer")
        assert 0.005 < np.abs(other["ak"][:] - kernel).max() <= 0.01
        assert np.array_equal(other["cov"][:], covariance)
        assert np.array_equal(one["o3"][:], other["o3"][:])
    with xr.open_dataset(tmp_path / "a.eoc", engine="eocodec") as ds:
        assert ds.ak.dims == tuple(
            "layer_2" if axis == dims.index("layer") + 1 and name == "layer" else name
            for axis, name in enumerate(dims)
        )
        assert np.array_equal(ds.cov.sel(layer=3)[1], covariance[3, 1])


def test_datasets_of_one_dimension_twice_are_written(tmp_path):
    covariance = RANDOM.random((6, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = xr.Dataset({"cov": (("x", "x"), covariance)}, {"x": np.arange(6)})
        ds.eoc.to_eoc(tmp_path / "c.eoc")
    with xr.open_dataset(tmp_path / "c.eoc", engine="eocodec") as back:
        assert back.cov.dims == ("x", "x_2")
        assert repeated_dims(back) == {"x_2": "x"}
        assert np.array_equal(back.cov, covariance)


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), min_size=1))
@settings(max_examples=200, deadline=None)
def test_every_variable_gets_distinct_dimensions_of_the_same_size(layout):
    sizes = {"a": 2, "b": 3, "a_2": 4, "time": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        variables = {
            name: xr.Variable(dims, np.zeros([sizes[dim] for dim in dims]))
            for name, dims in layout.items()
        }
        distinct, repeated = distinct_dims(variables)
    found = {dim: sizes[dim] for dims in layout.values() for dim in dims}
    for name, dims in layout.items():
        own = distinct[name].dims
        assert len(set(own)) == len(own)
        assert [repeated.get(dim, dim) for dim in own] == dims
        for dim, size in zip(own, distinct[name].shape, strict=True):
            assert found.setdefault(dim, size) == size


@pytest.mark.parametrize(
    ("dims", "shape", "chunks"),
    [
        (("time", "lat", "lon"), (8, 120, 160), {"time": 3}),
        (("time", "number", "lat", "lon"), (3, 5, 12, 11), {"time": 2, "number": 2}),
        (("lat", "lon", "level", "time"), (10, 12, 2, 9), {"lat": 5, "time": 4}),
        (("time", "lat", "lon"), (2, 20, 30), {"lat": 10}),
    ],
)
def test_arrays_on_dask_are_coded_as_loaded_ones(dims, shape, chunks, tmp_path):
    samples = np.cumsum(RANDOM.normal(0, 0.1, shape), axis=dims.index("lon")).astype("f4")
    loaded = xr.DataArray(samples, dims=dims, name="t")
    for name, array in (("loaded", loaded), ("dask", loaded.chunk(chunks))):
        array.eoc.to_eoc(tmp_path / f"{name}.eoc", max_error=0.05)
    with (
        eocodec.open(tmp_path / "loaded.eoc") as one,
        eocodec.open(tmp_path / "dask.eoc") as other,
    ):
        assert one["t"].header == other["t"].header
        assert np.array_equal(one["t"][:], other["t"][:])
        assert [tile.size for tile in one["t"].tiles()] == [
            tile.size for tile in other["t"].tiles()
        ]
    with xr.open_dataset(tmp_path / "dask.eoc", engine="eocodec") as ds:
        assert np.abs(ds.t.transpose(*dims).values - samples).max() <= 0.05


@given(
    st.permutations(["time", "number", "lat", "lon", "level"]),
    st.lists(st.integers(1, 4), min_size=5, max_size=5),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_blocks_of_times_are_the_folded_array_in_order(dims, shape, data):
    variable = xr.Variable(dims, np.arange(np.prod(shape)).reshape(shape))
    axes = field_axes(variable)
    folded = axes.fold(variable.values)
    spans = []
    for extent in (folded.shape[0], *folded.shape[2:]):
        start = data.draw(st.integers(0, extent - 1))
        spans.append(slice(start, data.draw(st.integers(start + 1, extent))))
    times, rows, columns = spans
    parts = blocks_of_times(variable, axes, times, rows, columns)
    joined = np.concatenate([axes.fold(part.values) for part in parts])
    assert np.array_equal(joined, folded[times, :, rows, columns])


@pytest.mark.parametrize(
    "described",
    [
        {"dimensions": 3},
        {"dimensions": [["a", 1]]},
        {"dimensions": [["a", -1, False]]},
        {"dimensions": [["a", "many", False]]},
        {"repeated": ["a"]},
    ],
)
def test_malformed_dimensions_are_refused(described):
    room = {"dataset": {"attrs": {}, "variables": {}, **described}}
    data = eocodec.compress(np.ones((2, 4, 4), "u2"), extra={"xarray": room})
    with pytest.raises(FormatError, match="malformed"):
        xr.open_dataset(data, engine="eocodec")


@pytest.mark.parametrize("told", ["i4", "float32", "uint16", 3, ["int16"]])
def test_a_stored_dtype_of_another_size_is_refused(told):
    room = {"dataset": {"attrs": {}, "variables": {}}, "dtype": told}
    data = eocodec.compress(np.ones((2, 4, 4), "u2"), extra={"xarray": room})
    with pytest.raises(FormatError, match="is no dtype of uint16 samples"):
        xr.open_dataset(data, engine="eocodec")


def test_the_original_opens_without_a_warning_of_repeated_dimensions(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        nc.createDimension("x", 3)
        nc.createVariable("cov", "f8", ("x", "x"))[:] = np.eye(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_fields(tmp_path / "a.nc") as (ds, _):
            assert ds["cov"].dims == ("x", "x_2")
