"""Real values back to the data type of a raster."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def to_dtype(values: npt.NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return values in a dtype: rounded to the nearest and clipped to its range where that is an integer."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # The limits of wide integers are no float32, nor are those of 64 bits floats at all.
    exact = values if dtype.itemsize <= 2 else values.astype(np.float64)
    rounded = np.rint(exact)
    if dtype.itemsize < 8:
        return np.clip(rounded, limits.min, limits.max).astype(dtype)
    beyond = rounded >= float(limits.max)
    result = np.where(beyond, 0.0, np.maximum(rounded, float(limits.min))).astype(dtype)
    result[beyond] = limits.max
    return result
