"""Side information: how the values of a plane map to samples.

SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.geometric import MAX_LEVELS, Geometric
from eocodec.grids import NARROW_TOP
from eocodec.integers import IntegerReader
from eocodec.planes import Plane, checked_plane, geometric_plane, key_bits

OFFSET, RANKS, GRID, LEARNED, SMOOTH_RANKS, SAME_GRID, SAME, GEOMETRIC = range(8)
_MAX_SMOOTH = 1 << 30


@dataclass
class MapHistory:
    """What the map of a plane may refer to of those before it, in coding order.

    Attributes
    ----------
    per_band : int
        Planes a band.
    last : dict
        The last map of each half of the bands.
    grid : tuple of float, or None
        Start and step of the last grid.
    geometric : Plane or None
        The one with geometric levels.
    """

    per_band: int
    last: dict[int, Plane] = field(default_factory=dict)
    grid: tuple[float, float] | None = None
    geometric: Plane | None = None

    def add(self, index: int, plane: Plane | None) -> None:
        """Note the map of a plane, None for one left to the learned layers."""
        if plane is None:
            return
        self.last[index % self.per_band] = plane
        self.grid = plane.grid or self.grid
        if plane.geometric is not None:
            self.geometric = plane


def map_integers(index: int, plane: Plane | None, history: MapHistory) -> list[int]:
    """Return form and map of a plane."""
    if plane is None:
        return [LEARNED]
    last = history.last.get(index % history.per_band)
    if last is not None and plane.same_map(last):
        return [SAME]
    if plane.geometric is not None:
        levels = plane.geometric
        if history.geometric is not None:
            return [GEOMETRIC]
        scalars = [levels.signs, levels.count, levels.near]
        return [GEOMETRIC, *scalars, *_words(levels.start, levels.ratio)]
    scalars = [plane.low, plane.top, plane.near]
    if plane.grid is not None:
        if plane.grid == history.grid:
            return [SAME_GRID, *scalars]
        return [GRID, *scalars, *_words(*plane.grid)]
    gaps = np.zeros(0, np.int64) if plane.gaps is None else plane.gaps - 1
    if not gaps.size:
        return [OFFSET, *scalars]
    changes = np.diff(gaps, prepend=0)
    smooth = np.abs(changes).max() < _MAX_SMOOTH and _bits(2 * changes) < _bits(2 * gaps)
    form, gaps = (SMOOTH_RANKS, changes) if smooth else (RANKS, gaps)
    return [form, *scalars, *map(int, gaps)]


def _words(first: float, second: float) -> list[int]:
    """Return the bits of two binary64 numbers as words of 16, the highest first."""
    return list(struct.unpack(">8H", struct.pack(">dd", first, second)))


def _parse_words(side: IntegerReader) -> tuple[float, float]:
    """Return the two numbers that `_words` wrote."""
    words = [side.take(0, 0xFFFF) for _ in range(8)]
    first, second = struct.unpack(">dd", struct.pack(">8H", *words))
    return first, second


def _bits(values: npt.NDArray[np.int64]) -> float:
    return float(np.log2(np.abs(values) + 1.0).sum())


def parse_map(
    side: IntegerReader, history: MapHistory, index: int, dtype: np.dtype[Any], wide: bool
) -> Plane | None:
    """Return how values map to samples; None for a plane that the learned layers hold."""
    form = side.take(OFFSET, GEOMETRIC)
    if form == LEARNED:
        return None
    if form == SAME:
        if index % history.per_band not in history.last:
            raise FormatError("predictive layer repeats a map before the first")
        return history.last[index % history.per_band]
    if form == GEOMETRIC:
        return history.geometric or _parse_geometric(side, dtype)
    low = side.take(0, (1 << 32) - 1)
    top = side.take(0, (1 << 32) - 1 if wide else NARROW_TOP)
    near = side.take(0, top)
    if form in (GRID, SAME_GRID):
        return _parse_grid(side, Plane(low, top, near=near), form, history, dtype)
    gaps = None
    if form in (RANKS, SMOOTH_RANKS):
        gaps = np.array(side.take_many(top), np.int64)
        gaps = (np.cumsum(gaps) if form == SMOOTH_RANKS else gaps) + 1
    plane = checked_plane(low, top, gaps, key_bits(dtype))
    return replace(plane, near=near)


def _parse_grid(
    side: IntegerReader, plane: Plane, form: int, history: MapHistory, dtype: np.dtype[Any]
) -> Plane:
    """Return `plane` on the grid that follows, or on the last one."""
    grid = history.grid
    if form == GRID:
        grid = _parse_words(side)
    if grid is None:
        raise FormatError("predictive layer repeats a grid before the first")
    start, step = grid
    most = float(np.finfo(dtype).max) if dtype.kind == "f" else 0.0
    ends = start + step * plane.low, start + step * (plane.low + plane.top)
    if not (step > 0 and abs(start) <= most and all(abs(end) <= most for end in ends)):
        raise FormatError("predictive layer declares a grid outside its dtype")
    return replace(plane, grid=grid)


def _parse_geometric(side: IntegerReader, dtype: np.dtype[Any]) -> Plane:
    """Return the plane of geometric levels that follows."""
    signs, count = side.take(1, 7), side.take(1, MAX_LEVELS)
    near = side.take(0, count)
    start, ratio = _parse_words(side)
    if dtype.kind != "f" or dtype.itemsize > 4 or not ratio > 1:
        raise FormatError("predictive layer declares levels outside its dtype")
    return geometric_plane(Geometric(start, ratio, count, signs, near), dtype)
