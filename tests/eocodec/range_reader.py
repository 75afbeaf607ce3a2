"""A range decoder written from SPEC.md alone; it imports nothing of the library or of constriction."""

from __future__ import annotations

import struct
from collections.abc import Sequence


class RangeReader:
    """Decodes symbols one by one in exact integer arithmetic."""

    def __init__(self, data: bytes) -> None:
        data = bytes(data) + bytes(-len(data) % 4)
        self.words = list(struct.unpack(f">{len(data) // 4}I", data))
        self.position = 0
        self.lower = 0
        self.range = 2**64 - 1
        self.point = (self.next_word() << 32) | self.next_word()

    def next_word(self) -> int:
        """Next 32-bit word; zeros follow the last."""
        self.position += 1
        return self.words[self.position - 1] if self.position <= len(self.words) else 0

    def take(self, cumulative: Sequence[int]) -> int:
        """Decode one symbol; ``cumulative`` are the left ends of the symbols' intervals and 2**24."""
        scale = self.range >> 24
        quantile = ((self.point - self.lower) % 2**64) // scale
        assert quantile < 2**24
        symbol = 0
        while cumulative[symbol + 1] <= quantile:
            symbol += 1
        self.lower = (self.lower + scale * cumulative[symbol]) % 2**64
        self.range = scale * (cumulative[symbol + 1] - cumulative[symbol])
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = ((self.point << 32) % 2**64) | self.next_word()
        return symbol


def table(counts: Sequence[int]) -> list[int]:
    """Left ends of the intervals of a table of counts, and 2**24."""
    scale = (2**24 - len(counts)) / sum(counts)
    left, total = [], 0
    for index, count in enumerate(counts):
        left.append(int(total * scale) + index)
        total += count
    return [*left, 2**24]


def uniform(size: int) -> list[int]:
    """Left ends of the intervals of a uniform symbol, and 2**24."""
    width = 2**24 // size
    return [index * width for index in range(size)] + [2**24]
