"""Tiles put together from windows that cover them in part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError
from eocodec.formats.eoc.grid import Box
from eocodec.formats.eoc.metadata import ArrayHeader


class Assembly:
    """A tile of which windows have brought a part so far."""

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any]):
        self.pixels = np.empty(shape, dtype)
        self._missing = np.ones(shape, bool)
        self._left = self._missing.size

    def add(self, box: Box, pixels: npt.NDArray[Any]) -> bool:
        """Put in `pixels`; return whether the tile is complete."""
        if not self._missing[box].all():
            raise InputError("it brings samples that were already written")
        self.pixels[box] = pixels
        self._missing[box] = False
        self._left -= pixels.size
        return self._left == 0


def relative_box(box: tuple[slice, ...], origin: Box) -> Box:
    """Return `box` counted from the first sample of `origin`."""
    planes, rows, columns = (
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, origin, strict=True)
    )
    return planes, rows, columns


def window_pixels(pixels: npt.NDArray[Any], box: Box, header: ArrayHeader) -> npt.NDArray[Any]:
    """Return the pixels of a window as (planes, rows, columns) of the array's dtype, checked."""
    shape = tuple(s.stop - s.start for s in box)
    same_window = pixels.ndim >= 2 and pixels.shape[-2:] == shape[1:]
    if not same_window or pixels.size != np.prod(shape, dtype=np.int64):
        raise InputError(
            f"array {header.name!r}: the window takes pixels of shape {shape}, got {pixels.shape}"
        )
    if pixels.dtype.newbyteorder("=") != header.dtype:
        raise InputError(f"array {header.name!r} is {header.dtype}, the pixels are {pixels.dtype}")
    return pixels.astype(header.dtype, copy=False).reshape(shape)
