"""GeoTIFF to `.eoc`: streaming the windows of a raster into the arrays of a container."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from eocodec.codec_models import find_card
from eocodec.errors import InputError
from eocodec.formats.band_bounds import named_bounds
from eocodec.formats.compress_options import CompressOptions, CompressReport
from eocodec.formats.eoc import create
from eocodec.formats.eoc.sink import Target as Destination
from eocodec.formats.geotiff_layout import MASK, Layout, Part
from eocodec.formats.quality import MAX_SAMPLED_TILES, Point, Target, choose_settings
from eocodec.formats.raster import GeoTiff, windows
from eocodec.tile import EncodeSettings, encode_tile

_SAMPLE_SIZE = 256
_FIXED_BYTES = 800
_BYTES_A_TILE = 32


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
        layout = Layout(
            options.bands, options.settings.lossless, options.bounded, options.tile_size
        )
        parts = layout.parts(files)
        settings, estimate = _settings(parts, options)
        named = named_bounds([part.header for part in parts], options.max_error or {})
        with create(
            destination,
            arrays=[part.header for part in parts],
            settings={
                part.header.name: _part_settings(part, settings, bounds)
                for part, bounds in zip(parts, named, strict=True)
            },
            threads=options.threads,
            overwrite=options.overwrite,
        ) as writer:
            for number, rows, columns in _order(parts, options.tile_size):
                pixels = parts[number].read(rows, columns)
                writer.write((rows, columns), pixels, number)
                if progress is not None:
                    progress(pixels.size)
        coded = [file.shape for file in files]
        samples = sum(math.prod(shape) for shape in coded)
        return CompressReport(
            size=writer.size,
            raw_bytes=samples * files[0].dtype.itemsize,
            pixels=math.prod(coded[0][1:]),
            samples=samples,
            estimate=estimate,
        )


def total_samples(sources: Sequence[str | os.PathLike[str]], options: CompressOptions) -> int:
    """Samples that `compress_geotiff` will report as progress."""
    with ExitStack() as stack:
        files = [stack.enter_context(GeoTiff(source)) for source in sources]
        height, width = files[0].shape[1:]
        masks = sum(math.prod(file.shape[1:]) for file in files if file.has_mask)
        if options.settings.lossless or options.bounded:
            return sum(math.prod(file.shape) for file in files) + masks
        return sum(file.shape[0] for file in files) * height * width + masks


def _order(parts: Sequence[Part], tile_size: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield part number and window so that parts of one grid are read side by side."""
    for size in dict.fromkeys(part.size for part in parts):
        for rows, columns in windows(*size, tile_size, tile_size):
            for number, part in enumerate(parts):
                if part.size == size:
                    yield number, rows, columns


def _settings(
    parts: Sequence[Part], options: CompressOptions
) -> tuple[EncodeSettings, Point | None]:
    """Return quality and bounds for the whole raster, and what was found to meet a target."""
    target = options.target
    first = parts[0].header
    if options.of_fields:
        raise InputError(f"{options.of_fields} is for fields (netCDF, GRIB), not for rasters")
    if options.bounded:
        _check_bounded(parts, options)
    if not options.settings.lossless:
        card = find_card(options.settings.model)
        if (options.settings.layers or 0) > card.layers:
            raise InputError(
                f"quality {options.settings.layers} is not to be had: model {card.name} has "
                f"{card.layers} layers"
            )
    if options.ratio is not None:
        if not options.ratio > 0:
            raise InputError(f"a compression ratio must be above 0, not {options.ratio:g}")
        target = Target(bits_per_sample=8 * first.dtype.itemsize / options.ratio)
    if target is None or parts[0].lossless:
        return options.settings, None
    settings = replace(_without_bounds(options.settings), nodata=first.nodata)
    if target.bits_per_sample is not None:
        target = _target_of_learned_part(parts, target.bits_per_sample)
    point = choose_settings(
        _sample(parts[0]),
        target,
        settings,
        most_layers=card.layers,
        least_layers=card.token_layers + 1,
        threads=options.threads,
    )
    found = point.settings
    return replace(options.settings, layers=found.layers, step_scale=found.step_scale), point


