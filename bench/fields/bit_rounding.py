"""Bit rounding (Klöwer et al. 2021, Nature Computational Science 1, 713-724) and lossless compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numcodecs
import numpy as np
from numcodecs.abc import Codec

from bench.fields.codecs import CURVE_BOUNDS, Coding, Steps, largest_error
from bench.fields.data import Values
from bench.fields.layouts import Array
from eocodec.formats.real_information import BitPairs

MANTISSA_BITS = 23
_ZSTD_LEVEL = 9

ZSTD = numcodecs.Zstd(level=_ZSTD_LEVEL)
BLOSC = numcodecs.Blosc(cname="zstd", clevel=_ZSTD_LEVEL, shuffle=numcodecs.Blosc.SHUFFLE)


@dataclass(frozen=True)
class BitRounding:
    """Bit rounding of all values to as many mantissa bits as the bound needs, then a lossless codec."""

    name: str
    lossless: Codec
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield the coding with the fewest bits that hold the bound."""
        for bits in range(MANTISSA_BITS + 1):
            rounded = bit_round(values, bits)
            if largest_error(values, rounded) <= bound:
                yield self._coding(values, bits)
                return

    def _coding(self, values: Values, bits: int) -> Coding:
        def encode() -> bytes:
            return bytes(self.lossless.encode(bit_round(values, bits)))

        def decode(data: bytes) -> Array:
            return np.frombuffer(self.lossless.decode(data), values.dtype).reshape(values.shape)

        data = encode()
        return Coding(len(data), decode(data), f"{bits} bits", steps=Steps(encode, decode))


def bit_round(values: Values, bits: int) -> Array:
    """Round to `bits` bits of mantissa, ties to even, as BitRound of numcodecs."""
    codec = numcodecs.BitRound(bits)
    return np.asarray(codec.decode(codec.encode(values))).reshape(values.shape)


def real_information_bits(values: Values, share: float = 0.99) -> int:
    """Return how many mantissa bits keep a share of the real information along the longitude.

    As `keep_real_information` of the codec counts them; of values that were not packed, xbitinfo keeps as many.
    """
    pairs = BitPairs(values.dtype)
    pairs.add(values, np.ones(values.shape, np.bool_))
    bits = pairs.keepbits(share)
    return MANTISSA_BITS if bits is None else bits
