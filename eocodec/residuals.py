"""Entropy coding of prediction residuals by context class.

The expected magnitude of a residual (in 1/256, from `PassContext.scale`) picks its class; each
class has one symmetric table, sent as a few log-probabilities at fixed knots. Residuals of large
classes send their low bits plainly. SPEC.md, "Residual classes and tables", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.integers import IntegerReader
from eocodec.residual_tables import KNOTS, MAX_LEVEL, Table, build_table, fit_table

IntArray = npt.NDArray[Any]

NARROW_CLASS_BITS = 24
WIDE_CLASS_BITS = 48
_LOWEST_OCTAVE = 3
_PLAIN_FROM_OCTAVE = 11
_CHUNK_BITS = 12

_DEFAULT_SLOPE = 189091  # round(256 * 64 * 8 * log2(e))


@dataclass(frozen=True)
class ClassScheme:
    """How magnitudes map to classes: 2**octave_bits classes an octave."""

    octave_bits: int
    wide: bool

    @property
    def count(self) -> int:
        """Number of classes."""
        return self.copied + 1

    @property
    def copied(self) -> int:
        """The class of samples predicted to repeat a neighbour, after those of the magnitudes."""
        bits = WIDE_CLASS_BITS if self.wide else NARROW_CLASS_BITS
        return (bits - _LOWEST_OCTAVE) << self.octave_bits

    def classify(self, scale: IntArray) -> npt.NDArray[np.uint8]:
        """Return the class of each magnitude (in 1/256)."""
        # The top bits of a float are the octave and its fraction; these integers convert exactly.
        lowest = 1 << _LOWEST_OCTAVE
        if self.wide:
            clipped = np.clip(scale, lowest, (1 << WIDE_CLASS_BITS) - 1)
            bits = clipped.astype(np.float64).view(np.int64) >> (52 - self.octave_bits)
            bits -= (1023 + _LOWEST_OCTAVE) << self.octave_bits
        else:
            clipped = np.clip(scale, lowest, (1 << NARROW_CLASS_BITS) - 1)
            bits = clipped.astype(np.float32).view(np.int32) >> (23 - self.octave_bits)
            bits -= (127 + _LOWEST_OCTAVE) << self.octave_bits
        return bits.astype(np.uint8)

    def plain_bits(self) -> IntArray:
        """Return, for every class, the number of low bits that are sent plainly."""
        octaves = (np.arange(self.count) >> self.octave_bits) + _LOWEST_OCTAVE
        bits: IntArray = np.maximum(octaves - _PLAIN_FROM_OCTAVE, 0)
        bits[self.copied] = 0
        return bits

    def default_slope(self, index: int) -> int:
        """Return the log-probability slope (in 1/64 eighth-octaves a step) of an unsent table."""
        if index == self.copied:
            index = 0
        octave = (index >> self.octave_bits) + _LOWEST_OCTAVE
        part = (1 << self.octave_bits) + (index & ((1 << self.octave_bits) - 1))
        scale = (part << octave) >> self.octave_bits
        return _DEFAULT_SLOPE // (scale >> max(0, octave - _PLAIN_FROM_OCTAVE))


@dataclass(frozen=True)
class SortedPass:
    """Residuals of one pass sorted by class, and (class, count) runs."""

    residuals: IntArray
    runs: list[tuple[int, int]]


def sort_pass(classes: npt.NDArray[np.uint8], residuals: IntArray) -> SortedPass:
    """Return `residuals` (flat) sorted by their `classes`, keeping the order within a class."""
    order, runs = _runs(classes)
    return SortedPass(residuals if order is None else residuals[order], runs)


class ResidualModel:
    """The tables of a tile and the scheme that picks among them."""

    def __init__(self, scheme: ClassScheme, tables: dict[int, Table]) -> None:
        self.scheme = scheme
        self.plain = scheme.plain_bits()
        self.limits = np.zeros(scheme.count, np.int64)
        self._tables = tables
        for index, table in tables.items():
            self.limits[index] = table.limit

    @classmethod
    def fit(cls, scheme: ClassScheme, passes: list[SortedPass]) -> ResidualModel:
        """Return the model that codes `passes` well."""
        plain = scheme.plain_bits()
        parts: dict[int, list[IntArray]] = {}
        for ordered in passes:
            start = 0
            for key, count in ordered.runs:
                parts.setdefault(key, []).append(ordered.residuals[start : start + count])
                start += count
        tables: dict[int, Table] = {}
        for key, pieces in parts.items():
            values = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
            shift = int(plain[key])
            if shift:
                values = (values + (1 << shift >> 1)) >> shift
            tables[key] = fit_table(values, scheme.default_slope(key))
        return cls(scheme, tables)

    def side_integers(self) -> list[int]:
        """Return the tables as side information."""
        sent = {index: table for index, table in self._tables.items() if table.levels}
        out = [len(sent)]
        previous = -1
        for index in sorted(sent):
            levels = sent[index].levels
            out += [index - previous - 1, len(levels) - 3]
            out += [right - left for left, right in zip((0, *levels), levels, strict=False)]
            previous = index
        return out

    @classmethod
    def parse(cls, scheme: ClassScheme, side: IntegerReader) -> ResidualModel:
        """Return the model that `side_integers` wrote; classes without a table take the default."""
        tables = {}
        index = -1
        for _ in range(side.take(0, scheme.count)):
            index += 1 + side.take(0, scheme.count)
            if index >= scheme.count:
                raise FormatError(f"residual class {index} does not exist")
            steps = side.take_many(3 + side.take(0, len(KNOTS) - 2))
            levels = tuple(int(level) for level in np.cumsum(steps))
            if min(levels) < 0 or max(levels) > MAX_LEVEL:
                raise FormatError("residual table has a level out of range")
            tables[index] = build_table(levels, 0)
        return cls(scheme, tables)

    def _table(self, index: int) -> Table:
        if index not in self._tables:
            self._tables[index] = build_table((), self.scheme.default_slope(index))
            self.limits[index] = self._tables[index].limit
        return self._tables[index]

    def encode(self, encoder: SymbolEncoder, ordered: SortedPass) -> None:
        """Append the residuals of one pass."""
        start = 0
        escapes, plains, sizes = [], [], []
        for index, count in ordered.runs:
            table, shift = self._table(index), int(self.plain[index])
            part = ordered.residuals[start : start + count]
            start += count
            if shift:
                shifted = part + (1 << shift >> 1)
                part = shifted >> shift
                plains.append(shifted & ((1 << shift) - 1))
                sizes.append(np.full(count, shift))
            if int(part.min()) <= -table.limit or int(part.max()) >= table.limit:
                magnitudes = np.abs(part)
                large = magnitudes[magnitudes >= table.limit].astype(np.int64)
                escapes.append(large - table.limit)
                part = np.clip(part, -table.limit, table.limit)
            encoder.encode(part + table.limit, table.counts)
        if escapes:
            beyond = np.concatenate(escapes)
            if self.scheme.wide:
                encoder.encode_uniform(beyond & 0xFFFF, 1 << 16)
                beyond >>= 16
            encoder.encode_unbounded(beyond)
        if plains:
            bits, low = np.concatenate(sizes), np.concatenate(plains)
            for position in range(0, int(bits.max()), _CHUNK_BITS):
                number = np.clip(bits - position, 0, _CHUNK_BITS)
                some = number > 0
                chunk = (low >> position) & ((1 << number) - 1)
                encoder.encode_uniform(chunk[some], (1 << number)[some])

    def decode(
        self, decoder: SymbolDecoder, classes: npt.NDArray[np.uint8], dtype: npt.DTypeLike
    ) -> IntArray:
        """Read the residuals of one pass, in the order of `classes`."""
        order, runs = _runs(classes)
        ordered = np.empty(len(classes), dtype)
        start = 0
        for index, count in runs:
            table = self._table(index)
            symbols = decoder.decode(count, table.counts)
            np.subtract(symbols, table.limit, out=ordered[start : start + count])
            start += count
        numbers = [count for _, count in runs]
        indices = [index for index, _ in runs]
        limits = np.repeat(self.limits[indices], numbers)
        escaped = np.flatnonzero(np.abs(ordered) == limits)
        if escaped.size:
            self._decode_escapes(decoder, ordered, escaped)
        plain = self.plain[indices]
        if plain.any():
            bits = np.repeat(plain, numbers)
            low = np.zeros(len(ordered), dtype)
            for position in range(0, int(plain.max()), _CHUNK_BITS):
                number = np.clip(bits - position, 0, _CHUNK_BITS)
                some = number > 0
                low[some] += (decoder.decode_uniform((1 << number)[some])).astype(dtype) << position
            ordered = (ordered << bits.astype(dtype)) + low - (1 << bits >> 1).astype(dtype)
        if order is None:
            return ordered
        out = np.empty_like(ordered)
        out[order] = ordered
        return out

    def _decode_escapes(
        self, decoder: SymbolDecoder, ordered: IntArray, escaped: npt.NDArray[np.intp]
    ) -> None:
        beyond = np.zeros(len(escaped), np.int64)
        if self.scheme.wide:
            beyond += decoder.decode_uniform(np.full(len(escaped), 1 << 16))
        high = decoder.decode_unbounded(len(escaped))
        if int(high.max()) > 1 << 17:
            raise FormatError("predictive layer has a residual out of range")
        beyond += high << (16 if self.scheme.wide else 0)
        ordered[escaped] += np.sign(ordered[escaped]) * beyond.astype(ordered.dtype)


def _runs(
    classes: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.intp] | None, list[tuple[int, int]]]:
    """Return the order that sorts samples by class (None: they are), and (class, count) runs."""
    counts = np.bincount(classes)
    used = np.flatnonzero(counts)
    runs = [(int(index), int(counts[index])) for index in used]
    return (np.argsort(classes, kind="stable") if len(runs) > 1 else None), runs
