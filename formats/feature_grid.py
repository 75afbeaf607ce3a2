"""Where the patches of features lie: a regular grid over a raster, whatever its tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from eocodec.formats.eoc.metadata import ArrayHeader

_BLOCK_SAMPLES = 2**24


@dataclass(frozen=True)
class PatchGrid:
    """Squares of `patch` pixels, `stride` apart, the first at the raster's corner.

    As few as cover the raster; the last ones may reach beyond it, where nothing is valid.

    Attributes
    ----------
    header : ArrayHeader
        Of the array.
    patch, stride : int
        In pixels.
    """

    header: ArrayHeader
    patch: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        rows, columns = (
            1 + max(0, -(-(n - self.patch) // self.stride)) for n in self.header.shape[-2:]
        )
        return rows, columns

    def row(self, rows: slice = slice(None)) -> npt.NDArray[np.int64]:
        """First pixel row of rows of patches."""
        return np.arange(self.shape[0], dtype=np.int64)[rows] * self.stride

    def column(self, columns: slice = slice(None)) -> npt.NDArray[np.int64]:
        """First pixel column of columns of patches."""
        return np.arange(self.shape[1], dtype=np.int64)[columns] * self.stride

    def centres(
        self, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Coordinates x and y (rows, columns) of the patches' centres in the CRS; NaN without a transform."""
        a, b, c, d, e, f = self.header.transform or (np.nan,) * 6
        down = self.row(rows)[:, None] + self.patch / 2
        right = self.column(columns)[None] + self.patch / 2
        return a * right + b * down + c, d * right + e * down + f

    @property
    def transform(self) -> tuple[float, float, float, float, float, float] | None:
        """Affine transform of cells of `stride` pixels around the patches' centres."""
        if self.header.transform is None:
            return None
        a, b, c, d, e, f = self.header.transform
        shift = (self.patch - self.stride) / 2
        s = self.stride
        return a * s, b * s, c + (a + b) * shift, d * s, e * s, f + (d + e) * shift

    def blocks(self, samples: int) -> Iterator[tuple[slice, slice]]:
        """Yield rows and columns of patches to compute together.

        They start in one row of tiles and in as many of its tiles as memory allows with so many `samples` a pixel,
        so a tile is decoded once where patches do not straddle tiles, else two to four times.
        """
        _, height, width = self.header.grid.tile_shape(0)
        tall = height + self.patch
        across = max(1, (_BLOCK_SAMPLES // (samples * tall) - self.patch) // width)
        for rows in _runs(self.row() // height):
            for columns in _runs(self.column() // (across * width)):
                yield rows, columns


def _runs(labels: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Slices of equal neighbours."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in pairwise(edges):
        yield slice(start, stop)
