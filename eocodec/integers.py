"""Short lists of side-information integers as bytes: entropy-coded bit lengths, then plain bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError, InputError, LimitError
from eocodec.payload import Buffer, ByteReader, put_varint

_LENGTHS = 35
_CHUNK_BITS = 12
# Both bound what hostile bytes can make a reader allocate.
_MOST_PER_BYTE = 256
MAX_INTEGERS = 1 << 22


def _weights(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the table counts 1, 2, 4, ... of levels 1, 2, 3, ..."""
    return np.left_shift(1, levels.astype(np.int64) - 1).astype(np.float64)


def pack_integers(values: Sequence[int] | npt.NDArray[np.int64]) -> bytes:
    """Return `values`, signed and each of at most 33 bits, as bytes.

    Raises
    ------
    InputError
        When there are more than `MAX_INTEGERS`.
    """
    signed = np.asarray(values, np.int64)
    if len(signed) > MAX_INTEGERS:
        raise InputError(
            f"a tile with {len(signed)} integers of side information, more than {MAX_INTEGERS}; "
            "choose smaller tiles"
        )
    zigzag = (signed << 1) ^ (signed >> 63)
    lengths = np.frexp(zigzag.astype(np.float64))[1]
    histogram = np.bincount(lengths, minlength=_LENGTHS)
    used = np.flatnonzero(histogram)
    size = int(used[-1]) + 1 if len(used) else 0
    share = histogram[:size] / max(1, histogram.max())
    levels = np.zeros(size, np.uint8)
    levels[share > 0] = np.clip(np.round(np.log2(share[share > 0])) + 15, 1, 15)
    encoder = SymbolEncoder()
    symbols = np.cumsum(levels > 0) - 1
    if len(used):
        encoder.encode(symbols[lengths], _weights(levels[levels > 0]))
    for shift in range(0, _LENGTHS, _CHUNK_BITS):
        bits = np.clip(lengths - 1 - shift, 0, _CHUNK_BITS)
        some = bits > 0
        part = (zigzag >> shift) & ((1 << bits) - 1)
        encoder.encode_uniform(part[some], (1 << bits)[some])
    packed = put_varint(len(signed)) + bytes([size]) + levels.tobytes() + encoder.finish()
    words = -(-max(0, len(signed) - _MOST_PER_BYTE * len(packed)) // (4 * _MOST_PER_BYTE))
    return packed + bytes(4 * words)


def unpack_integers(data: Buffer, limit: int) -> npt.NDArray[np.int64]:
    """Return the integers of `pack_integers`; more than `limit` raise `LimitError`."""
    reader = ByteReader(data, "side information")
    count = reader.varint()
    if count > min(limit, MAX_INTEGERS, _MOST_PER_BYTE * len(reader.view)):
        raise LimitError(f"side information declares {count} integers; too many")
    size = reader.u8()
    if size > _LENGTHS:
        raise FormatError(f"side information declares bit lengths up to {size}")
    levels = np.frombuffer(reader.take(size), np.uint8)
    if (levels > 15).any() or (count and not levels.any()):
        raise FormatError("side information has an invalid table")
    decoder = SymbolDecoder(reader.take(len(reader.view) - reader.pos))
    present = np.flatnonzero(levels).astype(np.int8)
    zigzag = np.zeros(count, np.int64)
    if count == 0:
        return zigzag
    lengths = present[decoder.decode(count, _weights(levels[levels > 0]))]
    leading = lengths > 0
    zigzag[leading] = np.left_shift(np.int64(1), lengths[leading] - 1)
    for shift in range(0, _LENGTHS, _CHUNK_BITS):
        bits = np.clip(lengths - 1 - shift, 0, _CHUNK_BITS)
        some = bits > 0
        sizes = np.left_shift(np.int32(1), bits[some])
        zigzag[some] += decoder.decode_uniform(sizes).astype(np.int64) << shift
    return (zigzag >> 1) ^ -(zigzag & 1)


class IntegerReader:
    """A cursor over unpacked side information that raises `FormatError` at its end."""

    def __init__(self, values: npt.NDArray[np.int64]) -> None:
        self._values = values
        self._pos = 0

    def take(self, low: int, high: int) -> int:
        """Return the next integer, which must lie in low..high."""
        value = self.take_many(1)[0]
        if not low <= value <= high:
            raise FormatError(f"side information holds {value} where {low} to {high} is allowed")
        return value

    def take_many(self, count: int) -> list[int]:
        """Return the next `count` integers."""
        if count < 0 or count > len(self._values) - self._pos:
            raise FormatError("side information ends early")
        self._pos += count
        taken: list[int] = self._values[self._pos - count : self._pos].tolist()
        return taken

    def finish(self) -> None:
        """Raise `FormatError` unless every integer was taken."""
        if self._pos != len(self._values):
            raise FormatError("side information has integers after its end")
