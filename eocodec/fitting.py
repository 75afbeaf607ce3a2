"""Encoder-side choices of the predictive mode: references of a plane, weights of a pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from eocodec.interlace import (
    MAX_REFERENCES,
    SCALE_WEIGHTS,
    SPATIAL_WEIGHTS,
    WEIGHT_BITS,
    PassContext,
)

Float64Array = npt.NDArray[np.float64]

MAX_WEIGHT = 2047
_MAX_GAIN = 1 << 13
_FIT_SAMPLES = 6000
_CORRELATION_SAMPLES = 8192
# Only this many planes back are tried as references, so that the search stays linear in bands.
_SEARCH_BACK = 16


def order_planes(planes: list[npt.NDArray[Any]]) -> list[tuple[int, tuple[int, ...]]]:
    """Return the coding order: (plane, its reference planes, nearest in content first)."""
    detail = [_detail(plane) for plane in planes]
    if len(planes) > 2 * _SEARCH_BACK:
        order = list(range(len(planes)))
    else:
        matrix = np.stack(detail)
        energy = np.maximum((matrix**2).sum(axis=1), 1e-9)
        likeness = (matrix @ matrix.T) ** 2 / np.outer(energy, energy)
        order = [int(np.argmax(likeness.sum(axis=0)))]
        while len(order) < len(planes):
            best = likeness[order].max(axis=0)
            best[order] = -1
            order.append(int(np.argmax(best)))
    return [
        (index, _references(detail, index, order[max(0, position - _SEARCH_BACK) : position]))
        for position, index in enumerate(order)
    ]


def _detail(plane: npt.NDArray[Any]) -> Float64Array:
    """Return what the four diagonal neighbours leave unexplained, at up to 8192 samples."""
    if min(plane.shape) < 3:
        return np.zeros(1)
    inner = plane[1:-1, 1:-1]
    rows = slice(None, None, max(1, inner.size // _CORRELATION_SAMPLES))
    around = (plane[:-2, :-2][rows] + plane[2:, 2:][rows]) + (
        plane[:-2, 2:][rows] + plane[2:, :-2][rows]
    )
    detail: Float64Array = (inner[rows] - around / 4.0).ravel()
    return detail


def _references(detail: list[Float64Array], index: int, candidates: list[int]) -> tuple[int, ...]:
    """Return up to three candidates that together explain most of the plane's detail."""
    chosen: list[int] = []
    rest = detail[index].copy()
    basis: list[Float64Array] = []
    remaining = {candidate: detail[candidate].copy() for candidate in candidates}
    start = float(rest @ rest)
    while len(chosen) < MAX_REFERENCES and remaining and start > 0:
        gains = {key: _explained(rest, vector) for key, vector in remaining.items()}
        best = max(gains, key=lambda key: gains[key])
        if gains[best] < 0.002 * start:
            break
        chosen.append(best)
        unit = remaining.pop(best)
        unit /= np.sqrt(unit @ unit)
        basis.append(unit)
        rest -= (rest @ unit) * unit
        for vector in remaining.values():
            vector -= (vector @ unit) * unit
    return tuple(chosen)


def _explained(target: Float64Array, vector: Float64Array) -> float:
    energy = float(vector @ vector)
    return float(target @ vector) ** 2 / energy if energy > 1e-6 else 0.0


def _fit_rows(shape: tuple[int, int]) -> slice:
    return slice(None, None, max(1, shape[0] * shape[1] // _FIT_SAMPLES))


def fit_prediction(
    context: PassContext,
    target: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    spatial_count: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return spatial and spectral weights: least squares, reweighted towards least magnitudes."""
    rows = _fit_rows(context.shape)
    base = context.near[rows] / 4.0
    columns = [tap[rows] - base for tap in context.taps[1 : 1 + spatial_count]]
    columns += [detail[rows] / 4.0 for detail in context.detail]
    wanted = (target[rows] - base).ravel()
    none = (0,) * len(context.detail)
    if not columns:
        return (), none
    matrix = np.stack([column.ravel() for column in columns], axis=1)
    if valid is not None:
        keep = valid[rows].ravel()
        matrix, wanted = matrix[keep], wanted[keep]
    if len(wanted) < 2 * matrix.shape[1] + 2:
        return (), none
    weight: Float64Array = np.ones(len(wanted))
    solution = np.zeros(matrix.shape[1])
    for _ in range(3):
        weighted = matrix * weight[:, None]
        normal = weighted.T @ matrix
        normal[np.diag_indices_from(normal)] += 1e-4 * np.trace(normal) / len(normal) + 1e-9
        solution = np.linalg.solve(normal, weighted.T @ wanted)
        error = np.abs(wanted - matrix @ solution)
        weight = 1 / (error + error.mean() + 0.5)
    scaled = [round(float(value)) for value in solution * (1 << WEIGHT_BITS)]
    spatial, spectral = tuple(scaled[:spatial_count]), tuple(scaled[spatial_count:])
    gain = 4 * sum(map(abs, scaled)) + 4 * abs((1 << WEIGHT_BITS) - sum(spatial))
    if max(map(abs, scaled), default=0) > MAX_WEIGHT or gain > _MAX_GAIN:
        return (), none
    return spatial, spectral


def fit_scales(
    context: PassContext,
    magnitude: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    constant_only: bool,
) -> tuple[int, ...]:
    """Return context weights: non-negative least squares in relative error."""
    rows = _fit_rows(context.shape)
    wanted = magnitude[rows].ravel().astype(np.float64)
    terms = [] if constant_only else context.scale_terms(rows)
    matrix = np.stack([np.ones(len(wanted)), *(term.ravel() for term in terms)], axis=1)
    if valid is not None:
        keep = valid[rows].ravel()
        matrix, wanted = matrix[keep], wanted[keep]
    mean = float(wanted.mean()) if len(wanted) else 0.0
    solution = np.zeros(SCALE_WEIGHTS)
    if len(wanted) <= 2 * matrix.shape[1]:
        solution[0] = mean
    else:
        expected: Float64Array = np.full(len(wanted), mean + 0.3)
        for _ in range(3):
            relative = matrix / expected[:, None]
            normal = relative.T @ relative
            normal[np.diag_indices_from(normal)] *= 1 + 1e-6
            normal[np.diag_indices_from(normal)] += 1e-9
            lower = np.linalg.cholesky(normal)
            right = np.linalg.solve(lower, relative.T @ (wanted / expected))
            part: Float64Array = nnls(lower.T, right)[0]
            expected = matrix @ part + 0.1
        solution[: len(part)] = part
    scaled = np.clip(np.round(solution * (1 << WEIGHT_BITS)), 0, MAX_WEIGHT)
    scaled[0] = min(max(8.0, round(float(solution[0]) * (1 << WEIGHT_BITS))), 2.0**30)
    return tuple(int(value) for value in scaled)


def spatial_weights_for(samples: int) -> int:
    """Return how many spatial weights repay their bits in a pass of `samples`."""
    if samples < 256:
        return 0
    if samples < 1500:
        return 7
    return SPATIAL_WEIGHTS
