"""Levels for bounds that follow the signal: as few values as possible, one near every sample.

A sample is replaced by its nearest level and the levels are coded without loss, as ranks. Cells are laid
greedily: the level of a cell is as far above its lower end as the bound there allows, and its upper end
as far above the level as the bound allows there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
Allowed = Callable[[npt.NDArray[Any]], Float64Array]

_MOST_LEVELS = 1 << 14
# Widest range of integers whose bounds are tabulated.
_MAX_TABLE = 1 << 17
# Leaves room for rounding levels to the dtype.
_SHRINK = 1 - 2.0**-10


def find_levels(used: npt.NDArray[Any], allowed: Allowed) -> npt.NDArray[Any] | None:
    """Return rising levels such that each sample of `used` (N,) is within its bound of the nearest.

    None where they would be too many, or rounding to the dtype breaks a bound.
    """
    low, high = used.min(), used.max()
    levels: npt.NDArray[Any] | None
    if used.dtype.kind != "f" and int(high) - int(low) < _MAX_TABLE:
        levels = _integer_levels(int(low), int(high), used.dtype, allowed)
    else:
        levels = _float_levels(used, allowed)
    if levels is None or not (_distance(used, levels) <= allowed(used)).all():
        return None
    return levels


def _integer_levels(
    low: int, high: int, dtype: np.dtype[Any], allowed: Allowed
) -> npt.NDArray[Any]:
    values = np.arange(low, high + 1, dtype=np.int64)
    bound = allowed(values.astype(dtype)).astype(np.int64)
    reach = int(bound.max())
    above, below = values + bound, values - bound
    levels = []
    start = 0
    while start < len(values):
        level = min(int(above[start]), high)
        level = min(level, int(above[start : level - low + 1].min()))
        levels.append(level)
        first = level - low
        beyond = np.flatnonzero(below[first : first + reach + 2] > level)
        start = first + int(beyond[0]) if beyond.size else len(values)
    return np.array(levels).astype(dtype)


def _float_levels(used: npt.NDArray[Any], allowed: Allowed) -> npt.NDArray[Any] | None:
    size = np.abs(used.astype(np.float64))
    positive = size[size > 0]
    if not positive.size:
        return None
    start, end = float(positive.min()), float(positive.max())
    levels = []
    while start <= end:
        level = start + _SHRINK * _allowed_at(start, allowed)
        # The upper end x of the cell solves x - allowed(x) = level; the bound grows slower than x.
        upper = level
        for _ in range(4):
            upper = level + _SHRINK * _allowed_at(upper, allowed)
        levels.append(min(level, end))
        start = math.nextafter(upper, math.inf)
        if len(levels) > _MOST_LEVELS or level <= 0:
            return None
    magnitudes = np.array(levels)
    signed = [-magnitudes[::-1]] if (used < 0).any() else []
    signed += [np.zeros(1)] if (used == 0).any() else []
    signed += [magnitudes] if (used > 0).any() else []
    joined = np.concatenate(signed)
    if used.dtype.kind == "f":
        return np.unique(joined.astype(used.dtype))
    limits = np.iinfo(used.dtype)
    return np.unique(np.clip(np.rint(joined), limits.min, limits.max).astype(used.dtype))


def _allowed_at(value: float, allowed: Allowed) -> float:
    return float(allowed(np.array([value]))[0])


def _distance(used: npt.NDArray[Any], levels: npt.NDArray[Any]) -> Float64Array:
    near = levels[nearest_level(used, levels)]
    return np.abs(used.astype(np.float64) - near.astype(np.float64))


def nearest_level(samples: npt.NDArray[Any], levels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index of the level nearest to each sample; NaN takes any."""
    right = np.minimum(np.searchsorted(levels, samples), len(levels) - 1)
    left = np.maximum(right - 1, 0)
    exact = samples.astype(np.float64)
    closer = exact - levels[left].astype(np.float64) < levels[right].astype(np.float64) - exact
    return np.where(closer, left, right)
