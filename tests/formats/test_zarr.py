"""The Zarr v3 codec: round trips, shards, partial reads, and the same bytes as everywhere."""

import asyncio
import json
import pickle

import numpy as np
import pytest
import rasterio
import zarr
from hypothesis import given, settings
from zarr.core.buffer import BufferPrototype, default_buffer_prototype
from zarr.registry import get_codec_class
from zarr.storage import LocalStore, MemoryStore
from zarr.testing.buffer import (
    NDBufferUsingTestNDArrayLike,
    StoreExpectingTestBuffer,
    TestBuffer,
    TestNDArrayLike,
)
from zarr.testing.strategies import basic_indices, orthogonal_indices

import eocodec
from eocodec.errors import FormatError, InputError
from eocodec.formats.chunks import table_size
from eocodec.numcodecs import Eocodec
from eocodec.zarr import TileSerializer

SCENE = "tests/data/s2_chesapeake.tif"
SERIES = np.random.default_rng(4).integers(0, 900, (4, 3, 24, 40)).astype("uint16")


@pytest.fixture(scope="module")
def stack():
    with rasterio.open(SCENE) as scene:
        return scene.read()[:, :128, :128]


def create(data, store=None, *, chunks, serializer, **options):
    store = {} if store is None else store
    options = {"compressors": None, **options}
    zarr.create_array(store, data=data, chunks=chunks, serializer=serializer, **options)
    return zarr.open_array(store, mode="r+")


