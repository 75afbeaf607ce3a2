"""Encoder-side choice of the context weights of a pass of the predictive mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from eocodec.fitting import FIT_SAMPLES, fit_rows, gather_terms
from eocodec.interlace import PassContext
from eocodec.predictive_parameters import KINDS, SCALE_WEIGHTS, SCALES, WEIGHT_BITS

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_MAX_SCALE_WEIGHT = 2047


def fit_scales(
    context: PassContext,
    magnitude: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    kind: int,
    near: int,
) -> tuple[int, ...]:
    """Return context weights: non-negative least squares in relative error."""
    if not KINDS[kind].scales:
        return fit_scale_samples(None, _used(magnitude, valid), near)
    return fit_scale_samples(*gather_scales(context, magnitude, valid, FIT_SAMPLES), near)


def gather_scales(
    context: PassContext,
    magnitude: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    samples: int,
) -> tuple[Float32Array, Float64Array]:
    """Return the context terms (terms, N) and magnitudes (N,) of up to about `samples` samples."""
    rows = fit_rows(context.shape, samples)
    keep = None if valid is None else valid[rows]
    wanted = _used(magnitude[rows], keep)
    return gather_terms(context.scale_terms(rows), None if keep is None else keep.ravel()), wanted


def _used(
    magnitude: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.float64]:
    used = magnitude.ravel() if valid is None else magnitude[valid]
    return used.astype(np.float64)


def fit_scale_samples(
    terms: Float32Array | None, wanted: Float64Array, near: int
) -> tuple[int, ...]:
    """Return context weights for magnitudes `wanted` (N,), of the constant alone without `terms`."""
    mean = float(wanted.mean()) if len(wanted) else 0.0
    solution = np.zeros(SCALE_WEIGHTS)
    if terms is None or len(wanted) <= 2 * SCALE_WEIGHTS:
        solution[0] = mean
    else:
        part = _relative_fit(terms, wanted, mean, 0.3 * near)
        solution[: len(part)] = part
    scaled = np.clip(solution * (1 << WEIGHT_BITS), 0, _MAX_SCALE_WEIGHT)
    scaled[0] = min(max(8.0, float(solution[0]) * (1 << WEIGHT_BITS)), 2.0**30)
    middles = np.sqrt(SCALES[:-1] * SCALES[1:].astype(np.float64))
    return tuple(int(value) for value in SCALES[np.searchsorted(middles, scaled)])


def _relative_fit(
    terms: Float32Array, wanted: Float64Array, mean: float, floor: float
) -> Float64Array:
    """Return weights of a constant and of `terms` (terms, samples) for magnitudes `wanted`.

    Errors count relative to the expected magnitude plus `floor`.
    """
    matrix = np.concatenate([np.ones((1, len(wanted))), terms], dtype=np.float64)
    expected: Float64Array = np.full(len(wanted), mean + 0.3 + floor)
    weights = np.zeros(len(matrix))
    for _ in range(2):
        relative = matrix / expected
        normal = relative @ relative.T
        normal.flat[:: len(normal) + 1] *= 1 + 1e-6
        normal.flat[:: len(normal) + 1] += 1e-9
        lower = np.linalg.cholesky(normal)
        weights = nnls(lower.T, np.linalg.solve(lower, relative @ (wanted / expected)))[0]
        expected = weights @ matrix + 0.1 + floor
    return weights
