"""Rows and columns that repeat the one before in every band, as nearest-neighbour resampling leaves.

They are dropped before the predictive mode codes a tile and put back after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.integers import IntegerReader

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Repeats:
    """Which rows (H,) and columns (W,) of a tile repeat their predecessor."""

    rows: BoolArray
    columns: BoolArray

    def thin(self, tile: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `tile` (C, H, W) without its repeats."""
        if self.rows.any():
            tile = tile[:, ~self.rows]
        return tile[:, :, ~self.columns] if self.columns.any() else tile

    def restore(self, tile: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the tile that `thin` made `tile` of."""
        for axis, repeats in ((1, self.rows), (2, self.columns)):
            if repeats.any():
                tile = np.take(tile, np.cumsum(~repeats) - 1, axis=axis)
        return tile

    def side_integers(self) -> list[int]:
        """Return the repeats as side information: for each axis their number, then gaps."""
        out: list[int] = []
        for repeats in (self.rows, self.columns):
            positions = np.flatnonzero(repeats)
            out.append(len(positions))
            out += [int(gap) for gap in np.diff(positions, prepend=0) - 1]
        return out


def find_repeats(tile: npt.NDArray[Any]) -> Repeats:
    """Return the repeats of `tile` (C, H, W), compared bit by bit."""
    bits = tile.view(f"u{tile.dtype.itemsize}")
    return Repeats(_repeats(bits), _repeats(bits.swapaxes(1, 2)))


def _repeats(bits: npt.NDArray[Any]) -> BoolArray:
    """Return which indices of axis 1 hold the same as the index before, over all bands."""
    repeats: BoolArray = np.zeros(bits.shape[1], bool)
    for index in _likely_repeats(bits):
        repeats[index] = (bits[:, index] == bits[:, index - 1]).all()
    return repeats


def _likely_repeats(bits: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    probe = bits[:: max(1, len(bits) // 3), :, :: max(1, bits.shape[2] // 16)]
    return np.flatnonzero((probe[:, 1:] == probe[:, :-1]).all(axis=(0, 2))) + 1


def parse_repeats(side: IntegerReader, height: int, width: int) -> Repeats:
    """Return what `Repeats.side_integers` wrote for a tile of `height` rows, `width` columns."""
    axes = []
    for length in (height, width):
        gaps = np.array(side.take_many(side.take(0, length - 1)), np.int64)
        positions = np.cumsum(gaps + 1)
        if len(gaps) and (gaps.min() < 0 or int(positions[-1]) >= length):
            raise FormatError("predictive layer repeats a row or column that does not exist")
        repeats = np.zeros(length, bool)
        repeats[positions] = True
        axes.append(repeats)
    return Repeats(axes[0], axes[1])
