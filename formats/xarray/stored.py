"""Variables as they are stored: their dtype, packing and special values, and their tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from eocodec.formats.cf import Packing as Packing
from eocodec.formats.cf import fill_values, seen_attrs, seen_dtype
from eocodec.formats.chunk_axes import ChunkAxes, Role, chunk_axes
from eocodec.payload import DTYPES

_FEW_SAMPLES = 2**17
_MOST_SAMPLES = 2**24
_BLOCK_SAMPLES = 2**22
_AXES = {
    "T": "time",
    "Z": "level",
    "Y": "lat",
    "X": "lon",
    "degrees_north": "lat",
    "degrees_east": "lon",
}


def stored_dtype(variable: xr.Variable) -> np.dtype[Any]:
    """Return the dtype that a variable is stored in, native byte order."""
    dtype: np.dtype[Any] = np.dtype(variable.encoding.get("dtype") or variable.dtype)
    return dtype.newbyteorder("=")


def seen_encoding(variable: xr.Variable, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return `kept` of the encoding of a variable, and its dtype, for samples stored as a CF reader sees them."""
    dtype = stored_dtype(variable)
    shown = seen_dtype(dtype, variable.encoding)
    if shown == dtype:
        return {"dtype": dtype, **kept}
    told = {**kept, "_Unsigned": variable.encoding["_Unsigned"]}
    return {"dtype": shown, **seen_attrs(told, dtype)}


def codable(variable: xr.Variable) -> bool:
    """Whether a variable is a raster or field, of a dtype that a tile can have."""
    dims = set(variable.dims)
    return variable.ndim >= 2 and len(dims) == variable.ndim and has_samples(variable)


def has_samples(variable: xr.Variable) -> bool:
    """Whether a variable has samples, of a dtype that a tile can have."""
    return variable.size > 0 and stored_dtype(variable).newbyteorder("<") in DTYPES


def special_values(variable: xr.Variable) -> list[int | float]:
    """Return the samples that mean "missing" as a CF reader sees them, `_FillValue` first, NaN left out."""
    return fill_values({**variable.attrs, **variable.encoding}, stored_dtype(variable))


def field_axes(
    variable: xr.Variable, coordinates: Mapping[Any, xr.Variable] | None = None
) -> ChunkAxes:
    """Find the role of each axis of a variable by its coordinates (CF), else by the names of its dimensions."""
    names = []
    for dim in map(str, variable.dims):
        attrs = coordinates[dim].attrs if coordinates and dim in coordinates else {}
        vertical = "Z" if "positive" in attrs else None
        said = (attrs.get("axis"), attrs.get("units"), vertical)
        names.append(
            next((_AXES[key] for key in said if isinstance(key, str) and key in _AXES), dim)
        )
    return chunk_axes(variable.ndim, names)


def field_tile(extents: tuple[int, int, int, int], tile_size: int) -> tuple[int, int, int]:
    """Return (planes, rows, columns) of the tiles of a variable.

    A tile holds all levels of one time; of times with few samples several, and less than `tile_size`
    rows and columns where the levels are many.

    Parameters
    ----------
    extents : tuple of int
        (times, levels, rows, columns) of the variable.
    tile_size : int
        Rows and columns of a tile, at most.
    """
    times, levels, height, width = extents
    levels_at_once = min(levels, _MOST_SAMPLES // min(16, tile_size) ** 2)
    most = _MOST_SAMPLES // levels_at_once
    rows, columns = min(tile_size, height), min(tile_size, width)
    if rows * columns > most:
        side = max(16, math.isqrt(most) // 16 * 16)
        rows, columns = min(rows, side), min(columns, max(side, most // min(rows, side)))
    samples = levels * height * width
    if (rows, columns) == (height, width) and samples < _FEW_SAMPLES and times > 1:
        tiles = -(-times * samples // _FEW_SAMPLES)
        return -(-times // tiles) * levels, tile_size, tile_size
    return (
        levels_at_once,
        rows if rows < height else tile_size,
        columns if columns < width else tile_size,
    )


def blocks(
    variable: xr.Variable, axes: ChunkAxes, rows: int
) -> Iterator[tuple[int, slice, xr.Variable]]:
    """Yield the number of a time, a range of rows and what of a variable lies there, not yet read.

    Parameters
    ----------
    variable : xr.Variable
        A stored variable.
    axes : ChunkAxes
        Its axes.
    rows : int
        Rows of a block.
    """
    apart = [axis for axis, role in enumerate(axes.roles) if role is Role.TILE]
    _, _, height, _ = axes.extents(variable.shape)
    of_rows = axes.roles.index(Role.ROW) if Role.ROW in axes.roles else None
    for number, at in enumerate(np.ndindex(*(variable.shape[axis] for axis in apart))):
        for top in range(0, height, rows):
            key = [slice(None)] * variable.ndim
            for axis, position in zip(apart, at, strict=True):
                key[axis] = slice(position, position + 1)
            span = slice(top, min(top + rows, height))
            if of_rows is not None:
                key[of_rows] = span
            yield number, span, variable[tuple(key)]


def blocks_of_times(
    variable: xr.Variable, axes: ChunkAxes, times: slice, rows: slice, columns: slice
) -> list[xr.Variable]:
    """Return what of a variable lies at some times, rows and columns, not yet read: few parts, in order of time.

    Parameters
    ----------
    variable : xr.Variable
        A stored variable.
    axes : ChunkAxes
        Its axes; positions along those that are apart are numbered as times, the last one fastest.
    times, rows, columns : slice
        With start and stop.
    """
    apart = [axis for axis, role in enumerate(axes.roles) if role is Role.TILE]
    key = [slice(None)] * variable.ndim
    for role, span in ((Role.ROW, rows), (Role.COLUMN, columns)):
        if role in axes.roles:
            key[axes.roles.index(role)] = span
    if not apart:
        return [variable[tuple(key)]]
    parts = []
    shape = [variable.shape[axis] for axis in apart]
    time = times.start
    while time < times.stop:
        at = np.unravel_index(time, shape)
        last = int(at[-1])
        run = min(shape[-1] - last, times.stop - time)
        for axis, position in zip(apart, map(int, at), strict=True):
            key[axis] = slice(position, position + 1)
        key[apart[-1]] = slice(last, last + run)
        parts.append(variable[tuple(key)])
        time += run
    return parts


def block_rows(extents: tuple[int, int, int, int]) -> int:
    """Return the rows of a block of moderate size that spans all levels and columns."""
    _, levels, _, width = extents
    return max(1, _BLOCK_SAMPLES // (levels * width))


def tile_shape(variable: xr.Variable, tile_size: int) -> tuple[int, ...]:
    """Return the chunk of a variable that is one tile: all bands, `tile_size` rows and columns.

    Dask chunks that such tiles do not divide are kept.
    """
    shape = []
    axes = chunk_axes(variable.ndim, tuple(map(str, variable.dims)))
    for axis, role in enumerate(axes.roles):
        extent = variable.shape[axis]
        size = {Role.TILE: 1, Role.BAND: extent}.get(role, min(tile_size, extent))
        dask = variable.chunks[axis][0] if variable.chunks else extent
        shape.append(size if dask % size == 0 or dask == extent else dask)
    return tuple(shape)
