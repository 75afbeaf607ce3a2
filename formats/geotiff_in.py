"""GeoTIFF to `.eoc`: streaming the windows of a raster into the arrays of a container."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import rasterio

from eocodec.errors import InputError
from eocodec.formats.compress_options import CompressOptions, CompressReport
from eocodec.formats.eoc import create
from eocodec.formats.eoc.sink import Target as Destination
from eocodec.formats.geotiff_layout import Part
from eocodec.formats.geotiff_plan import make_plan
from eocodec.formats.geotiff_report import coded_parts, missed_targets
from eocodec.formats.raster import GeoTiff, windows


def compress_geotiff(
    sources: Sequence[str | os.PathLike[str]],
    destination: Destination,
    options: CompressOptions,
    progress: Callable[[int], object] | None = None,
) -> CompressReport:
    """Compress a GeoTIFF, or the 10 m and 20 m files of one place, window by window.

    Parameters
    ----------
    sources : sequence of one or two paths
        A raster that GDAL reads; or two, the second of half the rows and columns.
    destination : path, URL or binary file object
        Where the container goes; a file object may be a pipe.
    options : CompressOptions
        How to compress.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Returns
    -------
    CompressReport

    Raises
    ------
    InputError
        If the raster or an option cannot be coded as asked; nothing is written then.
    """
    if not 1 <= len(sources) <= 2:
        raise InputError(f"pass one raster, or a 10 m and a 20 m file, not {len(sources)} files")
    with ExitStack() as stack:
        files = [stack.enter_context(GeoTiff(source)) for source in sources]
        megabytes = max(file.row_cache_megabytes(options.tile_size) for file in files)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=megabytes))
        plan = make_plan(files, options)
        total = sum(math.prod(part.header.shape) for part in plan.parts)
        of_files = sum(math.prod(file.shape) for file in files)
        step = _Steps(progress, of_files, total)
        with create(
            destination,
            arrays=[part.header for part in plan.parts],
            settings={
                part.header.name: settings
                for part, settings in zip(plan.parts, plan.settings, strict=True)
            },
            threads=options.threads,
            overwrite=options.overwrite,
        ) as writer:
            for number, rows, columns in _order(plan.parts, options.tile_size):
                pixels = plan.parts[number].read(rows, columns)
                writer.write((rows, columns), pixels, number)
                step.add(pixels.size)
        parts = coded_parts(plan, writer)
        report = CompressReport(
            size=writer.size,
            raw_bytes=of_files * files[0].dtype.itemsize,
            pixels=math.prod(files[0].shape[1:]),
            samples=of_files,
            parts=parts,
        )
        return replace(report, warnings=(*plan.notes, *missed_targets(report, options, plan)))


def total_samples(sources: Sequence[str | os.PathLike[str]], options: CompressOptions) -> int:
    """Samples that `compress_geotiff` will report as progress."""
    with ExitStack() as stack:
        files = [stack.enter_context(GeoTiff(source)) for source in sources]
        return sum(math.prod(file.shape) for file in files)


class _Steps:
    """Tells progress in samples of the files, whatever the arrays hold."""

    def __init__(
        self, progress: Callable[[int], object] | None, of_files: int, of_arrays: int
    ) -> None:
        self._progress, self._share = progress, of_files / of_arrays
        self._done = self._told = 0

    def add(self, samples: int) -> None:
        self._done += samples
        step = round(self._done * self._share) - self._told
        self._told += step
        if self._progress is not None:
            self._progress(step)


def _order(parts: Sequence[Part], tile_size: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield part number and window so that parts of one grid are read side by side."""
    for size in dict.fromkeys(part.size for part in parts):
        for rows, columns in windows(*size, tile_size, tile_size):
            for number, part in enumerate(parts):
                if part.size == size:
                    yield number, rows, columns
