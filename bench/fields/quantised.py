"""A uniform quantiser in front of JPEG XL without loss: the simplest that keeps a bound, and hard to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt

from bench.fields.codecs import CURVE_BOUNDS, TIGHTER, Coding, Steps, largest_error
from bench.fields.data import Values
from bench.fields.layouts import Array, Layout, native_layouts, volume_layouts

_MOST = 2**16
_MOST_CHANNELS = 256
_PARAMETERS = 16
"""Bytes of the smallest value and the step."""
_LOW = 4
"""Bytes of the smallest difference of an image."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantiser:
    """Rounds to the nearest multiple of a step above the smallest value, in double precision."""

    low: float
    step: float

    def quantise(self, values: Values) -> Integers:
        """Return the number of steps."""
        return np.rint((values.astype(np.float64) - self.low) / self.step).astype(np.int64)

    def values(self, steps: Integers) -> Values:
        """Return the middle of each step, in single precision."""
        return (self.low + steps * self.step).astype(np.float32)


@dataclass(frozen=True)
class QuantisedJpegXl:
    """JPEG XL of 16-bit integers, planes as channels of one image or as one image, at efforts 3 and 7.

    The step is twice the bound, or as little less as single precision asks for. Its best layout counts, of the
    integers and of their differences along the first axis. Ranges of more than 16 bits cannot be coded: 65536 steps
    are bounds of 8e-6 of the range, below all of the comparison.
    """

    name: str = "quantiser + JPEG XL"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True
    efforts: tuple[int, ...] = (3, 7)

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        low = float(values.min())
        for factor in TIGHTER:
            quantiser = Quantiser(low, 2 * factor * bound)
            steps = quantiser.quantise(values)
            if largest_error(values, quantiser.values(steps)) <= bound:
                break
        else:
            return
        if steps.max() >= _MOST:
            return
        for layout in image_layouts_of(values.shape):
            for differences in (False, True):
                for effort in self.efforts:
                    yield _code(values, quantiser, factor, layout, effort, differences)


def image_layouts_of(shape: tuple[int, ...]) -> list[Layout]:
    """Return the layouts of two or three axes; of three, the first are channels, at most 256 of them."""
    layouts = dict.fromkeys(native_layouts(shape) + volume_layouts(shape))
    return [
        layout
        for layout in layouts
        if len(layout.shape) == 2
        or (len(layout.shape) == 3 and layout.shape[layout.order[0]] <= _MOST_CHANNELS)
    ]


def _code(
    values: Values,
    quantiser: Quantiser,
    factor: float,
    layout: Layout,
    effort: int,
    differences: bool,
) -> Coding:
    def encode() -> list[tuple[int, bytes]]:
        arrays = layout.split(quantiser.quantise(values))
        return [_encode(array, effort, differences) for array in arrays]

    def decode(parts: list[tuple[int, bytes]]) -> Array:
        arrays = [
            _decode(low, data, like.shape, differences)
            for (low, data), like in zip(parts, layout.split(values), strict=True)
        ]
        return quantiser.values(layout.join(arrays, values.shape))

    parts = encode()
    size = _PARAMETERS + sum(len(data) + _LOW * differences for _, data in parts)
    how = f"e{effort}{' differences' if differences else ''} {layout}"
    return Coding(size, decode(parts), how, factor, Steps(encode, decode))


def _encode(array: Integers, effort: int, differences: bool) -> tuple[int, bytes]:
    """Return what was added, and JPEG XL of integers or their differences along the first axis."""
    taken = np.diff(array, axis=0, prepend=0) if differences else array
    low = int(taken.min()) if differences else 0
    planes = ((taken - low) % _MOST).astype(np.uint16)
    data = imagecodecs.jpegxl_encode(
        planes,
        effort=effort,
        lossless=True,
        planar=planes.ndim == 3 or None,
        photometric="gray",
        usecontainer=False,
        numthreads=1,
    )
    return low, bytes(data)


def _decode(low: int, data: bytes, shape: tuple[int, ...], differences: bool) -> Integers:
    taken = imagecodecs.jpegxl_decode(data, numthreads=1).reshape(shape).astype(np.int64) + low
    return np.cumsum(taken, axis=0) % _MOST if differences else taken
