"""Comparing two raster files window by window, with a picture of both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
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
from eocodec.formats.picture import side_by_side
from eocodec.formats.raster import GeoTiff, Raster, windows
from eocodec.metrics import REFLECTANCE_PEAK, Comparer, Comparison

_MAX_PANEL = 768
_WINDOW = 512


@dataclass(frozen=True)
class RasterComparison:
    """Distortion between two rasters, and a picture of them.

    Attributes
    ----------
    names : tuple of str
        Name of each band.
    figures : Comparison
        Errors of the second raster against the first.
    picture : PIL.Image.Image
        Both side by side, and their difference; of large rasters every n-th pixel.
    promises : tuple of ErrorBounds or None
        Error bounds that the second raster promises for each band, as those of a single one.
    beyond : tuple of int
        Valid samples of each band whose error is larger than promised.
    """

    names: tuple[str, ...]
    figures: Comparison
    picture: Image.Image
    promises: tuple[ErrorBounds | None, ...]
    beyond: tuple[int, ...]


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
    peak: float = REFLECTANCE_PEAK,
    progress: Callable[[int], object] | None = None,
) -> RasterComparison:
    """Compare two rasters of one size.

    Parameters
    ----------
    reference, decoded : Raster
        The original and the decoded raster.
    peak : float
        Peak of the PSNR, in the unit of the samples.
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
    comparer = Comparer(bands=count, nodata=reference.nodata, peak=peak)
    colours = _colour_bands(reference)
    promises = decoded.promises if isinstance(decoded, EocRaster) else (None,) * count
    beyond = [0] * count
    step = -(-max(height, width) // _MAX_PANEL)
    panels = _Panels(len(colours), height, width, step)
    size = _window_size(decoded)
    with rasterio.Env(GDAL_CACHEMAX=128):
        for rows, columns in windows(height, width, *size):
            left, right = reference.read(rows, columns), decoded.read(rows, columns)
            valid = _valid(reference, rows, columns)
            comparer.add(left, right, valid)
            for band, bounds in enumerate(promises):
                if bounds is not None:
                    counts = ~_invalid(left[band : band + 1], reference.nodata)
                    if valid is not None:
                        counts &= valid
                    off = _beyond(left[band], right[band], bounds)
                    beyond[band] += int(np.count_nonzero(off & counts))
            invalid = _invalid(left[colours], reference.nodata)
            if valid is not None:
                invalid |= ~valid
            panels.add(rows, columns, left[colours], right[colours], invalid)
            if progress is not None:
                progress(left.size)
    names = tuple(
        band.name or band.description or f"band {number}"
        for number, band in enumerate(reference.bands, 1)
    )
    captions = (os.path.basename(reference.name), os.path.basename(decoded.name))
    picture = panels.draw(captions)
    return RasterComparison(names, comparer.result(), picture, promises, tuple(beyond))


class _Panels:
    """Every n-th pixel of the two rasters."""

    def __init__(self, colours: int, height: int, width: int, step: int) -> None:
        self._step = step
        shape = colours, -(-height // step), -(-width // step)
        self._images = [np.zeros(shape, np.float32) for _ in range(2)]
        self._invalid = np.zeros(shape[1:], bool)

    def add(
        self,
        rows: slice,
        columns: slice,
        left: NDArray[Any],
        right: NDArray[Any],
        invalid: NDArray[np.bool_],
    ) -> None:
        ys = np.arange(-(-rows.start // self._step), -(-rows.stop // self._step))
        xs = np.arange(-(-columns.start // self._step), -(-columns.stop // self._step))
        if not len(ys) or not len(xs):
            return
        place = np.ix_(ys, xs)
        taken = np.ix_(ys * self._step - rows.start, xs * self._step - columns.start)
        for image, pixels in zip(self._images, (left, right), strict=True):
            image[:, place[0], place[1]] = pixels[:, taken[0], taken[1]]
        self._invalid[place] = invalid[taken]

    def draw(self, captions: Sequence[str]) -> Image.Image:
        images = list(zip(captions, self._images, strict=True))
        return side_by_side(images, invalid=self._invalid)


def _colour_bands(raster: Raster) -> list[int]:
    """Return the bands to show as red, green and blue, or the first one."""
    for key in ("name", "colour"):
        known = {getattr(band, key): index for index, band in enumerate(raster.bands)}
        wanted = ("B04", "B03", "B02") if key == "name" else ("red", "green", "blue")
        if all(name in known for name in wanted):
            return [known[name] for name in wanted]
    return [0, 1, 2] if raster.shape[0] == 3 else [0]


def _window_size(raster: Raster) -> tuple[int, int]:
    if isinstance(raster, EocRaster):
        _, rows, columns = raster.header.tile_size
        return min(rows, 1024), min(columns, 1024)
    return _WINDOW, _WINDOW


def _valid(raster: Raster, rows: slice, columns: slice) -> NDArray[np.bool_] | None:
    if isinstance(raster, (GeoTiff, EocRaster)) and raster.has_mask:
        valid: NDArray[np.bool_] = raster.read_mask(rows, columns) != 0
        return valid
    return None


def _beyond(
    original: NDArray[Any], decoded: NDArray[Any], bounds: ErrorBounds
) -> NDArray[np.bool_]:
    """Return where `decoded` (H, W) is further from `original` than `bounds` of one band allow."""
    allowed = bounds.allowed_in(0, original)
    with np.errstate(invalid="ignore"):
        apart = np.abs(original.astype(np.float64) - decoded.astype(np.float64))
    # Whole numbers above 2**53 that differ may have one binary64.
    within = (apart <= allowed) & ((apart > 0) | (allowed > 0))
    off: NDArray[np.bool_] = (original != decoded) & ~within
    return off


def _invalid(pixels: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    samples: NDArray[np.bool_] = ~np.isfinite(pixels)
    if nodata is not None:
        samples |= pixels == nodata
    invalid: NDArray[np.bool_] = np.logical_or.reduce(samples, axis=0)
    return invalid


def _is_container(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
