"""Uniform grids for floats: the lattice that packed data lie on, or one as fine as the bound asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

# Planes up to this value are coded in 32-bit words.
NARROW_TOP = 0xFFFF
# Most cells of a grid, and below how many cells its step is split for a closed loop.
MAX_GRID = 1 << 30
_FINE_CELLS = 1 << 14
_FINEST_NEAR = 7
_LEAST_NEAR = 3
# Significant bits of the step of a grid that is no lattice.
_STEP_BITS = 16
# A lattice has at most this many points, and is looked for in so many samples.
_MAX_LATTICE = 1 << 20
_PROBE = 1 << 16
# No lattice is looked for among magnitudes whose sums of squares could overflow.
_LARGEST = 1e100
# How far samples may lie off their lattice, in its steps.
_MAX_DEVIATION = 0.05
# A lattice is taken when its quantiser step is at least this share of the one that the bound allows.
_LATTICE_SHARE = 0.97


@dataclass(frozen=True)
class Grid:
    """Value n stands for the float start + step · n; decoded values may be off by `near`."""

    start: float
    step: float
    near: int

    @property
    def width(self) -> float:
        """Return the step of the quantiser, in the unit of the samples."""
        return (2 * self.near + 1) * self.step

    def indices(self, samples: npt.NDArray[Any]) -> Float64Array:
        """Return the number of the point nearest to each sample; those not finite take any."""
        finite = np.where(np.isfinite(samples), samples, 0.0).astype(np.float64)
        with np.errstate(over="ignore"):  # invalid samples may be as large as nodata is
            return np.rint((finite - self.start) / self.step)

    def restore(self, numbers: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return the samples at points `numbers`."""
        samples: npt.NDArray[Any] = (self.start + self.step * numbers.astype(np.float64)).astype(
            dtype
        )
        return samples


def find_grid(used: npt.NDArray[Any], max_error: float, span: float | None = None) -> Grid | None:
    """Return a grid on which floats `used` (N,) can be coded within `max_error`, None if there is none.

    `span` is the largest range of the planes that will share it, by default that of `used`.
    """
    low, high = float(used.min()), float(used.max())
    span = high - low if span is None else span
    limits = np.finfo(used.dtype)
    largest = max(abs(low), abs(high), float(limits.tiny))
    if largest + max_error > float(limits.max) / 2:
        return None
    # Leaves room for rounding to the dtype, and in start + step * n.
    rounding = float(np.spacing(used.dtype.type(largest + max_error))) / 2
    error = max_error - (1 + 2.0**-20) * rounding - 8 * largest * float(np.finfo(np.float64).eps)
    lattice = find_lattice(used)
    if lattice is not None:
        room = max_error - _deviation(used, lattice)
        near = int(max(0.0, room) / lattice.step)
        wide = (2 * near + 1) * lattice.step >= _LATTICE_SHARE * 2 * error
        if room >= 0 and wide and near <= _FINEST_NEAR:
            return Grid(lattice.start, lattice.step, near)
    if not error > 0:
        return None
    cells = span / (2 * error)
    if not cells < MAX_GRID:
        return None
    near = int(min(_FINEST_NEAR, NARROW_TOP / (2 * cells + 4) - 0.5)) if cells < _FINE_CELLS else 0
    return Grid(low, _short(2 * error / (2 * near + 1)), near)


def _short(step: float) -> float:
    """Return a number slightly below `step` whose mantissa takes few bits."""
    fraction, exponent = math.frexp(step)
    return math.ldexp(math.floor(fraction * 2.0**_STEP_BITS), exponent - _STEP_BITS)


@dataclass(frozen=True)
class SharedGrid:
    """A grid of several planes, whose values all lie among its points 0 to `top`."""

    grid: Grid
    top: int


def shared_grid(planes: list[npt.NDArray[Any]], max_error: float) -> SharedGrid | None:
    """Return a grid for the valid samples of several planes, (N,) each, of one bound."""
    planes = [plane for plane in planes if plane.size]
    if len(planes) < 2 or not max_error > 0:
        return None
    used = np.concatenate(planes)
    grid = find_grid(used, max_error)
    if grid is None:
        return None
    if grid.near < _LEAST_NEAR:
        # Planes of smaller range leave room for a finer step.
        own = find_grid(
            used, max_error, max(float(plane.max()) - float(plane.min()) for plane in planes)
        )
        grid = grid if own is None or own.near == grid.near else own
    return SharedGrid(grid, int(grid.indices(used).max()))


def find_lattice(used: npt.NDArray[Any]) -> Grid | None:
    """Return the lattice that all of `used` (N,) lie on, as packing to integers leaves them, or None."""
    probe = np.unique(used[:: max(1, used.size // _PROBE)]).astype(np.float64)
    if len(probe) < 3 or not abs(probe).max() < _LARGEST or not np.isfinite(used).all():
        return None
    low, span = float(probe[0]), float(probe[-1] - probe[0])
    gaps = np.diff(probe)
    step = float(gaps.min())
    if step * _MAX_LATTICE < span:
        return None
    lattice = _refined(probe, low, step)
    if lattice is None:
        return None
    everything = used.astype(np.float64)
    numbers = np.rint((everything - lattice.start) / lattice.step)
    off = np.abs(everything - (lattice.start + lattice.step * numbers)).max()
    if off > _MAX_DEVIATION * lattice.step:
        return None
    first = float(numbers.min())
    return Grid(lattice.start + lattice.step * first, lattice.step, 0)


def _refined(levels: Float64Array, start: float, step: float) -> Grid | None:
    """Return the lattice of rising `levels` (N,) near a guess, fitted over ever longer stretches."""
    reach = 8.0
    while True:
        part = levels[: np.searchsorted(levels, start + reach * step, "right")]
        numbers = np.rint((part - start) / step)
        if len(part) > 2:
            centre = numbers.mean()
            spread = float(((numbers - centre) ** 2).sum())
            step = float(((numbers - centre) @ part) / spread)
            start = float(part.mean() - step * centre)
            if np.abs(part - (start + step * numbers)).max() > 4 * _MAX_DEVIATION * step:
                return None
        if len(part) == len(levels):
            return Grid(start, step, 0)
        reach *= 4


def _deviation(used: npt.NDArray[Any], lattice: Grid) -> float:
    """Return how far decoded samples of the lattice lie off `used` at most."""
    restored = lattice.restore(lattice.indices(used), used.dtype)
    return float(np.abs(restored.astype(np.float64) - used.astype(np.float64)).max())
