"""Which samples of a plane are copies of one another, as nearest-neighbour resampling makes them.

Bands of one original grid share the pattern: flags tell where a sample equals its left neighbour, and
where the one above, in all of them. SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.integers import IntegerReader

BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.int64]

MAX_PATTERNS = 4
MAX_TURNS = 1 << 18
# Planes with fewer copies than this share take no part; those of one pattern agree in this share.
_FEWEST = 0.1
_AGREEMENT = 0.9
_BITS_A_TURN = 8


def find_patterns(planes: list[npt.NDArray[Any]]) -> tuple[list[BoolArray], list[int]]:
    """Return patterns, flags (2, H, W), and for each plane (H, W) 1 + its pattern, or 0 for none."""
    flags = [_equal_neighbours(plane) for plane in planes]
    counts = [int(np.count_nonzero(flag)) for flag in flags]
    numbers = [0] * len(planes)
    patterns: list[BoolArray] = []
    for index in sorted(range(len(planes)), key=lambda plane: -counts[plane]):
        size = planes[index].size
        if numbers[index] or counts[index] < _FEWEST * size or len(patterns) == MAX_PATTERNS:
            continue
        group = [
            other
            for other in range(len(planes))
            if not numbers[other]
            and np.count_nonzero(flags[index] & flags[other])
            >= _AGREEMENT * max(counts[index], counts[other])
        ]
        shared = np.logical_and.reduce([flags[member] for member in group])
        turns = len(_turns(shared[0])) + len(_turns(shared[1].T))
        if turns < MAX_TURNS and _BITS_A_TURN * turns < np.count_nonzero(shared):
            patterns.append(shared)
            for member in group:
                numbers[member] = len(patterns)
    return patterns, numbers


def _equal_neighbours(plane: npt.NDArray[Any]) -> BoolArray:
    flags = np.zeros((2, *plane.shape), bool)
    flags[0, :, 1:] = plane[:, 1:] == plane[:, :-1]
    flags[1, 1:] = plane[1:] == plane[:-1]
    return flags


def _turns(flags: BoolArray) -> npt.NDArray[np.intp]:
    """Return the places, in row order, where `flags` differ from the row before."""
    changes = flags.copy()
    changes[1:] ^= flags[:-1]
    return np.flatnonzero(changes)


def pattern_integers(pattern: BoolArray) -> list[int]:
    """Return a pattern (2, H, W) as side information."""
    out: list[int] = []
    for flags in (pattern[0], pattern[1].T):
        turns = _turns(flags)
        out += [len(turns), *(int(gap) - 1 for gap in np.diff(turns, prepend=-1))]
    return out


def parse_pattern(side: IntegerReader, height: int, width: int) -> LabelArray:
    """Return the labels (H, W) of what `pattern_integers` wrote."""
    both = []
    for shape in ((height, width), (width, height)):
        size = height * width
        gaps = np.array(side.take_many(side.take(0, min(MAX_TURNS, size))), np.int64)
        turns = np.cumsum(gaps + 1) - 1
        if len(gaps) and (gaps.min() < 0 or int(turns[-1]) >= size):
            raise FormatError("predictive layer has a copy outside its plane")
        changes = np.zeros(size, bool)
        changes[turns] = True
        both.append(np.bitwise_xor.accumulate(changes.reshape(shape), axis=0))
    return labels_of(np.stack([both[0], both[1].T]))


def labels_of(pattern: BoolArray) -> LabelArray:
    """Return labels (H, W): samples of one label are equal in every plane of the pattern (2, H, W)."""
    height, width = pattern.shape[1:]
    columns = np.broadcast_to(np.arange(width), (height, width))
    rows = np.broadcast_to(np.arange(height)[:, None], (height, width))
    start = np.maximum.accumulate(np.where(pattern[0], 0, columns), axis=1)
    top = np.maximum.accumulate(np.where(pattern[1], 0, rows), axis=0)
    labels: LabelArray = np.take_along_axis(top, start, axis=1) * width + start
    return labels
