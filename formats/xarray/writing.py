"""Writing a dataset as a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray import conventions

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import ChunkAxes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.dataset_room import ROOM
from eocodec.formats.eoc import ArrayHeader, Band, Writer, array_header, create
from eocodec.formats.eoc.metadata import DEFAULT_TILE_SIZE, MAX_DESCRIBED
from eocodec.formats.eoc.sink import Target
from eocodec.tile import EncodeSettings
from eocodec.xarray.bounds import Asked, stored_options
from eocodec.xarray.georeference import crs_of, transform_of
from eocodec.xarray.small import dump_attrs, dump_variable
from eocodec.xarray.stored import Packing, blocks, codable, field_axes, field_tile, has_samples

_MOST_IN_HEADER = 4096
_LONG_ROW = 2**18
_NUMBERS = "iuf"
_ENCODING = ("zlib", "complevel", "shuffle", "fletcher32", "chunksizes")


@dataclass(frozen=True)
class StoredDataset:
    """A dataset as it is stored: what CF would write to a file.

    Attributes
    ----------
    variables : mapping of str to xr.Variable
        CF-encoded variables by name.
    attrs : mapping
        Attributes of the dataset.
    options : mapping of str to ChunkOptions
        What is kept of the variables that a tile can hold, in the unit of their samples.
    context : xr.Dataset
        Where coordinates and grid mappings are looked up.
    about : mapping
        Anything else to keep, as JSON can hold it.
    """

    variables: Mapping[str, xr.Variable]
    attrs: Mapping[Any, Any]
    options: Mapping[str, ChunkOptions]
    context: xr.Dataset
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Array:
    """A stored variable that becomes an array: axes apart first, then bands, rows, columns."""

    variable: xr.Variable
    axes: ChunkAxes
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
    variables, attrs = conventions.encode_dataset_coordinates(ds)
    stored, options = {}, {}
    for key, variable in variables.items():
        name = str(key)
        stored[name] = conventions.encode_cf_variable(variable, name=name)
        if has_samples(stored[name]):
            own: Asked = {"lossless": True} if key in ds.coords else asked
            axes = field_axes(variable, ds.variables)
            packing = Packing.of(variable.encoding)
            samples = partial(stored.__getitem__, name)
            options[name] = stored_options(name, variable, own, packing, axes, samples)
            if options[name].nodata is not None and stored[name].dtype.kind in _NUMBERS:
                fill = stored[name].dtype.type(options[name].nodata)
                stored[name].attrs.setdefault("_FillValue", fill)
    write_stored(
        StoredDataset(stored, attrs, options, ds),
        target,
        tile_size=tile_size,
        threads=threads,
        overwrite=overwrite,
        storage_options=storage_options,
    )


def write_stored(
    dataset: StoredDataset,
    target: Target,
    *,
    tile_size: int = DEFAULT_TILE_SIZE,
    threads: int | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Write a dataset as it is stored; return the bytes of the container.

    Variables of two and more axes become arrays, and so do long ones of a single axis; the others go to
    the header.

    Raises
    ------
    InputError
        When a variable cannot be stored, or the target exists.
    """
    arrays, small = _divided(dataset, tile_size)
    first = arrays[0].header
    about = {
        "attrs": dump_attrs(dataset.attrs),
        "variables": small,
        "order": list(dataset.variables),
        **dataset.about,
    }
    headers = [array.header for array in arrays]
    headers[0] = replace(first, extra={ROOM: {**first.extra[ROOM], "dataset": about}})
    with create(
        target,
        arrays=headers,
        settings={array.header.name: array.settings for array in arrays},
        threads=threads,
        overwrite=overwrite,
        storage_options=storage_options,
    ) as writer:
        for array in arrays:
            _write(writer, array, progress)
    return writer.size


def _divided(
    dataset: StoredDataset, tile_size: int
) -> tuple[list[_Array], dict[str, dict[str, Any]]]:
    """Return the arrays of a dataset, coordinates last, and its other variables as JSON."""
    large = {
        name
        for name, variable in dataset.variables.items()
        if codable(variable)
        or (variable.ndim == 1 and has_samples(variable) and variable.size > _MOST_IN_HEADER)
    }
    if not large:
        rows = {
            name: variable.size
            for name, variable in dataset.variables.items()
            if variable.ndim == 1 and has_samples(variable)
        }
        if not rows:
            raise InputError("the dataset has no variable of one or more axes")
        large = {max(rows, key=lambda name: rows[name])}
    small = {
        name: dump_variable(name, variable)
        for name, variable in dataset.variables.items()
        if name not in large
    }
    arrays = [
        _array(dataset, name, variable, tile_size)
        for name, variable in dataset.variables.items()
        if name in large
    ]
    arrays.sort(key=lambda array: array.header.name in dataset.context.coords)
    return arrays, small


def _array(dataset: StoredDataset, name: str, stored: xr.Variable, tile_size: int) -> _Array:
    axes = field_axes(stored, dataset.context.variables)
    extents = axes.extents(stored.shape)
    dims = tuple(map(str, stored.dims))
    ordered = tuple(dims[axis] for axis in axes.order)
    shape = tuple(stored.shape[axis] for axis in axes.order)
    tile = field_tile(extents, tile_size)
    room: dict[str, Any] = {"attrs": dump_attrs(stored.attrs)}
    encoding = {key: stored.encoding[key] for key in _ENCODING if stored.encoding.get(key)}
    if encoding:
        room["encoding"] = encoding
    if ordered != dims:
        room["dims"] = list(dims)
    if stored.ndim == 1:
        ordered, shape, tile = (f"{name} row", *dims), (1, *shape), (1, 1, _LONG_ROW)
        room["dims"] = list(dims)
    settings = dataset.options[name].settings
    bounds = settings.max_error
    if isinstance(bounds, tuple):
        # One number a plane; of very many planes the smallest for all.
        least = min(value for value in bounds if value is not None)
        many = extents[0] * extents[1] > MAX_DESCRIBED
        settings = replace(settings, max_error=least if many else bounds * extents[0])
    header = array_header(
        shape=shape,
        dtype=stored.dtype,
        name=name,
        dims=ordered,
        tile_size=tile,
        bands=_bands(dataset.context, stored) if ordered == dims else [],
        nodata=settings.nodata,
        crs=crs_of(dataset.context, stored),
        transform=transform_of(dataset.context, stored) if stored.ndim > 1 else None,
        extra={ROOM: room},
    )
    return _Array(stored, axes, header, settings)


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


def _write(writer: Writer, array: _Array, progress: Callable[[int], object] | None) -> None:
    """Write an array, a row of tiles at a time, or as Dask computes it."""
    if array.variable.chunks is not None and array.variable.ndim > 1:
        from eocodec.xarray.dask_tiles import write_chunked

        write_chunked(writer, array.header.name, array.variable, array.axes, progress)
        return
    _, bands, height, width = array.axes.extents(array.variable.shape)
    tile_rows = min(array.header.tile_size[1], height)
    for number, rows, part in blocks(array.variable, array.axes, tile_rows):
        planes = slice(number * bands, (number + 1) * bands)
        pixels = array.axes.fold(np.asarray(part.values))[0]
        pixels = pixels.astype(array.header.dtype, copy=False)
        writer.write((planes, rows, slice(0, width)), pixels, array.header.name)
        if progress is not None:
            progress(pixels.size)
