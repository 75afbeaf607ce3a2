"""Stored samples of a variable as a reader of the CF conventions sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.formats.cf import seen_dtype
from eocodec.metrics import distance, equals
from eocodec.xarray.stored import Packing, special_values

Array = npt.NDArray[Any]


class FieldValues:
    """What the samples of a stored variable stand for: sign, packing and missing values.

    Parameters
    ----------
    variable : xr.Variable
        The variable, undecoded.

    Attributes
    ----------
    packing : Packing
        How values are packed.
    dtype : numpy.dtype
        Of the samples as they are seen.
    """

    def __init__(self, variable: xr.Variable) -> None:
        self.packing = Packing.of(variable.attrs)
        self._special = special_values(variable)
        self._stored: np.dtype[Any] = variable.dtype.newbyteorder("=")
        self.dtype = seen_dtype(self._stored, variable.attrs)

    def seen(self, samples: Array) -> Array:
        """Return samples with the sign that `_Unsigned` tells; still packed."""
        return samples.astype(self._stored, copy=False).view(self.dtype)

    def invalid(self, seen: Array) -> npt.NDArray[np.bool_]:
        """Return where samples are not finite, or one of the missing values."""
        invalid: npt.NDArray[np.bool_] = ~np.isfinite(seen)
        for value in self._special:
            invalid |= equals(seen, value)
            if self.dtype != self._stored:
                invalid |= equals(seen.view(self._stored), value)
        return invalid

    def values(self, seen: Array) -> npt.NDArray[np.float64]:
        """Return the values of samples."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.packing.values(seen)

    def apart(self, seen: Array, other: FieldValues, others: Array) -> npt.NDArray[np.float64]:
        """Return how far the values of samples are from those of another variable's."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.packing == other.packing:
                return distance(seen, others) * abs(self.packing.scale)
            return distance(self.values(seen), other.values(others))
