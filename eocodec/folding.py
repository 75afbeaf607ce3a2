"""Tiles of many tiny planes seen along other axes: a plane a position, with the stack as its area.

Columns of the atmosphere at several times are (times · levels, rows, columns) with few rows and columns.
Folded, such a tile has rows · columns planes of (times, levels). SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Most positions that become planes.
MAX_FOLDED = 4096
# A fold is tried for planes of at most so many samples, and must have so much more along the stack.
_TINY_PLANE = 64
_LONGER = 4


def fold(tile: Array, period: int) -> Array:
    """Return `tile` (C, H, W) as (H · W, C / period, period); a period of 0 changes nothing."""
    if not period:
        return tile
    bands, height, width = tile.shape
    folded = tile.reshape(bands // period, period, height * width)
    return np.ascontiguousarray(folded.transpose(2, 0, 1))


def unfold(tile: Array, shape: tuple[int, int, int], period: int) -> Array:
    """Return the tile of `shape` (C, H, W) that `fold` made `tile` of."""
    if not period:
        return tile
    return np.ascontiguousarray(tile.transpose(1, 2, 0)).reshape(shape)


def folded_shape(shape: tuple[int, int, int], period: int) -> tuple[int, int, int]:
    """Return the shape of a folded tile of `shape` (C, H, W)."""
    bands, height, width = shape
    return (height * width, bands // period, period) if period else shape


def folds_to_try(tile: Array) -> list[int]:
    """Return periods, 0 among them where leaving `tile` (C, H, W) as it is may be the best."""
    bands, height, width = tile.shape
    area = height * width
    if area > _TINY_PLANE or bands < _LONGER * max(height, width):
        return [0]
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.diff(np.nan_to_num(tile.astype(np.float64)), axis=0)
        # Where a time ends the stack jumps; one period apart the jumps are alike.
        apart = {
            period: float(((steps[period:] - steps[:-period]) ** 2).mean())
            for period in range(2, bands // 2 + 1)
            if bands % period == 0
        }
    periods = [bands]
    if apart:
        periods.insert(0, min(apart, key=lambda period: apart[period]))
    return periods
