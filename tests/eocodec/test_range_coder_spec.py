"""Reads side information by SPEC.md alone, in plain Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.integers import pack_integers

from .range_reader import RangeReader, table, uniform


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
    decoder = RangeReader(data[position + 1 + size :])
    starts = table([2 ** (levels[index] - 1) for index in present] or [1])
    coded = len(present) > 1
    lengths = [present[decoder.take(starts) if coded else 0] for _ in range(count)]
    values = [1 << length - 1 if length else 0 for length in lengths]
    for shift in (0, 12, 24):
        for index, length in enumerate(lengths):
            bits = min(12, length - 1 - shift)
            if bits > 0:
                values[index] += decoder.take(uniform(1 << bits)) << shift
    return [value // 2 if value % 2 == 0 else -(value + 1) // 2 for value in values]


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(-(2**20), 2**20), max_size=40))
def test_side_information_reads_by_the_specification(values: list[int]) -> None:
    assert read_side_information(pack_integers(values)) == values


def test_skewed_tables_read_by_the_specification() -> None:
    values = [0] * 500 + [1, -1] * 100 + [7, -90, 4000, 2**32 - 1, -(2**32) + 1] + [0] * 500
    assert read_side_information(pack_integers(values)) == values
