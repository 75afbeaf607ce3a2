"""Comparing two raster files window by window, with a picture of both."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from eocodec.bounds import ErrorBounds
from eocodec.errors import InputError, UnsupportedError
from eocodec.formats.eoc import open as open_reader
from eocodec.formats.eoc.layout import MAGIC
from eocodec.formats.eoc_raster import EocRaster, rasters_of
from eocodec.formats.peak import Peak, peak_of
from eocodec.formats.picture import Panels
from eocodec.formats.raster import GeoTiff, Raster, windows
from eocodec.formats.raster_differences import raster_differences
from eocodec.formats.tiles_once import RasterOnce
from eocodec.metrics import Comparer, Comparison, beyond, equals

_WINDOW = 512
_AT_ONCE = 2**21


@dataclass(frozen=True)
class RasterComparison:
    """Distortion between two rasters, and a picture of them.

    Attributes
    ----------
    names : tuple of str
        Name of each band.
    peak : Peak
        Peak of the PSNR, and how it was chosen.
    figures : Comparison
        Errors of the second raster against the first.
    picture : PIL.Image.Image
        Both side by side, and their difference; of large rasters every n-th pixel.
    promises : tuple of ErrorBounds or None
        Error bounds that the second raster promises for each band, as those of a single one.
    beyond : tuple of int
        Valid samples of each band whose error is larger than promised.
    differing : tuple of str
        What the second raster says differently of itself and of its bands, with what both say.
    """

    names: tuple[str, ...]
    peak: Peak
    figures: Comparison
    picture: Image.Image
    promises: tuple[ErrorBounds | None, ...]
    beyond: tuple[int, ...]
    differing: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise is kept, and metadata and invalid samples are those of the reference."""
        return not (any(self.beyond) or self.differing or self.figures.invalid_mismatches)


@contextmanager
def open_raster(
    path: str, *, layers: int | None = None, label: str | None = None
) -> Iterator[Raster]:
    """Open an `.eoc` file (path or URL) or any raster that GDAL reads.

    Parameters
    ----------
    path : str
        File name or URL.
    layers : int, optional
        Layers to decode; all by default.
    label : str, optional
        Which raster of a container with several.

    Raises
    ------
    UnsupportedError
        If a container holds several rasters and `label` names none of them.
    InputError
        If the file cannot be read as either.
    """
    if path.lower().endswith(".eoc") or _is_container(path):
        with open_reader(path) as reader:
            rasters = rasters_of(reader, layers=layers, name=path)
            chosen = [raster for raster in rasters if raster.label == label] or rasters
            if len(chosen) > 1:
                labels = ", ".join(raster.label for raster in rasters)
                raise UnsupportedError(f"{path} holds several rasters, name one of them: {labels}")
            yield chosen[0]
    else:
        with GeoTiff(path) as raster:
            yield raster


