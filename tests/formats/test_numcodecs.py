"""The numcodecs codec, by numcodecs' own checks and in Zarr v2."""

import pickle
import re

import hypothesis.extra.numpy as npst
import numcodecs
import numpy as np
import pytest
import rasterio
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs.registry import get_codec
from numcodecs.tests import common

import eocodec
from eocodec.errors import FormatError, InputError, TruncatedError
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.chunk_shape import ChunkShape
from eocodec.numcodecs import Eocodec
from eocodec.payload import crc32c

SCENE = "tests/data/s2_chesapeake.tif"
RANDOM = np.random.default_rng(5)

ARRAYS = [
    np.arange(1000, dtype="i4"),
    np.linspace(1000, 1001, 1000, dtype="f8").reshape(100, 10),
    RANDOM.normal(1000, 1, (10, 10, 10)).astype("f4"),
    RANDOM.integers(0, 200, (4, 30, 20)).astype("u2"),
    RANDOM.integers(0, 2**60, (2, 3, 10, 20), dtype="u8"),
    RANDOM.integers(-100, 100, 1000, dtype="i8").view("M8[ns]"),
    np.full((5, 20, 20), np.nan, "f4"),
]
CONFIGURATIONS = [
    {},
    {"quality": 2},
    {"max_error": 4.0, "nodata": 0},
    {"max_error": [1.0, None], "max_relative_error": 0.1},
    {"lossless": True, "dims": ["time", "y", "x"]},
]


@pytest.fixture(scope="module")
def stack():
    with rasterio.open(SCENE) as scene:
        return scene.read()[:, :128, :128]


@pytest.mark.parametrize("array", ARRAYS[:-2] + ARRAYS[-1:], ids=lambda a: f"{a.dtype}{a.ndim}")
def test_encode_decode(array):
    common.check_encode_decode_array(array, Eocodec())
    common.check_encode_decode(array, Eocodec())


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_config_repr_and_pickle(config, monkeypatch):
    monkeypatch.setattr(common, "Eocodec", Eocodec, raising=False)
    codec = Eocodec(**config)
    common.check_config(codec)
    common.check_repr(repr(codec))
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert codec.get_config() == {"id": "eocodec", **config}


def test_codecs_of_different_options_differ():
    assert Eocodec(quality=2) != Eocodec(quality=3)
    assert len({Eocodec(quality=2), Eocodec(quality=2), Eocodec()}) == 2


def test_object_arrays_are_refused():
    common.check_err_encode_object_buffer(Eocodec())
    common.check_err_decode_object_buffer(Eocodec())


def test_the_registry_knows_the_codec():
    assert type(get_codec({"id": "eocodec", "quality": 2})) is Eocodec
    with pytest.raises(InputError, match="unknown keys level"):
        get_codec({"id": "eocodec", "level": 2})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 20, 30), "u2", order="F"), "order="),
        (np.ones((3, 20, 30), ">u2"), "<u2"),
        (np.ones((3, 20, 30), "c8"), "dtype"),
        (np.ones((0, 20), "u2"), "samples"),
    ],
)
def test_chunks_that_would_not_come_back_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        Eocodec().encode(array)


SHAPES = [
    ((), None),
    ((7,), None),
    ((30, 20), None),
    ((30, 20), ("y", "x")),
    ((30, 20), ("x", "y")),
    ((1, 30, 20), None),
    ((3, 30, 20), None),
    ((40, 48, 3), None),
    ((1, 3, 30, 20), None),
    ((2, 3, 30, 20), None),
    ((2, 40, 48, 3), None),
    ((2, 1, 3, 30, 20), None),
    ((2, 30, 20), ("time", "y", "x")),
    ((1, 30, 20), ("time", "y", "x")),
    ((30, 20, 3), ("y", "x", "band")),
    ((2, 3, 30, 20), ("time", "member", "y", "x")),
    ((2, 3, 4, 30, 20), ("band", "time", "level", "y", "x")),
    ((1, 3, 4, 30, 20), ("band", "level", "z", "y", "x")),
    ((1, 30, 20), (None, "y", "x")),
]


