"""The tile index at the end of a container: where each tile and each of its layers lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eocodec.errors import FormatError, LimitError
from eocodec.payload import MAX_LAYERS, put_varint

Ints = NDArray[np.int64]

END_OF_RECORDS = 0
# A tile takes at least four one-byte varints and a CRC in the index.
MIN_ENTRY_SIZE = 8
_MAX_VARINT_BYTES = 9


@dataclass(frozen=True)
class TileEntry:
    """Where one tile lies: bytes from `offset`, the head first, then its layers.

    Attributes
    ----------
    offset : int
        First byte of the payload, from the start of the file.
    head_size : int
        Bytes of the payload's head.
    layer_sizes : tuple of int
        Bytes of each layer, in stage order.
    head_crc : int
        CRC-32C of the head without its last four bytes, which hold the same number.
    """

    offset: int
    head_size: int
    layer_sizes: tuple[int, ...]
    head_crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole payload."""
        return self.head_size + sum(self.layer_sizes)

    def prefix_size(self, layers: int | None) -> int:
        """Bytes that the head and the first `layers` layers take (None: all)."""
        return self.head_size + sum(self.layer_sizes[:layers])


@dataclass(frozen=True)
class ArrayIndex:
    """The entries of one array's tiles, as columns; row i is tile i."""

    offsets: Ints
    head_sizes: Ints
    layer_starts: Ints
    layer_sizes: Ints
    head_crcs: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, tile: int) -> TileEntry:
        first, last = int(self.layer_starts[tile]), int(self.layer_starts[tile + 1])
        return TileEntry(
            int(self.offsets[tile]),
            int(self.head_sizes[tile]),
            tuple(self.layer_sizes[first:last].tolist()),
            int(self.head_crcs[tile]),
        )

    @property
    def layer_counts(self) -> Ints:
        """Number of layers of each tile."""
        return np.diff(self.layer_starts)

    def layer_totals(self) -> list[int]:
        """Bytes of layer 1, 2, ... summed over the tiles."""
        place = np.arange(len(self.layer_sizes)) - np.repeat(
            self.layer_starts[:-1], self.layer_counts
        )
        depth = int(self.layer_counts.max())
        return [int(self.layer_sizes[place == k].sum()) for k in range(depth)]


def leader_sizes(array: int, tiles: int, payload_sizes: Ints) -> Ints:
    """Bytes of the record leaders of tiles 0..tiles-1 of an array."""
    sizes = _varint_sizes(np.arange(tiles, dtype=np.int64)) + _varint_sizes(payload_sizes)
    return sizes + len(put_varint(array + 1))


def build_index(arrays: Sequence[Sequence[TileEntry]], records_start: int) -> bytes:
    """The index section, from the end-of-records byte to the last CRC.

    Parameters
    ----------
    arrays : sequence of sequences of TileEntry
        The tiles of each array in order of their numbers.
    records_start : int
        Offset of the first tile record.
    """
    out = bytearray([END_OF_RECORDS])
    end = records_start
    for number, entries in enumerate(arrays):
        sizes = np.array([entry.size for entry in entries], np.int64)
        leaders = leader_sizes(number, len(entries), sizes).tolist()
        for entry, leader in zip(entries, leaders, strict=True):
            delta = entry.offset - leader - end
            out += put_varint(delta << 1 if delta >= 0 else ~(delta << 1))
            end = entry.offset + entry.size
        for entry in entries:
            out += put_varint(entry.head_size)
        for entry in entries:
            out += put_varint(len(entry.layer_sizes))
        for entry in entries:
            for size in entry.layer_sizes:
                out += put_varint(size)
        out += np.array([entry.head_crc for entry in entries], "<u4").tobytes()
    return bytes(out)


