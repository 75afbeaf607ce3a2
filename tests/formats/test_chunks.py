"""Chunks of any rank, folded to tiles and back, and the bytes of stacks of tiles."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocodec import EncodeSettings, encode_tile
from eocodec.errors import ChecksumError, FormatError, InputError, LimitError, TruncatedError
from eocodec.formats import chunks
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunks import decode_tiles, encode_tiles, table_size, tile_ranges
from eocodec.payload import build_payload

LOSSLESS = EncodeSettings(lossless=True)
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
    ("given", "message"),
    [
        ({"quality": 0}, "quality"),
        ({"quality": 99}, "quality"),
        ({"quality": 2, "lossless": True}, "exclude"),
        ({"max_error": -1}, "error"),
        ({"dims": "yx"}, "several names"),
        ({"nodata": "none"}, "no number"),
        ({"level": 3}, "unknown keys level"),
    ],
)
def test_options_that_cannot_be_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        ChunkOptions.from_json(given)
