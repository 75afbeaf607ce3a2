"""The filter's client data: what chunks must keep, as JSON, and what they are, which HDF5 tells.

An HDF5 filter has a list of unsigned 32-bit integers for this. Here they are: a version, a code of the
sample type, the rank, the bytes of the JSON, the chunk's shape, and the JSON four bytes a number,
little-endian. Type, rank and shape are 0, 0 and missing until the dataset is created.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import EocodecError, FormatError, InputError, UnsupportedError
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunks import check_extents, encode_tiles, place_tiles, tile_ranges
from eocodec.payload import DTYPES, Buffer, dtype_code

FILTER_ID = 60_511
"""In the range that HDF5 leaves to filters which are not registered with the HDF Group."""

MAX_CLIENT_DATA = 256
"""HDF5 hands out no more of a filter's numbers."""

_VERSION = 1
_BIG_ENDIAN = 0x100


@dataclass(frozen=True)
class ChunkFilter:
    """Chunks of one dataset, to bytes and back.

    Attributes
    ----------
    options : ChunkOptions
        What they must keep.
    shape : tuple of int
        Of a chunk.
    dtype : numpy.dtype
        Of the file, in its byte order.
    """

    options: ChunkOptions
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of a decoded chunk."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def check(self) -> None:
        """Raise `InputError` when such chunks cannot be coded."""
        extents = self.options.axes(self.shape).extents(self.shape)
        check_extents(extents, self.dtype)
        self.options.settings.bounds(extents[1])

    def encode(self, chunk: npt.NDArray[Any]) -> bytes:
        """Return the bytes of a chunk of the dataset's shape; raises as `encode_tiles`."""
        native = chunk.astype(self.dtype.newbyteorder("="), copy=False)
        return encode_tiles(self.options.axes(chunk.shape).fold(native), self.options.settings)

    def decode(self, data: Buffer) -> npt.NDArray[Any]:
        """Return a chunk in C order; raises `FormatError` for bytes that are no such chunk."""
        axes = self.options.axes(self.shape)
        tiles = np.empty(axes.extents(self.shape), self.dtype.newbyteorder("="))
        ranges = tile_ranges(data, len(data), len(tiles))
        place_tiles(((i, data[slice(*span)]) for i, span in enumerate(ranges)), tiles)
        return np.ascontiguousarray(axes.unfold(tiles, self.shape), dtype=self.dtype)


def filter(**options: Any) -> dict[str, Any]:
    """Return the keywords with which h5py's `create_dataset` codes chunks as eocodec tiles.

    Pass `chunks` beside them: a chunk is best one tile, as (10, 512, 512); those that h5py guesses are small
    and cut through the bands. HDF5 fills the chunks at the edges up to their whole shape. No filter may come
    before: `shuffle` and `scaleoffset` are refused.

    Parameters
    ----------
    **options
        `quality`, `max_error`, `max_relative_error`, `max_error_sqrt`, `lossless`, `model`, `nodata` and
        `dims`, as `eocodec.zarr.TileSerializer`. Without quality or bounds, lossless.

    Returns
    -------
    dict
        `compression` and `compression_opts`.

    Raises
    ------
    InputError
        When an option is malformed or contradicts another.
    ModelError
        When the model is not installed.
    """
    if options.get("chunk_shape") is not None:
        raise InputError(
            "chunk_shape is not for HDF5, which tells the filter: pass chunks to create_dataset"
        )
    values = client_data(ChunkOptions.from_json(options))
    return {"compression": FILTER_ID, "compression_opts": values}


def client_data(
    options: ChunkOptions, shape: Sequence[int] = (), dtype: npt.DTypeLike | None = None
) -> tuple[int, ...]:
    """Return the client data of a dataset, or of one to be where `shape` and `dtype` are missing.

    Raises
    ------
    InputError
        When the format has no such dtype, or HDF5 has no room for the options.
    """
    code = 0
    if dtype is not None:
        big = np.dtype(dtype).newbyteorder(">") == np.dtype(dtype) and np.dtype(dtype).itemsize > 1
        code = dtype_code(dtype) | _BIG_ENDIAN * big
    said = options.to_json()
    raw = json.dumps(said, separators=(",", ":"), sort_keys=True).encode() if said else b""
    words = np.frombuffer(raw + bytes(-len(raw) % 4), "<u4").tolist()
    values = (_VERSION, code, len(shape), len(raw), *shape, *words)
    if len(values) > MAX_CLIENT_DATA:
        raise InputError(f"the options take {len(raw)} bytes, more than HDF5 keeps for a filter")
    return values


def parse_client_data(values: Sequence[int]) -> ChunkFilter:
    """Read what `client_data` gave.

    Raises
    ------
    UnsupportedError
        When it is of a newer release.
    FormatError
        When it is anything else.
    """
    if not values or values[0] != _VERSION:
        raise UnsupportedError("the filter's client data need another release")
    try:
        _, code, rank, length = values[:4]
        shape, words = tuple(values[4 : 4 + rank]), np.array(values[4 + rank :], "<u4")
        raw = words.tobytes()[:length]
        dtype = DTYPES[code & ~_BIG_ENDIAN].newbyteorder(">" if code & _BIG_ENDIAN else "<")
        given = json.loads(raw) if raw else {}
        return ChunkFilter(ChunkOptions.from_json(given), shape, dtype)
    except (ValueError, TypeError, IndexError, EocodecError) as error:
        raise FormatError(f"the filter's client data are malformed: {error}") from error
