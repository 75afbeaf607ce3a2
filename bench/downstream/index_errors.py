"""Errors of spectral indices after decoding."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bench.downstream.patches import Stack
from eocodec.bands import MODEL_BANDS
from eocodec.metrics import REFLECTANCE_PEAK
from eocodec.transforms.indices import FORMULAE, LIMIT


@dataclass
class IndexErrors:
    """Sums over pixels of the error of each index.

    Attributes
    ----------
    pixels : int
    signed, absolute, squared : dict of str to float
        By the names of `eocodec.transforms.indices.FORMULAE`.
    """

    pixels: int = 0
    signed: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FORMULAE, 0.0))
    absolute: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FORMULAE, 0.0))
    squared: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FORMULAE, 0.0))

    def add(self, original: Stack, decoded: Stack) -> None:
        """Add a patch (10, H, W)."""
        before, after = index_maps(original), index_maps(decoded)
        self.pixels += original[0].size
        for name in FORMULAE:
            error = after[name] - before[name]
            self.signed[name] += float(error.sum())
            self.absolute[name] += float(np.abs(error).sum())
            self.squared[name] += float((error**2).sum())

    def mean(self, name: str) -> float:
        """Mean absolute error."""
        return self.absolute[name] / self.pixels

    def bias(self, name: str) -> float:
        """Mean error; positive where decoded values are too high."""
        return self.signed[name] / self.pixels

    def rms(self, name: str) -> float:
        """Root-mean-square error."""
        return float((self.squared[name] / self.pixels) ** 0.5)


def index_maps(stack: Stack) -> dict[str, npt.NDArray[np.float64]]:
    """Return every index of DN (10, H, W) as a map (H, W), clipped as the transform ``indices`` does."""
    reflectance = (stack / REFLECTANCE_PEAK).astype(np.float32)
    band = dict(zip(MODEL_BANDS, reflectance, strict=True))
    maps = {}
    for name, formula in FORMULAE.items():
        above, below = formula(band)
        index = np.divide(above, below, out=np.zeros_like(above), where=below != 0)
        maps[name] = np.clip(index, -LIMIT, LIMIT).astype(np.float64)
    return maps
