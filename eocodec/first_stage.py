"""The first refinement stage of a tile: the smooth latents pass after pass (:mod:`eocodec.smooth`), then the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.refinement import Runs, StageTables, class_of, stage_scale, stage_step
from eocodec.smooth import SmoothLatents, passes
from eocodec.trellis import TrellisTables

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

Place = tuple[npt.NDArray[Any], npt.NDArray[Any] | slice]
"""Index of a part in arrays (L, positions)."""
Coded = tuple[IntArray, FloatArray]
"""Integers of a part, and its values in steps, both flat."""

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
    code: Callable[[Place, FloatArray | None, Runs], Coded],
) -> FirstStage:
    """Run through the passes of the smooth latents and the others.

    ``code`` gives the integers and the values of a part from the place and the prediction of its latents (None for
    the others, whose prediction is zero), and their tables.
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
        place: Place = (smooth.channels[:, None], where.flat)
        predicted = smooth.predict(decoded.reshape(-1, *grid), number, where)
        runs = Runs.sort(classes[place].ravel(), None, tables.first_class)
        whole, value = code(place, predicted, runs)
        value = value.reshape(predicted.shape) * STEP
        integers[place] = whole.reshape(predicted.shape)
        values[place] = value
        prediction[place] = predicted
        decoded[:, where.flat] = predicted + value
    others = np.delete(np.arange(latents), smooth.channels)
    if others.size:
        place = (others, slice(None))
        runs = Runs.sort(classes[place].ravel(), None, tables.first_class)
        whole, value = code(place, None, runs)
        integers[place] = whole.reshape(-1, area)
        values[place] = value.reshape(-1, area) * STEP
    shape = log_scale.shape
    return FirstStage(integers.reshape(shape), prediction.reshape(shape), values.reshape(shape))


def encode_first_stage(
    tables: StageTables,
    smooth: SmoothLatents,
    residual: FloatArray,
    log_scale: IntArray,
    weight: float,
    coder: SymbolEncoder | None,
    trellis: TrellisTables | None = None,
) -> FirstStage:
    """Quantise the residual (L, …, h, w) in network units and, with a coder, encode it.

    ``log_scale`` is what :meth:`SmoothLatents.lower` gave. A trellis, if any, codes all but the smooth
    latents; their integers stay 0.
    """

    flat = residual.reshape(len(residual), -1)

    def code(place: Place, predicted: FloatArray | None, runs: Runs) -> Coded:
        units = flat[place]
        if predicted is not None:
            units -= predicted
        units /= STEP
        if predicted is None and trellis is not None:
            path = trellis.quantise(units.ravel(), runs, weight)
            if coder is not None:
                trellis.encode(coder, path, runs)
            return np.zeros(runs.size, np.int32), trellis.reconstruct(path, runs)
        symbols = tables.quantise(units.ravel(), runs, weight)
        if coder is not None:
            tables.encode(coder, symbols, runs)
        return runs.scatter(symbols), tables.reconstruct(symbols, runs)

    return _walk(smooth, tables, log_scale, code)


def decode_first_stage(
    tables: StageTables,
    smooth: SmoothLatents,
    log_scale: IntArray,
    coder: SymbolDecoder,
    trellis: TrellisTables | None = None,
) -> FirstStage:
    """Inverse of :func:`encode_first_stage`; raises FormatError for invalid bytes."""

    def code(_: Place, predicted: FloatArray | None, runs: Runs) -> Coded:
        if predicted is None and trellis is not None:
            values = trellis.reconstruct(trellis.decode(coder, runs), runs)
            return np.zeros(runs.size, np.int32), values
        symbols = tables.decode(coder, runs)
        return runs.scatter(symbols), tables.reconstruct(symbols, runs)

    return _walk(smooth, tables, log_scale, code)
