"""What is asked of a variable, in the unit in which it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np
import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import Role, chunk_axes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.payload import DTYPES


class Asked(TypedDict, total=False):
    """Options of `encoding` and `to_eoc`: each one value, or a mapping of variable name to value."""

    model: Any
    quality: Any
    max_error: Any
    max_relative_error: Any
    max_error_sqrt: Any
    lossless: Any
    nodata: Any


def stored_dtype(variable: xr.Variable) -> np.dtype[Any]:
    """Return the dtype that a variable is stored in, native byte order."""
    dtype: np.dtype[Any] = np.dtype(variable.encoding.get("dtype") or variable.dtype)
    return dtype.newbyteorder("=")


def codable(variable: xr.Variable) -> bool:
    """Whether a variable is a raster or field, of a dtype that a tile can have."""
    dtype = stored_dtype(variable)
    return variable.ndim >= 2 and variable.size > 0 and dtype.newbyteorder("<") in DTYPES


def stored_options(name: str, variable: xr.Variable, asked: Asked) -> ChunkOptions:
    """Return the options of a variable in the unit of its stored samples, which may be packed.

    Raises
    ------
    InputError
        When an option is malformed, or a bound has no meaning for packed samples.
    """
    given = {key: _of(value, name) for key, value in asked.items()}
    options = ChunkOptions.from_json({k: v for k, v in given.items() if v is not None})
    if options.nodata is None:
        options = replace(options, nodata=_fill_value(variable))
    scale = abs(float(variable.encoding.get("scale_factor") or 1.0))
    if variable.encoding.get("add_offset") and (
        options.max_relative_error is not None or options.max_error_sqrt is not None
    ):
        raise InputError(
            f"{name!r} is stored packed with add_offset, so its error can only be bounded by max_error"
        )
    if scale == 1.0:
        return options
    absolute = options.max_error
    if isinstance(absolute, Sequence):
        absolute = tuple(None if value is None else _divided(value, scale) for value in absolute)
    elif absolute is not None:
        absolute = _divided(absolute, scale)
    root = options.max_error_sqrt
    root = None if root is None else _divided(root, scale**0.5)
    return replace(options, max_error=absolute, max_error_sqrt=root)


def _divided(bound: float, scale: float) -> float:
    # 0.0003 / 0.0001 is 3, whatever the last bit says.
    return float(f"{bound / scale:.12g}")


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


def _fill_value(variable: xr.Variable) -> float | None:
    for room in (variable.encoding, variable.attrs):
        for key in ("_FillValue", "missing_value"):
            if room.get(key) is not None:
                return float(np.ravel(room[key])[0])
    return None


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
