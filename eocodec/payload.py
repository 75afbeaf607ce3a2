"""The bytes of one tile: a checked head, then layers in stage order.

Every multi-byte integer is little-endian; *varint* is unsigned LEB128 in its shortest form.
SPEC.md, "Tile payload", is the normative description.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from eocodec.errors import (
    ChecksumError,
    FormatError,
    InputError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)

Buffer = bytes | bytearray | memoryview

CONSTANT = 0
PREDICTIVE = 1
RVQ = 2

MAX_TILE_SAMPLES = 2**27
MAX_TILE_BANDS = 4096
MAX_LAYERS = 64
_MAX_VARINT_BYTES = 5

# The position in this tuple is the dtype code of the format: append only.
DTYPES: tuple[np.dtype[Any], ...] = tuple(
    np.dtype(name) for name in ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8", "<u8", "<i8")
)

_MASKED = 1
_BINDING = 2
_GUARANTEED = 4


def crc32c(data: Buffer) -> int:
    """Return the CRC-32C (Castagnoli) of `data`."""
    return int(google_crc32c.value(bytes(data) if not isinstance(data, bytes) else data))


def pixel_crc32c(pixels: npt.NDArray[Any]) -> int:
    """Return the CRC-32C of `pixels` in C order, little-endian."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return crc32c(little.tobytes())


def dtype_code(dtype: npt.DTypeLike) -> int:
    """Return the format's code of `dtype` (either byte order).

    Raises
    ------
    InputError
        When the format has no such dtype.
    """
    little = np.dtype(dtype).newbyteorder("<")
    try:
        return DTYPES.index(little)
    except ValueError:
        names = ", ".join(known.name for known in DTYPES)
        raise InputError(f"cannot code dtype {np.dtype(dtype).name}; use one of {names}") from None


