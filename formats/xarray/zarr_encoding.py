"""Encodings of a dataset for `to_zarr`."""

from __future__ import annotations

from typing import Any, Unpack

import xarray as xr
from xarray import conventions

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.eoc.header import DEFAULT_TILE_SIZE
from eocodec.numcodecs import Eocodec
from eocodec.xarray.bounds import Asked, stored_options
from eocodec.xarray.stored import Packing, codable, stored_dtype, tile_shape
from eocodec.zarr import TileSerializer

_KEPT = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "units",
    "calendar",
    "coordinates",
    "grid_mapping",
)


def encoding(
    ds: xr.Dataset,
    *,
    zarr_format: int = 3,
    tile_size: int = DEFAULT_TILE_SIZE,
    **options: Unpack[Asked],
) -> dict[str, dict[str, Any]]:
    """Return the `encoding` with which ``ds.to_zarr`` codes the data variables as eocodec tiles.

    A chunk is one tile: all bands or levels of one time, `tile_size` rows and columns (or the dask chunk,
    where that is no multiple). Variables of one axis, and of dtypes that a tile cannot have, are left
    to xarray; so are coordinates.

    Parameters
    ----------
    ds : xarray.Dataset
        What is to be written.
    zarr_format : int
        2 or 3, as `to_zarr` is told.
    tile_size : int
        Rows and columns of a tile.
    **options
        `quality`, `max_error`, `max_relative_error`, `max_error_sqrt`, `lossless`, `model` and `nodata`
        (by default the variable's `_FillValue`), see `eocodec.numcodecs.Eocodec`; `max_range_error`, a share
        of the variable's range; `keep_real_information`, a share of its bitwise real information (Klöwer et
        al. 2021, doi:10.1038/s43588-021-00156-2): the bits kept become a relative bound. Each is one value,
        or a mapping of variable name to value. Bounds are in the unit of the variables of `ds`, also where
        those are stored packed by `scale_factor`: there they hold for the packed samples, beside half a
        step of the packing, and what is bounded below a step is kept exactly. Without quality or bounds,
        variables are coded without loss.

    Raises
    ------
    InputError
        When an option cannot be.
    """
    if zarr_format not in (2, 3):
        raise InputError(f"zarr_format is 2 or 3, not {zarr_format}")
    return {
        str(name): _encoding_of(str(name), array.variable, zarr_format, tile_size, options)
        for name, array in ds.data_vars.items()
        if codable(array.variable)
    }


def _encoding_of(
    name: str, variable: xr.Variable, zarr_format: int, tile_size: int, asked: Asked
) -> dict[str, Any]:
    dims = tuple(map(str, variable.dims))
    configuration = stored_options(
        name,
        variable,
        asked,
        Packing.of(variable.encoding),
        chunk_axes(variable.ndim, dims),
        lambda: conventions.encode_cf_variable(variable, name=name),
    ).to_json()
    if chunk_axes(variable.ndim, dims) != chunk_axes(variable.ndim):
        configuration["dims"] = dims
    codec: dict[str, Any] = (
        {"compressors": Eocodec(**configuration)}
        if zarr_format == 2
        else {"serializer": TileSerializer(**configuration), "compressors": None}
    )
    kept = {key: variable.encoding[key] for key in _KEPT if key in variable.encoding}
    chunks = tile_shape(variable, tile_size)
    return {"dtype": stored_dtype(variable), "chunks": chunks, **codec, **kept}
