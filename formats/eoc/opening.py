"""Opening a container: prefix, header, footer and index, from its two ends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eocodec.errors import FormatError, InputError, TruncatedError
from eocodec.formats.eoc.ends_cache import EndsCache
from eocodec.formats.eoc.header_json import Header, parse_header
from eocodec.formats.eoc.index import ArrayIndex, parse_index
from eocodec.formats.eoc.layout import (
    FOOTER_SIZE,
    MAJOR,
    MINOR,
    PREFIX_SIZE,
    Footer,
    Prefix,
    check_index,
    header_bytes,
    parse_footer,
    parse_prefix,
)
from eocodec.formats.eoc.remote import UrlSource, is_url
from eocodec.formats.eoc.source import (
    Ends,
    FileSource,
    MemorySource,
    Readable,
    Source,
    StreamSource,
)

# First guesses at where header and index end; what they miss costs one more round of requests. The
# second holds the index of some 4000 tiles of seven layers.
_HEAD_BYTES = 4 << 10
_TAIL_BYTES = 128 << 10

_cache = EndsCache(16 << 20)


@dataclass(frozen=True)
class Contents:
    """What a container says before any tile is read."""

    header: Header
    indexes: tuple[ArrayIndex, ...]
    version: str
    size: int
    overhead: int


def open_source(target: Readable, storage_options: Mapping[str, Any]) -> Source:
    """Open the source that fits `target`.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    """
    if isinstance(target, (bytes, bytearray, memoryview)):
        return MemorySource(target)
    if not isinstance(target, (str, os.PathLike)):
        if not hasattr(target, "read"):
            raise InputError(f"cannot read a {type(target).__name__}: pass a path, file or bytes")
        return StreamSource(target)
    path = os.fspath(target)
    if is_url(path):
        return UrlSource(path, storage_options)
    return FileSource(path.removeprefix("file://"))


def read_contents(source: Source) -> Contents:
    """Read and check everything of a container but its tiles.

    A remote file takes two requests, made together, or one of 20 bytes where it was opened before and
    has not changed since.

    Raises
    ------
    InputError
        When the file is not there, or cannot be read.
    FormatError, UnsupportedError
        When it is no container, damaged, cut, or of a kind that this release cannot read.
    """
    ends = _known(source) or source.ends(_HEAD_BYTES, _TAIL_BYTES)
    prefix = parse_prefix(ends.head[:PREFIX_SIZE])
    if ends.size is not None and prefix.end + FOOTER_SIZE > ends.size:
        raise TruncatedError(
            f"{source.name}: the file ends at byte {ends.size}, inside header or footer"
        )
    footer = parse_footer(ends.tail, ends.size)
    if footer.index_offset < prefix.end or footer.index_size < 1:
        raise FormatError("the footer places the index inside the header, or says that it is empty")
    ends = _exactly(source, ends, prefix, footer)
    header = parse_header(header_bytes(prefix, ends.head[PREFIX_SIZE:]))
    section = ends.tail[:-FOOTER_SIZE]
    check_index(footer, section, prefix.crc)
    counts = [array.grid.tiles for array in header.arrays]
    indexes = tuple(parse_index(section, counts, prefix.end, footer.index_offset))
    if source.key is not None:
        _cache.put(source.key, ends)
    overhead = prefix.end + footer.index_size + FOOTER_SIZE
    return Contents(header, indexes, f"{MAJOR}.{MINOR}", footer.file_size, overhead)


def _known(source: Source) -> Ends | None:
    """Return what is kept of the file from before, unless it has changed."""
    known = None if source.key is None else _cache.get(source.key)
    if known is None:
        return None
    footer = source.ends(0, FOOTER_SIZE).tail[-FOOTER_SIZE:]
    return known if footer == known.tail[-FOOTER_SIZE:] else None


def _exactly(source: Source, ends: Ends, prefix: Prefix, footer: Footer) -> Ends:
    """Return the bytes up to the end of the header, and those from the index on."""
    tail_start = footer.file_size - len(ends.tail)
    between = [(len(ends.head), prefix.end), (footer.index_offset, tail_start)]
    missing = [span for span in between if span[0] < span[1]]
    found = dict(zip(missing, source.read(missing), strict=True))
    head = ends.head[: prefix.end] + found.get(between[0], b"")
    tail = found.get(between[1], b"") + ends.tail[max(0, footer.index_offset - tail_start) :]
    return Ends(head, tail, footer.file_size)