def compare_rasters(
    reference: Raster,
    decoded: Raster,
    *,
    peak: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> RasterComparison:
    """Compare two rasters of one size; each tile of a container is decoded once.

    Parameters
    ----------
    reference, decoded : Raster
        The original and the decoded raster.
    peak : float, optional
        Peak of the PSNR, in the unit of the samples; by default from their type and scale, see `peak_of`.
    progress : callable, optional
        Called with the number of samples compared since the last call.

    Returns
    -------
    RasterComparison

    Raises
    ------
    InputError
        If they differ in bands, rows or columns.
    """
    if reference.shape != decoded.shape:
        raise InputError(
            f"{reference.name} has (bands, rows, columns) {reference.shape}, {decoded.name} has "
            f"{decoded.shape}; only rasters of one size can be compared"
        )
    count, height, width = reference.shape
    colours = _colour_bands(reference)
    promises = decoded.promises if isinstance(decoded, EocRaster) else (None,) * count
    comparer = Comparer(bands=count, nodata=reference.nodata)
    panels = Panels(len(colours), height, width)
    broken = np.zeros(count, np.int64)
    masks_apart = 0
    size = _window_size(reference, decoded)
    with rasterio.Env(GDAL_CACHEMAX=_cache_megabytes(size[0], reference, decoded)):
        sides = _Windows(reference), _Windows(decoded)
        for rows, columns in windows(height, width, *size):
            (left, mask), (right, other_mask) = (side.read(rows, columns) for side in sides)
            if mask is not None and other_mask is not None:
                masks_apart += int(np.count_nonzero(mask != other_mask))
            valid = _valid(left, reference.nodata, mask)
            for at in _pieces(left.shape):
                comparer.add(left[:, at], right[:, at], valid[:, at])
                for band, bounds in enumerate(promises):
                    if bounds is not None:
                        off = beyond(left[band, at], right[band, at], bounds)
                        broken[band] += np.count_nonzero(off & valid[band, at])
            invalid = ~np.logical_and.reduce(valid[colours], axis=0)
            panels.add(rows, columns, left[colours], right[colours], invalid)
            if progress is not None:
                progress(left.size)
    names = tuple(
        band.name or band.description or f"band {number}"
        for number, band in enumerate(reference.bands, 1)
    )
    chosen = peak_of(reference, comparer.extent) if peak is None else Peak.given(peak)
    differing = list(raster_differences(reference, decoded))
    if masks_apart:
        differing.append(f"dataset mask at {masks_apart} pixels")
    captions = (os.path.basename(reference.name), os.path.basename(decoded.name))
    return RasterComparison(
        names=names,
        peak=chosen,
        figures=comparer.result(chosen.value),
        picture=panels.draw(captions),
        promises=promises,
        beyond=tuple(broken.tolist()),
        differing=tuple(differing),
    )


class _Windows:
    """Reads windows of a raster, row by row, and of its mask."""

    def __init__(self, raster: Raster) -> None:
        self._raster = raster
        self._once = RasterOnce(raster) if isinstance(raster, EocRaster) else None

    def read(self, rows: slice, columns: slice) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return (bands, rows, columns) of the next window, and where its mask says valid."""
        if self._once is not None:
            mask = self._once.read_mask(rows, columns)
            return self._once.read(rows, columns), None if mask is None else mask != 0
        samples = self._raster.read(rows, columns)
        if isinstance(self._raster, GeoTiff) and self._raster.has_mask:
            return samples, self._raster.read_mask(rows, columns) != 0
        return samples, None


def _colour_bands(raster: Raster) -> list[int]:
    """Return the bands to show as red, green and blue, or the first one."""
    for key in ("name", "colour"):
        known = {getattr(band, key): index for index, band in enumerate(raster.bands)}
        wanted = ("B04", "B03", "B02") if key == "name" else ("red", "green", "blue")
        if all(name in known for name in wanted):
            return [known[name] for name in wanted]
    return [0, 1, 2] if raster.shape[0] == 3 else [0]


def _window_size(*rasters: Raster) -> tuple[int, int]:
    """Return rows and columns of windows of whole tiles of the container with the larger ones."""
    height, width = rasters[0].shape[1:]
    tiles = [
        (min(array.header.tile_size[1], height), min(array.header.tile_size[2], width))
        for raster in rasters
        if isinstance(raster, EocRaster)
        for array in raster.arrays
    ]
    if not tiles:
        return _WINDOW, _WINDOW
    rows, columns = max(tiles, key=math.prod)
    return rows * max(1, _WINDOW // rows), columns * max(1, _WINDOW // columns)


def _cache_megabytes(rows: int, *rasters: Raster) -> int:
    """Return the GDAL cache with which no block of a file is decoded again for the next window."""
    return sum(
        raster.row_cache_megabytes(rows) for raster in rasters if isinstance(raster, GeoTiff)
    )


def _pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows of a window, so that what is computed of it stays small."""
    count, height, width = shape
    step = max(1, _AT_ONCE // (count * width))
    for top in range(0, height, step):
        yield slice(top, top + step)


def _valid(
    samples: NDArray[Any], nodata: float | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = (samples == samples) & ~equals(samples, nodata)
    return valid if mask is None else valid & mask


def _is_container(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
