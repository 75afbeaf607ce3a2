"""Encoder-side choices of the predictive mode: references of a plane, weights of a pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from eocodec.interlace import (
    PassContext,
)
from eocodec.planes import NARROW_TOP
from eocodec.predictive_parameters import (
    KINDS,
    MAX_SHIFT,
    MAX_WEIGHT,
    SCALE_WEIGHTS,
    SCALES,
    WEIGHT_BITS,
    PassKind,
    PassParameters,
)

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_MAX_SCALE_WEIGHT = 2047
_FIT_SAMPLES = 4096
_FIT_SAMPLES_OF_MANY = 16384
# A pass of fewer samples has no spatial weights; one of many may have them all.
_FEW = 256
_MANY = 1500
_SAMPLES_A_TERM = 6
_BITS_A_WEIGHT = 2.5
_CODED_REFERENCES = 3
_RIDGE = 1e-5
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
    remaining = {candidate: detail[candidate].copy() for candidate in candidates}
    start = float(rest @ rest)
    while len(chosen) < _CODED_REFERENCES and remaining and start > 0:
        gains = {key: _explained(rest, vector) for key, vector in remaining.items()}
        best = max(gains, key=lambda key: gains[key])
        if gains[best] < 0.002 * start:
            break
        chosen.append(best)
        unit = remaining.pop(best)
        unit /= np.sqrt(unit @ unit)
        rest -= (rest @ unit) * unit
        for vector in remaining.values():
            vector -= (vector @ unit) * unit
    return tuple(chosen)


def _explained(target: Float64Array, vector: Float64Array) -> float:
    energy = float(vector @ vector)
    return float(target @ vector) ** 2 / energy if energy > 1e-6 else 0.0


def _fit_rows(shape: tuple[int, int], samples: int = _FIT_SAMPLES) -> slice:
    return slice(None, None, max(1, shape[0] * shape[1] // samples))


def fit_prediction(
    context: PassContext,
    target: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    tops: Sequence[int],
    near: int,
) -> PassParameters:
    """Return kind and weights of a pass: least squares, reweighted towards least magnitudes.

    `tops` are the largest values of the plane and of its references; weights that could leave the
    plane's word with such values are not returned. `near` is the largest error of a decoded value.
    Context weights are left 0.
    """
    copied = _copied_neighbour(context, target, valid) if target.size >= _FEW else None
    if copied is not None:
        # Weights that make the prediction exactly that neighbour.
        exact = [-(1 << WEIGHT_BITS) if copied == 0 and tap < 4 else 0 for tap in range(1, 8)]
        if copied:
            exact[copied - 1] = 1 << WEIGHT_BITS
        return _parameters(2, MAX_SHIFT, [*exact, *(0,) * context.references], context)
    rows = _fit_rows(context.shape, _FIT_SAMPLES_OF_MANY if target.size >= _MANY else _FIT_SAMPLES)
    base = context.near[rows] / 4.0
    wanted = (target[rows] - base).ravel()
    keep = None if valid is None else valid[rows].ravel()
    if keep is not None:
        wanted = wanted[keep]
    kinds = _candidates(target.size, len(wanted), context.references)
    if not kinds:
        return _parameters(0, 0, [], context)
    most = KINDS[kinds[-1]]
    terms = [tap[rows] - base for tap in context.taps[1 : 1 + most.spatial]]
    for pair in range(most.details):
        for reference in range(context.references):
            terms.append(context.detail(reference, pair, rows) / 4.0)
    matrix = _gather(terms, keep)
    activity = np.abs(matrix[:4]).mean(axis=0)
    # Errors within the bound cost no bits: the looser it is, the more the large ones count.
    activity += 0.2 * activity.mean() + 0.5 + 0.5 * near
    solutions = _least_magnitudes(
        matrix, wanted, activity, [_rows(n, most, context) for n in kinds]
    )
    found: list[tuple[float, PassParameters]] = []
    for number, solution in zip(kinds, solutions, strict=True):
        part = matrix[_rows(number, most, context)]
        overfit = 1 + len(part) / len(wanted)
        for shift in range(0, MAX_SHIFT + 1, 2):
            weights = np.rint(solution * 2.0 ** (WEIGHT_BITS - shift))
            error = np.abs(wanted - (weights * 2.0 ** (shift - WEIGHT_BITS)).astype("f4") @ part)
            cost = target.size * np.log2(float((error / activity).mean()) * overfit + 1e-9)
            cost += float(np.log2(np.abs(weights) + 1).sum()) + _BITS_A_WEIGHT * len(weights)
            sent = [int(weight) << shift for weight in weights]
            parameters = _parameters(number, shift, sent, context)
            if _fits_word(parameters, tops):
                found.append((cost, parameters))
    return min(found, key=lambda pair: pair[0])[1] if found else _parameters(0, 0, [], context)


def _rows(number: int, most: PassKind, context: PassContext) -> list[int]:
    """Return which of the terms of the kind `most` a kind has."""
    kind = KINDS[number]
    spectral = range(most.spatial, most.spatial + kind.details * context.references)
    return [*range(kind.spatial), *spectral]


def _parameters(
    number: int, shift: int, weights: list[int], context: PassContext
) -> PassParameters:
    """Return the parameters of weights in the order of terms: spatial, then detail by detail."""
    spatial = tuple(weights[: KINDS[number].spatial])
    spectral = np.array(weights[len(spatial) :], np.int64)
    by_reference = spectral.reshape(-1, max(1, context.references)).T.ravel()
    scales = (0,) * SCALE_WEIGHTS
    return PassParameters(number, shift, spatial, tuple(map(int, by_reference)), scales)


def _candidates(size: int, fitted: int, references: int) -> list[int]:
    """Return the kinds to try in a pass of `size` samples, in rising order of terms."""
    if size < _FEW:
        kinds = [1] if references else []
    elif size < _MANY:
        kinds = [2, 3, 4] if references else [2, 3]
    else:
        kinds = [3, 4, 5] if references else [3]
    fewest = 2 if size < _FEW else _SAMPLES_A_TERM
    return [
        number
        for number in kinds
        if fitted >= fewest * (KINDS[number].spatial + KINDS[number].details * references) + 2
    ]


def _copied_neighbour(
    context: PassContext, target: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None
) -> int | None:
    """Return which near neighbour every sample equals (nearest-neighbour doubling), if any."""
    rows = _fit_rows(context.shape)
    for index, tap in enumerate(context.taps[:4]):
        for part in (rows, slice(None)):
            same = tap[part] == target[part]
            if valid is not None:
                same |= ~valid[part]
            if not same.all():
                break
        else:
            return index
    return None


def _gather(terms: list[npt.NDArray[Any]], keep: npt.NDArray[np.bool_] | None) -> Float32Array:
    """Return the terms as the rows of a matrix (terms, samples)."""
    matrix = np.empty((len(terms), terms[0].size), np.float32)
    for row, term in zip(matrix, terms, strict=True):
        row.reshape(term.shape)[...] = term
    return matrix if keep is None else matrix[:, keep]


def _least_magnitudes(
    matrix: Float32Array,
    wanted: npt.NDArray[Any],
    activity: Float32Array,
    choices: list[list[int]],
) -> list[Float64Array]:
    """Return weights for `wanted` of each choice among the rows of `matrix` (terms, samples).

    Least squares, samples weighted by the inverse of the local activity and, in the second round,
    by the inverse square of activity plus error: bits follow relative, not absolute, errors.
    """
    weighted = matrix / activity
    for _ in range(2):
        normal = (weighted @ matrix.T).astype(np.float64)
        normal.flat[:: len(normal) + 1] += _RIDGE * np.trace(normal) / len(normal) + 1e-9
        right = (weighted @ wanted.astype(np.float32)).astype(np.float64)
        solution = np.linalg.solve(normal, right)
        error = np.abs(wanted - solution.astype(np.float32) @ matrix)
        final = normal, right
        weighted = matrix / (error + activity) ** 2
    solutions: list[Float64Array] = []
    for rows in choices:
        solution = np.linalg.solve(final[0][np.ix_(rows, rows)], final[1][rows])
        solutions.append(solution.astype(np.float64))
    return solutions


def _fits_word(parameters: PassParameters, tops: Sequence[int]) -> bool:
    """Whether the prediction's sum stays inside its word and the weights inside theirs."""
    spatial, spectral = parameters.spatial, parameters.spectral
    if max(map(abs, (*spatial, *spectral)), default=0) > MAX_WEIGHT:
        return False
    word = 62 if max(tops) > NARROW_TOP else 30
    reach = 4 * tops[0] * (sum(map(abs, spatial)) + abs((1 << WEIGHT_BITS) - sum(spatial)))
    each = len(spectral) // max(1, len(tops) - 1)
    reach += sum(4 * abs(weight) * tops[1 + place // each] for place, weight in enumerate(spectral))
    return reach < 1 << word


def fit_scales(
    context: PassContext,
    magnitude: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    kind: int,
    near: int,
) -> tuple[int, ...]:
    """Return context weights: non-negative least squares in relative error."""
    constant_only = not KINDS[kind].scales
    rows = slice(None) if constant_only else _fit_rows(context.shape)
    wanted = magnitude[rows].ravel().astype(np.float64)
    keep = None if valid is None else valid[rows].ravel()
    if keep is not None:
        wanted = wanted[keep]
    mean = float(wanted.mean()) if len(wanted) else 0.0
    solution = np.zeros(SCALE_WEIGHTS)
    if constant_only or len(wanted) <= 2 * SCALE_WEIGHTS:
        solution[0] = mean
    else:
        part = _relative_fit(_gather(context.scale_terms(rows), keep), wanted, mean, 0.3 * near)
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