def parse_index(
    section: bytes, tile_counts: Sequence[int], records_start: int, records_end: int
) -> list[ArrayIndex]:
    """Read the index section and check that the records fill their region without gap or overlap.

    Parameters
    ----------
    section : bytes
        The index section, its CRC-32C already checked.
    tile_counts : sequence of int
        Tiles of each array, from the header.
    records_start, records_end : int
        The region of the tile records: from the header's end to the index.

    Raises
    ------
    LimitError
        The header declares more tiles than the index can hold.
    FormatError
        The index contradicts itself or the file.
    """
    if sum(tile_counts) * MIN_ENTRY_SIZE + 1 > len(section):
        raise LimitError(
            f"the header declares {sum(tile_counts)} tiles, but the index has only "
            f"{len(section)} bytes"
        )
    if section[0] != END_OF_RECORDS:
        raise FormatError("the index does not start with the end-of-records byte")
    columns = _Columns(section)
    room = records_end - records_start
    arrays: list[ArrayIndex] = []
    starts, ends = [], []
    end = records_start
    for number, tiles in enumerate(tile_counts):
        zigzag = columns.varints(tiles)
        deltas = (zigzag >> 1) ^ -(zigzag & 1)
        heads = columns.varints(tiles, room)
        counts = columns.varints(tiles, MAX_LAYERS)
        layers = columns.varints(int(counts.sum()), room)
        crcs = columns.words(tiles)
        if counts.min() < 1:
            raise FormatError(f"the index gives a tile of array {number} no layer")
        if float(heads.sum(dtype=float)) + float(layers.sum(dtype=float)) > 1.01 * room:
            raise FormatError("the index declares more bytes of tiles than the file has")
        layer_starts = np.concatenate([[0], np.cumsum(counts)])
        layer_ends = np.concatenate([[0], np.cumsum(layers)])
        sizes = heads + np.diff(layer_ends[layer_starts])
        leaders = leader_sizes(number, tiles, sizes)
        after = np.cumsum(deltas) + np.cumsum(leaders + sizes) + end
        arrays.append(ArrayIndex(after - sizes, heads, layer_starts, layers, crcs))
        starts.append(after - sizes - leaders)
        ends.append(after)
        end = int(after[-1])
    columns.finish()
    all_starts, all_ends = np.sort(np.concatenate(starts)), np.sort(np.concatenate(ends))
    gapless = np.array_equal(all_starts[1:], all_ends[:-1])
    if not gapless or all_starts[0] != records_start or all_ends[-1] != records_end:
        raise FormatError("the tile records do not fill the file between header and index exactly")
    return arrays


def _varint_sizes(values: Ints) -> Ints:
    sizes = np.ones(len(values), np.int64)
    for k in range(1, _MAX_VARINT_BYTES):
        sizes += values >= 1 << 7 * k
    return sizes


class _Columns:
    """Reads columns of varints and of 32-bit words, vectorised, from the index section."""

    def __init__(self, section: bytes):
        self._bytes = np.frombuffer(section, np.uint8)
        self._at = 1

    def varints(self, count: int, largest: int = (1 << 63) - 1) -> Ints:
        data = self._bytes[self._at : self._at + count * _MAX_VARINT_BYTES]
        ends = np.flatnonzero(data < 0x80)[:count] + 1
        if len(ends) < count:
            raise FormatError("the index is too short or holds a number beyond 63 bits")
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
        sizes = ends - starts
        if count and sizes.max() > _MAX_VARINT_BYTES:
            raise FormatError("the index holds a number beyond 63 bits")
        if np.any((sizes > 1) & (data[ends - 1] == 0)):
            raise FormatError("the index holds a number that is not in its shortest form")
        values = np.zeros(count, np.int64)
        for k in range(int(sizes.max()) if count else 0):
            longer = sizes > k
            values[longer] |= (data[starts[longer] + k] & 0x7F).astype(np.int64) << 7 * k
        if np.any(values > largest):
            raise FormatError("the index declares a size that does not fit the file")
        self._at += int(ends[-1]) if count else 0
        return values

    def words(self, count: int) -> NDArray[np.uint32]:
        data = self._bytes[self._at : self._at + 4 * count]
        if len(data) < 4 * count:
            raise FormatError("the index is too short")
        self._at += 4 * count
        return np.frombuffer(data.tobytes(), "<u4").astype(np.uint32)

    def finish(self) -> None:
        if self._at != len(self._bytes):
            raise FormatError(f"the index has {len(self._bytes) - self._at} bytes too many")
