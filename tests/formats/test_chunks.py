"""Chunks of any rank, folded to tiles and back, and the bytes of stacks of tiles."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import eocodec.hdf5
import eocodec.xarray
from eocodec import EncodeSettings, encode_tile
from eocodec.errors import ChecksumError, FormatError, InputError, LimitError, TruncatedError
from eocodec.formats import chunks
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunks import decode_tiles, encode_tiles, table_size, tile_ranges
from eocodec.numcodecs import Eocodec
from eocodec.payload import build_payload
from eocodec.zarr import TileSerializer

LOSSLESS = EncodeSettings(lossless=True)
DATASET = xr.Dataset({"dn": (("y", "x"), np.ones((40, 40), "u2"))})
STACK = np.random.default_rng(3).integers(0, 4000, (3, 2, 12, 20)).astype("uint16")

RULE = [
    (2, None, "RC"),
    (3, None, "BRC"),
    (4, None, "TBRC"),
    (5, None, "TTBRC"),
    (1, None, "C"),
    (3, ("band", "y", "x"), "BRC"),
    (3, ("time", "y", "x"), "TRC"),
    (3, ("level", "latitude", "longitude"), "BRC"),
    (3, ("y", "x", "band"), "RCB"),
    (3, ("Spectral", "Lat", "Lon"), "BRC"),
    (4, ("time", "level", "lat", "lon"), "TBRC"),
    (4, ("time", "foo", "bar", "baz"), "TBRC"),
    (4, ("foo", "time", "y", "x"), "BTRC"),
    (4, ("foo", "band", "y", "x"), "TBRC"),
    (4, ("band", "level", "y", "x"), "BBRC"),
    (3, (None, "y", "x"), "BRC"),
    (3, ("x", "foo", "y"), "CBR"),
    (3, ("y", "foo", "bar"), "BRC"),
]


@pytest.mark.parametrize(("ndim", "dims", "roles"), RULE)
def test_names_and_places_tell_what_an_axis_is(ndim, dims, roles):
    assert "".join("TBRC"[role] for role in chunk_axes(ndim, dims).roles) == roles


@given(
    st.lists(st.sampled_from(["time", "band", "level", "foo"]), max_size=3),
    st.permutations(range(5)),
    st.lists(st.integers(1, 4), min_size=5, max_size=5),
)
def test_unfolding_undoes_folding(leading, order, sizes):
    dims = [*leading, "y", "x"]
    dims = [dims[i] for i in order if i < len(dims)]
    chunk = np.arange(np.prod(sizes[: len(dims)])).reshape(sizes[: len(dims)])
    axes = chunk_axes(chunk.ndim, dims)
    tiles = axes.fold(chunk)
    assert tiles.shape == axes.extents(chunk.shape)
    assert tiles.shape[2:] == (chunk.shape[dims.index("y")], chunk.shape[dims.index("x")])
    assert np.array_equal(axes.unfold(tiles, chunk.shape), chunk)


def test_folding_keeps_rows_bands_and_times_apart():
    chunk = STACK.transpose(2, 3, 0, 1)
    assert np.array_equal(chunk_axes(4, ("y", "x", "time", "band")).fold(chunk), STACK)


@pytest.mark.parametrize(
    ("shape", "roles"),
    [
        ((512, 512, 10), "RCB"),
        ((3, 512, 512, 10), "TRCB"),
        ((32, 32, 1), "RCB"),
        ((40, 48, 10), "RCB"),
        ((39, 48, 10), "BRC"),
        ((48, 39, 10), "BRC"),
        ((31, 512, 1), "BRC"),
        ((128, 128, 32), "RCB"),
        ((512, 512, 33), "BRC"),
        ((10, 512, 16), "BRC"),
        ((10, 512, 512), "BRC"),
        ((512, 10), "RC"),
        ((64, 64, 0), "BRC"),
    ],
)
def test_a_short_last_axis_of_a_chunk_without_names_is_bands(shape, roles):
    assert "".join("TBRC"[role] for role in chunk_axes(len(shape), None, shape).roles) == roles
    named = chunk_axes(len(shape), (None,) * len(shape), shape)
    assert named == chunk_axes(len(shape))


def test_dims_of_another_rank_are_refused():
    with pytest.raises(InputError, match="name 2 axes"):
        chunk_axes(3, ("y", "x"))


def test_one_tile_is_its_payload_and_nothing_else():
    assert encode_tiles(STACK[:1], LOSSLESS) == encode_tile(STACK[0], LOSSLESS)


def test_several_tiles_are_a_table_and_their_payloads():
    data = encode_tiles(STACK, LOSSLESS)
    payloads = [encode_tile(tile, LOSSLESS) for tile in STACK]
    assert data[table_size(3) :] == b"".join(payloads)
    assert [data[slice(*span)] for span in tile_ranges(data, len(data), 3)] == payloads
    assert tile_ranges(data[: table_size(3)]) == tile_ranges(data)
    assert np.array_equal(decode_tiles(data), STACK)


def test_every_damaged_byte_of_a_table_is_found():
    data = encode_tiles(STACK, LOSSLESS)
    for at in range(table_size(3)):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        with pytest.raises((FormatError, chunks.ChecksumError)):
            tile_ranges(damaged, len(data), 3)


def test_cut_and_false_chunks_are_refused():
    data = encode_tiles(STACK, LOSSLESS)
    for size in (0, 3, table_size(3) - 1):
        with pytest.raises(TruncatedError):
            decode_tiles(data[:size])
    with pytest.raises(FormatError, match="does not fit"):
        decode_tiles(data[:-1])
    with pytest.raises(FormatError, match="holds 3 tiles, not 2"):
        tile_ranges(data, len(data), 2)
    with pytest.raises(ChecksumError):
        decode_tiles(data[:-1] + bytes([data[-1] ^ 1]))


def test_tiles_of_different_shapes_are_no_chunk():
    parts = [encode_tile(STACK[0], LOSSLESS), encode_tile(STACK[0, :1], LOSSLESS)]
    table = chunks._COUNT.pack(255, 2) + b"".join(len(p).to_bytes(4, "little") for p in parts)
    data = table + chunks.crc32c(table).to_bytes(4, "little") + b"".join(parts)
    with pytest.raises(FormatError, match="tile of"):
        decode_tiles(data)


def test_a_small_chunk_cannot_unfold_to_more_than_the_limit():
    tile = build_payload(0, "uint16", (16, 2048, 4096), [b"\1\0"], None, None)
    table = chunks._COUNT.pack(255, 2) + 2 * len(tile).to_bytes(4, "little")
    data = table + chunks.crc32c(table).to_bytes(4, "little") + 2 * tile
    with pytest.raises(LimitError):
        decode_tiles(data)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"quality": 3, "model": "s2-rvq"},
        {"max_error": 0},
        {"max_error": [1, None, 4.5]},
        {"max_relative_error": 0.01, "max_error_sqrt": 0.5, "nodata": 0},
        {"lossless": True, "nodata": "-Infinity"},
        {"dims": ["time", "band", "y", "x"]},
    ],
)
def test_options_survive_json(given):
    options = ChunkOptions.from_json(given)
    said = json.loads(json.dumps(options.to_json(), allow_nan=False))
    assert said == given
    assert ChunkOptions.from_json(said) == options


def test_nothing_asked_for_is_lossless():
    assert ChunkOptions().settings == LOSSLESS
    assert ChunkOptions(max_error=0.0).settings == EncodeSettings(max_error=0.0)
    wide = ChunkOptions(nodata=2**63 - 1)
    assert wide.settings.nodata == wide.to_json()["nodata"] == 2**63 - 1
    assert ChunkOptions(quality=2, nodata="NaN").settings == EncodeSettings(layers=2)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"max_error": np.float32(10)}, {"max_error": 10.0}),
        ({"max_error": np.array([1, 2], "i2")}, {"max_error": [1, 2]}),
        ({"max_error": np.array(3.5)}, {"max_error": 3.5}),
        ({"max_error": [np.float32(0.5), None]}, {"max_error": [0.5, None]}),
        ({"quality": np.int64(4)}, {"quality": 4}),
        ({"quality": 4.0}, {"quality": 4}),
        ({"lossless": np.True_}, {"lossless": True}),
        ({"nodata": np.uint16(65535)}, {"nodata": 65535}),
        ({"nodata": 2**64 - 1}, {"nodata": 2**64 - 1}),
        ({"nodata": np.float32(np.nan)}, {}),
        ({"dims": np.array(["y", "x"])}, {"dims": ["y", "x"]}),
        ({"chunk_shape": np.array([4, 5])}, {"chunk_shape": [4, 5]}),
    ],
)
def test_numbers_of_numpy_are_those_of_python(given, plain):
    said = ChunkOptions(**given).to_json()
    assert said == plain
    assert json.loads(json.dumps(said)) == plain
    assert ChunkOptions(**given) == ChunkOptions(**plain)


@pytest.mark.parametrize("wrong", ["10", True, [1.0], None])
def test_bounds_of_tiles_that_are_no_numbers_are_refused_by_name(wrong):
    for name in ("max_error", "max_relative_error", "max_error_sqrt"):
        if wrong is None:
            assert getattr(EncodeSettings(**{name: None}), name) is None
            continue
        with pytest.raises(InputError, match=f"{name} is a number, not"):
            EncodeSettings(**{name: wrong})
    assert EncodeSettings(max_error=np.float32(10)).max_error == 10


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"quality": 0}, "quality"),
        ({"quality": 99}, "quality"),
        ({"quality": 2, "lossless": True}, "exclude"),
        ({"max_error": -1}, "error"),
        ({"dims": "yx"}, "several names"),
        ({"nodata": "none"}, "nodata is a number, not 'none'"),
        ({"nodata": True}, "nodata is a number, not True"),
        ({"quality": "4"}, "quality is a number, not '4'"),
        ({"quality": 2.5}, "quality is a whole number, not 2.5"),
        ({"quality": True}, "quality is a number, not True"),
        ({"quality": np.nan}, "quality is a whole number"),
        ({"max_error": "10"}, "max_error is a number, not '10'"),
        ({"max_error": True}, "max_error is a number, not True"),
        ({"max_error": [1, "2"]}, "max_error is a number, not '2'"),
        ({"max_error": [1, np.inf]}, "max_error must be a finite number"),
        ({"max_error": []}, "max_error names no band"),
        ({"max_error": {"B02": 1}}, "max_error is a number"),
        ({"max_relative_error": "1%"}, "max_relative_error is a number, not '1%'"),
        ({"max_relative_error": [0.1]}, "max_relative_error is a number"),
        ({"max_error_sqrt": np.nan}, "max_error_sqrt must be a finite number"),
        ({"max_error_sqrt": 1j}, "max_error_sqrt is a number"),
        ({"lossless": "yes"}, "lossless is True or False, not 'yes'"),
        ({"lossless": 1}, "lossless is True or False, not 1"),
        ({"model": 3}, "model is a name, not 3"),
        ({"dims": [1, 2]}, "dims are several names"),
        ({"dims": 3}, "dims are several names"),
        ({"chunk_shape": "12"}, "chunk_shape is a whole number of at least 1 for each axis"),
        ({"chunk_shape": [0, 2]}, "chunk_shape is a whole number of at least 1"),
        ({"chunk_shape": [2.5, 2]}, "chunk_shape is a whole number, not 2.5"),
        ({"chunk_shape": 4}, "chunk_shape is a whole number"),
        ({"chunk_shape": [2, 2], "dims": ["y"]}, "dims .* name 1 axes; the array has 2"),
        ({"level": 3}, "unknown keys level"),
    ],
)
def test_options_that_cannot_be_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        ChunkOptions.from_json(given)


@pytest.mark.parametrize(
    "give",
    [
        lambda options: Eocodec(**options),
        lambda options: TileSerializer(**options),
        lambda options: eocodec.hdf5.filter(**options),
        lambda options: eocodec.xarray.encoding(DATASET, **options),
        lambda options: DATASET.eoc.to_eoc("/nowhere/x.eoc", **options),
    ],
    ids=["numcodecs", "zarr", "hdf5", "encoding", "to_eoc"],
)
@pytest.mark.parametrize("options", [{"max_error": "10"}, {"quality": "4"}, {"lossless": "yes"}])
def test_every_container_refuses_the_same_options_with_the_same_words(give, options):
    with pytest.raises(InputError) as found:
        ChunkOptions(**options)
    with pytest.raises(InputError) as other:
        give(options)
    assert str(other.value) == str(found.value)
