"""Error bounds of a tile: how far each decoded sample may lie from the original.

Bounds are in the unit of the data. Several hold together: the tightest counts for each sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError

Float64Array = npt.NDArray[np.float64]
MaxError = float | tuple[float | None, ...]


@dataclass(frozen=True)
class ErrorBounds:
    """Bounds of one tile.

    Attributes
    ----------
    absolute : tuple of float or None
        One a band, largest absolute error; None leaves the band to the other bounds.
    relative : float or None
        Largest error as a share of the sample's magnitude, below 1.
    sqrt : float or None
        Largest error divided by the square root of the sample's magnitude.
    """

    absolute: tuple[float | None, ...]
    relative: float | None = None
    sqrt: float | None = None

    def bounded(self, band: int) -> bool:
        """Whether any bound holds for a band."""
        return not (self.absolute[band] is None and self.relative is None and self.sqrt is None)

    @property
    def uniform(self) -> bool:
        """Whether every band has the same bounds."""
        return len(set(self.absolute)) <= 1

    @property
    def exact(self) -> bool:
        """Whether every sample must be kept exactly."""
        return all(value == 0 for value in self.absolute) or 0 in (self.relative, self.sqrt)

    def less(self, steps: int, valid: npt.NDArray[Any]) -> ErrorBounds:
        """Return bounds whose absolute part leaves room for `steps` steps of the dtype of `valid`."""
        size = 1.0
        if valid.dtype.kind == "f":
            limits = np.finfo(valid.dtype)
            size = max(float(np.abs(valid).max()), float(limits.tiny)) * float(limits.eps)
        absolute = [None if value is None else value - steps * size for value in self.absolute]
        less = tuple(None if value is None else max(0.0, value) for value in absolute)
        return ErrorBounds(less, self.relative, self.sqrt)

    def met(
        self,
        pixels: npt.NDArray[Any],
        decoded: npt.NDArray[Any],
        invalid: npt.NDArray[np.bool_] | None,
    ) -> bool:
        """Whether every valid sample of `decoded` lies within the bounds of `pixels` (both (C, H, W))."""
        for band, (original, other) in enumerate(zip(pixels, decoded, strict=True)):
            fine = _distance(original, other) <= self.allowed_in(band, original)
            fine |= original == other
            if invalid is not None:
                fine |= invalid[band]
            if not fine.all():
                return False
        return True

    def allowed(self, pixels: npt.NDArray[Any]) -> Float64Array:
        """Return the largest error allowed at each sample of `pixels` (C, H, W).

        Whole numbers for integer dtypes, 0 at NaN and infinities, infinity in bands without a bound.
        """
        bands = [self.allowed_in(band, pixels[band]) for band in range(len(pixels))]
        return np.stack(bands)

    def allowed_in(self, band: int, pixels: npt.NDArray[Any]) -> Float64Array:
        """Return the largest error allowed at each sample of one band; see `allowed`."""
        magnitude = np.abs(pixels.astype(np.float64))
        allowed: Float64Array = np.full(pixels.shape, np.inf)
        absolute = self.absolute[band]
        if absolute is not None:
            np.minimum(allowed, absolute, out=allowed)
        with np.errstate(invalid="ignore"):
            if self.relative is not None:
                np.minimum(allowed, self.relative * magnitude, out=allowed)
            if self.sqrt is not None:
                np.minimum(allowed, self.sqrt * np.sqrt(magnitude), out=allowed)
        if pixels.dtype.kind != "f":
            return np.floor(allowed)
        if self.bounded(band):
            allowed[~np.isfinite(magnitude)] = 0
        return allowed


def _distance(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Float64Array:
    """Return the distance of samples of one dtype, without overflow."""
    apart: Float64Array
    if one.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
            return apart
    # Modulo the word, the difference of the larger and the smaller is right as an unsigned integer.
    unsigned = f"u{one.dtype.itemsize}"
    distance = np.maximum(one, other).view(unsigned) - np.minimum(one, other).view(unsigned)
    apart = distance.astype(np.float64)
    return apart


def check_bounds(
    max_error: MaxError | None, max_relative_error: float | None, max_error_sqrt: float | None
) -> None:
    """Raise `InputError` unless the bounds are finite and not negative, the relative one below 1."""
    absolute = max_error if isinstance(max_error, tuple) else (max_error,)
    if not absolute:
        raise InputError("max_error names no band")
    for value in absolute:
        _check("max_error", value)
    _check("max_relative_error", max_relative_error)
    _check("max_error_sqrt", max_error_sqrt)
    if max_relative_error is not None and max_relative_error >= 1:
        raise InputError(f"max_relative_error must be below 1, not {max_relative_error}")


def _check(name: str, value: float | None) -> None:
    if value is None:
        return
    # What comes from users may be text, or True.
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InputError(f"{name} is a number, not {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{name} must be a finite number of at least 0, not {value}")


def bounds_for(
    bands: int,
    max_error: MaxError | None,
    max_relative_error: float | None,
    max_error_sqrt: float | None,
) -> ErrorBounds | None:
    """Return the bounds of a tile of `bands` bands, or None where nothing is bounded.

    Raises
    ------
    InputError
        When `max_error` is given for another number of bands.
    """
    absolute: Sequence[float | None]
    absolute = max_error if isinstance(max_error, tuple) else (max_error,) * bands
    if len(absolute) != bands:
        raise InputError(f"max_error has {len(absolute)} bounds for {bands} bands")
    bounds = ErrorBounds(tuple(absolute), max_relative_error, max_error_sqrt)
    return bounds if any(map(bounds.bounded, range(bands))) else None
