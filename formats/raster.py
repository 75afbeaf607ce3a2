"""Rasters read window by window, whatever file they come from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import fsspec
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from eocodec.bands import band_names
from eocodec.errors import InputError
from eocodec.formats.eoc.header import Band
from eocodec.formats.eoc.remote import filesystem, is_url, problem
from eocodec.formats.geotiff_metadata import (
    dataset_bands,
    dataset_fields,
    has_dataset_mask,
    not_kept,
)

_CACHE_MEGABYTES = 64
_OF_GDAL = ("http", "https", "ftp", "gs", "az", "oss", "zip", "tar", "gzip")


class Raster(Protocol):
    """A raster that can be read window by window.

    Attributes
    ----------
    name : str
        Where it comes from, for messages.
    shape : tuple of int
        (bands, rows, columns).
    dtype : numpy.dtype
        Sample type of all bands.
    bands : tuple of Band
        What is known of each band.
    nodata : int, float or None
        Value of invalid samples.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    bands: tuple[Band, ...]
    nodata: int | float | None

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the samples of a window, (bands, rows, columns); `bands` counts from 0."""
        ...


class GeoTiff:
    """A GeoTIFF, or any other raster that GDAL reads, open for reading.

    Parameters
    ----------
    path : str or path-like
        File name or URL: GDAL reads those of its own protocols, fsspec S3 and all others.

    Raises
    ------
    InputError
        If it cannot be opened, has no bands or bands of different or complex dtypes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        with without_georeference_warning():
            try:
                self._source = rasterio.open(self.name, opener=_opener(self.name))
            except RasterioError as error:
                raise InputError(f"cannot read {self.name} as a raster: {error}") from error
        try:
            self._describe()
        except BaseException:
            self._source.close()
            raise

    def _describe(self) -> None:
        source = self._source
        kinds = set(source.dtypes)
        if not kinds:
            raise InputError(f"{self.name} has no bands of its own; name one of its subdatasets")
        if len(kinds) > 1 or next(iter(kinds)).startswith("complex"):
            raise InputError(
                f"{self.name}: bands of {', '.join(sorted(kinds))} samples cannot be coded; "
                "they must all be of one real dtype"
            )
        self.dtype: np.dtype[Any] = np.dtype(kinds.pop())
        self.shape: tuple[int, int, int] = (source.count, source.height, source.width)
        self.fields: dict[str, Any] = dataset_fields(source)
        self.nodata: int | float | None = self.fields["nodata"]
        described = dataset_bands(source, [None] * source.count)
        names = band_names(
            source.descriptions, [band.tags for band in described], self.fields["tags"]
        )
        self.bands: tuple[Band, ...] = tuple(
            replace(band, name=name) for band, name in zip(described, names, strict=True)
        )
        self.has_mask: bool = has_dataset_mask(source)
        self.not_kept: tuple[str, ...] = not_kept(source)

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the samples of a window, (bands, rows, columns); `bands` counts from 0."""
        indexes = [index + 1 for index in (range(self.shape[0]) if bands is None else bands)]
        try:
            pixels: NDArray[Any] = self._source.read(indexes, window=_window(rows, columns))
        except RasterioError as error:
            raise InputError(f"cannot read {self.name}: {_cause(error)}") from error
        return pixels

    def read_mask(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Return the dataset mask of a window, (rows, columns): 0 invalid, 255 valid."""
        try:
            mask: NDArray[np.uint8] = self._source.dataset_mask(window=_window(rows, columns))
        except RasterioError as error:
            raise InputError(f"cannot read the mask of {self.name}: {_cause(error)}") from error
        return mask

    def row_cache_megabytes(self, rows: int) -> int:
        """Megabytes of GDAL cache that hold `rows` rows of all bands, within reason."""
        size = self.shape[0] * self.shape[2] * self.dtype.itemsize * rows
        return int(min(max(1.25 * size / 2**20 + 16, _CACHE_MEGABYTES), 384))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.close()


@contextmanager
def without_georeference_warning() -> Iterator[None]:
    """Keep rasterio from warning of rasters without georeference: they are as good as others.

    Nor of nodata beyond float32, which it casts.
    """
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def windows(height: int, width: int, rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut a raster into windows of at most `rows` by `columns`, row by row."""
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield (
                slice(top, min(top + rows, height)),
                slice(left, min(left + columns, width)),
            )


def _opener(path: str) -> Any:
    """Return the file system with which GDAL is to read a path, None where it has its own.

    GDAL reads S3 too, but takes credentials and server from elsewhere than fsspec does for containers.
    """
    # GDAL's names of subdatasets may look like URLs too: HDF5:"x.h5"://group/dataset
    protocol = path.partition("://")[0].partition("::")[0]
    if not is_url(path) or protocol in _OF_GDAL or protocol not in fsspec.available_protocols():
        return None
    fs, remote = filesystem(path, {})
    try:
        fs.info(remote)
    except Exception as error:
        raise InputError(f"cannot read {path}: {problem(error)}") from error
    return fs


def _window(rows: slice, columns: slice) -> Window:
    return Window.from_slices(rows, columns)


def _cause(error: BaseException) -> str:
    """Return the innermost reason: rasterio hides GDAL's message behind a general one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)
