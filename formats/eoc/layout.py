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
from eocodec.payload import crc32c, put_varint

MAGIC = b"\x89EOC\r\n\x1a\n"
END_MAGIC = b"\x89EOX\r\n\x1a\n"
MAJOR, MINOR = 0, 2
FLAG_DEFLATED = 1
MAX_HEADER_BYTES = 4 << 20
_NAMES = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
DICTIONARY = (
    '"area_or_point":"Area","crs":"EPSG:32633","dims":["y","x"],"dtype":"float32","nodata":0.0,'
    '"tags":{"":{"TIFFTAG_IMAGEDESCRIPTION":"wavelength":"wavelength_unit":"nm"}},'
    '"transform":[10.0,0.0,600000.0,0.0,-10.0,5900040.0],"unit":"reflectance","scale":0.0001,"offset":-0.1,'
    '"codec":"eocodec.predictive-dev","colour":"undefined","colour":"red","colour":"green","colour":"blue",'
    + ",".join(
        f'{{"colour":"gray","description":"{name}","mask_flags":["all_valid"],"name":"{name}","position":{i}}}'
        for i, name in enumerate(_NAMES)
    )
    + '{"arrays":[{"bands":['
    + ",".join(f'{{"name":"{name}"}}' for name in _NAMES)
    + '],"codec":"eocodec.rvq2d-dev","dims":["band","y","x"],"dtype":"uint16","layers":4,"model":"",'
    '"name":"data","shape":[10,512,512],"tile":[10,512,512]}]}'
).encode()
"""Preset dictionary of the deflated header: text that headers have in common."""

_PREFIX = struct.Struct("<8sBBHIII")
_FOOTER = struct.Struct("<QQIII8s")
PREFIX_SIZE = _PREFIX.size
FOOTER_SIZE = _FOOTER.size


@dataclass(frozen=True)
class Prefix:
    """The first 24 bytes: how long the header is and how it is stored."""

    deflated: bool
    stored_size: int
    raw_size: int
    crc: int
    head: bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after the header, where the tile records start."""
        return PREFIX_SIZE + self.stored_size


@dataclass(frozen=True)
class Footer:
    """The last 36 bytes: where the index lies, and the checksum of index and header."""

    index_offset: int
    index_size: int
    index_crc: int
    header_crc: int

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
    start = _PREFIX.pack(MAGIC, MAJOR, MINOR, flags, len(stored), len(raw), 0)[:-4]
    crc = crc32c(start + stored)
    return start + struct.pack("<I", crc) + stored, crc


def parse_prefix(data: bytes) -> Prefix:
    """Read the prefix; `data` starts at the first byte of the file.

    Raises
    ------
    FormatError
        Another kind of file, a text-mangled one, or sizes that contradict each other.
    TruncatedError
        Fewer than 24 bytes.
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
    _, major, minor, flags, stored, raw, crc = _PREFIX.unpack_from(data)
    # While the major version is 0 every minor version may change the bytes.
    if major != MAJOR or (major == 0 and minor != MINOR):
        raise UnsupportedError(
            f"the file has container version {major}.{minor}; this release reads {MAJOR}.{MINOR}"
        )
    if stored > MAX_HEADER_BYTES or raw > MAX_HEADER_BYTES:
        raise LimitError(
            f"the file declares a header of {max(stored, raw)} bytes, more than {MAX_HEADER_BYTES}"
        )
    if flags & ~FLAG_DEFLATED:
        raise FormatError(f"the prefix has undefined flags set: {flags:#06x}")
    deflated = bool(flags & FLAG_DEFLATED)
    if (stored >= raw) if deflated else (stored != raw):
        raise FormatError(f"header sizes contradict: {stored} bytes stored, {raw} declared")
    return Prefix(deflated, stored, raw, crc, bytes(data[: PREFIX_SIZE - 4]))


def header_bytes(prefix: Prefix, stored: bytes) -> bytes:
    """Check the stored header against the prefix and inflate it.

    Raises
    ------
    TruncatedError, ChecksumError, FormatError
        `stored` is short, does not match its CRC-32C, or does not inflate to the declared size.
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
        # The declared size, already capped, bounds what a bomb may unfold.
        raw = inflater.decompress(stored, prefix.raw_size + 1)
    except zlib.error as error:
        raise FormatError(f"the header does not inflate: {error}") from error
    if len(raw) != prefix.raw_size or not inflater.eof or inflater.unused_data:
        raise FormatError(f"the header does not inflate to the {prefix.raw_size} bytes declared")
    return raw


def build_footer(footer: Footer) -> bytes:
    """The 36 bytes that end a container."""
    fields = (footer.index_offset, footer.index_size, footer.index_crc, footer.header_crc)
    body = _FOOTER.pack(*fields, 0, END_MAGIC)
    crc = crc32c(body[:24])
    return _FOOTER.pack(*fields, crc, END_MAGIC)


def parse_footer(tail: bytes, file_size: int | None) -> Footer:
    """Read the footer from the last bytes of a file, of `file_size` bytes where that is known.

    Raises
    ------
    TruncatedError
        No footer: the file was cut, or its writer did not finish.
    ChecksumError, FormatError
        The footer is damaged, or places the index elsewhere than before itself.
    """
    if len(tail) < FOOTER_SIZE or tail[-8:] != END_MAGIC:
        raise TruncatedError("the file does not end with a footer: truncated, or never finished")
    offset, size, index_crc, header_crc, crc, _ = _FOOTER.unpack(tail[-FOOTER_SIZE:])
    if crc32c(tail[-FOOTER_SIZE : -FOOTER_SIZE + 24]) != crc:
        raise ChecksumError("the footer does not match its CRC-32C")
    footer = Footer(offset, size, index_crc, header_crc)
    if file_size not in (None, footer.file_size):
        raise FormatError(
            f"the index does not end at the footer: bytes {offset} to {offset + size} "
            f"in a file of {file_size}"
        )
    return footer


def record_leader(array: int, tile: int, payload_size: int) -> bytes:
    """The bytes before a tile's payload: array number + 1, tile number, payload size."""
    return put_varint(array + 1) + put_varint(tile) + put_varint(payload_size)
