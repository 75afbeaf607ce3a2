"""Samples of any dtype as non-negative integer planes, in order, and back.

Each band becomes one plane (two of 32 bits for 64-bit dtypes) of integers 0 to `top`. The map keeps
the order of the values: signed integers shift, floats sort by their bits (negative ones reversed),
and a plane whose values leave wide gaps is replaced by ranks. Floats within an error bound may lie
on a uniform grid instead. SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.geometric import Geometric
from eocodec.grids import Grid

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plane:
    """One integer plane: how its values 0 to `top` map to samples.

    Attributes
    ----------
    low : int
        Key of value 0, or its number on the grid.
    top : int
        Largest value.
    gaps : ndarray of int64 or None
        When values are ranks, the difference between the keys of ranks i and i + 1 (`top` of them).
    grid : tuple of float, or None
        Start and step: value n is the float start + step · (low + n).
    near : int
        Largest error of a decoded value.
    geometric : Geometric or None
        What the ranks follow from.
    """

    low: int
    top: int
    gaps: Int64Array | None = None
    grid: tuple[float, float] | None = None
    near: int = 0
    geometric: Geometric | None = None

    @property
    def step(self) -> int:
        """Quantiser step of the prediction residuals."""
        return 2 * self.near + 1

    def same_map(self, other: Plane) -> bool:
        """Whether values stand for the same samples, within the same errors."""
        scalars = (self.low, self.top, self.grid, self.near)
        return (
            scalars == (other.low, other.top, other.grid, other.near)
            and self.gaps is None
            and other.gaps is None
        )

    def keys(self, values: npt.NDArray[Any]) -> Int64Array:
        """Return the keys of `values`."""
        if self.gaps is None:
            return values.astype(np.int64) + self.low
        keys: Int64Array = self._levels()[values]
        return keys

    def samples(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return the samples that values 0 to `top` of the only plane of a band stand for."""
        return restore_band([(self, np.arange(self.top + 1))], dtype)

    def nearest(self, band: npt.NDArray[Any], keys: Int64Array) -> Int64Array:
        """Return the values that come closest to `band` (H, W), whose keys in this plane are `keys`."""
        if self.grid is not None:
            values = Grid(*self.grid, self.near).indices(band) - self.low
            return np.clip(values, 0, self.top).astype(np.int64)
        if self.gaps is None:
            return np.clip(keys - self.low, 0, self.top)
        ranks: Int64Array = np.minimum(np.searchsorted(self._levels(), keys), self.top)
        return ranks

    def _levels(self) -> Int64Array:
        gaps = np.zeros(0, np.int64) if self.gaps is None else self.gaps
        return np.concatenate([[self.low], self.low + np.cumsum(gaps)])


def restore_band(
    planes: list[tuple[Plane, npt.NDArray[Any]]], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return the band (H, W) of its planes and their values."""
    first, values = planes[0]
    if first.grid is not None:
        return Grid(*first.grid, first.near).restore(values.astype(np.int64) + first.low, dtype)
    return band_from_keys([plane.keys(value) for plane, value in planes], dtype)


def nearest_values(band: npt.NDArray[Any], planes: list[Plane]) -> list[Int64Array]:
    """Return the values of each of the planes of a band that come closest to `band` (H, W)."""
    keys = band_keys(band)
    return [plane.nearest(band, part) for plane, part in zip(planes, keys, strict=True)]


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


def geometric_plane(levels: Geometric, dtype: np.dtype[Any]) -> Plane:
    """Return the plane whose values stand for geometric levels; raises `FormatError`."""
    samples = levels.levels(dtype)
    keys = band_keys(samples[None])[0][0]
    top = len(keys) - 1
    return Plane(int(keys[0]), top, np.diff(keys), near=levels.near, geometric=levels)


def checked_plane(low: int, top: int, gaps: Int64Array | None, bits: int) -> Plane:
    """Return the plane that a bitstream declares, or raise `FormatError` when keys overflow."""
    if gaps is not None and len(gaps) and int(gaps.min()) < 1:
        raise FormatError("predictive layer has ranks out of order")
    high = low + (top if gaps is None else sum(int(gap) for gap in gaps))
    if low < 0 or top < 0 or high >= 1 << bits:
        raise FormatError("predictive layer declares values outside its dtype")
    return Plane(low, top, gaps)
