"""Encoder-side choice of how the samples of a band map to integer planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.geometric import find_geometric
from eocodec.grids import NARROW_TOP, Grid, SharedGrid, find_grid, find_lattice
from eocodec.planes import Plane, band_keys, geometric_plane
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


def analyse_band(
    band: npt.NDArray[Any],
    valid: BoolArray | None,
    allowed: Allowed | None,
    shared: SharedGrid | None = None,
    levels: Plane | None = None,
) -> list[tuple[Plane, Int64Array]]:
    """Return the planes of a band (H, W) and their values, for errors that `allowed` allows.

    `allowed` returns the largest error for samples of the band, None keeps all exactly. With it, valid
    samples must be finite; values of invalid ones are arbitrary.
    `shared` is a grid, `levels` a plane of geometric levels, of several bands.
    """
    exact = [analyse_plane(keys, valid) for keys in band_keys(band)]
    used = band.ravel() if valid is None else band[valid]
    if used.size == 0:
        return exact
    if allowed is None:
        found = None
        if band.dtype.kind == "f":
            found = _on_lattice(band, used, exact, None if shared is None else shared.grid)
        return found or exact
    if levels is not None and exact[0][0].top:
        samples = levels.samples(band.dtype)
        return [(levels, nearest_level(band, samples).astype(np.int64))]
    bounds = allowed(used)
    max_error = float(bounds.min())
    found = _uniform(band, used, max_error, exact, shared)
    if max_error < bounds.max() and band.dtype.itemsize < 8:
        chosen = find_levels(used, allowed)
        plane = found[0][0]
        if chosen is not None and len(chosen) < _FEWER_LEVELS * (plane.top / plane.step + 1):
            keys = band_keys(chosen[None])[0][0]
            plane = Plane(int(keys[0]), len(chosen) - 1, np.diff(keys))
            return [(plane, nearest_level(band, chosen).astype(np.int64))]
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


def shared_levels(used: npt.NDArray[Any], relative: float) -> Plane | None:
    """Return the plane of geometric levels for floats `used` (N,) of several bands, if any."""
    levels = find_geometric(used, relative) if used.size else None
    return None if levels is None else geometric_plane(levels, used.dtype)


def _on_lattice(
    band: npt.NDArray[Any],
    used: npt.NDArray[Any],
    exact: list[tuple[Plane, Int64Array]],
    lattice: Grid | None,
) -> list[tuple[Plane, Int64Array]] | None:
    """Return the plane of a float band on a lattice that reproduces its samples bit by bit, if any."""
    if exact[0][0].top < 2 and exact[-1][0].top < 2:
        return None
    lattice = lattice or find_lattice(used)
    if lattice is None:
        return None
    numbers = lattice.indices(used)
    restored = lattice.restore(numbers, used.dtype)
    if restored.tobytes() != used.tobytes():
        return None
    low, high = int(numbers.min()), int(numbers.max())
    plane = Plane(low, high - low, grid=(lattice.start, lattice.step))
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
