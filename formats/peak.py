"""Which peak a PSNR has: from the type and scale of the data, or given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eocodec.bands import match_band
from eocodec.formats.raster import Raster
from eocodec.metrics import REFLECTANCE_PEAK

_LARGEST_REFLECTANCE = 2.0


@dataclass(frozen=True)
class Peak:
    """A peak of a PSNR.

    Attributes
    ----------
    value : float
        In the unit of the samples.
    chosen : str
        How it was chosen, in words.
    """

    value: float
    chosen: str

    @classmethod
    def given(cls, value: float) -> Peak:
        """Return a peak that somebody asked for."""
        return cls(value, "given")

    @classmethod
    def of_range(cls, low: float, high: float) -> Peak:
        """Return the range of the data as a peak."""
        return cls(float(high - low), "range of the data")


def peak_of(raster: Raster, extent: tuple[float, float] | None) -> Peak:
    """Return the peak for the samples of a raster.

    255 of 8 bits; reflectance 1 where a band is one of Sentinel-2, in the unit of the samples: 1 of
    floating-point ones up to 2, one over the scale where the file tells one, else 10000; the range of
    other data.

    Parameters
    ----------
    raster : Raster
        The reference.
    extent : tuple of float or None
        Its least and largest valid sample.
    """
    if raster.dtype == np.uint8:
        return Peak(255.0, "8 bits")
    scales = {
        band.scale for band in raster.bands if match_band(band.name or band.description) is not None
    }
    if len(scales) == 1:
        scale = scales.pop()
        if scale:
            return Peak(float(f"{1 / abs(scale):.12g}"), "reflectance 1 by the scale of the file")
        if raster.dtype.kind != "f":
            return Peak(REFLECTANCE_PEAK, "reflectance 1 of Sentinel-2 bands")
        small = extent is not None and max(map(abs, extent)) <= _LARGEST_REFLECTANCE
        return Peak(1.0 if small else REFLECTANCE_PEAK, "reflectance 1 of Sentinel-2 bands")
    low, high = extent or (0.0, 0.0)
    return Peak.of_range(low, high)
