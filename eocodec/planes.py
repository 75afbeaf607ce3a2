"""Samples of any dtype as non-negative integer planes, exactly and in order, and back.

Each band becomes one plane (two of 32 bits for 64-bit dtypes) of integers 0 to `top`. The map keeps
the order of the values: signed integers shift, floats sort by their bits (negative ones reversed),
and a plane whose values leave wide gaps is replaced by ranks. SPEC.md, "Predictive
layer", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Planes up to this value are coded in 32-bit words.
NARROW_TOP = 0xFFFF
# Ranks pay when they save this many bits a sample and several times the bits of their list.
_WORTHWHILE_GAP_BITS = 0.3
_RANK_COST_FACTOR = 4.0


@dataclass(frozen=True)
class Plane:
    """One integer plane: how its values 0 to `top` map to keys of the dtype.

    Attributes
    ----------
    low : int
        Key of value 0.
    top : int
        Largest value.
    gaps : ndarray of int64 or None
        When values are ranks, the difference between the keys of ranks i and i + 1 (`top` of them).
    """

    low: int
    top: int
    gaps: Int64Array | None = None

    def keys(self, values: npt.NDArray[Any]) -> Int64Array:
        """Return the keys of `values`."""
        if self.gaps is None:
            return values.astype(np.int64) + self.low
        table = np.concatenate([[self.low], self.low + np.cumsum(self.gaps)])
        keys: Int64Array = table[values]
        return keys


def planes_per_band(dtype: np.dtype[Any]) -> int:
    """Return how many planes a band of `dtype` takes."""
    return 2 if dtype.itemsize == 8 else 1


def key_bits(dtype: np.dtype[Any]) -> int:
    """Return the number of bits of a plane's keys."""
    return min(32, 8 * dtype.itemsize)


def band_keys(band: npt.NDArray[Any]) -> list[Int64Array]:
    """Return the keys of one band (H, W): one array, or high and low halves for 64-bit dtypes."""
    width = 8 * band.dtype.itemsize
    bits = np.ascontiguousarray(band).view(f"u{band.dtype.itemsize}")
    sign = bits.dtype.type(1 << (width - 1))
    if band.dtype.kind == "f":
        bits = np.where(bits & sign, ~bits, bits | sign)
    elif band.dtype.kind == "i":
        bits = bits ^ sign
    if width < 64:
        return [bits.astype(np.int64)]
    low_half = bits & np.uint64(0xFFFFFFFF)
    return [(bits >> np.uint64(32)).astype(np.int64), low_half.astype(np.int64)]


def band_from_keys(keys: list[Int64Array], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the band whose `band_keys` are `keys`."""
    width = 8 * dtype.itemsize
    unsigned = np.dtype(f"u{dtype.itemsize}")
    if width == 64:
        bits = keys[0].astype(np.uint64) << np.uint64(32) | keys[1].astype(np.uint64)
    else:
        bits = keys[0].astype(unsigned)
    sign = unsigned.type(1 << (width - 1))
    if dtype.kind == "f":
        bits = np.where(bits & sign, bits ^ sign, ~bits)
    elif dtype.kind == "i":
        bits = bits ^ sign
    return bits.view(dtype)


def analyse_plane(keys: Int64Array, valid: BoolArray | None) -> tuple[Plane, Int64Array]:
    """Return the plane of `keys` (H, W) and its values; values of invalid samples are arbitrary."""
    used = keys.ravel() if valid is None else keys[valid]
    if used.size == 0:
        return Plane(0, 0), np.zeros_like(keys)
    low, high = int(used.min()), int(used.max())
    span = high - low
    values = keys - low
    if valid is not None:
        values = np.clip(values, 0, span)
    levels, counts = _distinct(used, low, span)
    if levels is None or counts is None:
        return Plane(low, span), values
    gaps = np.diff(levels)
    saved = float(counts[1:] @ np.log2(gaps))
    cost = _RANK_COST_FACTOR * float(np.sum(2 + np.log2(gaps)))
    if saved < max(cost, _WORTHWHILE_GAP_BITS * used.size):
        return Plane(low, span), values
    plane = Plane(low, len(levels) - 1, gaps)
    if span > NARROW_TOP:
        return plane, np.minimum(np.searchsorted(levels, keys), plane.top).astype(np.int64)
    ranks = np.zeros(span + 1, np.int64)
    ranks[levels - low] = np.arange(len(levels))
    return plane, ranks[values]


def _distinct(used: Int64Array, low: int, span: int) -> tuple[Int64Array | None, Int64Array | None]:
    """Return the distinct keys and their counts, or None where ranks could not pay."""
    if span < 2:
        return None, None
    if span < 1 << 16:
        counts = np.bincount(used - low)
        levels = np.flatnonzero(counts)
        if 4 * len(levels) > 3 * span:
            return None, None
        return levels + low, counts[levels]
    probe = used[:: max(1, used.size // 4096)]
    if len(np.unique(probe)) > 0.9 * len(probe):
        return None, None
    levels, counts = np.unique(used, return_counts=True)
    return levels, counts


def checked_plane(low: int, top: int, gaps: Int64Array | None, bits: int) -> Plane:
    """Return the plane that a bitstream declares, or raise `FormatError` when keys overflow."""
    if gaps is not None and len(gaps) and int(gaps.min()) < 1:
        raise FormatError("predictive layer has ranks out of order")
    high = low + (top if gaps is None else sum(int(gap) for gap in gaps))
    if low < 0 or top < 0 or high >= 1 << bits:
        raise FormatError("predictive layer declares values outside its dtype")
    return Plane(low, top, gaps)
