"""Datasets to Zarr and containers and back: values, coordinates, CRS, laziness."""

import pickle
import subprocess
import sys

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from rasterio.crs import CRS

import eocodec
import eocodec.xarray
from eocodec.errors import FormatError, InputError
from eocodec.formats.geotiff import CompressOptions, compress_geotiff
from eocodec.numcodecs import Eocodec
from eocodec.zarr import TileSerializer

SCENE = "tests/data/s2_chesapeake.tif"
RANDOM = np.random.default_rng(6)


@pytest.fixture(scope="module")
def scene():
    """A crop of a real scene, as rioxarray would give it."""
    with rasterio.open(SCENE) as source:
        pixels = source.read()[:, :128, :96]
        names, a = list(source.descriptions), source.transform
        attrs = {"crs_wkt": source.crs.to_wkt()}
    ds = xr.Dataset(
        {"dn": (("band", "y", "x"), pixels, {"grid_mapping": "spatial_ref", "units": "1"})},
        {
            "band": np.array(names, object),
            "wavelength": ("band", np.linspace(490.0, 2200.0, 10), {"units": "nm"}),
            "y": a.f + a.e * (np.arange(128) + 0.5),
            "x": a.c + a.a * (np.arange(96) + 0.5),
            "spatial_ref": ((), 0, attrs),
        },
        {"title": "Chesapeake Bay"},
    )
    return ds


@pytest.fixture(scope="module")
def fields():
    """Fields of (time, level, latitude, longitude), one of them stored packed, and a series."""
    steps = RANDOM.normal(0, 0.2, (2, 3, 30, 40))
    t = (280 + np.cumsum(steps, axis=3)).astype("f4")
    t[0, 0, :4, :5] = np.nan
    q = np.round(np.abs(steps) * 1000) * 1e-4
    ds = xr.Dataset(
        {
            "t": (("time", "level", "latitude", "longitude"), t, {"units": "K"}),
            "q": (("time", "level", "latitude", "longitude"), q),
            "mean": (("time",), [1.5, np.nan]),
            "area": (("latitude", "longitude"), RANDOM.random((30, 40))),
        },
        {
            "time": np.array(["2020-01-01T03", "2020-01-01T06"], "M8[ns]"),
            "level": [1000, 850, 500],
            "latitude": np.linspace(60, 40, 30).astype("f4"),
            "longitude": np.sort(RANDOM.random(40)),
            "place": (("latitude", "longitude"), RANDOM.random((30, 40))),
        },
    )
    ds["q"].encoding = {"dtype": "int16", "scale_factor": 1e-4, "_FillValue": -32768}
    return ds


def test_zarr_takes_the_encoding_of_one_call(scene, tmp_path):
    encoding = eocodec.xarray.encoding(scene, max_error=8, tile_size=64)
    scene.to_zarr(tmp_path / "s.zarr", encoding=encoding, consolidated=False)
    array = zarr.open_group(tmp_path / "s.zarr", mode="r")["dn"]
    assert array.metadata.codecs == (TileSerializer(max_error=8),)
    assert array.chunks == (10, 64, 64)
    with xr.open_zarr(tmp_path / "s.zarr", consolidated=False) as back:
        errors = np.abs(back.dn.astype(int) - scene.dn).values
        assert 0 < errors.max() <= 8
        xr.testing.assert_equal(back.x, scene.x)


def test_zarr_2_and_3_and_containers_decode_alike(scene, tmp_path):
    for version in (2, 3):
        encoding = eocodec.xarray.encoding(scene, quality=2, zarr_format=version, tile_size=32)
        path = tmp_path / str(version)
        scene.to_zarr(path, encoding=encoding, zarr_format=version, consolidated=False)
    scene.eoc.to_eoc(tmp_path / "s.eoc", quality=2, tile_size=32)
    second = xr.open_zarr(tmp_path / "2", consolidated=False).dn.values
    third = xr.open_zarr(tmp_path / "3", consolidated=False).dn.values
    with xr.open_dataset(tmp_path / "s.eoc") as back:
        assert np.array_equal(back.dn.values, third)
    assert np.array_equal(second, third)
    assert 0 < np.abs(third.astype(int) - scene.dn.values).mean() < 60


def test_encodings_follow_each_variable(fields):
    bounds = {"t": 0.05, "q": 3e-4}
    encoding = eocodec.xarray.encoding(fields, max_error=bounds)
    assert encoding.keys() == {"t", "q", "area"}
    assert encoding["t"]["serializer"] == TileSerializer(max_error=0.05)
    assert encoding["q"]["serializer"] == TileSerializer(max_error=3.0, nodata=-32768)
    assert encoding["q"]["scale_factor"] == 1e-4
    assert encoding["area"]["serializer"] == TileSerializer()
    assert encoding["t"]["chunks"] == (1, 3, 30, 40)
    second = eocodec.xarray.encoding(fields.transpose(..., "level"), zarr_format=2)
    assert second["t"]["compressors"] == Eocodec(dims=["time", "latitude", "longitude", "level"])


