"""Bands at their own resolution, out of a stack that holds them resampled to finer pixels."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from eocodec.formats.eoc.metadata import Band
from eocodec.resample import halve_samples

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
        Invalid samples hold it, NaN or an infinity. They take no part; a coarse pixel is invalid
        where all of the fine pixels inside it are.

    Returns
    -------
    ndarray, (ceil(H / 2), ceil(W / 2))
        In the band's dtype, rounded to whole numbers where that is an integer.
    """
    halved: npt.NDArray[Any] = halve_samples(band[None], nodata)[0]
    return halved
