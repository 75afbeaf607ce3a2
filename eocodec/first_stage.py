"""The first refinement stage of a tile: the smooth latents pass after pass (:mod:`eocodec.smooth`), then the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

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
    """What the first stage leaves, all (L, …, h, w).

    ``integers`` count steps around ``prediction``; ``values`` are their reconstruction, both in network units.
    """

    integers: IntArray
    prediction: FloatArray
    values: FloatArray


def _walk(
    smooth: SmoothLatents,
    tables: StageTables,
    log_scale: IntArray,
    code: Callable[[FloatArray | None, npt.NDArray[np.intp], Runs], IntArray],
) -> FirstStage:
    """Run through the passes of the smooth latents and the others.

    ``code`` gives the integers of a part from the prediction of its latents (None for zero), their flat positions
    in the grid (L, …, h, w) and their tables.
    """
    latents, *grid = log_scale.shape
    area = prod(grid)
    classes = class_of(stage_scale(log_scale, 0)).reshape(latents, area)
    integers = np.zeros((latents, area), np.int32)
    values = np.zeros((latents, area), np.float32)
    prediction = np.zeros((latents, area), np.float32)
    decoded = np.zeros((len(smooth.channels), area), np.float32)
    for number, where in enumerate(passes(*grid)):
        if not where.flat.size or not smooth.channels.size:
            continue
        place = (smooth.channels[:, None], where.flat)
        predicted = smooth.predict(decoded.reshape(-1, *grid), number, where)
        previous = np.zeros(predicted.size, np.int32)
        runs = Runs.sort(classes[place].ravel(), previous, tables.first_class)
        coded = code(predicted, smooth.channels[:, None] * area + where.flat, runs)
        value = tables.reconstruct(coded, runs).reshape(predicted.shape) * STEP
        integers[place] = coded.reshape(predicted.shape)
        values[place] = value
        prediction[place] = predicted
        decoded[:, where.flat] = predicted + value
    others = np.delete(np.arange(latents), smooth.channels)
    if others.size:
        previous = np.zeros(others.size * area, np.int32)
        runs = Runs.sort(classes[others].ravel(), previous, tables.first_class)
        coded = code(None, others[:, None] * area + np.arange(area), runs)
        integers[others] = coded.reshape(-1, area)
        values[others] = tables.reconstruct(coded, runs).reshape(-1, area) * STEP
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
    """Quantise the residual (L, …, h, w) in network units and, with a coder, encode it.

    ``log_scale`` is what :meth:`SmoothLatents.lower` gave.
    """

    def code(predicted: FloatArray | None, places: npt.NDArray[np.intp], runs: Runs) -> IntArray:
        units = residual.take(places)
        if predicted is not None:
            units -= predicted
        units /= STEP
        integers = tables.quantise(units.ravel(), runs, weight)
        if coder is not None:
            tables.encode(coder, integers, runs)
        return integers

    return _walk(smooth, tables, log_scale, code)


def decode_first_stage(
    tables: StageTables, smooth: SmoothLatents, log_scale: IntArray, coder: SymbolDecoder
) -> FirstStage:
    """Inverse of :func:`encode_first_stage`; raises FormatError for invalid bytes."""

    def code(predicted: FloatArray | None, places: npt.NDArray[np.intp], runs: Runs) -> IntArray:
        return tables.decode(coder, runs)

    return _walk(smooth, tables, log_scale, code)
