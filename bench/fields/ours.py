"""The codec of interest, through its numcodecs codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.fields.codecs import BOUNDS, Coding, Steps
from bench.fields.data import Values
from bench.fields.layouts import Array
from eocodec.numcodecs import Eocodec

OURS = "eocodec"

_DIMS = ("band", "level", "lat", "lon")


@dataclass(frozen=True)
class Ours:
    """eocodec with an absolute or relative bound: all times and levels as the bands of one tile."""

    name: str = OURS
    bounds: tuple[float, ...] = BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield the coding within an absolute bound."""
        yield _code(Eocodec(max_error=bound, dims=_DIMS), values)

    def relative_codings(self, values: Values, share: float) -> Iterator[Coding]:
        """Yield the coding whose errors are at most a share of each value."""
        yield _code(Eocodec(max_relative_error=share, dims=_DIMS), values)


def _code(codec: Eocodec, values: Values) -> Coding:
    def encode() -> bytes:
        return bytes(codec.encode(values))

    def decode(data: bytes) -> Array:
        return np.asarray(codec.decode(data)).reshape(values.shape)

    data = encode()
    return Coding(len(data), decode(data), "one tile", steps=Steps(encode, decode))