class CountingStore(MemoryStore):
    """Keeps the sizes of what was read of chunks."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    async def get(self, key, prototype, byte_range=None):
        value = await super().get(key, prototype, byte_range)
        if key.startswith("c/"):
            self.sizes.append(len(value))
        return value


def chunk_bytes(store, key):
    return asyncio.run(MemoryStore(store).get(key, default_buffer_prototype())).to_bytes()


def test_the_payload_and_so_the_array_is_the_same_in_every_container(stack):
    size, options = 64, {"quality": 3}
    tiles = (10, size, size)
    eoc = eocodec.compress(stack, settings=eocodec.EncodeSettings(layers=3), tile_size=size)
    stores = {name: {} for name in ("plain", "sharded", "v2")}
    arrays = [
        create(stack, stores["plain"], chunks=tiles, serializer=TileSerializer(**options)),
        create(
            stack,
            stores["sharded"],
            chunks=tiles,
            shards=(10, 128, 128),
            serializer=TileSerializer(**options),
        ),
    ]
    zarr.create_array(
        stores["v2"], data=stack, chunks=tiles, compressors=Eocodec(**options), zarr_format=2
    )
    arrays.append(zarr.open_array(stores["v2"], mode="r"))
    with eocodec.open(eoc) as reader:
        decoded = reader.read()
        for number in range(4):
            payload = reader.read_tile(number)
            row, column = divmod(number, 2)
            assert chunk_bytes(stores["plain"], f"c/0/{row}/{column}") == payload
            assert chunk_bytes(stores["v2"], f"0.{row}.{column}") == payload
            assert payload in chunk_bytes(stores["sharded"], "c/0/0/0")
    assert 0 < np.abs(decoded.astype(int) - stack).mean() < 30
    for array in arrays:
        assert np.array_equal(array[:], decoded)


@pytest.mark.parametrize("shards", [None, (2, 3, 24, 40)])
@pytest.mark.parametrize("chunks", [(2, 3, 12, 20), (1, 1, 24, 10), (2, 3, 8, 40)])
def test_chunks_of_several_times_come_back(chunks, shards):
    array = create(SERIES, chunks=chunks, shards=shards, serializer=TileSerializer())
    assert np.array_equal(array[:], SERIES)
    assert np.array_equal(array[3, :, 5:20, ::7], SERIES[3, :, 5:20, ::7])


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i4", ">f4", "f8", "u8"])
def test_dtypes_and_byte_orders(dtype):
    data = (SERIES[0] % 200).astype(dtype)
    array = create(data, chunks=(3, 16, 16), serializer=TileSerializer())
    assert np.array_equal(array[:], data)
    assert array.dtype == np.dtype(dtype).newbyteorder("=")


PARTIAL = {}


def partial_array(dims):
    if dims not in PARTIAL:
        data = SERIES[:, :, :4] if dims is None else SERIES[:, :, :4].transpose(2, 0, 1, 3)
        serializer = TileSerializer(dims=dims)
        PARTIAL[dims] = data, create(data, chunks=(2, *data.shape[1:]), serializer=serializer)
    return PARTIAL[dims]


@pytest.mark.parametrize("dims", [None, ("y", "time", "band", "x")])
def test_any_basic_or_orthogonal_selection_is_as_numpys(dims):
    data, array = partial_array(dims)

    @given(basic_indices(shape=data.shape))
    @settings(max_examples=25, deadline=None)
    def basic(index):
        assert np.array_equal(array[index], data[index])

    @given(orthogonal_indices(shape=data.shape))
    @settings(max_examples=25, deadline=None)
    def orthogonal(index):
        zarr_index, numpy_index = index
        assert np.array_equal(array.oindex[zarr_index], data[numpy_index])

    basic()
    orthogonal()


def sizes_fetched(store, read):
    store.sizes.clear()
    read()
    return list(store.sizes)


def test_a_part_of_a_chunk_fetches_its_tiles_only():
    store = CountingStore()
    array = create(SERIES, store, chunks=SERIES.shape, serializer=TileSerializer())
    (whole,) = sizes_fetched(store, lambda: array[:])
    table, tile = sizes_fetched(store, lambda: array[2, 0, :5])
    assert table == table_size(4)
    assert tile < whole / 3
    assert np.array_equal(array[2, 0, :5], SERIES[2, 0, :5])


def test_missing_chunks_are_the_fill_value():
    serializer = TileSerializer()
    array = zarr.create_array(
        {}, shape=(4, 3, 8, 8), chunks=(2, 3, 8, 8), dtype="u2", fill_value=7, serializer=serializer
    )
    array[0] = SERIES[0, :, :8, :8]
    assert np.array_equal(array[0], SERIES[0, :, :8, :8])
    assert (array[1:] == 7).all()
    assert (array[3, 1] == 7).all()


def test_buffers_are_of_the_kind_that_the_store_wants():
    prototype = BufferPrototype(buffer=TestBuffer, nd_buffer=NDBufferUsingTestNDArrayLike)

    async def through():
        array = await zarr.api.asynchronous.create_array(
            StoreExpectingTestBuffer(),
            shape=SERIES.shape,
            chunks=(2, 3, 24, 20),
            dtype="u2",
            serializer=TileSerializer(),
            compressors=None,
        )
        await array.setitem(..., SERIES, prototype=prototype)
        return await array.getitem(np.s_[1:3, :, :5], prototype=prototype)

    read = asyncio.run(through())
    assert isinstance(read, TestNDArrayLike)
    assert np.array_equal(read, SERIES[1:3, :, :5])


def test_the_metadata_names_the_codec_and_its_options(tmp_path):
    store = LocalStore(tmp_path)
    serializer = TileSerializer(max_error=3, nodata=0, dims=["band", "y", "x"])
    create(SERIES[0], store, chunks=(3, 24, 40), serializer=serializer)
    codecs = json.loads((tmp_path / "zarr.json").read_text())["codecs"]
    configuration = {"max_error": 3, "nodata": 0.0, "dims": ["band", "y", "x"]}
    assert codecs == [{"name": "eocodec.tile", "configuration": configuration}]
    assert zarr.open_array(store).metadata.codecs == (serializer,)


def test_the_registry_knows_the_codec_and_it_can_be_pickled():
    assert get_codec_class("eocodec.tile") is TileSerializer
    serializer = TileSerializer(quality=2, dims=("y", "x", "band"))
    assert pickle.loads(pickle.dumps(serializer)) == serializer
    assert TileSerializer.from_dict(serializer.to_dict()) == serializer
    assert TileSerializer.from_dict({"name": "eocodec.tile"}) == TileSerializer()


@pytest.mark.parametrize("wrong", [TileSerializer(), {"name": "eocodec.tile"}, [TileSerializer()]])
def test_as_a_compressor_it_says_where_it_belongs(wrong):
    with pytest.raises(TypeError, match="pass it as serializer="):
        zarr.create_array({}, data=SERIES, compressors=wrong)


@pytest.mark.parametrize(
    ("dtype", "chunks", "serializer", "message"),
    [
        ("c8", (1, 3, 8, 8), TileSerializer(), "dtype"),
        ("u2", (4, 3, 2**12, 2**13), TileSerializer(), "smaller chunks"),
        ("u2", (1, 3, 8, 8), TileSerializer(dims=["y", "x"]), "name 2 axes"),
        ("u2", (1, 3, 8, 8), TileSerializer(max_error=[1, 2]), "bands"),
    ],
)
def test_arrays_that_cannot_be_coded_are_refused_at_once(dtype, chunks, serializer, message):
    with pytest.raises(InputError, match=message):
        zarr.create_array(
            {}, shape=(4, 3, 2**14, 2**14), chunks=chunks, dtype=dtype, serializer=serializer
        )


def test_a_chunk_of_another_shape_is_an_error_not_zeros():
    store = {}
    array = create(SERIES, store, chunks=(2, 3, 24, 40), serializer=TileSerializer())
    other = {}
    create(SERIES[:1], other, chunks=(1, 3, 24, 40), serializer=TileSerializer())
    store["c/0/0/0/0"] = other["c/0/0/0/0"]
    with pytest.raises(FormatError, match="1 tiles, not 2"):
        array[:]
    with pytest.raises(FormatError, match="1 tiles, not 2"):
        array[0]
