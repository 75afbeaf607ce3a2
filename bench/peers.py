"""Every codec of the comparison behind one small interface.

A peer codes a stack (bands, H, W) of uint16 DN at a setting of its own scale; all bytes needed to decode count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import imagecodecs
import numpy as np
import numpy.typing as npt

import eocodec
from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import find_card
from eocodec.tile import EncodeSettings

Stack = npt.NDArray[np.uint16]


class Peer(Protocol):
    """A codec of the comparison."""

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


def _join(parts: list[bytes]) -> bytes:
    """Concatenate with a length of four bytes before each part."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _split(data: bytes) -> list[bytes]:
    parts = []
    while data:
        size = int.from_bytes(data[:4], "little")
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return parts


@dataclass(frozen=True)
class Jpeg:
    """8-bit baseline JPEG of each band, scaled from its own range (the baseline of D3.4)."""

    name: str = "JPEG 8-bit per band"
    settings: tuple[int, ...] = (3, 6, 10, 15, 22, 30, 40, 50, 60, 70, 78, 85, 90, 94, 97)

    def encode(self, stack: Stack, setting: int) -> bytes:
        """Encode; ``setting`` is libjpeg's quality."""
        parts = []
        for band in stack:
            low, high = int(band.min()), int(band.max())
            scaled = np.rint((band.astype(np.float64) - low) * (255 / max(high - low, 1)))
            code = imagecodecs.jpeg8_encode(scaled.astype(np.uint8), level=setting, optimize=True)
            parts.append(np.array([low, high], "<u2").tobytes() + code)
        return _join(parts)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        bands = []
        for part in _split(data):
            low, high = np.frombuffer(part[:4], "<u2").astype(np.float64)
            bands.append(imagecodecs.jpeg8_decode(part[4:]) * (max(high - low, 1) / 255) + low)
        return np.stack(bands).reshape(shape)


@dataclass(frozen=True)
class Jpeg2000:
    """JPEG 2000 (OpenJPEG, irreversible 9/7) of each band."""

    name: str = "JPEG 2000 per band"
    settings: tuple[float, ...] = (
        49,
        51,
        53,
        54,
        55,
        56,
        57,
        58,
        59,
        60,
        61,
        62,
        63,
        64,
        66,
        68,
        70,
    )

    def encode(self, stack: Stack, setting: float) -> bytes:
        """Encode; ``setting`` is a PSNR in dB, the same for every band."""
        return _join(
            [
                imagecodecs.jpeg2k_encode(band, level=setting, codecformat="j2k", reversible=False)
                for band in stack
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        return np.stack([imagecodecs.jpeg2k_decode(part) for part in _split(data)]).reshape(shape)


@dataclass(frozen=True)
class Eocodec:
    """This codec: a whole ``.eoc`` file, all container bytes counted; settings are (layers, step scale)."""

    name: str = "eocodec"

    @property
    def settings(self) -> tuple[tuple[int, float], ...]:
        """Refinement layers, each at several step scales."""
        card = find_card()
        layers = range(card.token_layers + 1, card.layers + 1)
        return tuple((k, scale) for k in layers for scale in (1.73, 1.44, 1.2, 1.0, 0.83, 0.69))

    def encode(self, stack: Stack, setting: tuple[int, float]) -> bytes:
        """Encode."""
        layers, scale = setting
        settings = EncodeSettings(layers=layers, step_scale=scale)
        return eocodec.compress(stack, bands=MODEL_BANDS, settings=settings)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        return np.asarray(eocodec.decompress(data)).reshape(shape)


PEERS: tuple[Peer, ...] = (Jpeg(), Jpeg2000(), Eocodec())
