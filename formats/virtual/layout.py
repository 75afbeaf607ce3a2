"""What a container is as a Zarr store: metadata, small variables, and where each chunk lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr
from xarray.backends import FileManager
from zarr.core.buffer import Buffer

from eocodec.errors import UnsupportedError
from eocodec.formats.cf import seen_attrs
from eocodec.formats.eoc import ArrayHeader, ArrayReader, Reader
from eocodec.numcodecs import Eocodec
from eocodec.virtual.chunk_grid import ChunkGrid, chunk_grid
from eocodec.xarray.reading import raw_dataset
from eocodec.zarr import TileSerializer


@dataclass(frozen=True)
class TileChunks:
    """Where the chunks of one array lie in the container.

    Attributes
    ----------
    name : str
        Name of the Zarr array.
    offsets, sizes : ndarray of int
        First byte and number of bytes of each chunk, in the shape of the chunk grid.
    """

    name: str
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ZarrLayout:
    """A Zarr group that is a container.

    Attributes
    ----------
    small : dict of str to bytes
        Values of the store by key, but for the chunks that are tiles.
    arrays : tuple of TileChunks
        Those.
    """

    small: dict[str, bytes]
    arrays: tuple[TileChunks, ...]


def zarr_layout(files: FileManager[Reader], zarr_format: int) -> ZarrLayout:
    """Describe a container as a Zarr store; no tile is read.

    Variables, coordinates and attributes are those of the engine `eocodec`, in xarray's conventions for
    Zarr.

    Parameters
    ----------
    files : FileManager
        Opens the container.
    zarr_format : int
        2 or 3.

    Raises
    ------
    UnsupportedError
        When the tiles of an array cannot be chunks of a Zarr array.
    """
    reader = files.acquire(needs_lock=False)
    ds = raw_dataset(files, None)
    encoding: dict[str, dict[str, Any]] = {}
    arrays = []
    for number, header in enumerate(reader.arrays):
        variable = ds.variables[header.name]
        grid = _grid(header, variable)
        # Nothing is computed: of these zeros only what describes them gets into the store.
        zeros = dask.array.zeros(grid.shape, dtype=header.dtype, chunks=grid.shape)
        own = seen_attrs(variable.attrs, variable.dtype)
        ds[header.name] = xr.Variable(variable.dims, zeros, own)
        encoding[header.name] = {"chunks": grid.chunk_shape, **_codec(grid, zarr_format)}
        arrays.append(_chunks(reader.array(number), grid))
    held: dict[str, Buffer] = {}
    store = zarr.storage.MemoryStore(held)
    ds.drop_encoding().to_zarr(
        store,
        encoding=encoding,
        zarr_format=zarr_format,
        consolidated=False,
        compute=False,
    )
    return ZarrLayout({key: value.to_bytes() for key, value in held.items()}, tuple(arrays))


def _grid(header: ArrayHeader, variable: xr.Variable) -> ChunkGrid:
    name = header.name
    if not name or "/" in name or name.startswith((".", "__")) or name == "zarr.json":
        raise UnsupportedError(f"array {name!r} has a name that no Zarr array can have")
    named = set(variable.dims) <= set(header.dims)
    dims = variable.dims if named else header.dims
    return chunk_grid(header, [header.dims.index(str(dim)) for dim in dims])


def _codec(grid: ChunkGrid, zarr_format: int) -> dict[str, Any]:
    if zarr_format == 2:
        return {"compressors": Eocodec(**grid.codec)}
    return {"serializer": TileSerializer(**grid.codec), "compressors": None}


def _chunks(array: ArrayReader, grid: ChunkGrid) -> TileChunks:
    places = np.array([(tile.offset, tile.size) for tile in array.tiles()], np.int64)
    return TileChunks(array.name, *(places[grid.tiles, column] for column in range(2)))
