"""Variables as they are stored: their dtype, packing and special values, and their tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.formats.chunk_axes import ChunkAxes, Role, chunk_axes
from eocodec.payload import DTYPES

Array = npt.NDArray[Any]

_FEW_SAMPLES = 2**17
_MOST_SAMPLES = 2**24
_BLOCK_SAMPLES = 2**22
_FILL_KEYS = ("_FillValue", "missing_value")
_AXES = {
    "T": "time",
    "Z": "level",
    "Y": "lat",
    "X": "lon",
    "degrees_north": "lat",
    "degrees_east": "lon",
}


@dataclass(frozen=True)
class Packing:
    """Value = sample * scale + offset, as netCDF's attributes scale_factor and add_offset say."""

    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, said: Mapping[Any, Any]) -> Self:
        """Return what attributes, or the encoding of a decoded variable, say."""
        scale, offset = said.get("scale_factor"), said.get("add_offset")
        return cls(
            1.0 if scale is None else float(np.ravel(scale)[0]),
            0.0 if offset is None else float(np.ravel(offset)[0]),
        )

    @property
    def packed(self) -> bool:
        """Whether values are others than the samples."""
        return self != Packing()

    def values(self, samples: Array) -> npt.NDArray[np.float64]:
        """Return the values of samples."""
        return samples.astype(np.float64) * self.scale + self.offset


def stored_dtype(variable: xr.Variable) -> np.dtype[Any]:
    """Return the dtype that a variable is stored in, native byte order."""
    dtype: np.dtype[Any] = np.dtype(variable.encoding.get("dtype") or variable.dtype)
    return dtype.newbyteorder("=")


def codable(variable: xr.Variable) -> bool:
    """Whether a variable is a raster or field, of a dtype that a tile can have."""
    dims = set(variable.dims)
    return variable.ndim >= 2 and len(dims) == variable.ndim and has_samples(variable)


def has_samples(variable: xr.Variable) -> bool:
    """Whether a variable has samples, of a dtype that a tile can have."""
    return variable.size > 0 and stored_dtype(variable).newbyteorder("<") in DTYPES


def special_values(variable: xr.Variable) -> list[float]:
    """Return the samples that mean "missing", `_FillValue` first; NaN is always kept, and left out."""
    found: list[float] = []
    for room in (variable.encoding, variable.attrs):
        for key in _FILL_KEYS:
            found += [] if room.get(key) is None else map(float, np.ravel(room[key]).tolist())
    return [value for value in dict.fromkeys(found) if not math.isnan(value)]


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
