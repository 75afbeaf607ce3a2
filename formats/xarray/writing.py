"""Writing a dataset as a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from xarray import conventions

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import Role, chunk_axes
from eocodec.formats.eoc import ArrayHeader, Band, Writer, array_header, create
from eocodec.formats.eoc.metadata import MAX_DESCRIBED
from eocodec.formats.eoc.sink import Target
from eocodec.tile import EncodeSettings
from eocodec.xarray.georeference import crs_of, transform_of
from eocodec.xarray.small import ROOM, dump_attrs, dump_variable
from eocodec.xarray.stored import Asked, codable, stored_options

_IN_HEADER = ("_FillValue",)


@dataclass(frozen=True)
class _Array:
    """A variable that becomes an array: CF-encoded, axes apart first, then bands, rows, columns."""

    variable: xr.Variable
    apart: tuple[int, ...]
    header: ArrayHeader
    settings: EncodeSettings


def write_dataset(
    ds: xr.Dataset,
    target: Target,
    *,
    tile_size: int,
    threads: int | None,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
    asked: Asked,
) -> None:
    """Write a dataset as a container; see `EocAccessor.to_eoc`."""
    arrays, about = _described(ds, tile_size, asked)
    first = arrays[0].header
    room = {**first.extra[ROOM], "dataset": about}
    headers = [array.header for array in arrays]
    headers[0] = replace(first, extra={ROOM: room})
    with create(
        target,
        arrays=headers,
        settings={array.header.name: array.settings for array in arrays},
        threads=threads,
        overwrite=overwrite,
        storage_options=storage_options,
    ) as writer:
        for array in arrays:
            _write(writer, array)


def _described(ds: xr.Dataset, tile_size: int, asked: Asked) -> tuple[list[_Array], dict[str, Any]]:
    """Return the arrays of a dataset, and what else the header says of it."""
    variables, attrs = conventions.encode_dataset_coordinates(ds)
    arrays, small = [], {}
    for key, variable in variables.items():
        name = str(key)
        stored = conventions.encode_cf_variable(variable, name=name)
        if codable(stored):
            lossless: Asked = {"lossless": True}
            own = lossless if key in ds.coords else asked
            settings = stored_options(name, variable, own).settings
            arrays.append(_array(ds, name, stored, settings, tile_size))
        elif stored.ndim < 2:
            small[name] = dump_variable(name, stored)
        else:
            raise InputError(f"variable {name!r} of {stored.dtype} cannot be stored: drop it")
    if not arrays:
        raise InputError("the dataset has no variable of two or more axes")
    arrays.sort(key=lambda array: array.header.name in ds.coords)
    return arrays, {"attrs": dump_attrs(attrs), "variables": small}


def _array(
    ds: xr.Dataset, name: str, stored: xr.Variable, settings: EncodeSettings, tile_size: int
) -> _Array:
    axes = chunk_axes(stored.ndim, tuple(map(str, stored.dims)))
    bands = axes.extents(stored.shape)[Role.BAND]
    order = sorted(range(stored.ndim), key=lambda axis: axes.roles[axis])
    stored = stored.transpose(*(stored.dims[axis] for axis in order))
    attrs = {key: value for key, value in stored.attrs.items() if key not in _IN_HEADER}
    header = array_header(
        shape=stored.shape,
        dtype=stored.dtype,
        name=name,
        dims=tuple(map(str, stored.dims)),
        tile_size=(bands, tile_size, tile_size),
        bands=_bands(ds, stored),
        nodata=settings.nodata,
        crs=crs_of(ds, stored),
        transform=transform_of(ds, stored),
        extra={ROOM: {"attrs": dump_attrs(attrs)}},
    )
    return _Array(stored, stored.shape[: axes.roles.count(Role.TILE)], header, settings)


def _bands(ds: xr.Dataset, stored: xr.Variable) -> list[Band]:
    """Describe the planes of (band, rows, columns) by what the dataset says of them."""
    if stored.ndim != 3 or stored.shape[0] > MAX_DESCRIBED:
        return []
    dim = stored.dims[0]
    names = ds.variables[dim].values if dim in ds.variables else None
    if names is None or not all(isinstance(name, str) for name in names.tolist()):
        return []
    wave = ds.variables.get("wavelength")
    known = wave is not None and wave.dims == (dim,) and wave.attrs.get("units", "nm") == "nm"
    lengths = (
        wave.values.astype(float) if known and wave is not None else np.full(len(names), np.nan)
    )
    return [
        Band(
            name=str(name),
            wavelength_nm=None if np.isnan(length) else float(length),
            scale=_number(stored.attrs.get("scale_factor")),
            offset=_number(stored.attrs.get("add_offset")),
        )
        for name, length in zip(names, lengths, strict=True)
    ]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _write(writer: Writer, array: _Array) -> None:
    """Write an array, a row of tiles at a time."""
    _, height, width = array.header.grid.shape
    bands, tile_rows, _ = array.header.tile_size
    for number, at in enumerate(np.ndindex(array.apart)):
        planes = slice(number * bands, (number + 1) * bands)
        for top in range(0, height, tile_rows):
            rows = slice(top, min(top + tile_rows, height))
            pixels = array.variable[(*at, ..., rows, slice(None))].values
            box = (planes, rows, slice(0, width))
            writer.write(box, pixels.reshape(bands, -1, width), array.header.name)
