"""Spectral statistics of windows of a scene: the transform of a crop is the one that a whole tile around it has.

At encoding, a spectral transform is fitted to a tile of 512 x 512 pixels; a training crop is much smaller, and its own
principal components would fit it better than it will ever see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK, FLAT, block_transform
from eocodec.spectral_fit import group_covariances

DoubleArray = npt.NDArray[np.float64]

CELL = 64
"""Side in pixels of the cells that statistics are kept for."""
LARGEST = 8
"""Cells a side of the largest window, a tile."""


@dataclass(frozen=True)
class Moments:
    """Mean (C,) of the bands and covariances (GROUPS, C, C) of their coefficients."""

    mean: DoubleArray
    covariances: DoubleArray

    def changed(self, gain: DoubleArray, noise: float) -> Moments:
        """Moments after each band is multiplied by its gain (C,) and noise of that deviation is added."""
        grown = self.covariances * gain[:, None] * gain + noise**2 * np.eye(len(gain))
        return Moments(self.mean * gain, grown)


class SceneStatistics:
    """First and second moments of every cell of a scene (C, H, W); ``flat`` are means of first coefficients."""

    def __init__(self, pixels: npt.NDArray[np.uint16]) -> None:
        rows, columns = (n // CELL for n in pixels.shape[1:])
        self.means = np.empty((rows, columns, len(pixels)))
        self.flat = np.empty_like(self.means)
        moments = []
        side = CELL // BLOCK
        for row in range(rows):
            # A block more on both sides: the transform filters across the edges of cells.
            low, high = row * CELL - BLOCK * (row > 0), (row + 1) * CELL + BLOCK * (row + 1 < rows)
            strip = pixels[:, low:high, : columns * CELL].astype(np.float32)
            inner = strip[:, row * CELL - low :][:, :CELL]
            cells = inner.reshape(len(pixels), CELL, columns, CELL)
            self.means[row] = cells.mean(axis=(1, 3), dtype=np.float64).T
            coefficients = block_transform(strip)[:, :, row * side - low // BLOCK :][:, :, :side]
            blocks = coefficients[0].reshape(len(pixels), side, columns, side)
            self.flat[row] = blocks.mean(axis=(1, 3), dtype=np.float64).T
            parts = np.split(coefficients, range(side, side * columns, side), axis=3)
            moments.append([group_covariances(part) for part in parts])
        self.second = np.array(moments)

    def around(self, top: int, left: int, size: int, rng: np.random.Generator) -> Moments:
        """Draw a window of 1 to LARGEST cells a side that covers most of a crop; return its moments."""
        cells = max(int(rng.integers(1, LARGEST + 1)), -(-size // CELL))
        spans = []
        for start, number in zip((top, left), self.means.shape[:2], strict=True):
            length = min(cells, number)
            low = max(0, -(-(start + size) // CELL) - length)
            high = min(start // CELL, number - length)
            first = int(rng.integers(min(low, high), high + 1))
            spans.append(slice(first, first + length))
        second = self.second[spans[0], spans[1]].mean(axis=(0, 1))
        mean = self.means[spans[0], spans[1]].mean(axis=(0, 1))
        cross = FLAT * np.outer(self.flat[spans[0], spans[1]].mean(axis=(0, 1)), mean)
        second[0] += FLAT**2 * np.outer(mean, mean) - cross - cross.T
        return Moments(mean, second)
