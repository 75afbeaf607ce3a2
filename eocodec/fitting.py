"""Encoder-side choice of the parameters of a pass of the predictive mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.grids import NARROW_TOP
from eocodec.interlace import (
    PassContext,
)
from eocodec.predictive_parameters import (
    KINDS,
    MAX_SHIFT,
    MAX_WEIGHT,
    SCALE_WEIGHTS,
    WEIGHT_BITS,
    PassParameters,
)

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

FIT_SAMPLES = 4096
_FIT_SAMPLES_OF_MANY = 16384
# A pass of fewer samples has no spatial weights; one of many may have them all.
_FEW = 256
_MANY = 1500
_SAMPLES_A_TERM = 6
_BITS_A_WEIGHT = 2.5
_BITS_A_SCALE = 5.0
# A pass that takes no more bits than this with shared parameters gets none of its own.
_FEWEST_BITS = 24.0
_RIDGE = 1e-5


def fit_rows(shape: tuple[int, int], samples: int = FIT_SAMPLES) -> slice:
    """Return the rows that hold about `samples` samples of a pass of `shape`."""
    return slice(None, None, max(1, shape[0] * shape[1] // samples))


@dataclass
class PassSamples:
    """Samples that the weights of a pass are fitted to: of one plane, or pooled from several.

    Attributes
    ----------
    most : int
        The kind with all the terms.
    references : int
        Number of reference planes.
    matrix : ndarray of float32, (terms, N)
        Spatial terms, then details: pair by pair, reference by reference.
    wanted : ndarray of float32, (N,)
        What the terms should add up to.
    activity : ndarray of float32, (N,)
        Local magnitude that errors count relative to.
    size : int
        Number of samples that these stand for.
    tops : tuple of int
        Largest values of the plane and of its references.
    near : int
        Largest error of a decoded value.
    """

    most: int
    references: int
    matrix: Float32Array
    wanted: Float32Array
    activity: Float32Array
    size: int
    tops: tuple[int, ...]
    near: int

    def terms_of(self, number: int) -> list[int]:
        """Return which of the terms a kind has."""
        kind, spatial = KINDS[number], KINDS[self.most].spatial
        spectral = range(spatial, spatial + kind.details * self.references)
        return [*range(kind.spatial), *spectral]

    def cost(self, number: int, weights: Float64Array, overfit: float = 1.0) -> float:
        """Return about how many bits the residuals take with the weights of a kind."""
        part = self.matrix[self.terms_of(number)]
        error = np.rint(np.abs(self.wanted - weights.astype(np.float32) @ part))
        misses = np.floor((error + self.near) / (2 * self.near + 1))
        rate = float(misses.mean()) * overfit + 0.3 / len(misses)
        relative = self.activity * (2 * np.e * rate / float(self.activity.mean()))
        return self.size * float(np.log2(1 + relative).mean())

    def cost_of(self, parameters: PassParameters) -> float:
        """Return about how many bits the residuals take with given parameters."""
        kind = KINDS[parameters.kind]
        spectral = np.array(parameters.spectral, np.float64)
        by_pair = spectral.reshape(-1, kind.details).T.ravel() if kind.details else spectral
        weights = np.concatenate([parameters.spatial, by_pair]) / (1 << WEIGHT_BITS)
        return self.cost(parameters.kind, weights)


def gather_samples(
    context: PassContext,
    target: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    most: int,
    tops: Sequence[int],
    near: int,
    samples: int,
) -> PassSamples:
    """Return up to about `samples` samples of a pass, with the terms of the kind `most`."""
    rows = fit_rows(context.shape, samples)
    base = context.near[rows] / 4.0
    wanted = (target[rows] - base).ravel()
    keep = None if valid is None else valid[rows].ravel()
    if keep is not None:
        wanted = wanted[keep]
    kind = KINDS[most]
    terms = [tap[rows] - base for tap in context.taps[1 : 1 + kind.spatial]]
    for pair in range(kind.details):
        for reference in range(context.references):
            terms.append(context.detail(reference, pair, rows) / 4.0)
    matrix = gather_terms(terms, keep) if terms else np.zeros((0, len(wanted)), np.float32)
    activity = np.abs(matrix[:4]).mean(axis=0) if terms else np.ones(len(wanted), np.float32)
    if len(wanted):
        # Errors within the bound cost no bits: the looser it is, the more the large ones count.
        activity += 0.2 * activity.mean() + 0.5 + 0.5 * near
    size = target.size if valid is None else int(np.count_nonzero(valid))
    return PassSamples(
        most, context.references, matrix, wanted.astype("f4"), activity, size, tuple(tops), near
    )


def fit_prediction(
    context: PassContext,
    target: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    tops: Sequence[int],
    near: int,
    shared: PassParameters | None = None,
) -> PassParameters:
    """Return kind and weights of a pass: least squares, reweighted towards least magnitudes.

    `tops` are the largest values of the plane and of its references; weights that could leave the
    plane's word with such values are not returned. `near` is the largest error of a decoded value.
    Context weights are left 0, unless the parameters are the `shared` ones, which cost nothing.
    """
    copied = _copied_neighbour(context, target, valid) if target.size >= _FEW else None
    if copied is not None:
        # Weights that make the prediction exactly that neighbour.
        exact = [-(1 << WEIGHT_BITS) if copied == 0 and tap < 4 else 0 for tap in range(1, 8)]
        if copied:
            exact[copied - 1] = 1 << WEIGHT_BITS
        return _parameters(2, MAX_SHIFT, [*exact, *(0,) * context.references], context.references)
    if shared is not None and not _fits_word(shared, tops):
        shared = None
    kinds = candidate_kinds(target.size, context.references)
    number = _FIT_SAMPLES_OF_MANY if target.size >= _MANY else FIT_SAMPLES
    most = max([*kinds, *([] if shared is None else [shared.kind])], default=0)
    gathered = gather_samples(context, target, valid, most, tops, near, number)
    if shared is None:
        return fit_samples(gathered, kinds)[1]
    if not len(gathered.wanted):
        return shared
    cost = gathered.cost_of(shared)
    if cost < _FEWEST_BITS:
        return shared
    own_cost, own = fit_samples(gathered, kinds)
    scale_bits = _BITS_A_SCALE * SCALE_WEIGHTS if KINDS[own.kind].scales else _BITS_A_SCALE
    return own if own_cost + scale_bits < cost else shared


def fit_samples(samples: PassSamples, kinds: list[int]) -> tuple[float, PassParameters]:
    """Return the parameters, of one of `kinds`, that code `samples` in the fewest bits, and those."""
    number = len(samples.wanted)
    kinds = [kind for kind in kinds if _enough(number, samples.size, kind, samples.references)]
    plain = _parameters(0, 0, [], samples.references)
    if not number:
        return 0.0, plain
    if not kinds:
        return samples.cost(0, np.zeros(0)), plain
    solutions = _least_magnitudes(
        samples.matrix,
        samples.wanted,
        samples.activity,
        [samples.terms_of(kind) for kind in kinds],
    )
    found: list[tuple[float, PassParameters]] = [(samples.cost(0, np.zeros(0)), plain)]
    for kind, solution in zip(kinds, solutions, strict=True):
        overfit = 1 + len(solution) / number
        for shift in range(0, MAX_SHIFT + 1, 2):
            weights = np.rint(solution * 2.0 ** (WEIGHT_BITS - shift))
            cost = samples.cost(kind, weights * 2.0 ** (shift - WEIGHT_BITS), overfit)
            cost += float(np.log2(np.abs(weights) + 1).sum()) + _BITS_A_WEIGHT * len(weights)
            sent = [int(weight) << shift for weight in weights]
            parameters = _parameters(kind, shift, sent, samples.references)
            if _fits_word(parameters, samples.tops):
                found.append((cost, parameters))
    return min(found, key=lambda pair: pair[0])


def _parameters(number: int, shift: int, weights: list[int], references: int) -> PassParameters:
    """Return the parameters of weights in the order of terms: spatial, then detail by detail."""
    spatial = tuple(weights[: KINDS[number].spatial])
    spectral = np.array(weights[len(spatial) :], np.int64)
    by_reference = spectral.reshape(-1, max(1, references)).T.ravel()
    scales = (0,) * SCALE_WEIGHTS
    return PassParameters(number, shift, spatial, tuple(map(int, by_reference)), scales)


def candidate_kinds(size: int, references: int) -> list[int]:
    """Return the kinds to try in a pass of `size` samples, in rising order of terms."""
    if size < _FEW:
        return [1] if references else []
    if size < _MANY:
        return [2, 3, 4] if references else [2, 3]
    return [3, 4, 5] if references else [3]


def _enough(number: int, size: int, kind: int, references: int) -> bool:
    """Whether `number` samples, which stand for `size`, are enough to fit a kind to."""
    fewest = 2 if size < _FEW else _SAMPLES_A_TERM
    return number >= fewest * (KINDS[kind].spatial + KINDS[kind].details * references) + 2


def _copied_neighbour(
    context: PassContext, target: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None
) -> int | None:
    """Return which near neighbour every sample equals (nearest-neighbour doubling), if any."""
    rows = fit_rows(context.shape)
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


def gather_terms(terms: list[npt.NDArray[Any]], keep: npt.NDArray[np.bool_] | None) -> Float32Array:
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
