"""What a chunk was, where its tiles alone do not tell: its shape and the roles of its axes, before them.

Little-endian::

    u8 254 | u8 axes | u8 role of each | u32 positions of each | u32 CRC-32C of all before it | tiles

No tile payload and no stack of them begins with 254. The codec of numcodecs needs this: it is not told the
shape of a chunk when it decodes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eocodec.errors import ChecksumError, FormatError, TruncatedError
from eocodec.formats.chunk_axes import ChunkAxes, Role
from eocodec.formats.chunks import decode_tiles
from eocodec.payload import Buffer, crc32c

Array = npt.NDArray[Any]

_MARK = 254
_PLAIN = ChunkAxes((Role.BAND, Role.ROW, Role.COLUMN))
_PLAIN_STACK = ChunkAxes((Role.TILE, *_PLAIN.roles))


@dataclass(frozen=True)
class ChunkShape:
    """The shape of a chunk and its axes."""

    axes: ChunkAxes
    shape: tuple[int, ...]

    @classmethod
    def plain(
        cls, extents: tuple[int, int, int, int], axes: ChunkAxes | None = None
    ) -> Self | None:
        """Return what tiles are without a word of it; None where they cannot tell.

        Parameters
        ----------
        extents : tuple of int
            Tiles, bands, rows and columns.
        axes : ChunkAxes, optional
            Of the chunk, where names tell them. By default (tiles, bands, rows, columns), without the first
            where there is one tile. Of neighbours of one role the first is taken to have all positions.
        """
        if axes is None:
            axes = _PLAIN if extents[Role.TILE] == 1 else _PLAIN_STACK
        roles = axes.roles
        apart = [role for i, role in enumerate(roles) if i == 0 or role is not roles[i - 1]]
        shape = tuple(1 if role in roles[:i] else extents[role] for i, role in enumerate(roles))
        fits = len(apart) == len(set(apart)) and axes.extents(shape) == tuple(extents)
        return cls(axes, shape) if fits else None

    def told_by_tiles(self, *, named: bool) -> bool:
        """Whether the tiles alone tell this, to a decoder that knows the names of the axes or not."""
        told = self.plain(self.axes.extents(self.shape), self.axes if named else None)
        return told == self

    def dump(self) -> bytes:
        """Return the bytes before the tiles."""
        axes = len(self.shape)
        head = struct.pack(
            f"<BB{axes}B{axes}I", _MARK, axes, *map(int, self.axes.roles), *self.shape
        )
        return head + struct.pack("<I", crc32c(head))

    def unfold(self, tiles: Array) -> Array:
        """Return tiles, (tiles, bands, rows, columns), as the chunk in C order.

        Raises
        ------
        FormatError
            When they are none of such a chunk.
        """
        if self.axes.extents(self.shape) != tiles.shape:
            raise FormatError(f"tiles of {tiles.shape} samples are no chunk of {self.shape}")
        return np.ascontiguousarray(self.axes.unfold(tiles, self.shape)).reshape(self.shape)


def parse_chunk_shape(chunk: Buffer) -> tuple[ChunkShape | None, memoryview]:
    """Return what the bytes of a chunk say about its shape, if they do, and its tiles.

    Raises
    ------
    TruncatedError, ChecksumError, FormatError
        When what they say is cut, damaged or cannot be.
    """
    view = memoryview(chunk).cast("B")
    if not len(view) or view[0] != _MARK:
        return None, view
    axes = view[1] if len(view) > 1 else 0
    end = 2 + 5 * axes
    if len(view) < end + 4:
        raise TruncatedError("the chunk ends inside its shape")
    if crc32c(view[:end]) != int.from_bytes(view[end : end + 4], "little"):
        raise ChecksumError("the shape of the chunk does not match its CRC-32C")
    numbers = struct.unpack_from(f"<{axes}B{axes}I", view, 2)
    if any(role not in set(Role) for role in numbers[:axes]):
        raise FormatError("the shape of the chunk has an axis of no known role")
    found = ChunkShape(ChunkAxes(tuple(map(Role, numbers[:axes]))), numbers[axes:])
    return found, view[end + 4 :]


def decode_chunk(chunk: Buffer, axes: ChunkAxes | None = None) -> Array:
    """Return a chunk, in the shape that its bytes tell.

    Parameters
    ----------
    chunk : bytes-like
        The chunk.
    axes : ChunkAxes, optional
        Its axes, where names tell them, as `ChunkShape.plain`.

    Raises
    ------
    FormatError, UnsupportedError, ModelError
        When the bytes cannot be decoded.
    """
    told, data = parse_chunk_shape(chunk)
    tiles = decode_tiles(data)
    told = told or ChunkShape.plain(tiles.shape, axes)
    if told is None:
        raise FormatError(f"tiles of {tiles.shape} samples are no chunk of these axes")
    return told.unfold(tiles)
