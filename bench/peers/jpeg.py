"""8-bit JPEG (libjpeg-turbo), the baseline of D3.4."""

from __future__ import annotations

from dataclasses import dataclass

import imagecodecs
import numpy as np

from bench.peers.base import Planes, Stack, join, split


@dataclass(frozen=True)
class Jpeg:
    """8-bit baseline JPEG of each band, scaled from its own range; settings are libjpeg's quality."""

    name: str = "JPEG 8-bit per band"
    settings: tuple[int, ...] = (2, 4, 7, 12, 20, 32, 48, 65, 80, 90, 95, 98)

    def encode(self, stack: Stack, setting: int) -> bytes:
        """Encode."""
        parts = []
        for band in stack:
            low, high = int(band.min()), int(band.max())
            scaled = np.rint((band.astype(np.float64) - low) * (255 / max(high - low, 1)))
            code = imagecodecs.jpeg8_encode(scaled.astype(np.uint8), level=setting, optimize=True)
            parts.append(np.array([low, high], "<u2").tobytes() + code)
        return join(parts)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        bands = []
        for part in split(data):
            low, high = np.frombuffer(part[:4], "<u2").astype(np.float64)
            bands.append(imagecodecs.jpeg8_decode(part[4:]) * (max(high - low, 1) / 255) + low)
        return np.stack(bands).reshape(shape)
