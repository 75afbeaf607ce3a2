"""Bilinear doubling of a grid and its exact inverse, for Sentinel-2's 20 m bands on the 10 m grid.

Pixel centres stay aligned: a 20 m pixel covers exactly its four 10 m pixels, and edges are
replicated. Doubling weighs the two nearest pixels 3/4 and 1/4 along each axis.

Invalid samples (nodata, NaN, infinities) take no part. A fine pixel is invalid where the coarse one over
it is, a coarse one where all fine ones inside it are; no valid sample becomes nodata.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded

from eocodec.errors import InputError
from eocodec.mask import fill_holes, find_invalid, keep_off
from eocodec.rounding import to_dtype

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
    return _doubled(out)


def _doubled(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for axis in (-2, -1):
        pixels = _double(pixels, axis)
    return pixels


def _double(pixels: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    near = np.moveaxis(pixels, axis, -1)
    before = np.concatenate([near[..., :1], near[..., :-1]], axis=-1)
    after = np.concatenate([near[..., 1:], near[..., -1:]], axis=-1)
    heavy = near.dtype.type(0.75) * near
    light = near.dtype.type(0.25)
    out = np.stack([heavy + light * before, heavy + light * after], axis=-1)
    joined = out.reshape(*near.shape[:-1], -1)
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
    return _halved(out).astype(np.float32)


def _halved(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    wide = pixels.astype(np.float64)
    for axis in (-2, -1):
        wide = _halve(wide, axis)
    return wide


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


def double_samples(pixels: npt.NDArray[Any], nodata: int | float | None) -> npt.NDArray[Any]:
    """Return `pixels` (C, h, w) doubled bilinearly, (C, 2h, 2w), in their dtype.

    Parameters
    ----------
    pixels : ndarray, (C, h, w)
        Any integer dtype of 8 to 64 bits, float32 or float64.
    nodata : int, float or None
        Invalid samples hold it, NaN or an infinity; each is repeated, bits and all.
    """
    invalid, values = _without_holes(pixels, nodata)
    with np.errstate(over="ignore", invalid="ignore"):
        doubled = _finite(_doubled(values), _repeated(values))
    holes = None if invalid is None else _repeated(invalid)
    return _sampled(doubled, _repeated(pixels), holes, nodata)


def halve_samples(pixels: npt.NDArray[Any], nodata: int | float | None) -> npt.NDArray[Any]:
    """Undo `double_samples`: `pixels` (C, H, W) halved, (C, ceil(H / 2), ceil(W / 2)), in their dtype.

    Parameters
    ----------
    pixels : ndarray, (C, H, W)
        As of `double_samples`; an odd H or W is taken as one cropped from the next even size.
    nodata : int, float or None
        Invalid samples hold it, NaN or an infinity. A coarse sample is invalid where all of the fine
        ones inside it are, and holds the first of them then.
    """
    invalid, values = _without_holes(pixels, nodata)
    with np.errstate(over="ignore", invalid="ignore"):
        halved = _finite(_halved(values).astype(values.dtype), values[:, ::2, ::2])
    holes: npt.NDArray[np.bool_] | None = None
    first = pixels[:, ::2, ::2]
    if invalid is not None:
        height, width = pixels.shape[1:]
        even = np.pad(invalid, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        blocks = even.reshape(len(pixels), first.shape[1], 2, first.shape[2], 2)
        holes = np.logical_and.reduce(blocks, axis=(2, 4))
    return _sampled(halved, first, holes, nodata)


def _without_holes(
    pixels: npt.NDArray[Any], nodata: int | float | None
) -> tuple[npt.NDArray[np.bool_] | None, npt.NDArray[Any]]:
    """Return where `pixels` are invalid, None for nowhere, and as floats without holes."""
    invalid = find_invalid(pixels, nodata)
    if pixels.dtype.kind == "f" and np.isinf(pixels).any():
        invalid = np.isinf(pixels) if invalid is None else invalid | np.isinf(pixels)
    single = pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32
    values = pixels.astype(np.float32 if single else np.float64)
    if invalid is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            values = fill_holes(values, invalid)
        values[~np.isfinite(values)] = 0
    return invalid, values


def _finite(values: npt.NDArray[Any], nearest: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `values`, or the `nearest` samples where they left the range of floats."""
    return np.where(np.isfinite(values), values, nearest)


def _sampled(
    values: npt.NDArray[Any],
    nearest: npt.NDArray[Any],
    holes: npt.NDArray[np.bool_] | None,
    nodata: int | float | None,
) -> npt.NDArray[Any]:
    """Return resampled `values` in the dtype of the `nearest` samples, and those in holes."""
    result = to_dtype(values, nearest.dtype)
    valid = np.ones(result.shape, bool) if holes is None else ~holes
    result = keep_off(result, valid, nodata)
    return result if holes is None else np.where(holes, nearest, result)


def _repeated(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels.repeat(2, axis=-2).repeat(2, axis=-1)


def _check_grid(pixels: npt.NDArray[Any]) -> None:
    if pixels.ndim < 2 or 0 in pixels.shape:
        raise InputError(f"resampling needs a grid of at least one pixel, not shape {pixels.shape}")
    if pixels.dtype.kind not in "iuf":
        raise InputError(f"cannot resample dtype {pixels.dtype.name}")
