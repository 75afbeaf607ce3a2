"""Bit rounding (Klöwer et al. 2021, Nature Computational Science 1, 713-724) and lossless compression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numcodecs
import numpy as np
import numpy.typing as npt
from numcodecs.abc import Codec

from bench.fields.codecs import CURVE_BOUNDS, Coding, largest_error
from bench.fields.data import Values
from bench.fields.layouts import Array

MANTISSA_BITS = 23
_BITS, _NOT_MANTISSA = 32, 9
_EXPONENT_BIAS = 127
_NO_SHARE = 0.01
_FEW_COLUMNS = 8
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
                yield Coding(self.size(rounded), rounded, f"{bits} bits")
                return

    def size(self, rounded: Array) -> int:
        """Return the bytes of rounded values."""
        return len(self.lossless.encode(rounded))


def bit_round(values: Values, bits: int) -> Array:
    """Round to `bits` bits of mantissa, ties to even, as BitRound of numcodecs."""
    codec = numcodecs.BitRound(bits)
    return np.asarray(codec.decode(codec.encode(values))).reshape(values.shape)


def real_information_bits(values: Values, share: float = 0.99) -> int:
    """Return how many mantissa bits keep a share of the real information.

    The information of a bit position is the mutual information of that bit in neighbours along the
    longitude, or along the level where there are fewer than 8 columns. It falls along the mantissa; where
    it rises again, values were packed, and what follows is no information on the field: positions count up
    to the first two with less than 1 % of the largest, or to the least where there are none. Of values that
    were not packed, xbitinfo keeps the same bits or one more.
    """
    axis = 3 if values.shape[3] >= _FEW_COLUMNS else 1
    information = bit_information(values, axis)
    largest = information.max()
    start = max(int(np.argmax(information >= largest / 2)), _NOT_MANTISSA)
    low = information < _NO_SHARE * largest
    ends = np.flatnonzero(low[start:-1] & low[start + 1 :])
    end = start + int(ends[0] if len(ends) else np.argmin(information[start:]))
    total = np.cumsum(information[:end])
    first = int(np.argmax(total >= share * total[-1]))
    return max(first + 1 - _NOT_MANTISSA, 0)


def bit_information(values: Values, axis: int) -> npt.NDArray[np.float64]:
    """Mutual information of each bit (32,), sign first, in neighbours along an axis, in bits.

    Exponents count as sign and magnitude, as in Klöwer et al.
    """
    bits = _signed_exponent(np.moveaxis(values, axis, 0))
    before, after = bits[:-1].ravel(), bits[1:].ravel()
    shares = np.empty((_BITS, 2, 2))
    for position in range(_BITS):
        shift = np.uint32(_BITS - 1 - position)
        pair = ((before >> shift & 1) << 1 | (after >> shift & 1)).astype(np.intp)
        shares[position] = np.bincount(pair, minlength=4).reshape(2, 2) / before.size
    independent = shares.sum(2, keepdims=True) * shares.sum(1, keepdims=True)
    ratio = np.divide(shares, independent, out=np.ones_like(shares), where=shares > 0)
    found: npt.NDArray[np.float64] = (shares * np.log2(ratio)).sum(axis=(1, 2))
    return found


def _signed_exponent(values: Values) -> npt.NDArray[np.uint32]:
    bits = np.ascontiguousarray(values).view(np.uint32)
    exponent = (bits >> MANTISSA_BITS & 0xFF).astype(np.int32) - _EXPONENT_BIAS
    coded = np.where(exponent < 0, 0x80, 0) | (np.abs(exponent) & 0x7F)
    return bits & np.uint32(0x807FFFFF) | coded.astype(np.uint32) << np.uint32(MANTISSA_BITS)
