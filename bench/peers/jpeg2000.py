"""JPEG 2000 (OpenJPEG) and High-Throughput JPEG 2000 (OpenJPH), both with the irreversible 9/7 wavelet."""

from __future__ import annotations

from dataclasses import dataclass

import imagecodecs
import numpy as np

from bench.peers.base import RMSE_TARGETS, IntegerScale, Planes, join, spaced, split

_PEAK = 65535
_FINEST = 0.5
"""DN of the integers that the wavelet transforms; their rounding is far below any error of the bench."""


@dataclass(frozen=True)
class Jpeg2000:
    """One JPEG 2000 codestream with a component a plane; settings are an RMSE in DN.

    OpenJPEG's rate control cuts all code blocks of all planes at one rate-distortion slope, which is what
    minimises the total error; it needs fewer bytes than an equal PSNR for every plane.
    """

    name: str = "JPEG 2000"
    settings: tuple[float, ...] = RMSE_TARGETS
    threads: int = 1

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        scale = IntegerScale.centred(planes, 16, finest=_FINEST)
        code = imagecodecs.jpeg2k_encode(
            scale.to_integers(planes),
            level=_psnr(setting / scale.step),  # type: ignore[arg-type]
            codecformat="j2k",
            reversible=False,
            planar=True,
            mct=False,
            numthreads=self.threads,
        )
        return scale.to_bytes() + code

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        code = data[IntegerScale.SIZE :]
        integers = imagecodecs.jpeg2k_decode(code, planar=True, numthreads=self.threads)
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)


@dataclass(frozen=True)
class Jpeg2000EqualPsnr:
    """One JPEG 2000 codestream a plane, all at the same PSNR; settings are that RMSE in DN."""

    name: str = "JPEG 2000 (equal PSNR)"
    settings: tuple[float, ...] = spaced(500, 15, 10)

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        scale = IntegerScale.centred(planes, 16, finest=_FINEST)
        level = _psnr(setting / scale.step)
        return scale.to_bytes() + join(
            [
                imagecodecs.jpeg2k_encode(
                    plane,
                    level=level,  # type: ignore[arg-type]
                    codecformat="j2k",
                    reversible=False,
                )
                for plane in scale.to_integers(planes)
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = split(data[IntegerScale.SIZE :])
        integers = np.stack([imagecodecs.jpeg2k_decode(part) for part in parts])
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)


@dataclass(frozen=True)
class Htj2k:
    """High-Throughput JPEG 2000 with a component a plane; settings are the quantiser step in DN."""

    name: str = "HTJ2K"
    settings: tuple[float, ...] = spaced(2500, 40, 10)

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        scale = IntegerScale.centred(planes, 16, finest=_FINEST)
        code = imagecodecs.htj2k_encode(
            scale.to_integers(planes),
            level=setting / scale.step / (_PEAK + 1),
            reversible=False,
            resolutions=5,
            planar=True,
        )
        return scale.to_bytes() + code

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        integers = imagecodecs.htj2k_decode(data[IntegerScale.SIZE :], planar=True)
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)


def _psnr(error: float) -> float:
    """PSNR in dB of an RMSE in integer steps, for the peak that OpenJPEG takes."""
    return float(20 * np.log10(_PEAK / error))
