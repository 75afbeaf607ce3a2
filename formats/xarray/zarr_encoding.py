"""Encodings of a dataset for `to_zarr`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, overload

import numpy as np
import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.eoc.header import DEFAULT_TILE_SIZE
from eocodec.formats.field_kinds import field_names
from eocodec.numcodecs import Eocodec
from eocodec.xarray.bounds import Asked, stored_options
from eocodec.xarray.cf_encoding import encode_variable
from eocodec.xarray.stored import Packing, codable, seen_encoding, tile_shape
from eocodec.xarray.zarr_codecs import is_foreign, scale_filters, translated
from eocodec.zarr import TileSerializer

_KEPT = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "units",
    "calendar",
    "write_empty_chunks",
    "chunk_key_encoding",
)
_KEPT_OF_OTHERS = (*_KEPT, "dtype", "chunks")
_LOSSY = ("quality", "max_error", "max_relative_error", "max_error_sqrt")


@overload
def encoding(
    ds: xr.Dataset, *, zarr_format: int = 3, tile_size: int = ..., **options: Unpack[Asked]
) -> dict[str, dict[str, Any]]: ...


@overload
def encoding(
    ds: xr.DataTree, *, zarr_format: int = 3, tile_size: int = ..., **options: Unpack[Asked]
) -> dict[str, dict[str, dict[str, Any]]]: ...


def encoding(
    ds: xr.Dataset | xr.DataTree,
    *,
    zarr_format: int = 3,
    tile_size: int = DEFAULT_TILE_SIZE,
    **options: Unpack[Asked],
) -> dict[str, Any]:
    """Return the `encoding` with which ``ds.to_zarr`` codes the data variables as eocodec tiles.

    A chunk is one tile: all bands or levels of one time, `tile_size` rows and columns (or the dask chunk,
    where that is no multiple). Variables of one axis, and of dtypes that a tile cannot have, are left
    to xarray; so are coordinates. Those that were opened from a store of the other format of Zarr, whose codecs
    `to_zarr` would refuse, get the same compressor in this format, or xarray's default where it has none.

    Shards of the store that a variable was opened from are kept, made larger where tiles do not fit; so are
    filters that scale it (`fixedscaleoffset`, `scale_offset`, `cast_value`), unless a quality or bound is
    asked for: then the values themselves are coded, within it. Other filters are left out.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataTree
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
        variables are coded without loss; so are flags, counts and identifiers unless a mapping names them. In
        a tree, a mapping may name a variable by its path too.

    Returns
    -------
    dict
        Of variable name to encoding; for a tree, of the path of a group to such a dict.

    Raises
    ------
    InputError
        When an option cannot be.
    """
    if zarr_format not in (2, 3):
        raise InputError(f"zarr_format is 2 or 3, not {zarr_format}")
    if isinstance(ds, xr.DataTree):
        groups = {
            node.path: encoding(
                node.to_dataset(inherit=False),
                zarr_format=zarr_format,
                tile_size=tile_size,
                **_of_group(options, node.path),
            )
            for node in ds.subtree
        }
        return {path: group for path, group in groups.items() if group}
    found = {}
    fields = field_names(ds)
    for key, variable in ds.variables.items():
        name = str(key)
        if key in ds.data_vars and codable(variable):
            named = any(isinstance(value, Mapping) and name in value for value in options.values())
            asked: Asked = options if name in fields or named else {"lossless": True}
            found[name] = _encoding_of(name, variable, zarr_format, tile_size, asked)
        elif is_foreign(variable.encoding, zarr_format):
            found[name] = _of_other(variable, zarr_format)
    return found


def _of_group(options: Asked, path: str) -> Asked:
    """Return options whose mappings name variables of the group at `path` by their names alone."""
    start = path.strip("/") + "/" if path != "/" else ""
    found: dict[str, Any] = {}
    for option, value in options.items():
        if isinstance(value, Mapping):
            paths = {str(name).lstrip("/"): one for name, one in value.items()}
            inside = {
                name[len(start) :]: one for name, one in paths.items() if name.startswith(start)
            }
            value = {**value, **inside}
        found[option] = value
    return found  # type: ignore[return-value]


def _of_other(variable: xr.Variable, zarr_format: int) -> dict[str, Any]:
    """Return the encoding of a variable that is no raster, without the codecs of the other format."""
    kept = {key: variable.encoding[key] for key in _KEPT_OF_OTHERS if key in variable.encoding}
    itemsize = np.dtype(variable.encoding.get("dtype") or variable.dtype).itemsize
    return {**kept, **translated(variable.encoding, itemsize, zarr_format)}


def _encoding_of(
    name: str, variable: xr.Variable, zarr_format: int, tile_size: int, asked: Asked
) -> dict[str, Any]:
    dims = tuple(map(str, variable.dims))
    kept = {key: variable.encoding[key] for key in _KEPT if key in variable.encoding}
    if zarr_format == 3 and variable.encoding.get("fill_value") is not None:
        kept["fill_value"] = variable.encoding["fill_value"]
    chunks = tile_shape(variable, tile_size)
    if zarr_format == 3 and variable.encoding.get("shards"):
        chunks, kept["shards"] = _sharded(variable, chunks)
    axes = chunk_axes(variable.ndim, dims)
    options = stored_options(
        name,
        variable,
        asked,
        Packing.of(variable.encoding),
        axes,
        lambda: encode_variable(name, variable),
    )
    configuration = options.to_json()
    filters = scale_filters(variable.encoding, zarr_format)
    if filters and not any(getattr(options, key) is not None for key in _LOSSY):
        kept["filters"] = filters
        # Special values are not those of the samples that the filters give, and nothing is lost without them.
        configuration.pop("nodata", None)
        configuration.pop("special", None)
        if zarr_format == 2:
            configuration["chunk_shape"] = chunks
    # Without a shape of its own, numcodecs is told by the names of the axes how to unfold them.
    told = zarr_format == 3 or variable.ndim == 3
    if not told or axes != chunk_axes(variable.ndim, None, chunks):
        configuration["dims"] = dims
    codec: dict[str, Any] = (
        {"compressors": Eocodec(**configuration)}
        if zarr_format == 2
        else {"serializer": TileSerializer(**configuration), "compressors": None}
    )
    return {"chunks": chunks, **codec, **seen_encoding(variable, kept)}


def _sharded(
    variable: xr.Variable, tile: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return chunks and shards of a variable that was opened from a store with shards."""
    chunks, shards = [], []
    asked = variable.encoding["shards"]
    held = variable.encoding.get("chunks") or tile
    for axis, (size, shard) in enumerate(zip(tile, asked, strict=True)):
        larger = -(-shard // size) * size
        dask = variable.chunks[axis] if variable.chunks else ()
        if any(chunk % larger for chunk in dask[:-1]):
            # Two dask chunks must not write into one shard: stay with the chunks of the store.
            size, larger = held[axis], shard
        chunks.append(size)
        shards.append(larger)
    return tuple(chunks), tuple(shards)
