"""JPEG XL (libjxl): VarDCT by distance, and modular with quantised planes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt

from bench.peers.base import IntegerScale, Planes, join, spaced, split

_BIAS = 0.0037930732552754493
"""Bias of the opsin absorbance in the XYB colour space of ISO/IEC 18181-1."""
_ROOT = np.cbrt(_BIAS)
_MIDDLE = 0.42
_FINEST = 5e-5
"""Y of XYB a DN: of the scales tried, the one with the fewest bytes at equal RMSE."""
_LAYOUT = struct.Struct("<ff")


@dataclass(frozen=True)
class JpegXl:
    """VarDCT, one image a plane; settings are the distance.

    libjxl quantises in XYB, whose Y is a cube root of light. Planes are turned to light by its inverse, as
    float32 samples, so that Y is linear in DN and every value of every plane has the same error.
    """

    effort: int
    settings: tuple[float, ...] = spaced(25, 0.15, 11)
    threads: int = 1

    @property
    def name(self) -> str:
        """Name of the codec, with libjxl's effort."""
        return f"JPEG XL e{self.effort}"

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        low, high = float(planes.min()), float(planes.max())
        middle = np.float32((low + high) / 2)
        step = np.float32(max((high - low) / (2 * _MIDDLE), 1 / _FINEST))
        light = _light(_MIDDLE + (planes - middle) / step).astype(np.float32)
        return _LAYOUT.pack(middle, step) + join(
            [
                imagecodecs.jpegxl_encode(
                    plane,
                    effort=self.effort,
                    distance=setting,
                    lossless=False,
                    numthreads=self.threads,
                )
                for plane in light
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        middle, step = _LAYOUT.unpack_from(data)
        light = np.stack(
            [
                imagecodecs.jpegxl_decode(part, numthreads=self.threads)
                for part in split(data[_LAYOUT.size :])
            ]
        )
        planes: Planes = (_luma(light.astype(np.float64)) - _MIDDLE) * step + middle
        return planes.reshape(shape)


@dataclass(frozen=True)
class JpegXlModular:
    """Planes rounded to multiples of a step, then JPEG XL without loss; settings are the step in DN."""

    name: str = "JPEG XL modular"
    settings: tuple[float, ...] = spaced(800, 48, 6)

    def encode(self, planes: Planes, setting: float) -> bytes:
        """Encode."""
        scale = IntegerScale(float(np.float32(planes.min())), setting)
        return scale.to_bytes() + join(
            [
                imagecodecs.jpegxl_encode(plane, effort=7, lossless=True, numthreads=1)
                for plane in scale.to_integers(planes)
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = split(data[IntegerScale.SIZE :])
        integers = np.stack([imagecodecs.jpegxl_decode(part, numthreads=1) for part in parts])
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)


def _light(luma: Planes) -> Planes:
    """Linear light of a grey pixel with the Y of XYB."""
    light: Planes = (luma + _ROOT) ** 3 - _BIAS
    return light


def _luma(light: npt.NDArray[np.float64]) -> Planes:
    """Y of XYB of a grey pixel with the linear light."""
    luma: Planes = np.cbrt(light + _BIAS) - _ROOT
    return luma
