"""What coding did to samples: the errors of each band, added up over tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distortion:
    """Errors of the valid samples of one or more tiles.

    Attributes
    ----------
    squares : float64 array (C,)
        Sum of the squared errors of each band.
    largest : float64 array (C,)
        Largest absolute error of each band.
    valid : int64 array (C,)
        Valid samples of each band.
    tiles, learned : int
        Tiles, and those of learned layers.
    """

    squares: Float64Array
    largest: Float64Array
    valid: npt.NDArray[np.int64]
    tiles: int
    learned: int

    @classmethod
    def of(
        cls,
        pixels: npt.NDArray[Any],
        decoded: npt.NDArray[Any] | None,
        invalid: npt.NDArray[np.bool_] | None,
        *,
        learned: bool,
    ) -> Distortion:
        """Return the errors of a tile (C, H, W) that decodes to `decoded`; None stands for the same samples.

        Samples that are `invalid`, and infinities, do not count.
        """
        bands = len(pixels)
        if pixels.dtype.kind == "f":
            infinite: npt.NDArray[np.bool_] = ~np.isfinite(pixels)
            invalid = infinite if invalid is None else invalid | infinite
        valid = np.full(bands, pixels[0].size, np.int64)
        if invalid is not None:
            valid -= np.count_nonzero(invalid, axis=(1, 2))
        squares, largest = np.zeros(bands), np.zeros(bands)
        for band, (plane, other) in enumerate(
            zip(pixels, () if decoded is None else decoded, strict=decoded is not None)
        ):
            error = _difference(plane, other)
            if invalid is not None:
                error[invalid[band]] = 0
            squares[band] = np.vdot(error, error)
            largest[band] = np.abs(error).max()
        return cls(squares, largest, valid, 1, int(learned))

    @classmethod
    def none(cls, bands: int) -> Distortion:
        """Return that of no tile."""
        return cls(np.zeros(bands), np.zeros(bands), np.zeros(bands, np.int64), 0, 0)

    def add(self, tile: Distortion, bands: slice) -> Distortion:
        """Return this with a tile of some of the bands added, in place."""
        self.squares[bands] += tile.squares
        np.maximum(self.largest[bands], tile.largest, out=self.largest[bands])
        self.valid[bands] += tile.valid
        return Distortion(
            self.squares,
            self.largest,
            self.valid,
            self.tiles + tile.tiles,
            self.learned + tile.learned,
        )

    @property
    def rmse(self) -> float:
        """Root-mean-square error over all bands; 0 without valid samples."""
        return math.sqrt(float(self.squares.sum()) / max(int(self.valid.sum()), 1))

    @property
    def max_error(self) -> float:
        """Largest error of all bands; 0 without valid samples."""
        return float(self.largest.max(initial=0.0))


def _difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Float64Array:
    """Return the difference of samples of one dtype, infinities taken as equal."""
    error: Float64Array
    if one.dtype.kind != "f" and one.dtype.itemsize < 8:
        error = np.subtract(one, other, dtype=np.int64).astype(np.float64)
        return error
    if one.dtype.kind != "f":
        apart = np.maximum(one, other).view("u8") - np.minimum(one, other).view("u8")
        error = apart.astype(np.float64)
        return error
    with np.errstate(invalid="ignore"):
        error = one.astype(np.float64) - other.astype(np.float64)
    error[~np.isfinite(error)] = 0
    return error
