"""The bytes of a chunk: one tile payload, or a stack of them where the chunk folds to several tiles.

A stack is a table and the payloads after it, in C order of the axes that give tiles (little-endian)::

    u8 255 | u32 tiles | u32 bytes of each | u32 CRC-32C of all before it | payloads

No tile payload begins with 255, so the bytes alone tell which of the two they are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import ChecksumError, FormatError, InputError, LimitError, TruncatedError
from eocodec.payload import MAX_TILE_SAMPLES, Buffer, crc32c, dtype_code, parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

Array = npt.NDArray[Any]
Shape = tuple[int, int, int, int]

MAX_CHUNK_SAMPLES = MAX_TILE_SAMPLES
_STACK = 255
_COUNT = struct.Struct("<BI")


def table_size(tiles: int) -> int:
    """Bytes of the table of a stack of `tiles`."""
    return _COUNT.size + 4 * tiles + 4


def encode_tiles(tiles: Array, settings: EncodeSettings) -> bytes:
    """Return the bytes of a chunk.

    Parameters
    ----------
    tiles : ndarray, (tiles, bands, rows, columns)
        The folded chunk.
    settings : EncodeSettings
        What every tile must keep.

    Raises
    ------
    InputError
        When the chunk is empty, too large or of a dtype that the format lacks.
    """
    check_extents(tiles.shape, tiles.dtype)
    payloads = [encode_tile(tile, settings) for tile in tiles]
    if len(payloads) == 1:
        return payloads[0]
    sizes = struct.pack(f"<{len(payloads)}I", *(len(payload) for payload in payloads))
    table = _COUNT.pack(_STACK, len(payloads)) + sizes
    return b"".join([table, struct.pack("<I", crc32c(table)), *payloads])


def check_extents(shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Raise `InputError` unless a folded chunk of `shape` and `dtype` can be coded."""
    samples = math.prod(shape)
    if not 1 <= samples <= MAX_CHUNK_SAMPLES:
        raise InputError(
            f"a chunk holds 1 to {MAX_CHUNK_SAMPLES} samples, not {samples}; choose smaller chunks"
        )
    dtype_code(dtype)


def tile_ranges(
    buffer: Buffer, size: int | None = None, tiles: int | None = None
) -> list[tuple[int, int]]:
    """Return where the payloads lie in a chunk that begins with `buffer`.

    Parameters
    ----------
    buffer : bytes-like
        The chunk, or its table at least.
    size : int, optional
        Bytes of the chunk, where they are known.
    tiles : int, optional
        Tiles that it must hold.

    Raises
    ------
    TruncatedError, ChecksumError, FormatError
        When it holds another number of tiles, or is a stack whose table is cut, damaged or does not
        add up.
    """
    ranges = _ranges(memoryview(buffer).cast("B"), size)
    if tiles is not None and len(ranges) != tiles:
        raise FormatError(f"the chunk holds {len(ranges)} tiles, not {tiles}")
    return ranges


def _ranges(view: memoryview, size: int | None) -> list[tuple[int, int]]:
    if not len(view):
        raise TruncatedError("the chunk is empty")
    if view[0] != _STACK:
        return [(0, len(view))]
    if len(view) < _COUNT.size:
        raise TruncatedError("the chunk ends inside its table")
    _, tiles = _COUNT.unpack_from(view)
    start = table_size(tiles)
    if len(view) < start:
        raise TruncatedError(f"the chunk ends at byte {len(view)}, its table at {start}")
    table = bytes(view[: start - 4])
    if crc32c(table) != int.from_bytes(view[start - 4 : start], "little"):
        raise ChecksumError("the table of the chunk does not match its CRC-32C")
    ends = start + np.cumsum(np.frombuffer(table, "<u4", offset=_COUNT.size), dtype=np.int64)
    if tiles < 2 or (size is not None and ends[-1] != size):
        raise FormatError(f"the chunk's table of {tiles} tiles does not fit its {size} bytes")
    return list(zip([start, *ends[:-1].tolist()], ends.tolist(), strict=True))


def decode_tiles(buffer: Buffer, extents: Shape | None = None) -> Array:
    """Return the tiles of a chunk, (tiles, bands, rows, columns).

    Parameters
    ----------
    buffer : bytes-like
        The chunk.
    extents : tuple of int, optional
        The shape to return, where tiles may be cut: zeros fill them up. By default the tiles tell it.

    Raises
    ------
    FormatError, UnsupportedError, ModelError
        When the bytes cannot be decoded, or do not fit `extents`.
    """
    view = memoryview(buffer).cast("B")
    ranges = tile_ranges(view, len(view), None if extents is None else extents[0])
    head = parse_head(view[slice(*ranges[0])])
    shape = (len(ranges), *head.shape) if extents is None else extents
    if math.prod(shape) > MAX_CHUNK_SAMPLES:
        raise LimitError(f"a chunk of {shape} samples is above {MAX_CHUNK_SAMPLES}")
    out = np.zeros(shape, head.dtype.newbyteorder("="))
    payloads = ((i, view[slice(*span)]) for i, span in enumerate(ranges))
    place_tiles(payloads, out, cut=extents is not None)
    return out


def place_tiles(payloads: Iterable[tuple[int, Buffer]], out: Array, *, cut: bool = False) -> None:
    """Decode payloads into their places of `out`, (tiles, bands, rows, columns).

    Parameters
    ----------
    payloads : iterable of (int, bytes-like)
        Number and payload of each tile.
    out : ndarray
        Where to put them.
    cut : bool
        Whether tiles may have fewer bands, rows or columns, as at the far edges of an array; they
        are the first ones, and the rest of `out` is left as it is.

    Raises
    ------
    FormatError, UnsupportedError, ModelError
        When one cannot be decoded, or is a tile of another shape or dtype.
    """
    for number, payload in payloads:
        head = parse_head(payload)
        bands, rows, columns = head.shape
        place = out[number, :bands, :rows, :columns]
        fits = place.shape == head.shape and (cut or place.shape == out.shape[1:])
        if not fits or head.dtype != out.dtype.newbyteorder("<"):
            raise FormatError(
                f"the chunk holds a tile of {head.shape} {head.dtype.name} samples, "
                f"not {out.shape[1:]} {out.dtype.name}"
            )
        place[...] = decode_tile(payload)
