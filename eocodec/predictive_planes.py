"""One plane of the predictive layer, pass by pass: the encoder fits and codes, the decoder repeats it.

SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder
from eocodec.errors import FormatError
from eocodec.fitting import fit_prediction
from eocodec.interlace import (
    PASSES,
    CodedPlane,
    KnownPlane,
    PassContext,
    Phases,
    Shape,
    join_phases,
    level_shapes,
    pad_phase,
    phase_shape,
)
from eocodec.pooling import PlaneParameters, Pool
from eocodec.predictive_parameters import PassParameters, Taper
from eocodec.predictive_side import PlaneSide
from eocodec.residuals import ClassScheme, ResidualModel, SortedPass, sort_pass
from eocodec.scale_fitting import fit_scales

IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
PassStep = Callable[[int, Shape, PassContext], tuple[IntArray, IntArray]]


def walk(
    shape: Shape,
    base: int,
    references: list[CodedPlane],
    labels: KnownPlane | None,
    step: PassStep,
    work: np.dtype[Any],
) -> tuple[CodedPlane, IntArray]:
    """Visit the passes of a plane, coarse to fine; `step` gives each one's values and residuals.

    Samples of equal `labels` are copies of one another.
    """
    shapes = level_shapes(*shape)
    grid = np.full((1, 1), base, work)
    errors = np.zeros((1, 1), work)
    coded = CodedPlane()
    for level in range(len(shapes) - 2, -1, -1):
        values: Phases = {(0, 0): pad_phase(grid)}
        misses: Phases = {(0, 0): pad_phase(errors)}
        for phase in PASSES:
            size = phase_shape(shapes[level], phase)
            value = residual = np.zeros(size, work)
            if value.size:
                context = PassContext(
                    phase, shapes[level], values, misses, references, labels, level
                )
                value, residual = step(level, phase, context)
            values[phase] = pad_phase(value)
            misses[phase] = pad_phase(np.abs(residual))
        grid = join_phases(values, shapes[level])
        errors = join_phases(misses, shapes[level])
        coded.values.insert(0, values)
        coded.errors.insert(0, misses)
    return coded, grid


def _phase_of(plane: npt.NDArray[Any], level: int, phase: Shape) -> npt.NDArray[Any]:
    step = 1 << level
    return plane[::step, ::step][phase[0] :: 2, phase[1] :: 2]


class PlaneEncoder:
    """Fits and predicts the passes of one plane, keeping classes and residuals for coding.

    Parameters
    ----------
    tops : list of int
        Largest values of the plane and of its references.
    near : int
        Largest error of a decoded value.
    values : ndarray of int, (H, W)
        The plane.
    valid : ndarray of bool, (H, W), or None
        Samples to code; None codes all.
    scheme : ClassScheme
        Classes of the residuals.
    shared : dict
        Parameters of passes that cost nothing to send.
    pool : Pool, optional
        Collects samples of the passes.
    taper : Taper
        How the largest error falls towards the coarse levels.
    forced : bool
        Whether to take the shared parameters where there are any, without trying others.
    """

    def __init__(
        self,
        tops: list[int],
        near: int,
        values: IntArray,
        valid: BoolArray | None,
        scheme: ClassScheme,
        shared: PlaneParameters,
        pool: Pool | None = None,
        *,
        taper: Taper,
        forced: bool = False,
    ) -> None:
        self._taper = taper
        self._tops = tops
        self._near = near
        self._values = values
        self._valid = valid
        self._scheme = scheme
        self._shared = shared
        self._pool = pool
        self._forced = forced
        self.base = int(values[0, 0]) if tops[0] else 0
        self.parameters: dict[tuple[int, Shape], PassParameters] = {}
        self.passes: list[SortedPass] = []

    def step(self, level: int, phase: Shape, context: PassContext) -> tuple[IntArray, IntArray]:
        """Return decoded values and residuals of one pass."""
        near = self._taper.at(self._near, level)
        target = _phase_of(self._values, level, phase)
        valid = None if self._valid is None else _phase_of(self._valid, level, phase)
        hit, copied = context.copies() or (None, None)
        fitted = valid if hit is None else ~hit if valid is None else valid & ~hit
        shared = self._shared.get((level, phase))
        if shared is not None and self._forced:
            draft = shared
        else:
            draft = fit_prediction(context, target, fitted, self._tops, near, shared)
        prediction = context.predict(draft, self._tops[0])
        if hit is not None and copied is not None:
            np.copyto(prediction, copied, where=hit)
        residual = target - prediction
        if valid is not None:
            residual[~valid] = 0
        if self._pool is not None:
            self._pool.add((level, phase), context, target, residual, fitted, self._tops, near)
        parameters = draft
        if draft is not shared:
            scales = fit_scales(context, np.abs(residual), fitted, draft.kind, near)
            parameters = replace(draft, scales=scales)
        self.parameters[level, phase] = parameters
        symbols = quantise(residual, near)
        classes = self._scheme.classify(context.scale(parameters, near))
        if hit is not None:
            classes[hit] = self._scheme.copied
        if valid is None:
            self.passes.append(sort_pass(classes.ravel(), symbols.ravel()))
        else:
            self.passes.append(sort_pass(classes[valid], symbols[valid]))
        return reconstruct(prediction, symbols, near, self._tops[0])


def quantise(residual: IntArray, near: int) -> IntArray:
    """Return the quantiser indices of residuals, each of which covers 2 `near` + 1 of them."""
    if not near:
        return residual
    size = np.abs(residual)
    size += near
    size //= 2 * near + 1
    return np.copysign(size, residual, dtype=np.float64).astype(residual.dtype)


def reconstruct(
    prediction: IntArray, symbols: IntArray, near: int, top: int
) -> tuple[IntArray, IntArray]:
    """Return the values (0 to `top`) and residuals that quantiser indices stand for."""
    if not near:
        return prediction + symbols, symbols
    residual = symbols * (2 * near + 1)
    return np.clip(prediction + residual, 0, top), residual


class PlaneDecoder:
    """Decodes the passes of one plane."""

    def __init__(
        self,
        side: PlaneSide,
        valid: BoolArray | None,
        model: ResidualModel,
        stream: SymbolDecoder,
        work: np.dtype[Any],
        taper: Taper,
    ) -> None:
        self._taper = taper
        self._passes = side.passes
        self._top = 0 if side.plane is None else side.plane.top
        self._near = 0 if side.plane is None else side.plane.near
        self._valid = valid
        self._model = model
        self._stream = stream
        self._work = work

    def step(self, level: int, phase: Shape, context: PassContext) -> tuple[IntArray, IntArray]:
        """Return values and residuals of one pass."""
        near = self._taper.at(self._near, level)
        parameters = self._passes[level, phase]
        prediction = context.predict(parameters, self._top)
        classes = self._model.scheme.classify(context.scale(parameters, near))
        found = context.copies()
        if found is not None:
            hit, copied = found
            np.copyto(prediction, copied, where=hit)
            classes[hit] = self._model.scheme.copied
        if self._valid is None:
            symbols = self._model.decode(self._stream, classes.ravel(), self._work)
            symbols = symbols.reshape(context.shape)
        else:
            valid = _phase_of(self._valid, level, phase)
            symbols = np.zeros(context.shape, self._work)
            symbols[valid] = self._model.decode(self._stream, classes[valid], self._work)
        values, residual = reconstruct(prediction, symbols, near, self._top)
        if int(values.min()) < 0 or int(values.max()) > self._top:
            raise FormatError("predictive layer decodes to a sample out of range")
        return values, residual
