"""The codec of interest, through its numcodecs codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.fields.codecs import BOUNDS, Coding
from bench.fields.data import Values
from eocodec.numcodecs import Eocodec

OURS = "eocodec"

_DIMS = {
    "a tile a time": ("time", "level", "lat", "lon"),
    "times as levels of one tile": ("band", "level", "lat", "lon"),
}


@dataclass(frozen=True)
class Ours:
    """eocodec with an absolute or relative bound: a tile a time, or all in one, whichever is smaller."""

    name: str = OURS
    bounds: tuple[float, ...] = BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings within an absolute bound."""
        for how, dims in _dims(values):
            yield _code(Eocodec(max_error=bound, dims=dims), values, how)

    def relative_codings(self, values: Values, share: float) -> Iterator[Coding]:
        """Yield codings whose errors are at most a share of each value."""
        for how, dims in _dims(values):
            yield _code(Eocodec(max_relative_error=share, dims=dims), values, how)


def _dims(values: Values) -> Iterator[tuple[str, tuple[str, ...]]]:
    return iter(list(_DIMS.items())[: 1 if len(values) == 1 else None])


def _code(codec: Eocodec, values: Values, how: str) -> Coding:
    data = codec.encode(values)
    decoded = np.asarray(codec.decode(data)).reshape(values.shape)
    return Coding(len(data), decoded, how)
