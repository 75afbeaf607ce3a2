"""What a look at all samples of a variable finds: their range, the smallest of each level, their bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.formats.cf import missing, seen
from eocodec.formats.chunk_axes import ChunkAxes, Role
from eocodec.formats.real_information import BitPairs
from eocodec.xarray.stored import Packing, block_rows, blocks

_SAMPLED = 2**23


@dataclass
class Survey:
    """What a look at all samples of a variable finds; missing values, NaN and infinities left out.

    Attributes
    ----------
    low, high : float
        Least and largest sample, as stored; 0 without any.
    smallest : ndarray, (levels,)
        Least magnitude of the values of each level, 0 without any.
    bits : BitPairs or None
        Bits of neighbours along the rows, of part of a large variable.
    """

    low: float
    high: float
    smallest: npt.NDArray[np.float64]
    bits: BitPairs | None


def survey_field(
    stored: xr.Variable,
    axes: ChunkAxes,
    packing: Packing,
    special: Sequence[float],
    *,
    information: bool,
) -> Survey:
    """Look at all samples of a stored variable, a block at a time.

    Samples are taken as a CF reader sees them, see `eocodec.formats.cf.seen`. Bits are counted of
    floating-point samples, and of packed ones as float32; of others there are none.
    Pairs with a zero do not count.
    """
    extents = axes.extents(stored.shape)
    bits = None
    if information and (stored.dtype.kind == "f" or packing.packed):
        bits = BitPairs(stored.dtype if stored.dtype.kind == "f" else np.dtype(np.float32))
    every = max(1, math.prod(extents) // _SAMPLED)
    low, high = math.inf, -math.inf
    smallest = np.full(extents[Role.BAND], np.inf)
    for number, (_, _, part) in enumerate(blocks(stored, axes, block_rows(extents))):
        samples = seen(axes.fold(part.values)[0], stored.attrs)
        valid = np.isfinite(samples) if samples.dtype.kind == "f" else np.ones(samples.shape, bool)
        for value in special:
            valid &= ~missing(samples, value)
        if not valid.any():
            continue
        low = min(low, float(samples.min(where=valid, initial=samples[valid][0])))
        high = max(high, float(samples.max(where=valid, initial=samples[valid][0])))
        values = np.abs(packing.values(samples))
        smallest = np.minimum(smallest, values.min(axis=(1, 2), where=valid, initial=np.inf))
        if bits is not None and number % every == 0:
            pairs = samples if samples.dtype.kind == "f" else packing.values(samples)
            # Zeros are exact within any relative bound. Where they are many, every bit would tell of them.
            told = valid & (pairs != 0)
            across = pairs.shape[2] > 1
            bits.add(
                pairs if across else pairs.swapaxes(1, 2), told if across else told.swapaxes(1, 2)
            )
    if low > high:
        low = high = 0.0
    smallest[np.isinf(smallest)] = 0
    return Survey(low, high, smallest, bits)
