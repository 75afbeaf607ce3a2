"""Windows of arrays read one after the other, each tile decoded once, whatever the windows are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.formats.eoc import ArrayReader
from eocodec.formats.eoc.grid import Box
from eocodec.formats.eoc_raster import EocRaster
from eocodec.tile import decode_tile


class TilesOnce:
    """An array read in windows of a regular grid, by planes, then rows, then columns.

    A tile that reaches beyond a window is kept until the last window that needs it: nothing where windows
    are whole tiles, else at most the tiles of a row of windows, or of the planes of one.

    Parameters
    ----------
    array : ArrayReader
        The array.
    layers, threads : int or None
        As `ArrayReader.read`.
    """

    def __init__(self, array: ArrayReader, layers: int | None = None, threads: int | None = None):
        self._array, self._layers, self._threads = array, layers, threads
        self._kept: dict[int, NDArray[Any]] = {}

    def read(self, planes: slice, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the samples of the next window, (planes, rows, columns)."""
        window = planes, rows, columns
        grid = self._array.header.grid
        out: NDArray[Any] = np.empty([span.stop - span.start for span in window], self._array.dtype)
        touched = list(grid.touched(window))
        missing = [number for number in touched if number not in self._kept]
        for number in touched:
            if number in self._kept:
                self._place(number, self._kept[number], window, out)
        decode = partial(decode_tile, layers=self._layers)
        for number, pixels in self._array.map_tiles(decode, missing, self._layers, self._threads):
            self._place(number, pixels, window, out)
        return out

    def _place(self, number: int, pixels: NDArray[Any], window: Box, out: NDArray[Any]) -> None:
        box = self._array.header.grid.box(number)
        common = [
            slice(max(tile.start, span.start), min(tile.stop, span.stop))
            for tile, span in zip(box, window, strict=True)
        ]
        out[_within(common, window)] = pixels[_within(common, box)]
        if any(tile.stop > span.stop for tile, span in zip(box, window, strict=True)):
            self._kept[number] = pixels
        else:
            self._kept.pop(number, None)


class RasterOnce:
    """A decoded raster read in windows of a regular grid, row by row, as `TilesOnce`."""

    def __init__(self, raster: EocRaster) -> None:
        self._raster = raster
        self._arrays = {
            array: TilesOnce(array, raster.layers, raster.threads) for array in raster.arrays
        }
        mask = raster.mask_array
        self._mask = None if mask is None else TilesOnce(mask, None, raster.threads)

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the samples of the next window, (bands, rows, columns)."""
        size = rows.stop - rows.start, columns.stop - columns.start
        out = np.empty((self._raster.shape[0], *size), self._raster.dtype)
        for array, once in self._arrays.items():
            planes = once.read(slice(0, array.header.planes), rows, columns)
            for band, plane in self._raster.bands_of(array):
                out[band] = planes[plane]
        return out

    def read_mask(self, rows: slice, columns: slice) -> NDArray[Any] | None:
        """Return the dataset mask of the next window, (rows, columns); None without one."""
        return None if self._mask is None else self._mask.read(slice(0, 1), rows, columns)[0]


def _within(spans: list[slice], box: Box) -> tuple[slice, ...]:
    """Return spans as counted from the corner of a box."""
    return tuple(
        slice(span.start - own.start, span.stop - own.start)
        for span, own in zip(spans, box, strict=True)
    )
