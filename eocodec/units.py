"""The unit of the learned mode: what 1e-4 of reflectance, one DN, is in the unit of some samples.

The networks know errors in DN. Samples that look like reflectances, as DN, as floats of 0 to about 1.6 or packed by
scale and offset, have that unit by themselves; for others it is taken from their spread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

DN = 1e-4
"""Reflectance of one DN."""

SPREAD = 1000.0
"""DN that the spread of other samples counts as: rather more than most scenes have, 150 to 1000."""

FEW_VALUES = 32
"""Samples of no more different values are classes or flags, not measurements."""

_ENOUGH = 256
_LOOKED_AT = 2**17
_CENTRAL = (0.01, 0.99)
_LOW, _HIGH = -0.25, 1.7
_BRIGHTEST = 3.0
_FILLED = -0.25
_MOST_FILLS = 8
_NEGATIVE, _MOST_NEGATIVE = -0.02, 0.1
_BYTE = 255
_MIDDLE = (0.02, 0.98)
# Of a normal distribution, standard deviations between these quantiles.
_DEVIATIONS = 4.1


def reflectance_unit(dtype: np.dtype[Any], scale: float | None = None) -> float | None:
    """Return what one DN is in samples of a type if they are reflectances; None where the type holds none.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the samples.
    scale : float, optional
        Reflectance a unit of the samples. Without it integers are DN, floats reflectances.
    """
    if dtype.itemsize == 1 or (dtype.itemsize == 8 and dtype.kind != "f"):
        return None
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        return None
    if scale is None:
        return DN if dtype.kind == "f" else 1.0
    return DN / scale


def looks_like_reflectance(
    samples: npt.NDArray[Any], unit: float, offset: float = 0.0, *, whole: bool = True
) -> bool:
    """Whether valid samples look like reflectances of which one DN is `unit`.

    Parameters
    ----------
    samples : ndarray, (N,)
        Valid and finite.
    unit : float
        From `reflectance_unit`.
    offset : float
        Reflectance of a sample of 0.
    whole : bool
        They are of a whole raster, which is never as dark or as bright throughout as a tile may be.
    """
    if samples.size < _ENOUGH or few_values(samples):
        return False
    reflectances = _thinned(samples) * (DN / unit) + offset
    if np.count_nonzero(reflectances < _NEGATIVE) > _MOST_NEGATIVE * reflectances.size:
        # Anomalies, indices and scores lie around 0.
        return False
    if not whole:
        low, high = float(samples.min()) * DN / unit, float(samples.max()) * DN / unit
        return low + offset >= _FILLED and high + offset <= _BRIGHTEST
    low, high = np.quantile(reflectances, _CENTRAL)
    bytes_in_words = samples.dtype.kind in "iu" and unit == 1.0 and samples.max() <= _BYTE
    return bool(low >= _LOW and high <= _HIGH and not bytes_in_words)


def undeclared_fills(pixels: npt.NDArray[Any], unit: float) -> tuple[int | float, ...]:
    """Return the values in a tile (C, H, W) of reflectances that can only be fill or saturation, though nobody said so.

    Those far outside the range of reflectances, where they are few; of integers 0 too, where a pixel is 0 in every
    band. With many different ones the tile is no reflectance.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        outside = (pixels < _FILLED * unit / DN) | (pixels > _BRIGHTEST * unit / DN)
    outside &= np.isfinite(pixels)
    found = np.unique(pixels[outside]).tolist() if outside.any() else []
    if pixels.dtype.kind in "iu" and not pixels.any(axis=0).all():
        found.append(0)
    return tuple(found) if len(found) <= _MOST_FILLS else ()


def few_values(samples: npt.NDArray[Any]) -> bool:
    """Whether samples (N,) have so few different values that they are classes or flags."""
    return len(np.unique(_thinned(samples))) <= FEW_VALUES >= len(np.unique(samples))


def band_spreads(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float64]:
    """Return the spread of the valid samples of each band of (C, H, W); 0 without any.

    Like a standard deviation, but blind to outliers.
    """
    spreads = np.zeros(len(pixels))
    for band, plane in enumerate(pixels):
        valid = plane.ravel() if invalid is None else plane[~invalid[band]]
        if valid.dtype.kind == "f":
            valid = valid[np.isfinite(valid)]
        if valid.size:
            low, high = np.quantile(_thinned(valid).astype(np.float64), _MIDDLE)
            spreads[band] = (high - low) / _DEVIATIONS or valid.astype(np.float64).std()
    return spreads


def _thinned(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return at most some 65 thousand of the samples (N,), evenly spread."""
    return samples[:: samples.size // _LOOKED_AT * 2 + 1]


def spread_unit(spreads: npt.NDArray[np.float64]) -> float:
    """Return the unit of bands of such spreads: by the least of those that vary; 1 where none does."""
    some = spreads[spreads > 0]
    return float(some.min()) / SPREAD if some.size else 1.0


def natural_unit(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None, *, reflectances: bool
) -> float:
    """Return the unit of a tile (C, H, W) of which nothing else is known.

    Parameters
    ----------
    pixels, invalid : ndarray, (C, H, W)
        Samples, and where they do not count; None where all do.
    reflectances : bool
        Whether they may be reflectances: then their look decides, else their spread.
    """
    unit = reflectance_unit(pixels.dtype) if reflectances else None
    if unit is not None:
        valid = pixels.ravel() if invalid is None else pixels[~invalid]
        if looks_like_reflectance(valid, unit):
            return unit
    return spread_unit(band_spreads(pixels, invalid))
