"""The Zarr v3 codec: round trips, shards, partial reads, and the same bytes as everywhere."""

import asyncio
import json
import pickle
import re
import warnings

import numpy as np
import pytest
import rasterio
import zarr
import zarr.codecs.numcodecs
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


def quiet(name, **options):
    """Return a numcodecs filter of zarr, without the warning that it is not in the specification."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(zarr.codecs.numcodecs, name)(**options)


FILTERS = {
    "transpose": (zarr.codecs.TransposeCodec, {"order": (2, 0, 1)}),
    "delta": ("Delta", {"dtype": "<f4"}),
    "bitround": ("BitRound", {"keepbits": 11}),
    "bitround of all bits": ("BitRound", {"keepbits": 23}),
    "quantize": ("Quantize", {"digits": 3, "dtype": "<f4"}),
    "astype": ("AsType", {"encode_dtype": "<f8", "decode_dtype": "<f4"}),
    "scale": (
        "FixedScaleOffset",
        {"offset": -0.1, "scale": 10000, "dtype": "<f4", "astype": "<u2"},
    ),
    "scale in place": ("FixedScaleOffset", {"offset": 0, "scale": 10000, "dtype": "<f4"}),
}


@pytest.mark.parametrize("shards", [None, (64, 96, 4)])
@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
@pytest.mark.filterwarnings("ignore:.*sharding_indexed.*")
def test_filters_before_the_codec_lose_nothing_more(kind, shards, stack):
    field = (stack[:4, :50, :90] / np.float32(1e4) - np.float32(0.1)).transpose(1, 2, 0)
    maker, options = FILTERS[kind]
    chosen = quiet(maker, **options) if isinstance(maker, str) else maker(**options)
    stores = {}, {}
    for store, serializer in zip(stores, (TileSerializer(), "auto"), strict=True):
        array = create(
            np.ascontiguousarray(field),
            store,
            chunks=(32, 48, 4),
            shards=shards,
            serializer=serializer,
            filters=[chosen],
        )
        array[:7, 3] = field[:7, 3]
    own, other = (zarr.open_array(store, mode="r") for store in stores)
    assert np.array_equal(own[:], other[:])
    assert np.array_equal(own[33:40, 7, 1:3], other[33:40, 7, 1:3])


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
def test_a_filter_whose_samples_do_not_fit_is_refused_while_writing():
    class Halving(zarr.codecs.numcodecs.Delta):
        async def _encode_single(self, chunk_data, chunk_spec):
            whole = chunk_data.as_numpy_array().ravel()
            return chunk_spec.prototype.nd_buffer.from_numpy_array(whole[::2])

    store = {}
    array = zarr.create_array(
        store,
        shape=(8, 8),
        chunks=(8, 8),
        dtype="u2",
        filters=[Halving(dtype="<u2")],
        serializer=TileSerializer(),
        compressors=None,
    )
    with pytest.raises(InputError, match="leave the filter out"):
        array[:] = np.arange(64).reshape(8, 8)
    assert set(store) == {"zarr.json"}


@pytest.mark.parametrize("kind", ["packbits", "astype"])
def test_types_without_a_code_are_refused_whatever_filters_make_of_them(kind):
    chosen = (
        quiet("PackBits")
        if kind == "packbits"
        else quiet("AsType", encode_dtype="u1", decode_dtype="bool")
    )
    with pytest.raises(InputError, match="cannot code dtype bool"):
        zarr.create_array(
            {},
            shape=(8, 8),
            chunks=(8, 8),
            dtype="bool",
            filters=[chosen],
            serializer=TileSerializer(),
            compressors=None,
        )


def test_bounds_of_bands_that_a_filter_moves_are_those_of_the_moved_bands(stack):
    last = np.ascontiguousarray(stack.transpose(1, 2, 0))
    serializer = TileSerializer(max_error=[4.0] * 10, dims=["band", "y", "x"])
    array = create(
        last,
        chunks=(64, 64, 10),
        serializer=serializer,
        filters=[zarr.codecs.TransposeCodec(order=(2, 0, 1))],
    )
    assert 0 < np.abs(array[:].astype(int) - last).max() <= 4


@pytest.mark.parametrize("shards", [None, (256, 128, 10)])
def test_bands_in_a_short_last_axis_are_bands(stack, shards):
    """Also at the edges: chunks are whole there, so their axes are those of the others."""
    last = np.ascontiguousarray(stack.transpose(1, 2, 0))[:100, :70]
    store = {}
    serializer = TileSerializer(max_error=[4.0] * 10)
    array = create(last, store, chunks=(64, 64, 10), shards=shards, serializer=serializer)
    assert 0 < np.abs(array[:].astype(int) - last).max() <= 4
    if shards is None:
        whole = np.zeros((10, 64, 64), "u2")
        whole[:, :36, :6] = stack[:, 64:100, 64:70]
        settings = eocodec.EncodeSettings(max_error=(4.0,) * 10)
        assert chunk_bytes(store, "c/1/1/0") == eocodec.encode_tile(whole, settings)


@pytest.mark.parametrize("dtype", ["f2", "?", "c8", "c16", "M8[s]", "m8[s]", "S3", "U2"])
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_dtypes_without_a_code_are_refused_by_name_before_anything_is_written(dtype):
    store, message = {}, f"cannot code dtype {re.escape(np.dtype(dtype).name)}; use"
    with pytest.raises(InputError, match=message):
        zarr.create_array(
            store, shape=(8, 8), chunks=(8, 8), dtype=dtype, serializer=TileSerializer()
        )
    assert store == {}


@pytest.mark.parametrize("chunks", [(2, 3, 24, 40), (4, 1, 12, 12)])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_without_options_every_bit_is_kept(dtype, chunks):
    size = np.dtype(dtype).itemsize
    raw = np.random.default_rng(size).integers(0, 256, (*SERIES.shape[:3], 40 * size), "u1")
    data = raw.view(dtype)
    array = create(data, chunks=chunks, serializer=TileSerializer())
    np.testing.assert_array_equal(array[:], data)


def test_default_compressors_left_in_place_cost_a_little_and_change_nothing(stack):
    stores = {}, {}
    for store, options in zip(stores, ({}, {"compressors": "auto"}), strict=True):
        create(stack, store, chunks=(10, 64, 64), serializer=TileSerializer(), **options)
    alone, twice = (zarr.open_array(store) for store in stores)
    assert np.array_equal(alone[:], twice[:])
    assert 1 < twice.nbytes_stored() / alone.nbytes_stored() < 1.01


@pytest.mark.parametrize(
    ("zarr_format", "arguments"),
    [
        (3, {"filters": [TileSerializer()]}),
        (3, {"filters": TileSerializer()}),
        (2, {"compressors": TileSerializer()}),
        (2, {"filters": [TileSerializer()]}),
    ],
)
def test_in_any_other_place_it_says_where_it_belongs(zarr_format, arguments):
    store = {}
    with pytest.raises((TypeError, ValueError), match=r"for Zarr v2 compressors=eocodec.numcodecs"):
        zarr.create_array(store, data=SERIES, zarr_format=zarr_format, **arguments)
    assert store == {}


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
