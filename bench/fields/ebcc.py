"""EBCC: JPEG 2000 with a residual that bounds the error (Huang et al. 2025), of every horizontal slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.fields.codecs import BOUNDS, ArrayCoder, Coding, code_within
from bench.fields.data import Values
from bench.fields.layouts import Array, image_layouts

_LEAST_SIDE = 32
_BASE_RATIO = 30.0
_TIGHTER = (0.99, 0.97, 0.93, 0.87, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


@dataclass(frozen=True)
class Ebcc:
    """EBCC (its own code as WebAssembly) with an absolute error, which it may exceed: it is given 99 % of it.

    Its images have at least 32 rows and columns. Where slices are smaller, they are stacked to one image;
    where they have few columns, levels are the columns.
    """

    name: str = "EBCC (JPEG 2000)"
    bounds: tuple[float, ...] = BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        for layout in image_layouts(values.shape, _LEAST_SIDE):
            coding = code_within(_EBCC, layout, values, bound, factors=_TIGHTER)
            if coding is not None:
                yield coding


def _encode(array: Array, tolerance: float) -> bytes:
    image = array if array.shape[-2] >= _LEAST_SIDE else array.reshape(-1, array.shape[-1])
    return bytes(_codec(tolerance).encode(image))


def _decode(data: bytes, like: Array) -> Array:
    return np.asarray(_codec(1.0).decode(np.frombuffer(data, np.uint8))).reshape(like.shape)


def _codec(tolerance: float) -> Any:
    # The first import compiles for seconds.
    from numcodecs_wasm_ebcc import Ebcc as Codec

    return Codec(residual="absolute", error=tolerance, base_cr=_BASE_RATIO)


_EBCC = ArrayCoder(_encode, _decode)
