"""Encoding the tiles of chunked variables where Dask computes them: in threads, processes or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import EocodecError
from eocodec.formats.chunk_axes import ChunkAxes
from eocodec.formats.eoc import Writer
from eocodec.tile import EncodeSettings, encode_tile
from eocodec.xarray.stored import blocks_of_times

# Payloads of so many blocks are held at a time; more keep more workers busy to the end of a round.
_BLOCKS_A_ROUND = 64

# Number of a tile, its place in words, its planes within the block, what it must keep.
_Tile = tuple[int, str, slice, EncodeSettings]


def write_chunked(
    writer: Writer,
    name: str,
    variable: xr.Variable,
    axes: ChunkAxes,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a chunked variable: Dask computes and encodes its tiles, only payloads come here.

    Parameters
    ----------
    writer : Writer
        Of a container with an array `name` for the variable, none of it written yet.
    variable : xr.Variable
        On Dask; chunks that are whole tiles, or tiles whole chunks, are computed once.
    axes : ChunkAxes
        The axes of the variable.
    progress : callable, optional
        Called with the number of samples written since the last call.
    """
    header = next(array for array in writer.arrays if array.name == name)
    times, bands, height, width = axes.extents(variable.shape)
    tile_planes, tile_rows, tile_columns = header.tile_size
    # A tile holds part of the levels of one time, or several times.
    times_at_once = max(1, tile_planes // bands)
    round_: list[Any] = []
    for first in range(0, times, times_at_once):
        span = slice(first, min(first + times_at_once, times))
        planes = slice(span.start * bands, span.stop * bands)
        for top in range(0, height, tile_rows):
            rows = slice(top, min(top + tile_rows, height))
            for left in range(0, width, tile_columns):
                columns = slice(left, min(left + tile_columns, width))
                tiles: list[_Tile] = []
                for tile in header.grid.touched((planes, rows, columns)):
                    own = header.grid.box(tile)[0]
                    within = slice(own.start - planes.start, own.stop - planes.start)
                    settings = writer.tile_settings(tile, name)
                    tiles.append((tile, header.place(tile), within, settings))
                parts = blocks_of_times(variable, axes, span, rows, columns)
                block = [part.data for part in parts]
                round_.append(dask.delayed(_encode)(block, axes, header.dtype, tiles, pure=False))
                if len(round_) == _BLOCKS_A_ROUND:
                    _write_round(writer, name, round_, progress)
                    round_ = []
    _write_round(writer, name, round_, progress)


def _encode(
    block: Sequence[npt.NDArray[Any]],
    axes: ChunkAxes,
    dtype: np.dtype[Any],
    tiles: Sequence[_Tile],
) -> list[tuple[int, bytes, int]]:
    """Return number, payload and number of samples of each tile in a block: its parts, in order of time."""
    folded = [axes.fold(np.asarray(part)) for part in block]
    pixels = np.concatenate([part.reshape(-1, *part.shape[2:]) for part in folded])
    pixels = pixels.astype(dtype, copy=False)
    encoded = []
    for number, place, planes, settings in tiles:
        try:
            payload = encode_tile(pixels[planes], settings)
        except EocodecError as error:
            raise type(error)(f"{place}: {error}") from error
        encoded.append((number, payload, pixels[planes].size))
    return encoded


def _write_round(
    writer: Writer, name: str, delayed: Sequence[Any], progress: Callable[[int], object] | None
) -> None:
    for encoded in dask.compute(*delayed):
        for number, payload, samples in encoded:
            writer.write_tile(number, payload, name)
            if progress is not None:
                progress(samples)
