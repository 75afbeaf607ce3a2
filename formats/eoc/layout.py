"""The fixed bytes of a container: prefix, record leaders, footer, and their limits.

The normative description is SPEC.md, part "The container".
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from eocodec.errors import (
    ChecksumError,
    FormatError,
    InputError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from eocodec.formats.eoc.dictionary import DICTIONARY
from eocodec.payload import crc32c, put_varint

MAGIC = b"\x89EOC\r\n\x1a\n"
END_MAGIC = b"\x89EOX"
MAJOR, MINOR = 0, 3
FLAG_DEFLATED = 1
MAX_HEADER_BYTES = 4 << 20
_MAX_INDEX_BYTES = 2**32 - 1

_PREFIX = struct.Struct("<8sBBHII")
_FOOTER = struct.Struct("<QII4s")
_PLACE = struct.Struct("<QI")
PREFIX_SIZE = _PREFIX.size
FOOTER_SIZE = _FOOTER.size


@dataclass(frozen=True)
class Prefix:
    """The first 20 bytes: how long the header is and how it is stored."""

    deflated: bool
    stored_size: int
    crc: int
    head: bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after the header, where the tile records start."""
        return PREFIX_SIZE + self.stored_size


@dataclass(frozen=True)
class Footer:
    """The last 20 bytes: where the index lies, and one checksum of index, header and footer."""

    index_offset: int
    index_size: int
    crc: int

    @property
    def file_size(self) -> int:
        """Bytes of the whole file."""
        return self.index_offset + self.index_size + FOOTER_SIZE


def build_header_section(raw: bytes) -> tuple[bytes, int]:
    """Prefix and header as stored, deflated when that is smaller, and the header's CRC-32C."""
    if len(raw) > MAX_HEADER_BYTES:
        raise InputError(
            f"the header takes {len(raw)} bytes, more than the {MAX_HEADER_BYTES} a container "
            "may hold: leave out large tags or ground control points"
        )
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=DICTIONARY)
    packed = packer.compress(raw) + packer.flush()
    deflated = len(packed) < len(raw)
    stored = packed if deflated else raw
    flags = FLAG_DEFLATED if deflated else 0
    start = _PREFIX.pack(MAGIC, MAJOR, MINOR, flags, len(stored), 0)[:-4]
    crc = crc32c(start + stored)
    return start + struct.pack("<I", crc) + stored, crc


def parse_prefix(data: bytes) -> Prefix:
    """Read the prefix; `data` starts at the first byte of the file.

    Raises
    ------
    FormatError
        Another kind of file, a text-mangled one, or undefined flags.
    TruncatedError
        Fewer than 20 bytes.
    UnsupportedError
        A version that this release does not read.
    LimitError
        A header beyond `MAX_HEADER_BYTES`.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        if data[1:4] == MAGIC[1:4]:
            raise FormatError("the .eoc magic was altered, as by a transfer in text mode")
        raise FormatError("not an .eoc file: the magic does not match")
    if len(data) < PREFIX_SIZE:
        raise TruncatedError(f"the file ends after {len(data)} bytes, inside the prefix")
    _, major, minor, flags, stored, crc = _PREFIX.unpack_from(data)
    # While the major version is 0 every minor version may change the bytes.
    if major != MAJOR or (major == 0 and minor != MINOR):
        raise UnsupportedError(
            f"the file has container version {major}.{minor}; this release reads {MAJOR}.{MINOR}"
        )
    if stored > MAX_HEADER_BYTES:
        raise LimitError(
            f"the file declares a header of {stored} bytes, more than {MAX_HEADER_BYTES}"
        )
    if flags & ~FLAG_DEFLATED:
        raise FormatError(f"the prefix has undefined flags set: {flags:#06x}")
    return Prefix(bool(flags & FLAG_DEFLATED), stored, crc, bytes(data[: PREFIX_SIZE - 4]))


def header_bytes(prefix: Prefix, stored: bytes) -> bytes:
    """Check the stored header against the prefix and inflate it.

    Raises
    ------
    TruncatedError, ChecksumError, FormatError
        `stored` is short, does not match its CRC-32C, or is not one deflate stream.
    LimitError
        It inflates beyond `MAX_HEADER_BYTES`.
    """
    if len(stored) < prefix.stored_size:
        raise TruncatedError(
            f"the file ends inside the header ({len(stored)} of {prefix.stored_size} bytes)"
        )
    if crc32c(prefix.head + stored) != prefix.crc:
        raise ChecksumError("the header does not match its CRC-32C")
    if not prefix.deflated:
        return stored
    inflater = zlib.decompressobj(-15, DICTIONARY)
    try:
        raw = inflater.decompress(stored, MAX_HEADER_BYTES + 1)
    except zlib.error as error:
        raise FormatError(f"the header does not inflate: {error}") from error
    if len(raw) > MAX_HEADER_BYTES:
        raise LimitError(f"the header inflates to more than {MAX_HEADER_BYTES} bytes")
    if not inflater.eof or inflater.unused_data:
        raise FormatError("the deflated header does not end where its bytes end")
    return raw


def build_footer(offset: int, index: bytes, header_crc: int) -> bytes:
    """The 20 bytes that end a container.

    Parameters
    ----------
    offset : int
        Where the index starts.
    index : bytes
        The index section.
    header_crc : int
        The CRC-32C in the prefix.

    Raises
    ------
    InputError
        An index beyond 4 GiB.
    """
    if len(index) > _MAX_INDEX_BYTES:
        raise InputError(
            f"the index takes {len(index)} bytes, more than the {_MAX_INDEX_BYTES} a container may "
            "hold: use larger tiles or fewer layers"
        )
    place = _PLACE.pack(offset, len(index))
    return place + struct.pack("<I", _index_crc(index, header_crc, place)) + END_MAGIC


def parse_footer(tail: bytes, file_size: int | None) -> Footer:
    """Read the footer from the last bytes of a file, of `file_size` bytes where that is known.

    Its checksum covers the index too: see `check_index`.

    Raises
    ------
    TruncatedError
        No footer: the file was cut, or its writer did not finish.
    FormatError
        The footer places the index elsewhere than before itself.
    """
    if len(tail) < FOOTER_SIZE or tail[-len(END_MAGIC) :] != END_MAGIC:
        raise TruncatedError("the file does not end with a footer: truncated, or never finished")
    offset, size, crc, _ = _FOOTER.unpack(tail[-FOOTER_SIZE:])
    footer = Footer(offset, size, crc)
    if file_size not in (None, footer.file_size):
        raise FormatError(
            f"the index does not end at the footer: bytes {offset} to {offset + size} "
            f"in a file of {file_size}"
        )
    return footer


def check_index(footer: Footer, index: bytes, header_crc: int) -> None:
    """Check index and footer, and that they belong to the header.

    Raises
    ------
    ChecksumError
        They do not match the CRC-32C in the footer.
    """
    place = _PLACE.pack(footer.index_offset, footer.index_size)
    if _index_crc(index, header_crc, place) != footer.crc:
        raise ChecksumError("index, footer and header do not match the CRC-32C in the footer")


def _index_crc(index: bytes, header_crc: int, place: bytes) -> int:
    return crc32c(index + struct.pack("<I", header_crc) + place)


def record_leader(array: int, tile: int, payload_size: int) -> bytes:
    """The bytes before a tile's payload: array number + 1, tile number, payload size."""
    return put_varint(array + 1) + put_varint(tile) + put_varint(payload_size)
