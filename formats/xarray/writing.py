"""Writing a dataset as a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray import conventions

from eocodec.distortion import Distortion
from eocodec.errors import InputError
from eocodec.formats.cf import FILL_KEYS, Packing, malformed, number, seen_dtype
from eocodec.formats.chunk_axes import ChunkAxes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.dataset_room import ROOM
from eocodec.formats.eoc import ArrayHeader, Band, Writer, array_header, create
from eocodec.formats.eoc.metadata import DEFAULT_TILE_SIZE, MAX_DESCRIBED
from eocodec.formats.eoc.sink import Target
from eocodec.formats.field_kinds import field_names
from eocodec.tile import EncodeSettings
from eocodec.xarray.bounds import Asked, stored_options
from eocodec.xarray.cf_encoding import encode_variable
from eocodec.xarray.dimensions import distinct_dims, dump_dimensions
from eocodec.xarray.georeference import crs_of, transform_of
from eocodec.xarray.small import dump_attrs, dump_variable
from eocodec.xarray.stored import blocks, codable, field_axes, field_tile, has_samples

MOST_IN_HEADER = 4096
"""Variables of one axis of no more samples are kept in the header, exactly."""
_MOST_OF_ANY = 2**19
_LONG_ROW = 2**18
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
class WrittenArray:
    """An array of a container: its name, the bytes of its tiles, their errors (None where not measured)."""

    name: str
    size: int
    distortion: Distortion | None


@dataclass(frozen=True)
class Written:
    """A container that was written: its bytes, and the variables that became arrays, by name."""

    size: int
    arrays: Mapping[str, WrittenArray]


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
    distinct, repeated = distinct_dims(variables)
    fields = field_names(ds)
    stored, options = {}, {}
    for name, variable in distinct.items():
        stored[name] = encode_variable(name, variable)
        if has_samples(stored[name]):
            named = any(isinstance(value, Mapping) and name in value for value in asked.values())
            exact = name in ds.coords or not (name in fields or named)
            own: Asked = {"lossless": True} if exact else asked
            axes = field_axes(variable, ds.variables)
            packing = Packing.of(variable.encoding)
            samples = partial(stored.__getitem__, name)
            options[name] = stored_options(name, variable, own, packing, axes, samples)
            fill = options[name].nodata
            if fill is not None and not any(key in stored[name].attrs for key in FILL_KEYS):
                dtype = stored[name].dtype
                stored[name].attrs["_FillValue"] = np.array(
                    fill, seen_dtype(dtype, stored[name].attrs)
                ).astype(dtype)[()]
    write_stored(
        StoredDataset(stored, attrs, options, ds, dump_dimensions(ds, repeated)),
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
) -> Written:
    """Write a dataset as it is stored; return what came of it.

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
    names = [array.header.name for array in arrays]
    return Written(
        writer.size,
        {name: WrittenArray(name, writer.size_of(name), writer.distortion(name)) for name in names},
    )


def _divided(
    dataset: StoredDataset, tile_size: int
) -> tuple[list[_Array], dict[str, dict[str, Any]]]:
    """Return the arrays of a dataset, coordinates last, and its other variables as JSON."""
    large = {
        name
        for name, variable in dataset.variables.items()
        if codable(variable)
        or (variable.ndim == 1 and has_samples(variable) and variable.size > MOST_IN_HEADER)
    }
    for name in set(dataset.variables) - large:
        _refuse_large(name, dataset.variables[name])
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


def _refuse_large(name: str, variable: xr.Variable) -> None:
    """Raise `InputError` for a variable that only a header could hold, and that is too large for it."""
    if variable.size <= _MOST_OF_ANY:
        return
    kind = variable.dtype.kind
    advice = "store it as float32 or float64, or " if kind == "f" else ""
    raise InputError(
        f"variable {name!r} of {variable.size} {'text' if kind in 'OSU' else variable.dtype} values is too "
        f"large for what no tile can hold: {advice}drop it"
    )


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
    shown = seen_dtype(stored.dtype.newbyteorder("="), stored.attrs)
    if shown != stored.dtype:
        room["dtype"] = stored.dtype.name
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
        dtype=shown,
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
    wrong = malformed(stored.attrs)
    wave = ds.variables.get("wavelength")
    known = wave is not None and wave.dims == (dim,) and wave.attrs.get("units", "nm") == "nm"
    lengths = (
        wave.values.astype(float) if known and wave is not None else np.full(len(names), np.nan)
    )
    return [
        Band(
            name=str(name),
            wavelength_nm=None if np.isnan(length) else float(length),
            scale=None if "scale_factor" in wrong else number(stored.attrs.get("scale_factor")),
            offset=None if "add_offset" in wrong else number(stored.attrs.get("add_offset")),
        )
        for name, length in zip(names, lengths, strict=True)
    ]


def _write(writer: Writer, array: _Array, progress: Callable[[int], object] | None) -> None:
    """Write an array, a row of tiles at a time, or as Dask computes it."""
    if array.variable.chunks is not None and array.variable.ndim > 1:
        from eocodec.xarray.dask_tiles import write_chunked

        write_chunked(writer, array.header.name, array.variable, array.axes, progress)
        return
    _, bands, height, width = array.axes.extents(array.variable.shape)
    tile_rows = min(array.header.tile_size[1], height)
    for time, rows, part in blocks(array.variable, array.axes, tile_rows):
        planes = slice(time * bands, (time + 1) * bands)
        pixels = array.axes.fold(np.asarray(part.values))[0]
        pixels = pixels.astype(array.header.dtype, copy=False)
        writer.write((planes, rows, slice(0, width)), pixels, array.header.name)
        if progress is not None:
            progress(pixels.size)
