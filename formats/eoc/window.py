"""Windows as callers write them, turned into boxes of planes, rows and columns."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.errors import InputError
from eocodec.formats.eoc.grid import Box

Window = Any


class SelectionError(InputError, IndexError):
    """A window or index that lies outside the array or is not understood."""


def window_box(window: Window, shape: tuple[int, int, int]) -> Box:
    """Return the box of a window in an array of `shape` (planes, height, width).

    Parameters
    ----------
    window : None, tuple or object
        None: everything. (rows, columns) or (planes, rows, columns), each a slice without step,
        a pair (start, stop), an int, or `...`. Or an object with `col_off`, `row_off`, `width`
        and `height`, such as `rasterio.windows.Window`.

    Raises
    ------
    InputError
        When the window is malformed, empty or not inside the array.
    """
    if window is None or window is Ellipsis:
        axes: tuple[Any, ...] = (..., ..., ...)
    elif hasattr(window, "col_off") and hasattr(window, "row_off"):
        row, column = window.row_off, window.col_off
        axes = (..., (row, row + window.height), (column, column + window.width))
    elif isinstance(window, tuple) and len(window) in (2, 3):
        axes = (..., *window)[-3:]
    else:
        raise SelectionError(
            f"a window is (rows, columns) or (planes, rows, columns), not {window!r}"
        )
    planes, rows, columns = (
        _span(axis, size, what)
        for axis, size, what in zip(axes, shape, ("planes", "rows", "columns"), strict=True)
    )
    return planes, rows, columns


def _span(axis: Any, size: int, what: str) -> slice:
    if axis is Ellipsis:
        return slice(0, size)
    try:
        if isinstance(axis, slice):
            if axis.step not in (None, 1):
                raise SelectionError(f"a window has no step, got {axis}")
            start = 0 if axis.start is None else _whole(axis.start)
            stop = size if axis.stop is None else _whole(axis.stop)
        elif isinstance(axis, (tuple, list)):
            start, stop = (_whole(end) for end in axis)
        else:
            start = _whole(axis)
            stop = start + 1
    except (TypeError, ValueError) as error:
        raise SelectionError(f"{what} {axis!r} of the window are not whole numbers") from error
    if not 0 <= start < stop <= size:
        raise SelectionError(f"{what} {start} to {stop} are empty or outside 0 to {size}")
    return slice(start, stop)


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


@dataclass(frozen=True)
class Selection:
    """A numpy-like index: what to read, and what to cut from what was read.

    Attributes
    ----------
    planes : ndarray of int
        Numbers of the planes to read, in the order and shape asked for.
    rows, columns : slice
        The span of rows and columns to read, without step.
    cut : tuple
        Index of the last two axes of what was read: steps, reversals and dropped axes.
    """

    planes: NDArray[np.int64]
    rows: slice
    columns: slice
    cut: tuple[slice | int, slice | int]


def parse_index(key: Any, shape: tuple[int, ...]) -> Selection:
    """Turn a basic numpy index (ints, slices, one `...`) into a `Selection`.

    Raises
    ------
    InputError
        An index beyond the array, too many, or one of another kind; it is an `IndexError` too.
    """
    keys = key if isinstance(key, tuple) else (key,)
    if sum(item is Ellipsis for item in keys) == 0:
        keys = (*keys, Ellipsis)
    at = next(i for i, item in enumerate(keys) if item is Ellipsis)
    missing = len(shape) - (len(keys) - 1)
    if missing < 0:
        raise SelectionError(f"too many indices for an array of {len(shape)} axes: {key!r}")
    keys = (*keys[:at], *(slice(None),) * missing, *keys[at + 1 :])
    checked = tuple(_axis_key(item, size) for item, size in zip(keys, shape, strict=True))
    leading = shape[:-2]
    planes = np.arange(int(np.prod(leading, dtype=np.int64))).reshape(leading)
    rows, row_cut = _covering(checked[-2], shape[-2])
    columns, column_cut = _covering(checked[-1], shape[-1])
    return Selection(np.asarray(planes[checked[:-2]]), rows, columns, (row_cut, column_cut))


def _axis_key(item: Any, size: int) -> slice | int:
    try:
        if isinstance(item, slice):
            item.indices(size)
            return item
        if isinstance(item, (bool, np.bool_)):
            raise TypeError("booleans select nothing here")
        index = operator.index(item)
    except (TypeError, ValueError) as error:
        raise SelectionError(
            f"only whole numbers, slices and ... can index here, not {item!r}"
        ) from error
    if not -size <= index < size:
        raise SelectionError(f"index {index} is outside an axis of {size}")
    return index % size


def _covering(key: slice | int, size: int) -> tuple[slice, slice | int]:
    if isinstance(key, int):
        return slice(key, key + 1), 0
    wanted = range(size)[key]
    if not wanted:
        return slice(0, 0), slice(0, 0)
    low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
    return slice(low, high + 1), slice(None, None, wanted.step)
