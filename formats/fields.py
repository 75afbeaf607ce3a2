"""Fields (netCDF, GRIB) to `.eoc` and back: every variable, coordinate and attribute of a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eocodec.errors import InputError
from eocodec.extras import needs

with needs("fields", "netCDF and GRIB"):
    import xarray as xr

from eocodec.formats.cf import Packing
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.compress_options import CodedPart, CompressOptions, CompressReport
from eocodec.formats.eoc.sink import Target as Destination
from eocodec.formats.field_kinds import field_names as field_names
from eocodec.formats.field_plans import field_plans
from eocodec.formats.file_kinds import refuse_foreign
from eocodec.formats.netcdf import not_kept
from eocodec.xarray.bounds import Plan
from eocodec.xarray.dimensions import dump_dimensions, repeated_dims
from eocodec.xarray.reading import container_files, raw_dataset
from eocodec.xarray.stored import has_samples
from eocodec.xarray.writing import StoredDataset, WrittenArray, write_stored

_COARSE = 2.0**-6
"""Relative error from which on the default is told of: five mantissa bits."""


@contextmanager
def open_fields(path: str | os.PathLike[str]) -> Iterator[tuple[xr.Dataset, str]]:
    """Open a netCDF or GRIB file undecoded; give the dataset and the name of its format.

    Raises
    ------
    InputError
        If it is neither, or a package that reads it is not installed.
    """
    from eocodec.formats.grib import FORMAT, open_grib
    from eocodec.formats.netcdf import open_netcdf

    refuse_foreign(path)
    if _is_grib(path):
        with open_grib(path) as ds:
            yield ds, FORMAT
    else:
        with open_netcdf(path) as (ds, data_model):
            yield ds, data_model


@contextmanager
def open_decoded(source: str | bytes, *, layers: int | None = None) -> Iterator[xr.Dataset]:
    """Open a container (path, URL or bytes) as an undecoded dataset, read in parts.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    FormatError, UnsupportedError
        It is no container, damaged, cut, or needs a newer release.
    """
    files = container_files(source, None)
    try:
        yield raw_dataset(files, layers)
    finally:
        files.close()


def compress_fields(
    source: str | os.PathLike[str],
    destination: Destination,
    options: CompressOptions,
    progress: Callable[[int], object] | None = None,
) -> CompressReport:
    """Compress a netCDF or GRIB file.

    Floating-point fields of which nothing is asked keep 99 % of their real information (Klöwer et al. 2021,
    doi:10.1038/s43588-021-00156-2). Packed ones, integers, small variables and what is no field (coordinates,
    flags, counts, classes, identifiers; see `eocodec.formats.field_kinds`) are exact.

    Parameters
    ----------
    source : path
        The file.
    destination : path, URL or binary file object
        Where the container goes; a file object may be a pipe.
    options : CompressOptions
        How to compress; bounds are in the unit of the unpacked variables.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Raises
    ------
    InputError
        If the file or an option cannot be coded as asked; nothing is written then.
    """
    for name in ("target", "ratio", "bands"):
        if getattr(options, name) is not None:
            raise InputError(
                f"{source} holds fields: {name} is for rasters; bound their errors instead"
            )
    with open_fields(source) as (ds, data_format):
        plans = field_plans(ds, options)
        about = {"format": data_format, **dump_dimensions(ds, repeated_dims(ds))}
        variables = {str(key): variable for key, variable in ds.variables.items()}
        chosen = {name: plan.options for name, plan in plans.items()}
        written = write_stored(
            StoredDataset(variables, ds.attrs, chosen, ds, about),
            destination,
            tile_size=options.tile_size,
            threads=options.threads,
            overwrite=options.overwrite,
            progress=progress,
        )
        counted = [variable for variable in ds.variables.values() if has_samples(variable)]
        parts = [
            _part(ds.variables[name], plans[name], array) for name, array in written.arrays.items()
        ]
        asked = options.settings.bounded or bool(
            options.of_fields or options.max_error or options.settings.layers
        )
        told = [(plan.warning, _coarse(n, plan.options, asked)) for n, plan in plans.items()]
        warnings = [warning for pair in told for warning in pair if warning]
        return CompressReport(
            size=written.size,
            raw_bytes=sum(variable.nbytes for variable in counted),
            samples=sum(variable.size for variable in counted),
            parts=tuple(part for part, _ in parts),
            warnings=(*warnings, *(said for _, said in parts if said), *not_kept(ds)),
        )


def _coarse(name: str, options: ChunkOptions, asked: bool) -> str:
    """Return a warning of a default that leaves large errors, "" of others."""
    share = options.max_relative_error
    if asked or share is None or share < _COARSE:
        return ""
    return (
        f"{name} has so little real information that errors of up to {100 * share:.3g} % of a value remain; ask for "
        "less error by --max-error, --max-relative-error or --lossless"
    )


def _part(variable: xr.Variable, plan: Plan, array: WrittenArray) -> tuple[CodedPart, str]:
    """Return how a variable was coded, errors in the unit of its values, and a warning or ""."""
    mode, warning, found = plan.mode, "", array.distortion
    scale = abs(Packing.of(variable.attrs).scale)
    if mode == "learned" and found is not None and not found.learned:
        mode = "exact" if found.max_error == 0 else "within a bound"
        warning = (
            f"{array.name} is {mode}: the model cannot code it, so {plan.detail} has no effect"
        )
    unit = variable.attrs.get("units")
    part = CodedPart(
        array.name,
        mode,
        plan.detail,
        variable.nbytes,
        array.size,
        variable.size,
        None if found is None else found.rmse * scale,
        None if found is None else found.max_error * scale,
        unit if isinstance(unit, str) else "",
    )
    return part, warning


def field_samples(source: str | os.PathLike[str]) -> int:
    """Samples that `compress_fields` will report as progress, or slightly more."""
    with open_fields(source) as (ds, _):
        return sum(variable.size for variable in ds.variables.values() if variable.ndim > 1)


def write_fields(
    ds: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write an undecoded dataset as netCDF, or as Zarr where the name ends in .zarr.

    Parameters
    ----------
    ds : xr.Dataset
        From the engine "eocodec" with ``decode_cf=False``.
    path : path
        File or folder to write.
    format : str, optional
        Format of netCDF, see `write_netcdf`.
    overwrite : bool
        Replace what exists.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Raises
    ------
    InputError
        If the target exists or cannot be written.
    """
    if Path(path).suffix.lower() != ".zarr":
        from eocodec.formats.netcdf import write_netcdf

        write_netcdf(ds, path, format=format, overwrite=overwrite, progress=progress)
        return
    final = Path(path)
    if final.exists() and not overwrite:
        raise InputError(f"{final} exists; allow overwriting to replace it")
    partial_folder = final.with_name(f".{final.name}.part")
    try:
        _zarr_ready(ds).to_zarr(partial_folder, mode="w", consolidated=False)
        if final.exists():
            shutil.rmtree(final)
        partial_folder.replace(final)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{final} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
    if progress is not None:
        progress(sum(variable.size for variable in ds.variables.values()))


def _zarr_ready(ds: xr.Dataset) -> xr.Dataset:
    """Return a dataset as Zarr stores it: text as text, a Dask chunk a tile."""
    text = xr.decode_cf(ds, mask_and_scale=False, decode_times=False, decode_coords=False)
    for name, variable in text.variables.items():
        if variable.dtype.kind == "S":
            attrs = {key: value for key, value in variable.attrs.items() if key != "_Encoding"}
            text[name] = (
                variable.dims,
                np.char.decode(variable.values, "latin-1").astype(object),
                attrs,
            )
        chunks = variable.encoding.get("preferred_chunks", {})
        text[name].encoding = {}
        if variable.ndim > 1 and chunks:
            text[name] = text[name].chunk(
                {dim: n for dim, n in chunks.items() if dim in variable.dims}
            )
    return text


def _is_grib(path: str | os.PathLike[str]) -> bool:
    if Path(path).suffix.lower() in (".grib", ".grib1", ".grib2", ".grb", ".grb2"):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GRIB"
    except OSError:
        return False
