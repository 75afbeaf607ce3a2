"""Spectral indices: mean and standard deviation of each over the valid pixels of a patch.

=====  =============================================================  ==========================================
NDVI   (B08 - B04) / (B08 + B04)                                      Rouse et al. 1974, NASA SP-351
NDRE   (B8A - B05) / (B8A + B05)                                      Gitelson and Merzlyak 1994
EVI    2.5 (B08 - B04) / (B08 + 6 B04 - 7.5 B02 + 1)                  Huete et al. 2002
NDWI   (B03 - B08) / (B03 + B08)                                      McFeeters 1996
MNDWI  (B03 - B11) / (B03 + B11)                                      Xu 2006
NDMI   (B8A - B11) / (B8A + B11)                                      Gao 1996 (there called NDWI)
NDBI   (B11 - B08) / (B11 + B08)                                      Zha et al. 2003
NBR    (B8A - B12) / (B8A + B12)                                      Key and Benson 2006, USDA RMRS-GTR-164
BSI    ((B11 + B04) - (B08 + B02)) / ((B11 + B04) + (B08 + B02))      Rikimaru et al. 2002
=====  =============================================================  ==========================================

All are of reflectances, clipped to -2 to 2 and 0 where the denominator is. With patches of one pixel the means
are maps of the indices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eocodec.transforms.interface import FloatArray, PixelTransform

LIMIT = 2.0
"""EVI has a pole among dark or bright pixels; all other indices of reflectances above 0 stay within 1."""

_USED = ("B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12")
_Bands = dict[str, FloatArray]


def _normalised(first: str, second: str) -> Callable[[_Bands], tuple[FloatArray, FloatArray]]:
    """Numerator and denominator of a normalised difference."""
    return lambda band: (band[first] - band[second], band[first] + band[second])


def _evi(band: _Bands) -> tuple[FloatArray, FloatArray]:
    nir, red, blue = band["B08"], band["B04"], band["B02"]
    return 2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1


def _bare_soil(band: _Bands) -> tuple[FloatArray, FloatArray]:
    soil, green = band["B11"] + band["B04"], band["B08"] + band["B02"]
    return soil - green, soil + green


FORMULAE: dict[str, Callable[[_Bands], tuple[FloatArray, FloatArray]]] = {
    "ndvi": _normalised("B08", "B04"),
    "ndre": _normalised("B8A", "B05"),
    "evi": _evi,
    "ndwi": _normalised("B03", "B08"),
    "mndwi": _normalised("B03", "B11"),
    "ndmi": _normalised("B8A", "B11"),
    "ndbi": _normalised("B11", "B08"),
    "nbr": _normalised("B8A", "B12"),
    "bsi": _bare_soil,
}


class SpectralIndices(PixelTransform):
    """Mean and standard deviation of the spectral indices of this module."""

    name = "indices"
    description = "mean and deviation of NDVI, NDWI and seven more spectral indices"
    bands = _USED
    reflectance = True

    def names(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Name the features: ndvi_mean, ndvi_std, ndre_mean and so on."""
        return tuple(f"{index}_{statistic}" for index in FORMULAE for statistic in ("mean", "std"))

    def __call__(self, patches: FloatArray) -> FloatArray:
        """Reflectances (N, 8, P, P) -> means and deviations (N, 18)."""
        band = {name: patches[:, number] for number, name in enumerate(_USED)}
        features = []
        for formula in FORMULAE.values():
            above, below = formula(band)
            index = np.divide(above, below, out=np.zeros_like(above), where=below != 0)
            index = np.clip(index, -LIMIT, LIMIT).astype(np.float64)
            features += [np.nanmean(index, axis=(1, 2)), np.nanstd(index, axis=(1, 2))]
        return np.stack(features, axis=1).astype(np.float32)
