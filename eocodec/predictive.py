"""Lossless predictive coding of a tile (first version: plane differences and deflate)."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError


def encode_predictive(pixels: npt.NDArray[Any]) -> bytes:
    """Code `pixels` (C, H, W) without loss."""
    bits = pixels.dtype.itemsize
    plane = np.ascontiguousarray(pixels).view(f"<u{bits}")
    zero = np.zeros_like(plane[:, :1, :])
    rows = plane - np.concatenate([zero, plane[:, :-1]], axis=1)
    both = rows.copy()
    both[:, :, 1:] -= rows[:, :, :-1]
    shuffled = both.reshape(-1, 1).view(np.uint8).T
    return zlib.compress(shuffled.tobytes(), 6)


def decode_predictive(
    data: bytes | memoryview, dtype: npt.DTypeLike, shape: tuple[int, int, int]
) -> npt.NDArray[Any]:
    """Decode what `encode_predictive` wrote."""
    dtype = np.dtype(dtype)
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    decoder = zlib.decompressobj()
    try:
        raw = decoder.decompress(bytes(data), size)
    except zlib.error as error:
        raise FormatError(f"predictive layer is damaged: {error}") from None
    if len(raw) != size:
        raise FormatError("predictive layer ends early")
    shuffled = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
    both = np.ascontiguousarray(shuffled.T).view(f"<u{dtype.itemsize}").reshape(shape)
    unsigned = both.dtype
    rows = np.cumsum(both, axis=2, dtype=unsigned)
    return np.cumsum(rows, axis=1, dtype=unsigned).view(dtype)
