"""GRIB packings of every horizontal slice, through ecCodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import eccodes
import numpy as np

from bench.fields.codecs import BOUNDS, Coding, largest_error
from bench.fields.data import Values
from bench.fields.layouts import Array

_SAMPLE = "regular_ll_pl_grib2"
_MOST_BITS = 24
_COUNTED = (5, 7)


@dataclass(frozen=True)
class Grib:
    """A GRIB2 message a slice, with the fewest bits a value that hold the bound.

    Only the sections of the packing's parameters and of the data count, not the 130 bytes of time, grid and
    product, which take as much of a field of any other codec's file. ecCodes packs in steps of powers of two,
    so that a step is up to half of what the bound allows.

    Attributes
    ----------
    name : str
        What tables and plots call it.
    packing : str
        ecCodes' name of the packing, such as ``grid_ccsds``.
    """

    name: str
    packing: str
    bounds: tuple[float, ...] = BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield the one coding, or none where a slice needs more than 24 bits."""
        size, decoded = 0, np.empty(values.shape)
        for at in np.ndindex(values.shape[:2]):
            found = self._slice(values[at], bound)
            if found is None:
                return
            size += found[0]
            decoded[at] = found[1]
        yield Coding(size, decoded.astype(np.float32), self.packing)

    def _slice(self, plane: Array, bound: float) -> tuple[int, Array] | None:
        spread = float(plane.max()) - float(plane.min())
        fewest = max(1, int(np.ceil(np.log2(spread / (2 * bound) + 1)))) if spread else 0
        for bits in range(fewest, _MOST_BITS + 1):
            size, decoded = _pack(plane, self.packing, bits)
            if largest_error(plane, decoded) <= bound:
                return size, decoded
        return None


def _pack(plane: Array, packing: str, bits: int) -> tuple[int, Array]:
    """Return the bytes of the sections that count, and what is read back, in single precision."""
    handle = eccodes.codes_grib_new_from_samples(_SAMPLE)
    try:
        eccodes.codes_set(handle, "Ni", plane.shape[1])
        eccodes.codes_set(handle, "Nj", plane.shape[0])
        eccodes.codes_set(handle, "packingType", packing)
        eccodes.codes_set(handle, "bitsPerValue", bits)
        eccodes.codes_set_values(handle, plane.ravel().astype(np.float64))
        decoded = eccodes.codes_get_values(handle).reshape(plane.shape)
        size = sum(int(eccodes.codes_get(handle, f"section{n}Length")) for n in _COUNTED)
    finally:
        eccodes.codes_release(handle)
    return size, decoded.astype(np.float32)
