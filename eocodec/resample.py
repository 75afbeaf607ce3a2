"""Bilinear doubling of a grid and its exact inverse, for Sentinel-2's 20 m bands on the 10 m grid.

Pixel centres stay aligned: a 20 m pixel covers exactly its four 10 m pixels, and edges are
replicated. Doubling weighs the two nearest pixels 3/4 and 1/4 along each axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded

from eocodec.errors import InputError

Float32Array = npt.NDArray[np.float32]


def upsample2(pixels: npt.ArrayLike) -> Float32Array:
    """Double the last two axes bilinearly.

    Parameters
    ----------
    pixels : array_like, (..., h, w)
        Any real dtype; computed in float32.

    Returns
    -------
    ndarray of float32, (..., 2h, 2w)
        Not rounded; an odd 10 m grid is had by cropping.
    """
    out = np.asarray(pixels, np.float32)
    _check_grid(out)
    for axis in (-2, -1):
        out = _double(out, axis)
    return out


def _double(pixels: Float32Array, axis: int) -> Float32Array:
    near: Float32Array = np.moveaxis(pixels, axis, -1)
    before = np.concatenate([near[..., :1], near[..., :-1]], axis=-1)
    after = np.concatenate([near[..., 1:], near[..., -1:]], axis=-1)
    heavy = np.float32(0.75) * near
    light = np.float32(0.25)
    out = np.stack([heavy + light * before, heavy + light * after], axis=-1)
    joined: Float32Array = out.astype(np.float32, copy=False).reshape(*near.shape[:-1], -1)
    return np.moveaxis(joined, -1, axis)


def downsample2(pixels: npt.ArrayLike) -> Float32Array:
    """Halve the last two axes: the least-squares inverse of `upsample2`.

    Parameters
    ----------
    pixels : array_like, (..., H, W)
        A doubled grid; an odd H or W is taken as one cropped from the next even size.

    Returns
    -------
    ndarray of float32, (..., ceil(H / 2), ceil(W / 2))
        The grid whose doubling is closest to `pixels`; rounding to a dtype is the caller's.
    """
    out = np.asarray(pixels)
    _check_grid(out)
    wide = out.astype(np.float64)
    for axis in (-2, -1):
        wide = _halve(wide, axis)
    return wide.astype(np.float32)


def _halve(pixels: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Solve the normal equations of the doubling along one axis (a tridiagonal system)."""
    fine = np.moveaxis(pixels, axis, 0)
    length = fine.shape[0]
    count = (length + 1) // 2
    rows = np.arange(length)
    near = rows // 2
    far = np.clip(near + np.where(rows % 2, 1, -1), 0, count - 1)
    diagonal = np.bincount(near, np.full(length, 0.75**2), count)
    diagonal += np.bincount(far, np.full(length, 0.25**2), count)
    same = far == near
    diagonal += np.bincount(near[same], np.full(int(same.sum()), 2 * 0.75 * 0.25), count)
    upper = np.zeros(count)
    np.add.at(upper, np.maximum(near, far)[~same], 0.75 * 0.25)
    right = np.zeros((count, *fine.shape[1:]))
    right[:] = 0.75 * fine[0::2]
    right[: length // 2] += 0.75 * fine[1::2]
    np.add.at(right, far, 0.25 * fine)
    bands = np.stack([upper, diagonal])
    if count == 1:
        solved = right.reshape(1, -1) / diagonal[0]
    else:
        solved = solveh_banded(bands, right.reshape(count, -1), check_finite=False)
    return np.moveaxis(solved.reshape(right.shape), 0, axis)


def _check_grid(pixels: npt.NDArray[Any]) -> None:
    if pixels.ndim < 2 or 0 in pixels.shape:
        raise InputError(f"resampling needs a grid of at least one pixel, not shape {pixels.shape}")
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"cannot resample dtype {pixels.dtype.name}")
