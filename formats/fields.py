"""Fields (netCDF, GRIB) to `.eoc` and back: every variable, coordinate and attribute of a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from eocodec.codec_models import FIELD_MODEL
from eocodec.errors import InputError
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.compress_options import CompressOptions, CompressReport
from eocodec.formats.eoc.sink import Target as Destination
from eocodec.xarray.bounds import REAL_INFORMATION, Asked, stored_options
from eocodec.xarray.reading import container_files, raw_dataset
from eocodec.xarray.stored import Packing, field_axes, has_samples, special_values
from eocodec.xarray.writing import StoredDataset, write_stored

_LOSSY = (
    "max_error",
    "max_relative_error",
    "max_error_sqrt",
    "max_range_error",
    "keep_real_information",
)
_REFERENCES = ("coordinates", "bounds", "climatology", "grid_mapping", "cell_measures")
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")
_FEW_SAMPLES = 1024
# What netCDF libraries put where nothing was written.
_UNWRITTEN = 9.969209968386869e36


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
    doi:10.1038/s43588-021-00156-2); packed ones, integers, coordinates and small variables are exact.

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
        fields = field_names(ds)
        asked = _asked(options, ds)
        chosen: dict[str, ChunkOptions] = {}
        for key, variable in ds.variables.items():
            name = str(key)
            if has_samples(variable):
                own = asked_of(name, variable, asked, is_field=name in fields)
                chosen[name] = stored_options(
                    name,
                    variable,
                    own,
                    Packing.of(variable.attrs),
                    field_axes(variable, ds.variables),
                    partial(_variable, ds, key),
                )
        about = {
            "format": data_format,
            "unlimited": sorted(map(str, ds.encoding.get("unlimited_dims", ()))),
        }
        variables = {str(key): variable for key, variable in ds.variables.items()}
        size = write_stored(
            StoredDataset(variables, ds.attrs, chosen, ds, about),
            destination,
            tile_size=options.tile_size,
            threads=options.threads,
            overwrite=options.overwrite,
            progress=progress,
        )
        counted = [variable for variable in ds.variables.values() if has_samples(variable)]
        return CompressReport(
            size=size,
            raw_bytes=sum(variable.nbytes for variable in counted),
            samples=sum(variable.size for variable in counted),
        )


def field_samples(source: str | os.PathLike[str]) -> int:
    """Samples that `compress_fields` will report as progress, or slightly more."""
    with open_fields(source) as (ds, _):
        return sum(variable.size for variable in ds.variables.values() if variable.ndim > 1)


def field_names(ds: xr.Dataset) -> set[str]:
    """Return the variables of an undecoded dataset that are fields: not coordinates, bounds, flags or text.

    What attributes of other variables refer to (CF conventions), is no field.
    """
    referred: set[str] = set()
    for variable in ds.variables.values():
        for key in _REFERENCES:
            referred.update(str(variable.attrs.get(key, "")).replace(":", " ").split())
    return {
        str(name)
        for name, variable in ds.variables.items()
        if name not in referred
        and variable.ndim > 1
        and has_samples(variable)
        and name not in ds.sizes
        and not any(key in variable.attrs for key in _FLAGS)
        and str(variable.attrs.get("units", "")) not in ("degrees_north", "degrees_east")
    }


def asked_of(name: str, variable: xr.Variable, asked: Asked, *, is_field: bool) -> Asked:
    """Return what is asked of one variable; the default where it is nothing, everything of no field."""
    exact: Asked = {"lossless": True}
    named = any(isinstance(value, Mapping) and name in value for value in asked.values())
    if not (is_field or named) or asked.get("lossless"):
        return exact
    own = dict(asked)
    for key, value in asked.items():
        own[key] = value.get(name) if isinstance(value, Mapping) else value
    if own.get("keep_real_information") is not None and not named and variable.dtype.kind != "f":
        # Whole numbers that are no packed values have no mantissa.
        own["keep_real_information"] = (
            own["keep_real_information"] if Packing.of(variable.attrs).packed else None
        )
    if own.get("quality") is not None and own.get("model") is None:
        own["model"] = FIELD_MODEL
    lossy = own.get("quality") is not None or any(own.get(key) is not None for key in _LOSSY)
    if not lossy:
        if variable.dtype.kind != "f" or variable.size < _FEW_SAMPLES:
            return exact
        own["keep_real_information"] = REAL_INFORMATION
    if variable.dtype.kind == "f" and not special_values(variable):
        own["nodata"] = float(variable.dtype.type(_UNWRITTEN))
    return own  # type: ignore[return-value]


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


def _asked(options: CompressOptions, ds: xr.Dataset) -> Asked:
    settings = options.settings
    asked: Asked = {
        "lossless": settings.lossless or None,
        "model": settings.model,
        "quality": settings.layers,
        "max_error": options.max_error or settings.max_error,
        "max_relative_error": options.max_relative_error or settings.max_relative_error,
        "max_error_sqrt": settings.max_error_sqrt,
        "max_range_error": options.max_range_error,
        "keep_real_information": options.keep_real_information,
    }
    if settings.lossless and any(asked.get(key) is not None for key in _LOSSY):
        raise InputError("lossless leaves no error to bound; ask for one of both")
    for value in asked.values():
        for name in value if isinstance(value, Mapping) else ():
            if name not in ds.variables or not has_samples(ds.variables[name]):
                names = ", ".join(sorted(field_names(ds)))
                raise InputError(f"no field is called {name!r}; there are {names}")
    return asked


def _variable(ds: xr.Dataset, name: Any) -> xr.Variable:
    return ds.variables[name]


def _is_grib(path: str | os.PathLike[str]) -> bool:
    if Path(path).suffix.lower() in (".grib", ".grib1", ".grib2", ".grb", ".grb2"):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"GRIB"
    except OSError:
        return False
