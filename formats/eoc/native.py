"""Bands at their own resolution, out of a stack that holds them resampled to finer pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.formats.eoc.metadata import Band
from eocodec.mask import fill_holes, find_invalid
from eocodec.resample import downsample2
from eocodec.rounding import to_dtype

REPEATED = {"resampling": "nearest"}
"""In `Band.extra` of bands whose coarse samples were repeated: classes and flags are not to be interpolated."""


def is_repeated(band: Band) -> bool:
    """Whether the coarse samples of a band were repeated, so that every second one gives them back."""
    return bool(band.extra.get("resampling") == REPEATED["resampling"])


def native_band(band: npt.NDArray[Any], nodata: int | float | None) -> npt.NDArray[Any]:
    """Undo the bilinear resampling of one band to pixels half as wide.

    Parameters
    ----------
    band : ndarray, (H, W)
        The resampled band.
    nodata : int, float or None
        Invalid samples hold it, or NaN. They take no part; a coarse pixel is invalid where all
        of the fine pixels inside it are.

    Returns
    -------
    ndarray, (ceil(H / 2), ceil(W / 2))
        In the band's dtype, rounded to whole numbers where that is an integer.
    """
    dtype = band.dtype
    invalid = find_invalid(band[None], nodata)
    pixels = band[None].astype(np.float32)
    if invalid is not None:
        pixels = fill_holes(pixels, invalid)
    coarse = to_dtype(downsample2(pixels)[0], dtype)
    if invalid is not None:
        height, width = band.shape
        even = np.pad(invalid[0], ((0, height % 2), (0, width % 2)), mode="edge")
        lost = even.reshape(coarse.shape[0], 2, coarse.shape[1], 2).all((1, 3))
        coarse[lost] = np.nan if nodata is None else nodata
    return coarse
