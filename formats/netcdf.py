"""Reading and writing netCDF-3 and netCDF-4: samples, attributes and dimensions as they are stored."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from eocodec.errors import EocodecError, InputError
from eocodec.extras import needs
from eocodec.xarray.dimensions import (
    FILE_DIMENSIONS,
    REPEATED,
    Dimension,
    distinct_dims,
    file_dimensions,
    repeated_dims,
    repeated_dims_allowed,
)

_FORMATS = (
    "NETCDF3_CLASSIC",
    "NETCDF3_64BIT_OFFSET",
    "NETCDF3_64BIT_DATA",
    "NETCDF4_CLASSIC",
    "NETCDF4",
)
_OTHER_FILTERS = ("zstd", "bzip2", "blosc", "szip")
# As long as the name that it gets: netCDF-3 then renames without moving anything.
_UNNAMED_FILL = "xFillValue"
_BLOCK = 2**22


@contextmanager
def open_netcdf(path: str | os.PathLike[str]) -> Iterator[tuple[xr.Dataset, str]]:
    """Open a netCDF file undecoded; give the dataset and its format, such as "NETCDF3_CLASSIC".

    Raises
    ------
    InputError
        If it is no netCDF file, or it holds groups or types of its own.
    MissingPackageError
        netCDF4 is not installed.
    """
    netcdf = _netcdf4(path)
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file")
    try:
        with netcdf.Dataset(os.fspath(path)) as file:
            data_model, groups = str(file.data_model), list(file.groups)
            types = [*file.cmptypes, *file.vltypes, *file.enumtypes]
            dimensions = {
                str(name): Dimension(len(dim), bool(dim.isunlimited()))
                for name, dim in file.dimensions.items()
            }
    except OSError as error:
        raise InputError(f"{path} is no netCDF file: {error.strerror or error}") from error
    if groups or types:
        what, names = ("groups", groups) if groups else ("types of its own", types)
        raise InputError(
            f"{path} has {what}: {', '.join(names)}; only plain files can be compressed"
        )
    try:
        with repeated_dims_allowed():
            ds = xr.open_dataset(path, engine="netcdf4", decode_cf=False, cache=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    with ds:
        variables, repeated = distinct_dims(ds.variables)
        if repeated:
            encoding = ds.encoding | {REPEATED: repeated}
            ds = xr.Dataset(variables, attrs=ds.attrs)
            ds.encoding = encoding
        ds.encoding[FILE_DIMENSIONS] = dimensions
        yield ds, data_model


def not_kept(ds: xr.Dataset) -> list[str]:
    """Say what of a netCDF file is not kept with its variables; nothing of other datasets."""
    lost: dict[str, list[str]] = {}
    for name, variable in ds.variables.items():
        for key in _OTHER_FILTERS:
            if variable.encoding.get(key):
                lost.setdefault(key, []).append(str(name))
    return [
        f"the compression filter {key} of {', '.join(names)} is not kept: netCDF is written without it"
        for key, names in lost.items()
    ]


def write_netcdf(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write an undecoded dataset as netCDF: samples, attributes and unlimited dimensions as they are.

    Parameters
    ----------
    ds : xr.Dataset
        From the engine "eocodec" with ``decode_cf=False``, or `open_netcdf`; read in blocks.
    path : path
        The file; it appears when it is whole.
    format : str, optional
        netCDF4-python's name of the format; NETCDF4 where it is none of them.
    overwrite : bool
        Replace an existing file.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Raises
    ------
    InputError
        If the file exists or a variable cannot be in this format.
    """
    netcdf = _netcdf4(path)
    final = Path(path)
    if final.exists() and not overwrite:
        raise InputError(f"{final} exists; allow overwriting to replace it")
    partial = final.with_name(f".{final.name}.{secrets.token_hex(6)}.part")
    try:
        chosen = format if format in _FORMATS else "NETCDF4"
        with netcdf.Dataset(partial, "w", format=chosen) as file:
            _fill(file, ds, progress)
        partial.replace(final)
    except (OSError, RuntimeError, TypeError, ValueError, KeyError) as error:
        if isinstance(error, EocodecError):
            raise
        raise InputError(f"{final} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _fill(file: Any, ds: xr.Dataset, progress: Callable[[int], object] | None) -> None:
    for name, dim in file_dimensions(ds).items():
        file.createDimension(name, None if dim.unlimited else dim.size)
    again = repeated_dims(ds)
    _set_attributes(file, ds.attrs)
    named = {str(name): variable for name, variable in ds.variables.items()}
    axes_first = sorted(named, key=lambda name: name not in ds.sizes)
    created = []
    for name in axes_first:
        dims = [again.get(str(dim), str(dim)) for dim in named[name].dims]
        created.append((named[name], _create(file, name, named[name], dims)))
    for variable, into in created:
        for box in _boxes(variable):
            values = variable[box].values
            into[box] = values.astype("S1") if values.dtype.kind == "S" else values
            if progress is not None:
                progress(values.size)
        if _UNNAMED_FILL in into.ncattrs():
            # netCDF takes one of another type, which some files have, only so and after the samples.
            into.renameAttribute(_UNNAMED_FILL, "_FillValue")


def _create(file: Any, name: str, variable: xr.Variable, dims: Sequence[str]) -> Any:
    attrs = dict(variable.attrs)
    fill = attrs.pop("_FillValue", None)
    odd_fill, fill = (None, fill) if _fills(fill, variable.dtype) else (fill, None)
    dtype: Any = variable.dtype
    if dtype.kind in "OU":
        dtype = str
    elif dtype.kind == "b":
        dtype, attrs = np.int8, {"dtype": "bool", **attrs}
    options: dict[str, Any] = {}
    if file.data_model.startswith("NETCDF4") and dtype is not str and variable.ndim:
        encoding = variable.encoding
        options = {
            key: encoding[key]
            for key in ("zlib", "complevel", "shuffle", "fletcher32")
            if key in encoding
        }
        chunks = encoding.get("chunksizes")
        if chunks and len(chunks) == variable.ndim:
            options["chunksizes"] = tuple(chunks)
    into = file.createVariable(name, dtype, dims, fill_value=fill, **options)
    into.set_auto_maskandscale(False)
    into.set_auto_chartostring(False)
    _set_attributes(into, attrs)
    if odd_fill is not None:
        into.setncattr(_UNNAMED_FILL, odd_fill)
    return into


def _fills(fill: Any, dtype: np.dtype[Any]) -> bool:
    """Whether a `_FillValue` is None, or one that netCDF takes for samples of a dtype."""
    if fill is None or dtype.kind in "OUS":
        return True
    value = np.asarray(fill)
    return value.size == 1 and value.dtype == dtype


def _set_attributes(into: Any, attrs: Mapping[Any, Any]) -> None:
    for key, value in attrs.items():
        if isinstance(value, list) and any(isinstance(item, str) for item in value):
            into.setncattr_string(key, [str(item) for item in value])
        else:
            into.setncattr(key, value)


def _boxes(variable: xr.Variable) -> Iterator[tuple[slice, ...]]:
    """Yield boxes of moderate size that cover a variable, cut along its chunks."""
    chunks = variable.encoding.get("preferred_chunks", {})
    steps = [
        max(1, int(chunks.get(dim, n)))
        for dim, n in zip(variable.dims, variable.shape, strict=True)
    ]
    for axis in reversed(range(variable.ndim)):
        while steps[axis] < variable.shape[axis] and 2 * np.prod(steps) <= _BLOCK:
            steps[axis] *= 2
    counts = [-(-n // step) for n, step in zip(variable.shape, steps, strict=True)]
    for at in np.ndindex(*counts):
        yield tuple(
            slice(i * step, min((i + 1) * step, n))
            for i, step, n in zip(at, steps, variable.shape, strict=True)
        )


def _netcdf4(path: Any) -> Any:
    with needs("fields", f"{path}: netCDF"):
        import netCDF4
    return netCDF4
