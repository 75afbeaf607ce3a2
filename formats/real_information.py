"""Bitwise real information of a field: how many mantissa bits are worth keeping.

Klöwer et al. 2021, "Compressing atmospheric data into its real information content",
doi:10.1038/s43588-021-00156-2: the real information of a bit is the mutual information that it has with
the same bit of the neighbouring sample. Bits without significant information count as none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Float64Array = npt.NDArray[np.float64]

_CONFIDENCE = 0.99
_FAINT = 0.05
_AT_ONCE = 2**18


class BitPairs:
    """Counts how often each bit is set in neighbouring samples; feed it, then ask for `keepbits`.

    Parameters
    ----------
    dtype : numpy.dtype
        float32 or float64.
    """

    def __init__(self, dtype: np.dtype[Any]):
        self._limits = np.finfo(dtype)
        self.mantissa = int(self._limits.nmant)
        bits = self._limits.bits
        self._word = np.dtype(f">u{bits // 8}")
        self.pairs = 0
        self._first = np.zeros(bits, np.int64)
        self._second = np.zeros(bits, np.int64)
        self._both = np.zeros(bits, np.int64)

    def add(self, samples: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Count the pairs of neighbours along the last axis of `samples`, both of them valid."""
        pairs = valid[..., :-1] & valid[..., 1:]
        left, right = samples[..., :-1][pairs], samples[..., 1:][pairs]
        for at in range(0, len(left), _AT_ONCE):
            one = self._words(left[at : at + _AT_ONCE])
            other = self._words(right[at : at + _AT_ONCE])
            self.pairs += len(one)
            self._first += self._set(one)
            self._second += self._set(other)
            self._both += self._set(one & other)

    def information(self) -> Float64Array:
        """Return the real information of each bit, sign first, in bit; 0 where it is not significant."""
        if not self.pairs:
            return np.zeros(self._limits.bits)
        found = np.zeros(self._limits.bits)
        n, both = self.pairs, self._both
        for joint, one, other in (
            (both, self._first, self._second),
            (self._first - both, self._first, n - self._second),
            (self._second - both, n - self._first, self._second),
            (n - self._first - self._second + both, n - self._first, n - self._second),
        ):
            some = joint > 0
            p = joint[some] / n
            found[some] += p * np.log2(p / (one[some] / n * (other[some] / n)))
        found[found <= _free_information(self.pairs)] = 0
        return found

    def keepbits(self, share: float) -> int | None:
        """Return the mantissa bits that hold `share` of the real information, None if there is none.

        Samples that were packed, or come from a coarser dtype, have information in their last bits that
        is none of the field. Where the information of the mantissa has nearly vanished and rises
        again, it is left out, as xbitinfo does by the gradient of the cumulated information.
        """
        found = self.information()
        first = self._limits.bits - self.mantissa
        faint = found < _FAINT * found.max()
        # Leading bits that never change have no information either.
        start = first + int(np.argmin(faint[first:]))
        for bit in range(start, self._limits.bits - 1):
            if faint[bit] and found[bit + 1] >= found[bit]:
                found[bit + 1 :] = 0
                break
        total = found.sum()
        if total == 0:
            return None
        held = np.cumsum(found) / total
        # Sums of rounded numbers may stay just below 1.
        last = int(np.argmax(held >= min(share, 1 - 1e-12)))
        return max(0, last + 1 - first)

    def _words(self, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the bits of samples, the biased exponent replaced by its sign and magnitude.

        Neighbours just below and above a power of 2 else differ in many bits by a small step.
        """
        bits, mantissa = self._limits.bits, self.mantissa
        words = samples.astype(self._limits.dtype).view(f"u{self._word.itemsize}")
        top = 1 << (bits - 2)
        exponents = top - 1 + top & ~((1 << mantissa) - 1)
        exponent = ((words & exponents) >> mantissa).astype(np.int64) - (self._limits.maxexp - 1)
        magnitude = np.abs(exponent).astype(words.dtype) << mantissa
        sign = np.where(exponent < 0, words.dtype.type(top), words.dtype.type(0))
        result: npt.NDArray[Any] = (words & ~words.dtype.type(exponents)) | magnitude | sign
        return result

    def _set(self, words: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return how often each bit is set, most significant first."""
        octets = words.astype(self._word).view(np.uint8)
        bits = np.unpackbits(octets.reshape(len(words), -1), axis=1)
        counts: npt.NDArray[np.int64] = bits.sum(axis=0, dtype=np.int64)
        return counts


def _free_information(pairs: int) -> float:
    """Information that bits without any appear to have, at most, with a confidence of 99 %.

    The entropy of a bit that is set with probability 1/2 differs from 1 by chance (Klöwer et al.,
    Methods, "Significance of real information").
    """
    p = min(1.0, 0.5 + float(norm.ppf(1 - (1 - _CONFIDENCE) / 2)) / (2 * pairs**0.5))
    if p == 1.0:
        return 1.0
    return float(1 + p * np.log2(p) + (1 - p) * np.log2(1 - p))
