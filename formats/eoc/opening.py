"""Opening a container: prefix, header, footer and index, in two ranges read together."""

from __future__ import annotations

from dataclasses import dataclass

from eocodec.errors import ChecksumError, FormatError, TruncatedError
from eocodec.formats.eoc.header_json import Header, parse_header
from eocodec.formats.eoc.index import ArrayIndex, parse_index
from eocodec.formats.eoc.layout import (
    FOOTER_SIZE,
    MAJOR,
    MINOR,
    PREFIX_SIZE,
    Footer,
    Prefix,
    header_bytes,
    parse_footer,
    parse_prefix,
)
from eocodec.formats.eoc.source import Source
from eocodec.payload import crc32c

# First guesses at where header and index end; what they miss costs one more read.
_HEAD_BYTES = 4 << 10
_TAIL_BYTES = 32 << 10


@dataclass(frozen=True)
class Contents:
    """What a container says before any tile is read."""

    header: Header
    indexes: tuple[ArrayIndex, ...]
    version: str
    overhead: int


def read_contents(source: Source) -> Contents:
    """Read and check everything of a container but its tiles.

    Raises
    ------
    FormatError, UnsupportedError
        When the file is no container, damaged, cut, or of a kind that this release cannot read.
    """
    window = _Window(source)
    prefix = parse_prefix(window.bytes(0, min(PREFIX_SIZE, source.size)))
    if prefix.end + FOOTER_SIZE > source.size:
        raise TruncatedError(
            f"{source.name}: the file ends at byte {source.size}, inside header or footer"
        )
    header = parse_header(header_bytes(prefix, window.bytes(PREFIX_SIZE, prefix.end)))
    footer = parse_footer(window.bytes(source.size - FOOTER_SIZE, source.size), source.size)
    indexes = _read_index(window, prefix, footer, header)
    overhead = prefix.end + footer.index_size + FOOTER_SIZE
    return Contents(header, indexes, f"{MAJOR}.{MINOR}", overhead)


def _read_index(
    window: _Window, prefix: Prefix, footer: Footer, header: Header
) -> tuple[ArrayIndex, ...]:
    if footer.header_crc != prefix.crc:
        raise ChecksumError("header and footer belong to different files")
    if footer.index_offset < prefix.end or footer.index_size < 1:
        raise FormatError("the footer places the index inside the header")
    section = window.bytes(footer.index_offset, footer.index_offset + footer.index_size)
    if crc32c(section) != footer.index_crc:
        raise ChecksumError("the index does not match its CRC-32C")
    counts = [array.grid.tiles for array in header.arrays]
    return tuple(parse_index(section, counts, prefix.end, footer.index_offset))


class _Window:
    """The first and last bytes of a source; ranges beyond them are read when asked for."""

    def __init__(self, source: Source):
        self._source = source
        size = source.size
        if size <= _HEAD_BYTES + _TAIL_BYTES:
            ranges = [(0, size)] if size else []
        else:
            ranges = [(0, _HEAD_BYTES), (size - _TAIL_BYTES, size)]
        self._held = list(zip(ranges, source.read(ranges), strict=True))

    def bytes(self, start: int, stop: int) -> bytes:
        for (low, high), data in self._held:
            if low <= start and stop <= high:
                return data[start - low : stop - low]
            # Keep what is there of a range that begins before the tail.
            if low < stop <= high and start < low and low > 0:
                return self._source.read([(start, low)])[0] + data[: stop - low]
        if start == stop:
            return b""
        return self._source.read([(start, stop)])[0]
