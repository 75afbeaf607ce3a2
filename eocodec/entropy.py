"""Entropy coding: constriction's range coder driven by tables of integer counts.

A table is a list of positive integer counts below 2**24, one a symbol, so that building it is exact everywhere.
Symbols are coded in runs that share a table, which is what the range coder does fastest: callers sort symbols
by context class. Bytes are the range coder's 32-bit words, big-endian, as few as tell the symbols.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError

IntArray = npt.NDArray[np.int32]

_MODELS = constriction.stream.model
_UNIFORM = _MODELS.Uniform()
_ESCAPE_BITS = 31
_WORD_BITS = 32


def _categorical(counts: npt.NDArray[Any]) -> Any:
    return _MODELS.Categorical(np.asarray(counts, np.float64), lazy=False, perfect=False)


def code_lengths(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Ideal code lengths in bits of the symbols of tables of counts (…, symbols)."""
    lengths: npt.NDArray[np.float64] = -np.log2(counts / counts.sum(axis=-1, keepdims=True))
    return lengths


def to_unsigned(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return signed integers as unsigned ones: 0, -1, 1, -2, 2 as 0, 1, 2, 3, 4."""
    codes: npt.NDArray[np.int64] = 2 * np.abs(values) - (values < 0)
    return codes


def to_signed(codes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Undo :func:`to_unsigned`."""
    codes = codes.astype(np.int64)
    return np.where(codes & 1, -((codes + 1) // 2), codes // 2)


class SymbolEncoder:
    """Range encoder of one byte string."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: npt.NDArray[Any], counts: npt.NDArray[Any]) -> None:
        """Append symbols (any shape, values 0 to len(counts) - 1) coded with one table."""
        if symbols.size and len(counts) > 1:
            self._coder.encode(
                np.ascontiguousarray(symbols, np.int32).ravel(), _categorical(counts)
            )

    def encode_uniform(self, symbols: npt.NDArray[Any], sizes: npt.NDArray[Any] | int) -> None:
        """Append symbols that are uniform on 0 to size - 1, with 2 <= size <= 2**24."""
        if symbols.size:
            array = np.broadcast_to(np.asarray(sizes, np.int32), symbols.shape)
            self._coder.encode(np.asarray(symbols, np.int32), _UNIFORM, np.ascontiguousarray(array))

    def encode_unbounded(self, values: npt.NDArray[Any], counts: IntArray | None = None) -> None:
        """Append non-negative integers below 2**31 - 1 by Elias gamma code (rare, large values).

        ``counts`` (31,) is the table of their lengths, which are uniform without one.
        """
        if not values.size:
            return
        plus = values.astype(np.int64) + 1
        lengths = np.frexp(plus.astype(np.float64))[1] - 1
        if counts is None:
            self.encode_uniform(lengths, _ESCAPE_BITS)
        else:
            self.encode(lengths, counts)
        for shift in (0, 12, 24):
            bits = np.clip(lengths - shift, 0, 12)
            part = (plus >> shift) & ((1 << bits) - 1)
            some = bits > 0
            self.encode_uniform(part[some], (1 << bits)[some])

    def finish(self) -> bytes:
        """Return the bytes: the shortest ones in the interval that the symbols leave, zeros following."""
        words: npt.NDArray[np.uint32] = self._coder.get_compressed()
        position, (lower, spread) = self._coder.pos()
        bits = _WORD_BITS * (position + 2)
        point = int.from_bytes(words.astype(">u4").tobytes(), "big")
        point <<= bits - _WORD_BITS * len(words)
        first = point - (point - lower) % 2 ** (2 * _WORD_BITS)
        size = max(0, _WORD_BITS * position // 8 - 1)
        while True:
            unit = bits - 8 * size
            shortest: int = -(-first >> unit)
            if shortest << unit < first + spread:
                return shortest.to_bytes(size, "big")
            size += 1


class SymbolDecoder:
    """Range decoder of one byte string; mirrors the calls of the encoder.

    Bytes that no encoder produced decode to arbitrary symbols within their tables, or raise.

    Raises
    ------
    FormatError
        The bytes are invalid for a table.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        whole = bytes(data) + bytes(-len(data) % (_WORD_BITS // 8))
        words = np.frombuffer(whole, ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def _decode(self, *arguments: Any) -> IntArray:
        try:
            out: IntArray = self._coder.decode(*arguments)
        except (AssertionError, ValueError) as error:
            raise FormatError(f"invalid range-coded data: {error}") from error
        return out

    def decode(self, number: int, counts: npt.NDArray[Any]) -> IntArray:
        """Read symbols coded with one table."""
        if number == 0 or len(counts) == 1:
            return np.zeros(number, np.int32)
        return self._decode(_categorical(counts), number)

    def decode_uniform(self, sizes: npt.NDArray[Any]) -> IntArray:
        """Read a symbol for each of the sizes."""
        if not sizes.size:
            return np.zeros(0, np.int32)
        return self._decode(_UNIFORM, np.ascontiguousarray(sizes, np.int32))

    def decode_unbounded(
        self, number: int, counts: IntArray | None = None
    ) -> npt.NDArray[np.int64]:
        """Read what :meth:`SymbolEncoder.encode_unbounded` wrote."""
        if counts is None:
            lengths = self.decode_uniform(np.full(number, _ESCAPE_BITS)).astype(np.int64)
        else:
            lengths = self.decode(number, counts).astype(np.int64)
        plus = np.left_shift(1, lengths)
        for shift in (0, 12, 24):
            bits = np.clip(lengths - shift, 0, 12)
            some = bits > 0
            plus[some] += self.decode_uniform((1 << bits)[some]).astype(np.int64) << shift
        return plus - 1
