"""Laying a field [time, level, lat, lon] out as the arrays that a codec takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_FEW_COLUMNS = 64


@dataclass(frozen=True)
class Layout:
    """One or more arrays that hold all values of a field.

    Attributes
    ----------
    shape : tuple of int
        Shape into which the field, or each of its times, is reshaped; axes of 1 are left out.
    order : tuple of int
        Order of those axes in the arrays.
    each_time : bool
        Whether every time is an array of its own.
    """

    shape: Shape
    order: Shape
    each_time: bool = False

    def __str__(self) -> str:
        shape = "x".join(str(self.shape[axis]) for axis in self.order)
        return f"{shape} a time" if self.each_time else shape

    def split(self, values: Array) -> list[Array]:
        """Return the arrays, in C order."""
        blocks = values if self.each_time else [values]
        return [np.ascontiguousarray(b.reshape(self.shape).transpose(self.order)) for b in blocks]

    def join(self, parts: list[Array], shape: Shape) -> Array:
        """Return the field of the shape from its arrays."""
        permuted = [self.shape[axis] for axis in self.order]
        back = np.argsort(self.order)
        return np.stack([p.reshape(permuted).transpose(back) for p in parts]).reshape(shape)


def native_layouts(shape: Shape) -> list[Layout]:
    """Return the field as it is, and each of its times, without axes of 1."""
    whole = Layout(*_in_order(shape))
    if shape[0] == 1:
        return [whole]
    return [whole, Layout(*_in_order(shape[1:]), each_time=True)]


def permuted_layouts(shape: Shape) -> list[Layout]:
    """Return the native layouts in every order of their axes."""
    return [
        Layout(layout.shape, order, layout.each_time)
        for layout in native_layouts(shape)
        for order in permutations(layout.order)
    ]


def volume_layouts(shape: Shape) -> list[Layout]:
    """Return layouts of two or three axes, for codecs that take no more.

    Each time as it is; times and levels as one axis; where the grid has few columns, those as one axis.
    """
    times, levels, rows, columns = shape
    found = [layout for layout in native_layouts(shape) if len(layout.shape) in (2, 3)]
    found.append(Layout(*_in_order((times * levels, rows, columns))))
    if rows * columns <= _FEW_COLUMNS:
        found += [
            Layout((times, levels, rows * columns), order) for order in ((0, 1, 2), (1, 0, 2))
        ]
        found.append(Layout((times * levels, rows * columns), (0, 1)))
    return [layout for layout in dict.fromkeys(found) if min(layout.shape) > 1]


def image_layouts(shape: Shape, least: int) -> list[Layout]:
    """Return layouts for codecs of images of at least `least` rows and columns.

    Each time as images of its levels where those are large enough, else all rows below each other, or the
    levels as columns.
    """
    times, levels, rows, columns = shape
    if min(rows, columns) >= least:
        return [Layout(*_in_order((times * levels, rows, columns)))]
    if columns >= least:
        return [Layout(*_in_order((times * levels * rows, columns)))]
    return [Layout((times, levels, rows * columns), (0, 2, 1))]


def _in_order(shape: Shape) -> tuple[Shape, Shape]:
    kept = tuple(size for size in shape if size > 1) or (math.prod(shape),)
    return kept, tuple(range(len(kept)))
