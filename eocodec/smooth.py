"""Prediction of the smooth latents from their neighbours, within the first refinement stage.

Some latents (the block means of the spectral components above all) vary slowly over a tile, more slowly than the
tokens tell. The first stage codes them coarse to fine: every eighth position first, then those half way
between, three times. A position's smooth latents are predicted by the weighted mean of the up to four nearest
positions decoded before, and their log-scale is lowered by what the prediction explains. With blocks of levels
every block goes through its passes on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

SPACING = 8
"""Distance of the positions coded first."""


SCALE_FLOOR = -2
"""No log-scale is lowered below this; the first step has the log-scale 12."""


@dataclass(frozen=True)
class Pass:
    """Positions of a plane of the latent grid that are coded together: rows, columns and where their neighbours lie.

    ``flat`` are the positions counted row by row, over all planes of the grid.
    """

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    neighbours: tuple[tuple[int, int], ...]
    flat: npt.NDArray[np.intp]


@lru_cache(maxsize=16)
def passes(*grid: int) -> tuple[Pass, ...]:
    """Split a latent grid (h, w) or (d, h, w) into its passes: one of spacing 8, then two for each halving."""
    planes = prod(grid[:-2])
    rows, columns = np.mgrid[: grid[-2], : grid[-1]]
    found = [_select((rows % SPACING == 0) & (columns % SPACING == 0), (), planes)]
    spacing = SPACING
    while spacing > 1:
        half = spacing // 2
        odd_row, odd_column = rows % spacing == half, columns % spacing == half
        even_row, even_column = rows % spacing == 0, columns % spacing == 0
        diagonal = ((-half, -half), (-half, half), (half, -half), (half, half))
        found.append(_select(odd_row & odd_column, diagonal, planes))
        straight = ((-half, 0), (half, 0), (0, -half), (0, half))
        between = (odd_row & even_column) | (even_row & odd_column)
        found.append(_select(between, straight, planes))
        spacing = half
    return tuple(found)


PASSES = 7
"""Number of passes, whatever the grid."""


def _select(
    mask: npt.NDArray[np.bool_], neighbours: tuple[tuple[int, int], ...], planes: int
) -> Pass:
    rows, columns = np.nonzero(mask)
    flat = rows * mask.shape[1] + columns
    return Pass(rows, columns, neighbours, (np.arange(planes)[:, None] * mask.size + flat).ravel())


def neighbour_mean(values: FloatArray, where: Pass) -> FloatArray:
    """Mean over the neighbours inside the grid, 0 where there are none: (M, …, h, w) -> (M, n), n over all planes."""
    *_, height, width = values.shape
    planes = values.reshape(-1, height, width)
    total = np.zeros((len(planes), len(where.rows)), np.float32)
    number = np.zeros(len(where.rows), np.float32)
    for down, right in where.neighbours:
        rows, columns = where.rows + down, where.columns + right
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        total[:, inside] += planes[:, rows[inside], columns[inside]]
        number += inside
    total /= np.maximum(number, np.float32(1))
    return total.reshape(len(values), -1)


@dataclass(frozen=True)
class SmoothLatents:
    """Which latents are predicted, and how.

    Attributes
    ----------
    channels : int32 array (M,)
        The smooth latents.
    weight : float32 array (PASSES, M)
        Factor of the neighbours' mean.
    offset : int32 array (PASSES, M)
        Added to the log-scale, in its units; 0 or below.
    """

    channels: IntArray
    weight: FloatArray
    offset: IntArray

    def predict(self, decoded: FloatArray, number: int, where: Pass) -> FloatArray:
        """Predict the smooth latents of a pass from those decoded: (M, …, h, w) -> (M, n)."""
        out: FloatArray = self.weight[number][:, None] * neighbour_mean(decoded, where)
        return out

    def unpredicted(self, residual: FloatArray) -> FloatArray:
        """What prediction from neighbours that nothing was lost of leaves of latents (L, …, h, w)."""
        out = residual.reshape(len(residual), -1).copy()
        for number, where in enumerate(passes(*residual.shape[1:])):
            place = (self.channels[:, None], where.flat)
            out[place] -= self.predict(residual[self.channels], number, where)
        return out.reshape(residual.shape)

    def lower(self, log_scale: IntArray) -> IntArray:
        """Lower the log-scales (L, …, h, w) of the smooth latents by what their prediction explains.

        A scale near the first step or below stays: there the neighbours are decoded to zero.
        """
        out = log_scale.reshape(len(log_scale), -1).copy()
        for offset, where in zip(self.offset, passes(*log_scale.shape[1:]), strict=True):
            place = (self.channels[:, None], where.flat)
            before = out[place]
            out[place] = np.maximum(before + offset[:, None], np.minimum(before, SCALE_FLOOR))
        return out.reshape(log_scale.shape)
