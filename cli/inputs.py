"""What is said of files that cannot be compressed, before anything is read or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from eocodec.formats.eoc import Reader

_MANY = "to compress each file into one of its own, add --output-dir FOLDER"


def check_sources(sources: Sequence[str]) -> None:
    """Raise an error for files that are empty, or two that are no pair."""
    for source in sources:
        path = _local(source)
        if path is not None and path.is_file() and path.stat().st_size == 0:
            raise click.ClickException(f"{source} is empty (0 bytes)")
    if len(sources) == 2:
        _check_pair(*sources)


def check_names(sources: Sequence[str]) -> None:
    """Raise a usage error for names that stand for no file to compress."""
    for source in sources:
        if not source:
            raise click.UsageError("the name of a file is empty")
        path = _local(source)
        if path is None:
            continue
        if path.is_dir() and not _is_raster(source):
            raise click.UsageError(
                f"{source} is a folder; name the files in it, with --output-dir where they are many: "
                f"eocodec compress --output-dir OUT {path / '*.tif'}"
            )
        if path.suffix.lower() == ".eoc" and path.exists():
            raise click.UsageError(
                f"{source} is compressed already; `eocodec decompress` writes what is in it"
            )
        if not path.exists() and any(sign in source for sign in "*?["):
            raise click.UsageError(f"no file matches {source}")


def check_layers(reader: Reader, layers: int | None, name: str) -> None:
    """Raise a usage error when more layers are asked for than the largest tile of a container has."""
    if layers is None:
        return
    most = max(reader.array(header.name).layers for header in reader.arrays)
    if layers <= most:
        return
    exact = all(header.max_error == 0 for header in reader.arrays)
    why = "" if most > 1 else "; it is lossless" if exact else "; it was coded within error bounds"
    raise click.UsageError(
        f"{name} has {most} layer{'' if most == 1 else 's'}{why}, so --layers {layers} cannot be had; "
        "without --layers all are decoded"
    )


def _check_pair(first: str, second: str) -> None:
    from eocodec.formats.compression import holds_fields
    from eocodec.formats.raster import GeoTiff

    path = _local(second)
    if path is not None and not path.exists():
        raise click.UsageError(
            f"{second} does not exist; as an output it would end in .eoc, and a second raster "
            "has the 20 m bands of the first"
        )
    if first == second or (os.path.exists(first) and path and os.path.samefile(first, path)):
        raise click.UsageError(f"{first} is named twice; name it once")
    if holds_fields(first) or holds_fields(second):
        raise click.UsageError(
            f"{first} and {second} are two files, and fields are compressed a file at a time; {_MANY}"
        )
    with GeoTiff(first) as one, GeoTiff(second) as other:
        fine, coarse = one.shape[1:], other.shape[1:]
    if coarse == tuple(-(-size // 2) for size in fine):
        return
    swapped = fine == tuple(-(-size // 2) for size in coarse)
    raise click.UsageError(
        f"{first} ({fine[0]} x {fine[1]}) and {second} ({coarse[0]} x {coarse[1]}) are no pair: a pair is "
        "the 10 m raster of a place, then its 20 m raster, of half the rows and columns; "
        + ("name them the other way round" if swapped else _MANY)
    )


def _local(source: str) -> Path | None:
    """Return the path of a local file; None of URLs and GDAL's own names."""
    name = source.removeprefix("file://")
    if os.path.exists(name):
        return Path(name)
    elsewhere = "://" in name or "::" in name or name.startswith("/vsi") or ":" in name
    return None if elsewhere else Path(name)


def _is_raster(folder: str) -> bool:
    """Whether GDAL takes a folder for a raster, as it does of some formats."""
    from eocodec.errors import EocodecError
    from eocodec.formats.raster import GeoTiff

    try:
        with GeoTiff(folder):
            return True
    except EocodecError:
        return False
