"""Samples of any dtype as non-negative integer planes, in order, and back.

Each band becomes one plane (two of 32 bits for 64-bit dtypes) of integers 0 to `top`. The map keeps
the order of the values: signed integers shift, floats sort by their bits (negative ones reversed),
and a plane whose values leave wide gaps is replaced by ranks. Floats within an error bound may lie
on a uniform grid instead. SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.grids import NARROW_TOP, Grid, SharedGrid, find_grid
from eocodec.predictive_levels import Allowed, find_levels, nearest_level

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# Ranks pay when they save this many bits a sample and several times the bits of their list.
_WORTHWHILE_GAP_BITS = 0.3
_RANK_COST_FACTOR = 4.0
# A plane takes a grid of its own where that makes the quantiser step so much wider.
_WIDER_GRID = 1.05
# Exact keys are preferred to a grid with so many times their number of cells.
_CELLS_A_LEVEL = 16
# Levels that follow the bound pay where they are this share of those of one bound, or fewer.
_FEWER_LEVELS = 0.9


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
    """

    low: int
    top: int
    gaps: Int64Array | None = None
    grid: tuple[float, float] | None = None
    near: int = 0

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


def analyse_band(
    band: npt.NDArray[Any],
    valid: BoolArray | None,
    allowed: Allowed | None,
    shared: SharedGrid | None = None,
) -> list[tuple[Plane, Int64Array]]:
    """Return the planes of a band (H, W) and their values, for errors that `allowed` allows.

    `allowed` returns the largest error for samples of the band, None keeps all exactly. With it, valid
    samples must be finite; values of invalid ones are arbitrary. `shared` is a grid of several bands.
    """
    exact = [analyse_plane(keys, valid) for keys in band_keys(band)]
    used = band.ravel() if valid is None else band[valid]
    if allowed is None or used.size == 0:
        return exact
    bounds = allowed(used)
    max_error = float(bounds.min())
    found = _uniform(band, used, max_error, exact, shared)
    if max_error < bounds.max() and band.dtype.itemsize < 8:
        levels = find_levels(used, allowed)
        plane = found[0][0]
        if levels is not None and len(levels) < _FEWER_LEVELS * (plane.top / plane.step + 1):
            keys = band_keys(levels[None])[0][0]
            plane = Plane(int(keys[0]), len(levels) - 1, np.diff(keys))
            return [(plane, nearest_level(band, levels).astype(np.int64))]
    return found


def _uniform(
    band: npt.NDArray[Any],
    used: npt.NDArray[Any],
    max_error: float,
    exact: list[tuple[Plane, Int64Array]],
    shared: SharedGrid | None,
) -> list[tuple[Plane, Int64Array]]:
    """Return the planes of a band, whose valid samples are `used`, for one bound of all samples."""
    if band.dtype.kind == "f":
        found = _on_grid(band, used, max_error, exact, shared) if max_error > 0 else None
        return found or exact
    plane, values = exact[-1]
    span = plane.top if plane.gaps is None else int(plane.gaps.sum())
    near = min(int(max_error), span)
    if near == 0 or plane.top * (2 * near + 1) <= span:
        return exact
    if plane.gaps is not None:
        plane = Plane(plane.low, span)
        values = plane.nearest(band, band_keys(band)[-1])
    if span <= 2 * near:
        return [*exact[:-1], (Plane(plane.low + span // 2, 0), np.zeros_like(values))]
    return [*exact[:-1], (replace(plane, near=near), values)]


def _on_grid(
    band: npt.NDArray[Any],
    used: npt.NDArray[Any],
    max_error: float,
    exact: list[tuple[Plane, Int64Array]],
    shared: SharedGrid | None,
) -> list[tuple[Plane, Int64Array]] | None:
    """Return the plane of a float band on a uniform grid, or None where its keys are as few."""
    grid = find_grid(used, max_error)
    if shared is not None and (grid is None or grid.width < _WIDER_GRID * shared.grid.width):
        grid = shared.grid
    if grid is None:
        return None
    numbers = grid.indices(used)
    low, high = int(numbers.min()), int(numbers.max())
    cells = (high - low) / (2 * grid.near + 1) + 1
    if cells > _CELLS_A_LEVEL * np.prod([plane.top + 1.0 for plane, _ in exact]):
        return None
    if high - low <= 2 * grid.near:
        low = high = (low + high) // 2
    elif shared is not None and grid is shared.grid and shared.top <= NARROW_TOP:
        low, high = 0, shared.top
    plane = Plane(low, high - low, grid=(grid.start, grid.step), near=min(grid.near, high - low))
    if not grid.start + grid.step * (low + plane.top) <= float(np.finfo(band.dtype).max):
        return None
    values = plane.nearest(band, exact[0][1])
    return [(plane, values), *((Plane(0, 0), np.zeros_like(values)) for _ in exact[1:])]


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
