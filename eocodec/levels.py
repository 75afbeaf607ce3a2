"""Levels of an atmospheric field: how they are standardised, and folded into blocks.

The levels of one field differ by orders of magnitude (ozone, humidity), so each is centred and divided by a power of
two near its deviation; what follows then sees a quality relative to the variability of every level. Positive fields
with a long tail (trace gases, aerosols, cloud water) are first made less skewed by square roots, a monotone map that
squaring inverts. All of it is IEEE arithmetic without rounding differences, so it decodes alike everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder, to_signed, to_unsigned
from eocodec.errors import FormatError
from eocodec.rounding import to_dtype

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
LongArray = npt.NDArray[np.int64]

MEAN_PARTS = 16
"""Means are stored in units of the scale of their level divided by this."""
MAX_EXPONENT = 160
"""Scales are 2**-160 to 2**160, more than binary32 spans."""
MAX_MEAN = 2**20
"""Largest mean in its units."""
MAX_ROOTS = 3
"""Square roots taken of a skewed field at most."""
_SKEWED = 1.5
"""Fields of a larger skewness are mapped; each root must lower it."""
_FLAT = 2.0**-12
"""Scale of a level without variation, relative to its magnitude."""


@dataclass(frozen=True)
class LevelScales:
    """Map and scales of the levels of a tile, as they are stored.

    Attributes
    ----------
    roots : int
        Square roots taken of the samples, 0 to ``MAX_ROOTS``.
    exponent : int64 array (C,)
        Level ``c`` has the scale ``2**exponent[c]``.
    mean : int64 array (C,)
        In units of the scale / ``MEAN_PARTS``.
    """

    roots: int
    exponent: LongArray
    mean: LongArray

    @classmethod
    def fit(cls, pixels: npt.NDArray[Any]) -> tuple[LevelScales, FloatArray]:
        """Fit to the finite samples (C, H, W) of a tile; also return them standardised."""
        values = pixels.astype(np.float64)
        roots = _choose_roots(values)
        for _ in range(roots):
            np.sqrt(values, out=values)
        mean = values.mean(axis=(1, 2))
        spread = values.std(axis=(1, 2))
        spread = np.maximum(spread, _FLAT * np.abs(mean))
        exponent = np.where(spread > 0, np.rint(np.log2(np.maximum(spread, 1e-300))), 0)
        exponent = exponent.clip(-MAX_EXPONENT, MAX_EXPONENT).astype(np.int64)
        parts = np.rint(np.ldexp(mean, -exponent) * MEAN_PARTS).clip(-MAX_MEAN, MAX_MEAN)
        scales = cls(roots, exponent, parts.astype(np.int64))
        values *= np.ldexp(1.0, -exponent)[:, None, None]
        values -= (scales.mean / MEAN_PARTS)[:, None, None]
        return scales, values.astype(np.float32)

    def restore(self, standardised: DoubleArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Standardised samples (C, H, W) to samples, rounded and clipped to ``dtype``."""
        values = standardised + (self.mean / MEAN_PARTS)[:, None, None]
        values *= np.ldexp(1.0, self.exponent)[:, None, None]
        if self.roots:
            np.maximum(values, 0, out=values)
        for _ in range(self.roots):
            np.multiply(values, values, out=values)
        return to_dtype(values, dtype)

    def encode(self, coder: SymbolEncoder) -> None:
        """Write to a range coder: roots, exponents as their change from the level before, means."""
        coder.encode_uniform(np.array([self.roots]), MAX_ROOTS + 1)
        coder.encode_unbounded(to_unsigned(np.diff(self.exponent, prepend=0)))
        coder.encode_unbounded(to_unsigned(self.mean))

    @classmethod
    def decode(cls, coder: SymbolDecoder, levels: int) -> LevelScales:
        """Read what :meth:`encode` wrote.

        Raises
        ------
        FormatError
            A scale or mean is out of range.
        """
        roots = int(coder.decode_uniform(np.array([MAX_ROOTS + 1]))[0])
        exponent = np.cumsum(to_signed(coder.decode_unbounded(levels)))
        mean = to_signed(coder.decode_unbounded(levels))
        if np.abs(exponent).max() > MAX_EXPONENT or np.abs(mean).max() > MAX_MEAN:
            raise FormatError("a level has a scale or mean out of range")
        return cls(roots, exponent, mean)


def _choose_roots(values: DoubleArray) -> int:
    """Return how many square roots make positive samples least skewed; 0 where they are not."""
    if values.min() < 0:
        return 0
    best, found = _skewness(values), 0
    if best < _SKEWED:
        return 0
    for roots in range(1, MAX_ROOTS + 1):
        values = np.sqrt(values)
        skewness = abs(_skewness(values))
        if skewness >= best:
            break
        best, found = skewness, roots
    return found


def _skewness(values: DoubleArray) -> float:
    """Mean over the levels of the third standardised moment."""
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=(1, 2)))
    third = (centred**3).mean(axis=(1, 2))
    return float((third / np.maximum(spread**3, 1e-300)).mean())


def fold_levels(planes: npt.NDArray[Any], depth: int) -> npt.NDArray[Any]:
    """Planes (D * depth, H, W) -> (depth, D * H, W): every ``depth`` levels a block, one below the other."""
    _, height, width = planes.shape
    blocks = planes.reshape(-1, depth, height, width).swapaxes(0, 1)
    return np.ascontiguousarray(blocks).reshape(depth, -1, width)


def unfold_levels(planes: npt.NDArray[Any], height: int) -> npt.NDArray[Any]:
    """Inverse of :func:`fold_levels` for blocks of ``height`` rows."""
    depth, _, width = planes.shape
    blocks = planes.reshape(depth, -1, height, width).swapaxes(0, 1)
    return np.ascontiguousarray(blocks).reshape(-1, height, width)
