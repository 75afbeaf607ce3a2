"""One array, the same settings, six containers: the same payloads, and so the same decoded array."""

import asyncio

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

import eocodec.hdf5
import eocodec.xarray
from eocodec.numcodecs import Eocodec
from eocodec.zarr import TileSerializer

SIZE = 48
with rasterio.open("tests/data/s2_chesapeake.tif") as scene:
    STACK = scene.read(window=((0, 2 * SIZE), (0, 2 * SIZE)))
STACK[:, 3:6, 5:9] = 0
CHUNK = (len(STACK), SIZE, SIZE)
OPTIONS = {
    "learned": {"quality": 3, "nodata": 0},
    "bounded": {"max_error": 4, "nodata": 0},
    "learned and bounded": {"quality": 2, "max_error": 30, "nodata": 0},
    "lossless": {"lossless": True, "nodata": 0},
}
CORNERS = [(0, 0), (0, SIZE), (SIZE, 0), (SIZE, SIZE)]


def bytes_of(store, key):
    value = asyncio.run(MemoryStore(store).get(key, default_buffer_prototype()))
    return value.to_bytes()


def zarr_2(options, folder):
    store = {}
    zarr.create_array(
        store, data=STACK, chunks=CHUNK, zarr_format=2, compressors=Eocodec(**options), filters=None
    )
    keys = [f"0.{y // SIZE}.{x // SIZE}" for y, x in CORNERS]
    return zarr.open_array(store)[:], [bytes_of(store, key) for key in keys]


def zarr_3(options, folder):
    store = {}
    serializer = TileSerializer(**options)
    zarr.create_array(store, data=STACK, chunks=CHUNK, serializer=serializer, compressors=None)
    keys = [f"c/0/{y // SIZE}/{x // SIZE}" for y, x in CORNERS]
    return zarr.open_array(store)[:], [bytes_of(store, key) for key in keys]


def zarr_3_sharded(options, folder):
    store = {}
    serializer = TileSerializer(**options)
    zarr.create_array(
        store, data=STACK, chunks=CHUNK, shards=STACK.shape, serializer=serializer, compressors=None
    )
    # A shard ends in its index: offset and size of each chunk, and a CRC-32C.
    shard = bytes_of(store, "c/0/0/0")
    index = np.frombuffer(shard[-(16 * len(CORNERS) + 4) : -4], "<u8").reshape(-1, 2).tolist()
    return zarr.open_array(store)[:], [shard[start : start + size] for start, size in index]


def hdf5(options, folder):
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("dn", data=STACK, chunks=CHUNK, **eocodec.hdf5.filter(**options))
    return raw_chunks(folder / "x.h5")


def netcdf(options, folder):
    ds = xr.Dataset({"dn": (("band", "y", "x"), STACK)})
    encoding = {"dn": {**eocodec.hdf5.filter(**options), "chunksizes": CHUNK}}
    ds.to_netcdf(folder / "x.nc", engine="h5netcdf", encoding=encoding)
    with xr.open_dataset(folder / "x.nc", engine="h5netcdf", mask_and_scale=False) as back:
        decoded = back.dn.values
    plain, chunks = raw_chunks(folder / "x.nc")
    assert np.array_equal(plain, decoded)
    return decoded, chunks


def raw_chunks(path):
    with h5py.File(path) as file:
        dataset = file["dn"]
        return dataset[...], [dataset.id.read_direct_chunk((0, *at))[1] for at in CORNERS]


def container(options, folder):
    ds = xr.Dataset({"dn": (("band", "y", "x"), STACK)})
    ds.eoc.to_eoc(folder / "x.eoc", tile_size=SIZE, **options)
    with eocodec.open(folder / "x.eoc") as reader:
        return reader.read(), [reader.read_tile(number) for number in range(len(CORNERS))]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_all_containers_hold_the_same_payloads_and_decode_alike(options, tmp_path):
    decoded, payloads = container(options, tmp_path)
    for write in (zarr_2, zarr_3, zarr_3_sharded, hdf5, netcdf):
        others, chunks = write(options, tmp_path)
        assert chunks == payloads, write.__name__
        assert others.dtype == decoded.dtype
        assert np.array_equal(others, decoded), write.__name__
    errors = np.abs(decoded.astype(int) - STACK)
    assert errors.max() <= options.get("max_error", 0 if "lossless" in options else 3000)
    assert ("lossless" in options) == (errors.max() == 0)
    assert (decoded[:, 3:6, 5:9] == 0).all()