def _check_bounded(parts: Sequence[Part], options: CompressOptions) -> None:
    if isinstance(options.settings.max_error, tuple):
        raise InputError("bound single bands of a raster by name, with the option max_error")
    if options.settings.lossless:
        raise InputError("lossless leaves no error to bound; ask for one of both")
    if options.ratio is not None or (options.target and options.target.bits_per_sample):
        raise InputError("error bounds settle the size; ask for a size or for bounds")
    if options.target and len({part.size for part in parts}) > 1:
        raise InputError("a target error for two files cannot be met together with error bounds")


def _without_bounds(settings: EncodeSettings) -> EncodeSettings:
    return replace(settings, max_error=None, max_relative_error=None, max_error_sqrt=None)


def _part_settings(
    part: Part, settings: EncodeSettings, named: Sequence[float | None]
) -> EncodeSettings:
    """Return the settings of one array; `named` are the bounds of its single bands."""
    exact = EncodeSettings(lossless=True)
    if settings.lossless or part.header.name == MASK:
        return exact
    whole = None if isinstance(settings.max_error, tuple) else settings.max_error
    absolute = [whole if bound is None else bound for bound in named]
    others = settings.max_relative_error is not None or settings.max_error_sqrt is not None
    if part.lossless:
        if not others:
            absolute = [0.0 if bound is None else bound for bound in absolute]
        if set(absolute) == {0.0}:
            return exact
        return replace(settings, max_error=tuple(absolute), layers=None, step_scale=1.0)
    if any(bound is not None for bound in named):
        settings = replace(settings, max_error=tuple(absolute))
    if settings.max_error is not None and None in absolute and not others and not settings.layers:
        # Bands without a bound get the default quality.
        settings = replace(settings, layers=find_card(settings.model).default_layers)
    return settings


def _target_of_learned_part(parts: Sequence[Part], bits_per_sample: float) -> Target:
    """Take from a size for the whole file what container, mask and lossless bands need."""
    bands = sum(part.header.shape[0] for part in parts if part.header.name != MASK)
    pixels = math.prod(parts[0].size)
    tiles = sum(part.header.grid.tiles for part in parts)
    budget = bits_per_sample * bands * pixels - 8 * (_FIXED_BYTES + _BYTES_A_TILE * tiles)
    for part in parts[1:]:
        sampled = list(_sample(part))
        exact = EncodeSettings(lossless=True, nodata=part.header.nodata)
        size = sum(len(encode_tile(pixels, exact)) for pixels in sampled)
        samples = sum(pixels.size for pixels in sampled)
        budget -= 8 * size / samples * math.prod(part.header.shape)
    bits = budget / math.prod(parts[0].header.shape)
    if bits <= 0:
        raise InputError(
            f"{bits_per_sample:.4g} bits per pixel and band do not suffice for what is coded "
            "without loss (header, mask, bands outside the model); ask for a larger size"
        )
    return Target(bits_per_sample=bits)


def _sample(part: Part) -> Iterator[NDArray[Any]]:
    """Yield tiles spread over the raster; of many tiles only their middles."""
    grid = part.header.grid
    boxes = [box for box in map(grid.box, range(grid.tiles)) if box[0].start == 0]
    numbers = np.unique(np.linspace(0, len(boxes) - 1, MAX_SAMPLED_TILES).round().astype(int))
    for number in numbers.tolist():
        _, rows, columns = boxes[number]
        if len(boxes) > 4:
            rows, columns = _middle(rows), _middle(columns)
        yield part.read(rows, columns)


def _middle(span: slice) -> slice:
    start = span.start + max(span.stop - span.start - _SAMPLE_SIZE, 0) // 2
    return slice(start, min(start + _SAMPLE_SIZE, span.stop))
