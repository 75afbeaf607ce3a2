"""The lapped transform: cosine transforms of blocks of 8 x 8 pixels, with filters across the edges of the blocks.

It filters the eight samples around every edge between two blocks, along columns and along rows,
before the cosine transform; the inverse filter follows its inverse. Its basis functions reach half a block into the
neighbours and end smoothly: they compact smooth images better, and edges of blocks are not seen (time-domain lapped
transform; Tran, Liang and Tu 2003). The filter is the invertible one of largest coding gain for a first-order Markov
process of correlation 0.8. The outer edges of a tile are not filtered, so a tile decodes on its own.
"""

from __future__ import annotations

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
_FILTER = np.linalg.inv(INVERSE_FILTER * 2.0**-_FILTER_BITS).astype(np.float32)
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


def _filter_edges(planes: npt.NDArray[Float], matrix: npt.NDArray[Float]) -> None:
    """Apply a matrix to the eight rows around every edge between two rows of blocks, in place: planes (C, H, W)."""
    count, height, width = planes.shape
    inner = planes[:, HALF : height - HALF].reshape(count, -1, BLOCK, width)
    planes[:, HALF : height - HALF] = (matrix @ inner).reshape(count, height - BLOCK, width)


def block_transform(planes: FloatArray, stacked: int = 1) -> FloatArray:
    """Transform planes (C, H, W), H and W multiples of 8, to coefficients (64, C, H/8, W/8).

    With ``stacked`` > 1 so many planes lie below one another in the rows; the edges between them are not filtered.
    """
    count, height, width = planes.shape
    planes = planes.reshape(count * stacked, -1, width).copy()
    for axis in (1, 2):
        _filter_edges(np.swapaxes(planes, 1, axis), _FILTER)
    across = planes.reshape(-1, BLOCK) @ _FORWARD.T
    columns = across.reshape(count, height // BLOCK, BLOCK, width)
    both = (_FORWARD @ columns).reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    ordered = np.ascontiguousarray(both.transpose(2, 4, 0, 1, 3))
    return ordered.reshape(BLOCK * BLOCK, count, height // BLOCK, width // BLOCK)


def inverse_block_transform(coefficients: DoubleArray, stacked: int = 1) -> DoubleArray:
    """Invert coefficients (64, C, h, w), integers below 2**35 carried in float64, to planes (C, 8 h, 8 w).

    All sums are sums of integers below 2**53, or of such divided by a power of two: the same on every machine.
    ``stacked`` as in :func:`block_transform`.
    """
    _, count, rows, columns = coefficients.shape
    values = INVERSE_BASES @ coefficients.reshape(BLOCK * BLOCK, -1)
    values *= 2.0**-_INVERSE_BITS
    blocks = values.reshape(BLOCK, BLOCK, count, rows, columns)
    ordered = blocks.transpose(2, 3, 0, 4, 1)
    planes: DoubleArray = ordered.reshape(count * stacked, -1, columns * BLOCK)
    for axis in (1, 2):
        _undo_edges(np.swapaxes(planes, 1, axis))
    return planes.reshape(count, rows * BLOCK, columns * BLOCK)


def _undo_edges(planes: DoubleArray) -> None:
    """Round the samples (C, H, W) and apply the inverse filter along the columns, in place."""
    np.rint(planes, out=planes)
    np.clip(planes, -_SAMPLE_LIMIT, _SAMPLE_LIMIT, out=planes)
    _filter_edges(planes, INVERSE_FILTER * 2.0**-_FILTER_BITS)
