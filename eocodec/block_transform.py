"""The lapped transform: cosine transforms of blocks of 8 x 8 pixels, with filters across the edges of the blocks.

It filters the eight samples around every edge between two blocks, along columns and along rows,
before the cosine transform; the inverse filter follows its inverse. Its basis functions reach half a block into the
neighbours and end smoothly: they compact smooth images better, and edges of blocks are not seen (time-domain lapped
transform; Tran, Liang and Tu 2003). The filter is the invertible one of largest coding gain for a first-order Markov
process of correlation 0.8. The outer edges of a tile are not filtered, so a tile decodes on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
Float = TypeVar("Float", np.float32, np.float64)

BLOCK = 8
HALF = BLOCK // 2


def _cosine_basis() -> DoubleArray:
    """Orthonormal DCT-II of eight samples, (frequency, sample)."""
    frequency = np.arange(BLOCK)[:, None]
    basis = np.cos(np.pi * (np.arange(BLOCK) + 0.5) * frequency / BLOCK) * np.sqrt(2 / BLOCK)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis)


_COSINES = _cosine_basis()
_FILTER_BITS = 13
_SKEW = np.array(
    [
        [2949, -2310, 423, -191],
        [1720, 2529, -1764, -23],
        [303, 1161, 3152, -992],
        [138, 89, 433, 3558],
    ],
    np.float64,
)
"""What the inverse filter does to the odd part of the eight samples, in units of 2**(1 - _FILTER_BITS)."""
_LENGTHS = np.array([226, 225, 239, 240, 247, 247, 251, 251]) / 256
"""Length of the basis functions, by frequency. Coefficients are multiplied by them, so that an error of a coefficient
is about as large in the pixels."""


def _inverse_filter() -> DoubleArray:
    """Integers, worth 2**-_FILTER_BITS: halves of sums and differences of mirrored samples; the differences skewed."""
    mirror = np.eye(HALF)[::-1]
    even = np.eye(HALF) * 2.0 ** (_FILTER_BITS - 1)
    upper = np.hstack([even + mirror @ _SKEW @ mirror, (even - mirror @ _SKEW @ mirror) @ mirror])
    lower = np.hstack([mirror @ even - _SKEW @ mirror, even + _SKEW])
    return np.vstack([upper, lower])


INVERSE_FILTER = _inverse_filter()
_INVERSE_FILTER = INVERSE_FILTER * 2.0**-_FILTER_BITS
_FILTER = np.linalg.inv(_INVERSE_FILTER).astype(np.float32)
_FORWARD = (_COSINES * _LENGTHS[:, None]).astype(np.float32)
_INVERSE_BITS = 14
INVERSE_BASES = np.rint(
    np.kron(_COSINES.T, _COSINES.T) / np.kron(_LENGTHS, _LENGTHS) * 2**_INVERSE_BITS
)
"""Inverse cosine transform of a block in integers, (sample, frequency), both counted row by row."""
FLAT = float(_FORWARD[0].sum()) ** 2
"""First coefficient of a block of ones."""
_SAMPLE_LIMIT = 2.0**37
"""Integer samples are clamped to this before the filter, so that no sum of products reaches 2**53."""


def _filter_rows(plane: npt.NDArray[Float], matrix: npt.NDArray[Float]) -> None:
    """Apply a matrix to the eight rows around every edge between two rows of blocks, in place: a plane (H, W)."""
    inner = plane[HALF : len(plane) - HALF].reshape(-1, BLOCK, plane.shape[1])
    np.matmul(matrix, inner.copy(), out=inner)


def _filter_columns(plane: npt.NDArray[Float], matrix: npt.NDArray[Float]) -> None:
    """Apply a matrix to the eight columns around every edge between two columns of blocks, in place: a plane (H, W)."""
    inner = plane[:, HALF : plane.shape[1] - HALF]
    inner[:] = (inner.reshape(-1, BLOCK) @ matrix.T).reshape(inner.shape)


def block_transform(planes: FloatArray, stacked: int = 1) -> FloatArray:
    """Transform planes (C, H, W), H and W multiples of 8, to coefficients (64, C, H/8, W/8).

    With ``stacked`` > 1 so many planes lie below one another in the rows; the edges between them are not filtered.
    """
    count, height, width = planes.shape
    rows, columns = height // BLOCK, width // BLOCK
    out = np.empty((BLOCK, BLOCK, count, rows, columns), np.float32)
    for number, plane in enumerate(planes):
        filtered = plane.copy()
        for part in np.split(filtered, stacked):
            _filter_rows(part, _FILTER)
        _filter_columns(filtered, _FILTER)
        across = (filtered.reshape(-1, BLOCK) @ _FORWARD.T).reshape(rows, BLOCK, width)
        both = (_FORWARD @ across).reshape(rows, BLOCK, columns, BLOCK)
        out[:, :, number] = both.transpose(1, 3, 0, 2)
    return out.reshape(BLOCK * BLOCK, count, rows, columns)


def inverse_block_transform(coefficients: DoubleArray, stacked: int = 1) -> Iterator[DoubleArray]:
    """Invert coefficients (64, C, h, w), integers below 2**35 carried in float64, plane (8 h, 8 w) by plane.

    All sums are sums of integers below 2**53, or of such divided by a power of two: the same on every machine.
    ``stacked`` as in :func:`block_transform`.
    """
    _, count, rows, columns = coefficients.shape
    flat = coefficients.reshape(BLOCK * BLOCK, count, -1)
    for number in range(count):
        values = INVERSE_BASES @ flat[:, number]
        values *= 2.0**-_INVERSE_BITS
        blocks = values.reshape(BLOCK, BLOCK, rows, columns).transpose(2, 0, 3, 1)
        plane = blocks.reshape(rows * BLOCK, columns * BLOCK)
        _limit(plane)
        for part in np.split(plane, stacked):
            _filter_rows(part, _INVERSE_FILTER)
        _limit(plane)
        _filter_columns(plane, _INVERSE_FILTER)
        yield plane


def _limit(plane: DoubleArray) -> None:
    """Round the samples and clamp them, in place."""
    np.rint(plane, out=plane)
    np.clip(plane, -_SAMPLE_LIMIT, _SAMPLE_LIMIT, out=plane)
