"""The first refinement stage of a tile: pass after pass, each predicted from those before (:mod:`eocodec.smooth`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.refinement import Runs, StageTables, class_of, stage_scale, stage_step
from eocodec.smooth import Pass, SmoothLatents, passes

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
    code: Callable[[FloatArray, Pass, Runs], IntArray],
) -> FirstStage:
    """Run through the passes.

    ``code`` gives the integers of one, flat, from its place and the prediction of its smooth latents.
    """
    latents, height, width = log_scale.shape
    integers = np.zeros((latents, height * width), np.int32)
    values = np.zeros((latents, height * width), np.float32)
    prediction = np.zeros((latents, height * width), np.float32)
    decoded = np.zeros((len(smooth.channels), height * width), np.float32)
    classes = class_of(stage_scale(log_scale, 0)).reshape(latents, -1)
    for number, where in enumerate(passes(height, width)):
        if not where.flat.size:
            continue
        predicted = smooth.predict(decoded.reshape(-1, height, width), number, where)
        previous = np.zeros(latents * where.flat.size, np.int32)
        runs = Runs.sort(classes.take(where.flat, axis=1).ravel(), previous, tables.first_class)
        coded = code(predicted, where, runs)
        value = tables.reconstruct(coded, previous, runs).reshape(latents, -1) * STEP
        integers[:, where.flat] = coded.reshape(latents, -1)
        values[:, where.flat] = value
        prediction[smooth.channels[:, None], where.flat] = predicted
        decoded[:, where.flat] = predicted + value[smooth.channels]
    shape = log_scale.shape
    return FirstStage(integers.reshape(shape), prediction.reshape(shape), values.reshape(shape))


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
    flat = residual.reshape(len(residual), -1)

    def code(predicted: FloatArray, where: Pass, runs: Runs) -> IntArray:
        units = flat.take(where.flat, axis=1)
        units[smooth.channels] -= predicted
        units /= STEP
        previous = np.zeros(units.size, np.int32)
        integers = tables.quantise(units.ravel(), previous, runs, weight)
        if coder is not None:
            tables.encode(coder, integers, previous, runs)
        return integers

    return _walk(smooth, tables, log_scale, code)


def decode_first_stage(
    tables: StageTables, smooth: SmoothLatents, log_scale: IntArray, coder: SymbolDecoder
) -> FirstStage:
    """Inverse of :func:`encode_first_stage`; raises FormatError for invalid bytes."""

    def code(predicted: FloatArray, where: Pass, runs: Runs) -> IntArray:
        return tables.decode(coder, np.zeros(len(log_scale) * where.flat.size, np.int32), runs)

    return _walk(smooth, tables, log_scale, code)