def test_tiles_fit_dask_chunks(scene):
    for dask_rows, rows in ((64, 32), (48, 48), (128, 32)):
        chunked = scene.chunk(y=dask_rows)
        assert eocodec.xarray.encoding(chunked, tile_size=32)["dn"]["chunks"] == (10, rows, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zarr_format": 1}, "zarr_format"),
        ({"quality": 0}, "quality"),
        ({"speed": 3}, "unknown keys speed"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message, scene):
    with pytest.raises(InputError, match=message):
        eocodec.xarray.encoding(scene, **options)


def test_relative_bounds_of_packed_values_with_an_offset_become_one_a_level(fields):
    packed = fields[["q"]].copy() + np.array([5.0, 7.0, 4.15]).reshape(3, 1, 1)
    packing = {"dtype": "int16", "scale_factor": 1e-4, "add_offset": 5.0, "_FillValue": -1}
    packed["q"].encoding = packing
    encoding = eocodec.xarray.encoding(packed, max_relative_error=1e-3)
    least = np.floor(1e-3 * packed.q.min(["time", "latitude", "longitude"]).values / 1e-4)
    assert encoding["q"]["serializer"] == TileSerializer(max_error=tuple(least), nodata=-1)
    assert least.tolist() == [50, 70, 41]


def test_a_dataset_survives_a_container(scene, tmp_path):
    scene.eoc.to_eoc(tmp_path / "s.eoc")
    with xr.open_dataset(tmp_path / "s.eoc", engine="eocodec") as back:
        xr.testing.assert_identical(back.load(), scene)
    with eocodec.open(tmp_path / "s.eoc") as reader:
        assert reader.crs == "EPSG:32618"
        assert reader.affine == (10.0, 0.0, 449010.0, 0.0, -10.0, 4177460.0)
        assert reader.header.band_names[:2] == ("B02", "B03")
        assert reader.bands[0].wavelength_nm == 490.0


def test_fields_with_times_levels_and_packing_survive_a_container(fields, tmp_path):
    fields.eoc.to_eoc(tmp_path / "f.eoc", tile_size=16)
    with xr.open_dataset(tmp_path / "f.eoc") as back:
        xr.testing.assert_allclose(back.q, fields.q, atol=1e-12)
        assert back.q.encoding["scale_factor"] == 1e-4
        xr.testing.assert_identical(back.drop_vars("q").load(), fields.drop_vars("q"))
    with eocodec.open(tmp_path / "f.eoc") as reader:
        assert reader["q"].dtype == np.int16
        assert reader["t"].header.tile_size == (3, 16, 16)


def test_bounds_hold_in_the_unit_of_the_dataset(fields, tmp_path):
    bounds = {"t": 0.1, "q": 4e-4}
    fields.eoc.to_eoc(tmp_path / "f.eoc", max_error=bounds)
    with xr.open_dataset(tmp_path / "f.eoc") as back:
        for name, bound in bounds.items():
            error = float(np.abs(back[name] - fields[name]).max())
            assert 0 < error <= bound * (1 + 1e-9)
        assert np.array_equal(np.isnan(back.t), np.isnan(fields.t))
        assert np.array_equal(back.place, fields.place)


def test_a_compressed_geotiff_opens_with_its_coordinates(tmp_path):
    compress_geotiff([SCENE], tmp_path / "s.eoc", CompressOptions(tile_size=64))
    with rasterio.open(SCENE) as source, xr.open_dataset(tmp_path / "s.eoc") as ds:
        ((name, image),) = ds.data_vars.items()
        assert list(ds.band.values) == list(source.descriptions)
        assert (float(ds.x[0]), float(ds.y[0])) == source.xy(0, 0)
        assert (float(ds.x[-1]), float(ds.y[-1])) == source.xy(255, 255)
        assert ds.x.attrs["units"] == "metre"
        assert CRS.from_wkt(ds.spatial_ref.attrs["crs_wkt"]) == source.crs
        geo = [float(number) for number in ds.spatial_ref.attrs["GeoTransform"].split()]
        assert geo == list(source.transform.to_gdal())
        assert image.encoding["preferred_chunks"] == {"band": 10, "y": 64, "x": 64}
        with eocodec.open(tmp_path / "s.eoc") as reader:
            assert np.allclose(image[:, 5:9, ::50], reader[:, 5:9, ::50] * 1e-4)
            assert name == reader.name


def test_headers_tell_coordinates_bands_and_wavelengths():
    bands = [eocodec.Band(name="B02", wavelength_nm=492.4), eocodec.Band(name="other")]
    place = {"crs": "EPSG:4326", "transform": (0.5, 0, 10, 0, -0.25, 50)}
    data = eocodec.compress(
        {"a": np.ones((2, 4, 6), "u2"), "b": np.ones((2, 8, 6), "u2")}, bands=bands, **place
    )
    ds = xr.open_dataset(data, engine="eocodec")
    assert (ds.a.dims, ds.b.dims) == (("band", "y", "x"), ("band", "y_b", "x"))
    assert ds.x.values.tolist() == [10.25, 10.75, 11.25, 11.75, 12.25, 12.75]
    assert ds.y.values.tolist() == [49.875, 49.625, 49.375, 49.125]
    assert ds.y_b.values[-1] == 50 - 0.25 * 7.5
    assert ds.x.attrs["units"] == "degrees_east"
    assert ds.band.values.tolist() == ["B02", "other"]
    np.testing.assert_equal(ds.wavelength.values, [492.4, np.nan])


def test_dask_arrays_go_to_zarr(scene, tmp_path):
    chunked = scene.chunk(y=64)
    encoding = eocodec.xarray.encoding(chunked, tile_size=32)
    chunked.to_zarr(tmp_path / "s", encoding=encoding, consolidated=False)
    assert np.array_equal(xr.open_zarr(tmp_path / "s", consolidated=False).dn, scene.dn)


def test_the_engine_loads_no_codec_until_it_is_used():
    program = (
        "import sys, eocodec.xarray; print(sorted(sys.modules.keys() & {'zarr', 'eocodec.tile'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_reading_is_lazy_and_chunks_are_tiles(scene, tmp_path):
    scene.eoc.to_eoc(tmp_path / "s.eoc", tile_size=32)
    with xr.open_dataset(tmp_path / "s.eoc", chunks={}) as ds:
        assert ds.dn.chunks == ((10,), (32,) * 4, (32,) * 3)
        with dask.config.set(scheduler="threads", num_workers=2):
            assert np.array_equal(ds.dn.mean("band"), scene.dn.mean("band"))
        again = pickle.loads(pickle.dumps(ds))
        assert np.array_equal(again.dn[3], scene.dn[3])
    damaged = bytearray((tmp_path / "s.eoc").read_bytes())
    with eocodec.open(bytes(damaged)) as reader:
        last = list(reader.tiles())[-1]
    damaged[last.offset + last.size - 1] ^= 1
    ds = xr.open_dataset(bytes(damaged), engine="eocodec")
    assert np.array_equal(ds.dn[:, :32, :32], scene.dn[:, :32, :32])
    with pytest.raises(FormatError):
        ds.dn.load()


def test_fewer_layers_can_be_read(scene, tmp_path):
    scene.eoc.to_eoc(tmp_path / "s.eoc", quality=3)
    with (
        xr.open_dataset(tmp_path / "s.eoc", layers=1) as ds,
        eocodec.open(tmp_path / "s.eoc") as reader,
    ):
        assert np.array_equal(ds.dn, reader.read(layers=1))
        assert not np.array_equal(ds.dn, reader.read())


def test_dask_arrays_are_written_in_parts(scene, tmp_path):
    scene.chunk(y=40, x=50).eoc.to_eoc(tmp_path / "s.eoc", tile_size=64)
    with xr.open_dataset(tmp_path / "s.eoc") as back:
        assert np.array_equal(back.dn, scene.dn)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[3],
        np.s_[::-2, 5],
        np.s_[[0, 4], 10:3:-1],
        np.s_[..., 95],
        np.s_[2:2],
        np.s_[:, [1, 1, 0]],
    ],
)
def test_any_index_is_as_numpys(index, scene, tmp_path):
    scene.eoc.to_eoc(tmp_path / "s.eoc", tile_size=64)
    with xr.open_dataset(tmp_path / "s.eoc") as ds:
        assert np.array_equal(ds.dn[index].values, scene.dn.values[index])


def test_what_cannot_be_stored_is_refused(scene, tmp_path):
    with pytest.raises(InputError, match="no variable"):
        xr.Dataset({"number": 3}).eoc.to_eoc(tmp_path / "s.eoc")
    with pytest.raises(InputError, match=r"'waves'.*drop it"):
        scene.assign(waves=scene.dn.astype("c8")).eoc.to_eoc(tmp_path / "s.eoc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "room",
    [
        {"dataset": 3},
        {"dataset": {"variables": {"a": 3}}},
        {"dataset": {"variables": {"a": {"dims": [], "dtype": "O", "data": 1, "attrs": {}}}}},
        {"dataset": {"variables": {"a": {"dims": ["x"], "dtype": "f8", "data": 1, "attrs": {}}}}},
        {"dataset": {"variables": 3}},
        {"dataset": {"attrs": 3}},
    ],
)
def test_malformed_descriptions_are_refused(room):
    data = eocodec.compress(np.ones((2, 4, 4), "u2"), extra={"xarray": room})
    with pytest.raises(FormatError, match="malformed"):
        xr.open_dataset(data, engine="eocodec")
