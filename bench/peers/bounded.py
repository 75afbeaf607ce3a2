"""Codecs that bound the error of every sample: JPEG-LS, LERC, SZ3, ZFP; and SPERR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np

from bench.peers.base import Planes, Stack, join, spaced, split

_BOUNDS = spaced(560, 26, 6)
"""Largest errors in DN; spread evenly within them, 26 is an RMSE of 15."""
_LEAST_PSNR = 0.1


@dataclass(frozen=True)
class JpegLs:
    """JPEG-LS (CharLS) near-lossless of each band; settings are the largest error in DN."""

    name: str = "JPEG-LS near-lossless"
    settings: tuple[int, ...] = (255, 150, 90, 54, 32)

    def encode(self, stack: Stack, setting: int) -> bytes:
        """Encode."""
        return join([imagecodecs.jpegls_encode(band, level=setting) for band in stack])

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Any:
        """Decode."""
        return np.stack([imagecodecs.jpegls_decode(part) for part in split(data)]).reshape(shape)


@dataclass(frozen=True)
class Lerc:
    """LERC with Zstandard of each band; settings are the largest error in DN."""

    name: str = "LERC"
    settings: tuple[float, ...] = _BOUNDS

    def encode(self, stack: Stack, setting: float) -> bytes:
        """Encode."""
        return join(
            [imagecodecs.lerc_encode(band, level=setting, compression="zstd") for band in stack]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Any:
        """Decode."""
        return np.stack([imagecodecs.lerc_decode(part) for part in split(data)]).reshape(shape)


@dataclass(frozen=True)
class Sz3:
    """SZ3 of each plane; settings are the largest error in DN."""

    name: str = "SZ3"
    settings: tuple[float, ...] = _BOUNDS

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        return join(
            [imagecodecs.sz3_encode(plane, "abs", setting) for plane in planes.astype(np.float32)]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = [imagecodecs.sz3_decode(part, shape[1:], np.float32) for part in split(data)]
        return np.stack(parts).astype(np.float64)


@dataclass(frozen=True)
class Zfp:
    """ZFP with fixed accuracy of each plane; settings are the tolerance in DN, a power of two to ZFP."""

    name: str = "ZFP"
    settings: tuple[float, ...] = (8192, 4096, 2048, 1024, 512, 256, 128, 64)

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        return join(
            [
                imagecodecs.zfp_encode(plane, setting, mode="a", header=True)  # type: ignore[arg-type]
                for plane in planes.astype(np.float32)
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = [imagecodecs.zfp_decode(part) for part in split(data)]
        return np.stack(parts).astype(np.float64).reshape(shape)


@dataclass(frozen=True)
class Sperr:
    """SPERR (CDF 9/7 and SPECK) of each plane, all at one PSNR; settings are that RMSE in DN."""

    name: str = "SPERR"
    settings: tuple[float, ...] = spaced(2000, 20, 11)

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        parts: list[bytes | bytearray] = []
        for plane in planes.astype(np.float32):
            spread = float(np.ptp(plane)) or 1.0
            psnr = max(20 * float(np.log10(spread / setting)), _LEAST_PSNR)
            parts.append(imagecodecs.sperr_encode(plane, psnr, "psnr"))
        return join(parts)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = [
            imagecodecs.sperr_decode(part, shape=shape[1:], dtype=np.float32)
            for part in split(data)
        ]
        return np.stack(parts).astype(np.float64)
