"""What every codec of the comparison is, and how planes become integers and one string of bytes.

A *peer* codes a stack (bands, H, W) of uint16 DN at a setting of its own scale. Most peers are a *plane coder*, which
knows nothing of bands, either on the bands themselves or on Karhunen-Loève components.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from eocodec.payload import ByteReader, put_varint

Stack = npt.NDArray[np.uint16]
Planes = npt.NDArray[np.float64]


class Peer(Protocol):
    """A codec of the comparison. All bytes needed to decode count, but for the shape of the stack."""

    @property
    def name(self) -> str:
        """What tables and plots call it."""

    @property
    def settings(self) -> tuple[Any, ...]:
        """Settings that span the curve, from small files to large."""

    def encode(self, stack: Stack, setting: Any) -> bytes:
        """Encode a stack."""

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode to an array of the shape."""


class PlaneCoder(Protocol):
    """Codes real-valued planes (C, H, W) of mean 0, every plane with the same error weight."""

    @property
    def name(self) -> str:
        """Name of the codec."""

    @property
    def settings(self) -> tuple[Any, ...]:
        """Settings that span the curve, from small files to large."""

    def encode(self, planes: Planes, setting: Any) -> bytes:
        """Encode planes, in DN."""

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode to planes of the shape, in DN."""


@dataclass(frozen=True)
class PerBand:
    """A plane coder applied to the bands, less their means: no transform between bands."""

    coder: PlaneCoder

    @property
    def name(self) -> str:
        """What tables and plots call it."""
        return f"{self.coder.name} per band"

    @property
    def settings(self) -> tuple[Any, ...]:
        """The coder's settings."""
        return self.coder.settings

    def encode(self, stack: Stack, setting: Any) -> bytes:
        """Encode a stack."""
        means = np.rint(stack.mean(axis=(1, 2))).astype("<u2")
        planes = self.coder.encode(stack - _planes(means), setting)
        return bytes(means.tobytes()) + planes

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        means = np.frombuffer(data, "<u2", shape[0])
        return self.coder.decode(data[means.nbytes :], shape) + _planes(means)


@dataclass(frozen=True)
class IntegerScale:
    """Maps real planes to unsigned integers with one offset and one step for all planes.

    Attributes
    ----------
    low : float
        Value that becomes 0, in DN.
    step : float
        DN of one integer step.
    """

    low: float
    step: float

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<ff")
    SIZE: ClassVar[int] = _LAYOUT.size

    @classmethod
    def spread(cls, planes: Planes, bits: int) -> Self:
        """Spread the range of the planes over `bits` bits."""
        low = math.floor(planes.min())
        return cls(_single(low), _single(max((planes.max() - low) / (2**bits - 1.5), 1e-6)))

    @classmethod
    def centred(cls, planes: Planes, bits: int, finest: float) -> Self:
        """Map 0 to the middle of `bits` bits, as wavelet codecs like it, in steps of at least `finest` DN."""
        half = 2 ** (bits - 1)
        step = _single(max(float(np.abs(planes).max()) / (half - 1.5), finest))
        return cls(_single(-half * step), step)

    def to_integers(self, planes: Planes) -> npt.NDArray[np.uint16]:
        """Round to integers."""
        return np.rint((planes - self.low) / self.step).astype(np.uint16)

    def to_planes(self, integers: npt.NDArray[Any]) -> Planes:
        """Return DN."""
        return integers.astype(np.float64) * self.step + self.low

    def to_bytes(self) -> bytes:
        """Return the 8 bytes that travel with the planes."""
        return self._LAYOUT.pack(self.low, self.step)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote at the start of `data`."""
        return cls(*cls._LAYOUT.unpack_from(data))


def join(parts: Sequence[bytes | bytearray]) -> bytes:
    """Concatenate, each part after its length as a varint."""
    return b"".join(put_varint(len(part)) + bytes(part) for part in parts)


def split(data: bytes) -> list[bytes]:
    """Take apart what `join` made."""
    reader, parts = ByteReader(data, "a file of parts"), []
    while reader.pos < len(data):
        parts.append(bytes(reader.take(reader.varint())))
    return parts


def spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return `count` settings from `low` to `high` in equal ratios, to three digits."""
    return tuple(float(f"{value:.3g}") for value in np.geomspace(low, high, count))


RMSE_TARGETS = spaced(128, 18.5, 7)
"""Errors in DN for codecs that take one."""


def _single(value: float) -> float:
    """Round to single precision, as it is stored."""
    return float(np.float32(value))


def _planes(means: npt.NDArray[np.uint16]) -> Planes:
    return means.astype(np.float64)[:, None, None]
