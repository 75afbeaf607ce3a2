"""Reads side information by SPEC.md alone: an independent range decoder in plain Python."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.integers import pack_integers

PRECISION = 24
WORD = 0xFFFFFFFF
STATE = 0xFFFFFFFFFFFFFFFF


class SpecRangeDecoder:
    """SPEC.md, "Range coder"."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % 4 == 0
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.position = 0
        self.low, self.range = 0, STATE
        self.point = self.next_word() << 32 | self.next_word()

    def next_word(self) -> int:
        word = self.words[self.position] if self.position < len(self.words) else 0
        self.position += 1
        return word

    def symbol(self, starts: list[int]) -> int:
        """Read a symbol whose cumulative bounds of 2**24 are `starts`, the end included."""
        unit = self.range >> PRECISION
        quantile = ((self.point - self.low) & STATE) // unit
        assert quantile < starts[-1]
        index = max(i for i in range(len(starts) - 1) if starts[i] <= quantile)
        self.low = (self.low + unit * starts[index]) & STATE
        self.range = unit * (starts[index + 1] - starts[index])
        if self.range <= WORD:
            self.low = self.low << 32 & STATE
            self.range <<= 32
            self.point = (self.point << 32 & STATE) | self.next_word()
        return index


def table_starts(counts: list[int]) -> list[int]:
    total = float(sum(counts))
    scale = (2.0**PRECISION - len(counts)) / total
    starts, before = [], 0.0
    for index, count in enumerate(counts):
        starts.append(math.floor(before * scale) + index)
        before += count
    return [*starts, 2**PRECISION]


def uniform_starts(size: int) -> list[int]:
    each = 2**PRECISION // size
    return [*(each * index for index in range(size)), 2**PRECISION]


def read_varint(data: bytes) -> tuple[int, int]:
    value = shift = position = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def read_side_information(data: bytes) -> list[int]:
    count, position = read_varint(data)
    size = data[position]
    levels = data[position + 1 : position + 1 + size]
    present = [index for index, level in enumerate(levels) if level]
    decoder = SpecRangeDecoder(data[position + 1 + size :])
    starts = table_starts([2 ** (levels[index] - 1) for index in present] or [1])
    coded = len(present) > 1
    lengths = [present[decoder.symbol(starts) if coded else 0] for _ in range(count)]
    values = [1 << length - 1 if length else 0 for length in lengths]
    for shift in (0, 12, 24):
        for index, length in enumerate(lengths):
            bits = min(12, length - 1 - shift)
            if bits > 0:
                values[index] += decoder.symbol(uniform_starts(1 << bits)) << shift
    return [value // 2 if value % 2 == 0 else -(value + 1) // 2 for value in values]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(-(2**20), 2**20), max_size=40))
def test_side_information_reads_by_the_specification(values: list[int]) -> None:
    assert read_side_information(pack_integers(values)) == values


def test_skewed_tables_read_by_the_specification() -> None:
    values = [0] * 500 + [1, -1] * 100 + [7, -90, 4000, 2**32 - 1, -(2**32) + 1] + [0] * 500
    assert read_side_information(pack_integers(values)) == values
