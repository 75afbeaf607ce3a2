"""GRIB packings of every horizontal slice, through ecCodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import eccodes
import numpy as np

from bench.fields.codecs import BOUNDS, Coding, Steps, largest_error
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
        planes = values.reshape(-1, *values.shape[2:])
        bits = []
        for plane in planes:
            found = self._fewest_bits(plane, bound)
            if found is None:
                return
            bits.append(found)

        def encode() -> list[bytes]:
            return [_pack(p, self.packing, b) for p, b in zip(planes, bits, strict=True)]

        def decode(messages: list[bytes]) -> Array:
            decoded = [_unpack(m, values.shape[2:]) for m in messages]
            return np.stack(decoded).reshape(values.shape)

        messages = encode()
        size = sum(map(_counted_bytes, messages))
        yield Coding(size, decode(messages), self.packing, steps=Steps(encode, decode))

    def _fewest_bits(self, plane: Array, bound: float) -> int | None:
        spread = float(plane.max()) - float(plane.min())
        fewest = max(1, int(np.ceil(np.log2(spread / (2 * bound) + 1)))) if spread else 0
        for bits in range(fewest, _MOST_BITS + 1):
            decoded = _unpack(_pack(plane, self.packing, bits), plane.shape)
            if largest_error(plane, decoded) <= bound:
                return bits
        return None


def _pack(plane: Array, packing: str, bits: int) -> bytes:
    """Return a message."""
    handle = eccodes.codes_grib_new_from_samples(_SAMPLE)
    try:
        eccodes.codes_set(handle, "Ni", plane.shape[1])
        eccodes.codes_set(handle, "Nj", plane.shape[0])
        eccodes.codes_set(handle, "packingType", packing)
        eccodes.codes_set(handle, "bitsPerValue", bits)
        eccodes.codes_set_values(handle, plane.ravel().astype(np.float64))
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def _unpack(message: bytes, shape: tuple[int, ...]) -> Array:
    """Return what is read back, in single precision."""
    handle = eccodes.codes_new_from_message(message)
    try:
        return np.asarray(eccodes.codes_get_values(handle)).reshape(shape).astype(np.float32)
    finally:
        eccodes.codes_release(handle)


def _counted_bytes(message: bytes) -> int:
    """Return the bytes of the sections that count."""
    handle = eccodes.codes_new_from_message(message)
    try:
        return sum(int(eccodes.codes_get(handle, f"section{n}Length")) for n in _COUNTED)
    finally:
        eccodes.codes_release(handle)
