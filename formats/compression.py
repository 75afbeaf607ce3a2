"""Compressing a file into a container, whatever its format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import PurePath

from eocodec.errors import InputError
from eocodec.extras import needs
from eocodec.formats.compress_options import CompressOptions, CompressReport
from eocodec.formats.eoc.sink import Target as Destination

_FIELD_ENDINGS = (
    ".nc",
    ".nc3",
    ".nc4",
    ".cdf",
    ".netcdf",
    ".grib",
    ".grib1",
    ".grib2",
    ".grb",
    ".grb2",
)
_PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
_FIELD_MAGICS = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"GRIB")


def holds_fields(source: str | os.PathLike[str]) -> bool:
    """Whether a file is netCDF or GRIB, by its ending or its first bytes, or one of them packed (.nc.gz)."""
    name = PurePath(source)
    inner = PurePath(name.stem) if name.suffix.lower() in _PACKED_ENDINGS else name
    if inner.suffix.lower() in _FIELD_ENDINGS:
        return True
    try:
        with open(source, "rb") as file:
            return file.read(4) in _FIELD_MAGICS
    except OSError:
        return False


def compress_file(
    sources: Sequence[str | os.PathLike[str]],
    destination: Destination,
    options: CompressOptions,
    progress: Callable[[int], object] | None = None,
) -> CompressReport:
    """Compress a raster (GeoTIFF and what GDAL reads) or fields (netCDF, GRIB).

    Parameters
    ----------
    sources : sequence of one or two paths
        A raster, the 10 m and 20 m rasters of one place, or one file of fields.
    destination : path, URL or binary file object
        Where the container goes; a file object may be a pipe.
    options : CompressOptions
        How to compress.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Raises
    ------
    InputError
        If the file or an option cannot be coded as asked; nothing is written then.
    """
    if _are_fields(sources):
        with needs("fields", "reading netCDF or GRIB"):
            from eocodec.formats.fields import compress_fields

        return compress_fields(sources[0], destination, options, progress)
    from eocodec.formats.geotiff import compress_geotiff

    return compress_geotiff(sources, destination, options, progress)


def total_samples(sources: Sequence[str | os.PathLike[str]], options: CompressOptions) -> int:
    """Samples that `compress_file` will report as progress."""
    if _are_fields(sources):
        with needs("fields", "reading netCDF or GRIB"):
            from eocodec.formats.fields import field_samples

        return field_samples(sources[0])
    from eocodec.formats.geotiff import total_samples as raster_samples

    return raster_samples(sources, options)


def _are_fields(sources: Sequence[str | os.PathLike[str]]) -> bool:
    fields = any(map(holds_fields, sources))
    if fields and len(sources) != 1:
        raise InputError(f"pass one netCDF or GRIB file, not {len(sources)} files")
    return fields
