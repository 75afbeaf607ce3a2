"""A field read window by window from whatever holds it, a container's tiles each decoded once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.formats.chunk_axes import ChunkAxes, Role
from eocodec.formats.eoc import ArrayHeader, ArrayReader, Reader
from eocodec.formats.eoc.grid import Box
from eocodec.formats.tiles_once import TilesOnce

_FEWEST = 2**20


@dataclass(frozen=True)
class StoredArrays:
    """The arrays of the container that a dataset was opened from; none of another file.

    Attributes
    ----------
    reader : Reader or None
        The open container.
    layers : int or None
        Layers to decode; None decodes all.
    """

    reader: Reader | None = None
    layers: int | None = None

    def array(self, name: str) -> ArrayReader | None:
        """Return the array of a variable, None where it is none."""
        known = self.reader is not None and any(h.name == name for h in self.reader.arrays)
        return self.reader.array(name) if known and self.reader is not None else None

    def promise(self, name: str) -> ArrayHeader | None:
        """Return the header of a variable that promises bounds, where all its layers are decoded."""
        array = self.array(name)
        if array is None or (self.layers is not None and self.layers < array.layers):
            return None
        header = array.header
        promised = header.max_error, header.max_relative_error, header.max_error_sqrt
        return None if promised == (None, None, None) else header

    def lossy(self, name: str) -> bool:
        """Whether a variable is an array that may differ from the original."""
        array = self.array(name)
        return array is not None and array.header.max_error != 0

    @property
    def most_layers(self) -> int | None:
        """Layers of the array that has most; None without a container."""
        if self.reader is None:
            return None
        return max(self.reader.array(n).layers for n in range(len(self.reader.arrays)))


class FieldWindows:
    """Reads the windows of a variable in their order.

    Parameters
    ----------
    variable : xr.Variable
        The variable, not loaded.
    axes : ChunkAxes
        Its axes.
    array : ArrayReader or None
        Where its tiles are, if it is an array of a container.
    layers : int or None
        Layers to decode.

    Attributes
    ----------
    tiles : ArrayReader or None
        The array, where it has the planes of the field in their order.
    """

    def __init__(
        self,
        variable: xr.Variable,
        axes: ChunkAxes,
        array: ArrayReader | None,
        layers: int | None,
    ) -> None:
        self._variable, self._axes = variable, axes
        self._extents = axes.extents(variable.shape)
        dims = [str(variable.dims[axis]) for axis in axes.order]
        if array is not None and [dim for dim in array.dims if dim in dims] != dims:
            array = None
        self.tiles = array
        self._once = None if array is None else TilesOnce(array, layers)

    def read(self, times: slice, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the stored samples of the next window, (planes, rows, columns)."""
        levels = self._extents[Role.BAND]
        if self._once is not None:
            planes = slice(times.start * levels, times.stop * levels)
            samples = self._once.read(planes, rows, columns)
            return samples.view(self._variable.dtype)
        roles = self._axes.roles
        apart = [axis for axis, role in enumerate(roles) if role is Role.TILE]
        key: list[slice] = [slice(None)] * self._variable.ndim
        for role, span in ((Role.ROW, rows), (Role.COLUMN, columns)):
            if role in roles:
                key[roles.index(role)] = span
        parts = []
        for spans in self._spans(apart, times):
            for axis, span in zip(apart, spans, strict=True):
                key[axis] = span
            part = self._axes.fold(np.asarray(self._variable[tuple(key)].values))
            parts.append(part.reshape(-1, *part.shape[2:]))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _spans(self, apart: Sequence[int], times: slice) -> Iterator[tuple[slice, ...]]:
        """Yield what times are along each of the axes that they are numbered over."""
        if len(apart) == 1:
            yield (times,)
            return
        shape = [self._variable.shape[axis] for axis in apart]
        for number in range(times.start, times.stop):
            at = np.unravel_index(number, shape) if shape else ()
            yield tuple(slice(int(i), int(i) + 1) for i in at)


def field_windows(
    extents: tuple[int, int, int, int], arrays: Sequence[ArrayReader | None]
) -> Iterator[Box]:
    """Yield windows (times, rows, columns) of a field, whole tiles of the array with the larger ones.

    Parameters
    ----------
    extents : tuple of int
        (times, levels, rows, columns) of the field.
    arrays : sequence of ArrayReader or None
        Where it is an array of a container.
    """
    times, levels, height, width = extents
    step = [1, 1, 1]
    for array in arrays:
        if array is not None:
            planes, rows, columns = array.header.tile_size
            tile = [max(1, planes // levels), rows, columns]
            step = max(
                step,
                [min(n, m) for n, m in zip(tile, (times, height, width), strict=True)],
                key=math.prod,
            )
    for axis, most in ((2, width), (1, height), (0, times)):
        while step[axis] < most and math.prod(step) * levels < _FEWEST:
            step[axis] *= 2
    for at in np.ndindex(*(-(-n // s) for n, s in zip((times, height, width), step, strict=True))):
        time, row, column = (
            slice(i * s, min((i + 1) * s, n))
            for i, s, n in zip(at, step, (times, height, width), strict=True)
        )
        yield time, row, column
