"""Levels in constant ratio for bounds relative to the magnitude of floats; SPEC.md, "Predictive layer"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError

NEGATIVE, ZERO, POSITIVE = 1, 2, 4
MAX_LEVELS = 1 << 15
# Into how many parts the quantiser step is split for a closed loop: twice this plus 1.
_FINEST_NEAR = 7
# How far in logarithm a sample is from the nearest level at most, in steps.
_HALF_STEP = 0.52


@dataclass(frozen=True)
class Geometric:
    """Levels ±start · ratio^i for i < `count`, and 0.

    Attributes
    ----------
    start, ratio : float
        Smallest magnitude, and of each magnitude to the one before.
    count : int
        Number of magnitudes.
    signs : int
        Sum of `NEGATIVE`, `ZERO` and `POSITIVE`: which of the levels there are.
    near : int
        Largest error of a decoded value, in levels.
    """

    start: float
    ratio: float
    count: int
    signs: int
    near: int

    def levels(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return the rising levels; raises `FormatError` where they do not rise or leave the dtype."""
        steps = np.full(self.count, self.ratio)
        steps[0] = self.start
        with np.errstate(over="ignore", under="ignore"):
            magnitudes = np.multiply.accumulate(steps)
            limits = np.finfo(dtype)
            if not float(limits.tiny) <= magnitudes[0] <= magnitudes[-1] <= float(limits.max):
                raise FormatError("predictive layer declares levels outside its dtype")
            positive = magnitudes.astype(dtype)
        parts = [-positive[::-1]] if self.signs & NEGATIVE else []
        parts += [np.zeros(1, dtype)] if self.signs & ZERO else []
        parts += [positive] if self.signs & POSITIVE else []
        levels: npt.NDArray[Any] = np.concatenate(parts)
        if not (levels[1:] > levels[:-1]).all():
            raise FormatError("predictive layer declares levels that do not rise")
        return levels


def find_geometric(used: npt.NDArray[Any], relative: float) -> Geometric | None:
    """Return levels for floats `used` (N,) within a share of their magnitude, None if too many."""
    limits = np.finfo(used.dtype)
    # Leaves room for rounding to the dtype.
    share = (relative - float(limits.eps)) * (1 - 2.0**-16)
    size = np.abs(used)
    positive = size[size > 0]
    if share <= 4 * float(limits.eps) or not positive.size:
        return None
    low, high = float(positive.min()), float(positive.max())
    if low < float(limits.tiny) or high * (1 + relative) ** 2 > float(limits.max):
        return None
    signs = NEGATIVE * bool((used < 0).any()) + POSITIVE * bool((used > 0).any())
    signs += ZERO * bool(positive.size < used.size)
    span = math.log(high / low)
    whole = math.log((1 + share) / (1 - share))
    near = 0
    # Only magnitudes of one sign can be off by a level without changing sign.
    if signs in (NEGATIVE, POSITIVE):
        near = int(min(_FINEST_NEAR, (MAX_LEVELS / (span / whole + 2) - 1) / 2))
        near = max(0, near)
    step = math.log1p(share) / (near + _HALF_STEP) if near else whole
    count = math.ceil(span / step) + 1
    if count > MAX_LEVELS or step < 4 * float(limits.eps):
        return None
    return Geometric(low, math.exp(step), count, signs, near)