def put_varint(value: int) -> bytes:
    """Return `value` (>= 0) as unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class ByteReader:
    """A cursor over untrusted bytes that never reads past their end."""

    def __init__(self, buffer: Buffer, what: str) -> None:
        self.view = memoryview(buffer).cast("B")
        self.pos = 0
        self._what = what

    def take(self, size: int) -> memoryview:
        """Return the next `size` bytes, or raise `TruncatedError`."""
        if size > len(self.view) - self.pos:
            raise TruncatedError(
                f"{self._what} ends at byte {len(self.view)}, needs {self.pos + size}"
            )
        self.pos += size
        return self.view[self.pos - size : self.pos]

    def u8(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def u32(self) -> int:
        """Return the next four bytes as an unsigned integer."""
        return int(struct.unpack("<I", self.take(4))[0])

    def varint(self) -> int:
        """Return the next varint (at most five bytes, shortest form)."""
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index:
                    raise FormatError(f"{self._what} holds a varint with padding")
                return value
        raise FormatError(f"{self._what} holds a varint of more than {_MAX_VARINT_BYTES} bytes")


@dataclass(frozen=True)
class TileHead:
    """What a tile payload says before its layers.

    Attributes
    ----------
    mode : int
        `CONSTANT`, `PREDICTIVE` or `RVQ`.
    dtype : numpy.dtype
        Sample type, little-endian.
    shape : tuple of int
        (C, H, W), each at least 1.
    pixel_crc : int or None
        CRC-32C of the decoded pixels at all layers; None where it does not bind the decoder.
    mask : bytes or None
        The mask section (see `eocodec.mask`).
    layer_sizes, layer_crcs : tuple of int
        Byte count and CRC-32C of each layer body, in stage order.
    size : int
        Bytes of the head, its own CRC included.
    guaranteed : bool
        Whether the last layer of a learned tile is a guarantee layer (see `eocodec.predictive`).
    """

    mode: int
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    pixel_crc: int | None
    mask: bytes | None
    layer_sizes: tuple[int, ...]
    layer_crcs: tuple[int, ...]
    size: int
    guaranteed: bool = False

    @property
    def layer_ends(self) -> tuple[int, ...]:
        """Byte position, from the start of the payload, at which each layer ends."""
        ends, position = [], self.size
        for size in self.layer_sizes:
            position += size
            ends.append(position)
        return tuple(ends)


def build_payload(
    mode: int,
    dtype: npt.DTypeLike,
    shape: tuple[int, int, int],
    layers: Sequence[Buffer],
    mask: bytes | None,
    pixel_crc: int | None,
    guaranteed: bool = False,
) -> bytes:
    """Return the payload of one tile.

    Parameters
    ----------
    mode, dtype, shape, mask, guaranteed
        As in `TileHead`.
    layers : sequence of bytes-like
        Layer bodies in stage order, 1 to `MAX_LAYERS`.
    pixel_crc : int or None
        CRC-32C of the decoded pixels; None writes 0, not binding.

    Raises
    ------
    InputError
        When the format cannot hold such a tile.
    """
    if not 1 <= len(layers) <= MAX_LAYERS:
        raise InputError(f"a tile has 1 to {MAX_LAYERS} layers, not {len(layers)}")
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] > MAX_TILE_SAMPLES:
        raise InputError(f"tile shape {shape} is empty or above {MAX_TILE_SAMPLES} samples")
    flags = _MASKED * (mask is not None) | _BINDING * (pixel_crc is not None)
    flags |= _GUARANTEED * guaranteed
    head = b"".join(
        [
            struct.pack("<BB", mode, dtype_code(dtype)),
            *(put_varint(length) for length in shape),
            struct.pack("<BIB", flags, pixel_crc or 0, len(layers)),
            *(put_varint(len(layer)) for layer in layers),
            *(struct.pack("<I", crc32c(layer)) for layer in layers),
            b"" if mask is None else put_varint(len(mask)) + mask,
        ]
    )
    return b"".join([head, struct.pack("<I", crc32c(head)), *layers])


def parse_head(buffer: Buffer) -> TileHead:
    """Parse and check the head of a tile payload (a prefix that holds the head will do).

    Raises
    ------
    TruncatedError, ChecksumError, LimitError, FormatError, UnsupportedError
        When the bytes are not the head of a tile that this release decodes.
    """
    reader = ByteReader(buffer, "tile head")
    mode = reader.u8()
    code = reader.u8()
    shape = (reader.varint(), reader.varint(), reader.varint())
    flags = reader.u8()
    crc = reader.u32()
    count = reader.u8()
    if count > MAX_LAYERS:
        raise LimitError(f"tile declares {count} layers; at most {MAX_LAYERS} are allowed")
    sizes = tuple(reader.varint() for _ in range(count))
    crcs = tuple(reader.u32() for _ in range(count))
    mask = bytes(reader.take(reader.varint())) if flags & _MASKED else None
    body_start = reader.pos
    if reader.u32() != crc32c(reader.view[:body_start]):
        raise ChecksumError("tile head does not match its CRC-32C")
    if mode not in (CONSTANT, PREDICTIVE, RVQ):
        raise UnsupportedError(f"tile mode {mode} is unknown to this release")
    if code >= len(DTYPES):
        raise UnsupportedError(f"tile dtype code {code} is unknown to this release")
    if flags & ~(_MASKED | _BINDING | _GUARANTEED):
        raise UnsupportedError(f"tile flags {flags:#04x} are unknown to this release")
    if count == 0 or (mode != RVQ and count != 1):
        raise FormatError(f"tile of mode {mode} declares {count} layers")
    guaranteed = bool(flags & _GUARANTEED)
    if guaranteed and (mode != RVQ or count < 2):
        raise FormatError("tile has a guarantee layer without learned layers")
    if min(shape) < 1:
        raise FormatError(f"tile shape {shape} is empty")
    if shape[0] * shape[1] * shape[2] > MAX_TILE_SAMPLES:
        raise LimitError(f"tile shape {shape} is above {MAX_TILE_SAMPLES} samples")
    if shape[0] > MAX_TILE_BANDS:
        raise LimitError(f"tile declares {shape[0]} bands; at most {MAX_TILE_BANDS} are allowed")
    pixel_crc = crc if flags & _BINDING else None
    dtype, size = DTYPES[code], reader.pos
    return TileHead(mode, dtype, shape, pixel_crc, mask, sizes, crcs, size, guaranteed)


def layer_bodies(buffer: Buffer, head: TileHead, layers: int | None = None) -> list[memoryview]:
    """Return the first `layers` layer bodies (None or too many: all), each checked by its CRC.

    Raises
    ------
    TruncatedError, ChecksumError
        When the buffer ends before them, or one is damaged.
    InputError
        When `layers` is below 1.
    """
    if layers is not None and layers < 1:
        raise InputError(f"layers must be at least 1, not {layers}")
    reader = ByteReader(buffer, "tile payload")
    reader.take(head.size)
    bodies = [reader.take(size) for size in head.layer_sizes[:layers]]
    for index, (body, crc) in enumerate(zip(bodies, head.layer_crcs, strict=False)):
        if crc32c(body) != crc:
            raise ChecksumError(f"tile layer {index} does not match its CRC-32C")
    return bodies
