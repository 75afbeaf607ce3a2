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
    # The limits of wide integers are no float32.
    exact = values if dtype.itemsize <= 2 else values.astype(np.float64)
    return np.clip(np.rint(exact), limits.min, limits.max).astype(dtype)
