"""The first refinement stage of a tile: pass after pass, each predicted from those before (:mod:`eocodec.smooth`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.refinement import Runs, StageTables, class_of, stage_scale, stage_step
from eocodec.smooth import SmoothLatents, passes

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

STEP = np.float32(stage_step(0))


@dataclass(frozen=True)
class FirstStage:
    """What the first stage leaves, all (L, h, w).

    ``integers`` count steps around ``prediction``; ``values`` are their reconstruction, both in network units.
    """

    integers: IntArray
    prediction: FloatArray
    values: FloatArray


def _walk(
    smooth: SmoothLatents,
    tables: StageTables,
    log_scale: IntArray,
    code: Callable[[FloatArray, tuple[slice, IntArray, IntArray], Runs], IntArray],
) -> FirstStage:
    """Run through the passes; ``code`` gives the integers of one from its prediction and place."""
    latents, height, width = log_scale.shape
    out = FirstStage(
        np.zeros(log_scale.shape, np.int32),
        np.zeros(log_scale.shape, np.float32),
        np.zeros(log_scale.shape, np.float32),
    )
    decoded = np.zeros((len(smooth.channels), height, width), np.float32)
    relative = stage_scale(log_scale, 0)
    for number, where in enumerate(passes(height, width)):
        if not where.rows.size:
            continue
        place = (slice(None), where.rows, where.columns)
        prediction = np.zeros((latents, where.rows.size), np.float32)
        prediction[smooth.channels] = smooth.predict(decoded, number, where)
        classes = class_of(relative[place]).ravel()
        previous = np.zeros(classes.shape, np.int32)
        runs = Runs.sort(classes, previous, tables.first_class)
        integers = code(prediction, place, runs)
        values = tables.reconstruct(integers, previous, runs).reshape(prediction.shape) * STEP
        out.integers[place] = integers.reshape(prediction.shape)
        out.prediction[place] = prediction
        out.values[place] = values
        known = prediction[smooth.channels] + values[smooth.channels]
        decoded[:, where.rows, where.columns] = known
    return out


def encode_first_stage(
    tables: StageTables,
    smooth: SmoothLatents,
    residual: FloatArray,
    log_scale: IntArray,
    weight: float,
    coder: SymbolEncoder | None,
) -> FirstStage:
    """Quantise the residual (L, h, w) in network units and, with a coder, encode it.

    ``log_scale`` is what :meth:`SmoothLatents.lower` gave.
    """

    def code(
        prediction: FloatArray, place: tuple[slice, IntArray, IntArray], runs: Runs
    ) -> IntArray:
        units = ((residual[place] - prediction) / STEP).ravel()
        previous = np.zeros(units.shape, np.int32)
        integers = tables.quantise(units, previous, runs, weight)
        if coder is not None:
            tables.encode(coder, integers, previous, runs)
        return integers

    return _walk(smooth, tables, log_scale, code)


def decode_first_stage(
    tables: StageTables, smooth: SmoothLatents, log_scale: IntArray, coder: SymbolDecoder
) -> FirstStage:
    """Inverse of :func:`encode_first_stage`; raises FormatError for invalid bytes."""

    def code(
        prediction: FloatArray, place: tuple[slice, IntArray, IntArray], runs: Runs
    ) -> IntArray:
        return tables.decode(coder, np.zeros(prediction.size, np.int32), runs)

    return _walk(smooth, tables, log_scale, code)