@pytest.mark.parametrize(("shape", "dims"), SHAPES, ids=str)
def test_decoding_returns_the_array_that_was_encoded(shape, dims):
    chunk = RANDOM.integers(0, 900, shape).astype("i2")
    codec = Eocodec(dims=dims)
    data = codec.encode(chunk)
    for other in (codec, get_codec(codec.get_config())):
        decoded = other.decode(data)
        assert decoded.dtype == chunk.dtype
        assert decoded.flags.c_contiguous
        np.testing.assert_array_equal(decoded, chunk)
    out = np.empty_like(chunk)
    codec.decode(data, out=out)
    np.testing.assert_array_equal(out, chunk)


@given(
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]),
    npst.array_shapes(max_dims=5, max_side=40),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_every_bit_of_every_dtype_and_rank_comes_back(dtype, shape, data):
    bits = data.draw(npst.arrays(f"u{np.dtype(dtype).itemsize}", shape))
    chunk = bits.view(dtype)
    decoded = Eocodec().decode(Eocodec().encode(chunk))
    assert (decoded.dtype, decoded.shape) == (chunk.dtype, chunk.shape)
    nan = np.isnan(chunk) if chunk.dtype.kind == "f" else np.zeros(shape, bool)
    assert np.array_equal(decoded.view(bits.dtype)[~nan], bits[~nan])
    assert np.isnan(decoded[nan]).all()


@pytest.mark.parametrize("dtype", ["f2", "?", "c8", "c16", "M8[s]", "m8[D]", "S3", "U2", "i4,f4"])
def test_dtypes_without_a_code_are_refused_by_name(dtype):
    chunk = np.zeros((4, 5), dtype)
    with pytest.raises(InputError, match=f"cannot code dtype {re.escape(chunk.dtype.name)}; use"):
        Eocodec().encode(chunk)


def test_a_chunk_that_its_tiles_tell_has_nothing_else_in_it(stack):
    lossless = eocodec.EncodeSettings(lossless=True)
    for shape, dims in (((40, 50), ("y", "x")), ((1, 40, 50), None), ((40, 50), ("lon", "lat"))):
        chunk = stack[0, :40, :50].reshape(shape)
        tile = chunk.T[None] if dims == ("lon", "lat") else chunk.reshape(1, 40, 50)
        assert Eocodec(dims=dims).encode(chunk) == eocodec.encode_tile(tile, lossless)
    assert Eocodec().encode(stack[0]) == (
        ChunkShape(chunk_axes(2), stack[0].shape).dump() + Eocodec().encode(stack[:1])
    )


def test_damaged_or_false_shapes_of_chunks_are_refused(stack):
    data = Eocodec().encode(stack[0, :9, :8])
    for at in range(16):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        with pytest.raises(FormatError):
            Eocodec().decode(damaged)
    for size in range(1, 16):
        with pytest.raises(TruncatedError):
            Eocodec().decode(data[:size])
    tiles = data[16:]
    other = ChunkShape(chunk_axes(2), (8, 8)).dump() + tiles
    with pytest.raises(FormatError, match=r"no chunk of \(8, 8\)"):
        Eocodec().decode(other)
    head = bytes([254, 1, 7]) + (72).to_bytes(4, "little")
    with pytest.raises(FormatError, match="no known role"):
        Eocodec().decode(head + crc32c(head).to_bytes(4, "little") + tiles)


def test_bands_in_a_short_last_axis_cost_what_bands_before_cost(stack):
    chunk = np.ascontiguousarray(stack.transpose(1, 2, 0))
    data = Eocodec(max_error=[4.0] * 10).encode(chunk)
    plain = Eocodec(max_error=4.0).encode(stack)
    assert data == ChunkShape(chunk_axes(3, ("y", "x", "band")), chunk.shape).dump() + plain
    assert np.array_equal(Eocodec().decode(data), Eocodec().decode(plain).transpose(1, 2, 0))


