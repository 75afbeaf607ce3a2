"""The tiles of an array as the chunks of a Zarr array, which has one grid for all its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import UnsupportedError
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.eoc import ArrayHeader


@dataclass(frozen=True)
class ChunkGrid:
    """The chunks of a Zarr array, each of them one tile.

    Attributes
    ----------
    shape, chunk_shape : tuple of int
        Of the array and of a chunk, in the order of the Zarr array's axes.
    tiles : ndarray of int
        The number of the tile that each chunk is.
    codec : dict
        Configuration with which the codec of a chunk decodes a tile.
    """

    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    tiles: npt.NDArray[np.int64]
    codec: dict[str, Any]


def chunk_grid(header: ArrayHeader, axes: Sequence[int]) -> ChunkGrid:
    """Return the chunks that the tiles of an array are.

    Parameters
    ----------
    header : ArrayHeader
        Of the array.
    axes : sequence of int
        Its axes in the order in which the Zarr array has them; one of extent 1 may be left out.

    Raises
    ------
    UnsupportedError
        When the tiles are not boxes of a grid over all axes, or an order of axes would tear them.
    """
    stored_chunk = (*_leading_chunk(header), *header.grid.tile_shape(0)[1:])
    counts = [-(-n // size) for n, size in zip(header.shape, stored_chunk, strict=True)]
    left_out = [axis for axis in range(len(header.shape)) if axis not in axes]
    numbers = np.arange(header.grid.tiles).reshape(counts)
    tiles = numbers.transpose([*axes, *left_out]).reshape([counts[axis] for axis in axes])
    shape = tuple(header.shape[axis] for axis in axes)
    chunk_shape = tuple(stored_chunk[axis] for axis in axes)
    roles = ["band"] * (len(header.shape) - 2) + ["y", "x"]
    dims = [roles[axis] for axis in axes]
    named = chunk_axes(len(dims), dims)
    several = [axis for axis in axes if roles[axis] == "band" and stored_chunk[axis] > 1]
    if named.extents(chunk_shape) != (1, *header.grid.tile_shape(0)) or several != sorted(several):
        raise UnsupportedError(
            f"array {header.name!r}: tiles of {header.tile_size} cannot be chunks of the axes "
            f"{[header.dims[axis] for axis in axes]}"
        )
    codec: dict[str, Any] = {}
    if named != chunk_axes(len(dims), None, chunk_shape):
        codec["dims"] = dims
    if any(n % size for n, size in zip(shape, chunk_shape, strict=True)):
        codec["chunk_shape"] = chunk_shape
    return ChunkGrid(shape, chunk_shape, tiles, codec)


def _leading_chunk(header: ArrayHeader) -> list[int]:
    """Return how much of each axis before rows and columns a tile covers."""
    planes = left = header.grid.tile_shape(0)[0]
    sizes: list[int] = []
    leading = header.shape[:-2]
    for axis in reversed(range(len(leading))):
        size = min(leading[axis], left)
        # Tiles go on from one position of the axes before to the next, unless they end with this axis.
        torn = leading[axis] % size and any(n > 1 for n in leading[:axis])
        if left % size or torn:
            break
        sizes.append(size)
        left //= size
    if len(sizes) < len(leading) or math.prod(sizes) != planes:
        raise UnsupportedError(
            f"array {header.name!r}: tiles of {planes} planes are not boxes of the axes "
            f"{header.dims[:-2]} of {leading}, so they cannot be chunks of a Zarr array"
        )
    return sizes[::-1]
