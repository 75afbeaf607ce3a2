"""Symmetric probability tables of residual classes, sent as a few levels at fixed knots.

SPEC.md, "Residual classes and tables", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[Any]

KNOTS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)
MAX_LEVEL = 160
_BITS_A_STEP = 2.5
# round(2**20 * 2**(-i/8))
_EIGHTHS = (1048576, 961548, 881744, 808563, 741455, 679917, 623487, 571740)


@dataclass(frozen=True)
class Table:
    """A symmetric table: symbol s is the value s - limit, and both ends are escapes.

    Attributes
    ----------
    levels : tuple of int
        Falling probabilities at `KNOTS`, in eighth-octaves below 1, then that of one escape; empty
        for the default table of the class.
    limit : int
        Magnitude from which values escape.
    counts : ndarray of float64, (2 limit + 1,)
        Integer counts of the symbols.
    """

    levels: tuple[int, ...]
    limit: int
    counts: npt.NDArray[np.float64]


def build_table(levels: tuple[int, ...], slope: int) -> Table:
    """Return the table of sent `levels`, or with none the default one of a class's `slope`."""
    if levels:
        knots = KNOTS[: len(levels) - 1]
        limit = knots[-1] + 1
        falls = [levels[0]]
        for left, right, first, last in zip(knots, knots[1:], levels, levels[1:], strict=False):
            width = right - left
            falls += [
                (first * (width - step) + last * step) // width for step in range(1, width + 1)
            ]
        falls.append(levels[-1])
    else:
        limit = KNOTS[-1] + 1
        while limit > 3 and (limit - 2) * slope >= MAX_LEVEL << 6:
            limit -= 1
        falls = [min(MAX_LEVEL, size * slope >> 6) for size in range(limit + 1)]
    half = np.array([max(1, _EIGHTHS[fall & 7] >> (fall >> 3)) for fall in falls], np.float64)
    return Table(levels, limit, np.concatenate([half[:0:-1], half]))


def fit_table(values: IntArray, slope: int) -> Table:
    """Return the table that codes `values` (one class, plain bits removed) well."""
    default = build_table((), slope)
    sizes = np.bincount(np.minimum(np.abs(values), KNOTS[-1] + 1), minlength=KNOTS[-1] + 2)
    tails = sizes[::-1].cumsum()[::-1]
    allowed = max(1.0, 0.0004 * len(values))
    number = next(
        n for n in range(2, len(KNOTS) + 1) if n == len(KNOTS) or tails[KNOTS[n - 1] + 1] <= allowed
    )
    knots = KNOTS[:number]
    density = sizes.astype(np.float64)
    density[1:] /= 2
    edges = [0.0, *((left + right + 1) / 2 for left, right in pairwise(knots))]
    edges.append(knots[-1] + 1.0)
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    bounds = np.interp(edges, np.arange(len(cumulative)), cumulative)
    means = np.diff(bounds) / np.diff(edges)
    parts = np.append(means, max(tails[knots[-1] + 1], 0.25) / 2)
    parts = np.maximum(parts, 0.2 / np.append(np.diff(edges), 1.0) * 0.5)
    falls = np.round(8 * np.log2(parts.max() / parts))
    levels = tuple(int(fall) for fall in np.clip(falls, 0, MAX_LEVEL))
    sent = build_table(levels, slope)
    steps = np.diff(levels, prepend=0)
    side = float(np.log2(2 * np.abs(steps) + 1).sum()) + _BITS_A_STEP * len(levels) + 4
    if coding_cost(values, sent) + side < coding_cost(values, default) + 2:
        return sent
    return default


def coding_cost(values: IntArray, table: Table) -> float:
    """Return the bits that `values` take with `table`."""
    symbols = np.clip(values, -table.limit, table.limit) + table.limit
    bits = np.log2(table.counts.sum() / table.counts)
    histogram = np.bincount(symbols, minlength=len(bits))
    escaped = histogram[0] + histogram[-1]
    return float(histogram @ bits) + 16.0 * float(escaped)