FILTERS = [
    [numcodecs.FixedScaleOffset(offset=-0.1, scale=10000, dtype="f4", astype="u2")],
    [numcodecs.Delta(dtype="f4")],
    [numcodecs.BitRound(keepbits=12)],
    [numcodecs.Quantize(digits=3, dtype="f4")],
    [numcodecs.AsType("f8", "f4")],
    [numcodecs.Delta(dtype="f4"), numcodecs.Shuffle(4)],
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("shape", [None, (2, 32, 48)])
def test_filters_of_zarr_2_before_the_codec_lose_nothing_more(filters, shape, stack):
    field = (stack[:4, :50, :90] / np.float32(1e4) - np.float32(0.1)).astype("f4")
    stores = {}, {}
    for store, codec in zip(stores, (Eocodec(chunk_shape=shape), numcodecs.Zstd()), strict=True):
        options = {"chunks": (2, 32, 48), "zarr_format": 2, "filters": filters}
        zarr.create_array(store, data=field, compressors=codec, **options)
    own, other = (zarr.open_array(store, mode="r")[:] for store in stores)
    assert np.array_equal(own, other)


def test_a_flat_chunk_of_known_shape_is_coded_in_it(stack):
    codec = Eocodec(chunk_shape=stack.shape)
    flat = codec.encode(stack.ravel())
    assert flat == codec.encode(stack) == Eocodec().encode(stack)
    assert np.array_equal(codec.decode(flat), stack)
    assert len(flat) < len(Eocodec().encode(stack.ravel()))
    other = codec.encode(np.arange(100, dtype="u1"))
    assert np.array_equal(codec.decode(other), np.arange(100))


def test_a_flat_chunk_with_names_of_axes_alone_is_refused(stack):
    with pytest.raises(InputError, match="pass chunk_shape too"):
        Eocodec(dims=["band", "y", "x"]).encode(stack.ravel())


@pytest.mark.parametrize("wrong", [Eocodec(), [Eocodec()]])
@pytest.mark.parametrize("argument", ["compressors", "filters", "serializer"])
def test_zarr_3_says_which_codec_to_pass_instead(wrong, argument, stack):
    if (argument, type(wrong)) == ("serializer", list):
        return
    store = {}
    with pytest.raises(TypeError, match=r"for Zarr v3 pass serializer=eocodec.zarr.TileSerializer"):
        zarr.create_array(store, data=stack, **{argument: wrong})
    assert store == {}


def test_a_chunk_is_the_payload_of_its_tile(stack):
    settings = eocodec.EncodeSettings(layers=2)
    assert Eocodec(quality=2).encode(stack) == eocodec.encode_tile(stack, settings)


def test_bands_in_the_last_axis_are_bands(stack):
    codec = Eocodec(dims=["y", "x", "band"], max_error=[4.0] * 10)
    chunk = np.ascontiguousarray(stack.transpose(1, 2, 0))
    data = codec.encode(chunk)
    assert data == Eocodec(max_error=4.0).encode(stack)
    decoded = codec.decode(data)
    assert 0 < np.abs(decoded.astype(int) - chunk).max() <= 4


def test_zarr_2_keeps_bounds_nodata_and_metadata(stack):
    with_gaps = np.where(stack % 97 == 0, 0, stack).astype("uint16")
    codec = Eocodec(max_error=6.0, nodata=0)
    store = {}
    zarr.create_array(
        store, data=with_gaps, chunks=(10, 64, 64), zarr_format=2, compressors=codec, fill_value=0
    )
    array = zarr.open_array(store, mode="r")
    assert array.metadata.compressor == codec
    assert array.nbytes_stored() < stack.nbytes / 2
    errors = np.abs(array[:].astype(int) - with_gaps)
    assert 0 < errors.max() <= 6
    assert np.array_equal(array[:] == 0, with_gaps == 0)
