"""Learned tables: symbols and reconstruction points of every stage, smooth latents, tokens.

Tables of a stage are fitted by alternating entropy-constrained assignment and counting over latents of the training
scenes (entropy-constrained quantisation, Chou et al. 1989).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from eocodec.first_stage import FirstStage, encode_first_stage
from eocodec.refinement import (
    CLASS_WIDTH,
    CLASS_ZERO,
    CLASSES,
    ESCAPE,
    LIMIT,
    STATES,
    Runs,
    StageTables,
    class_of,
    low_bits,
    stage_scale,
    stage_step,
)
from eocodec.rvq import LAMBDA
from eocodec.smooth import PASSES, SmoothLatents, neighbour_mean, passes
from eocodec.tokens import CLUSTERS, TokenTables
from eocodec.training.latents import UNIT_LOG2, LatentSample
from eocodec.trellis import QUANTISERS, TrellisTables

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

FIRST_CLASS = 1
SMOOTH_RATIO = 0.85
"""A latent is smooth where prediction leaves at most this share of its energy."""


def initial_tables() -> StageTables:
    """Tables of a discretised logistic at each class's centre, before anything was counted."""
    counts = np.ones((CLASSES, STATES, 2 * LIMIT + 2), np.int32)
    symbols = np.arange(-LIMIT, LIMIT + 1)
    for context_class in range(CLASSES):
        middle = ((context_class + 0.5) * CLASS_WIDTH + CLASS_ZERO) * UNIT_LOG2
        scale = 2.0 ** (middle - low_bits(context_class, 0))
        share = 1 / (1 + np.exp(-(symbols + 0.5) / scale)) - 1 / (
            1 + np.exp(-(symbols - 0.5) / scale)
        )
        counts[context_class, 0, :-1] += np.rint(share * 2**16).astype(np.int32)
        for state in range(1, STATES):
            counts[context_class, state, LIMIT - 1 : LIMIT + 2] += 2**14
    points = np.broadcast_to(symbols.astype(np.float32), (CLASSES, STATES, 2 * LIMIT + 1)).copy()
    return StageTables(counts, points, FIRST_CLASS)


def fit_tables(
    units: FloatArray,
    runs: Runs,
    weight: float,
    start: StageTables,
    rounds: int,
) -> tuple[StageTables, IntArray]:
    """Alternate assignment and counting; latents flat, in steps of the stage. Returns tables, integers."""
    tables = start
    for _ in range(rounds):
        tables = count_symbols(tables, units, tables.quantise(units, runs, weight), runs)
    return tables, runs.scatter(tables.quantise(units, runs, weight))


def count_symbols(
    tables: StageTables, units: FloatArray, symbols: IntArray, runs: Runs
) -> StageTables:
    """Count symbols and average the latents of each; the zero state is symmetric."""
    counts, points = tables.counts.copy(), tables.points.copy()
    offsets = runs.remainders(units)
    prior = np.arange(-LIMIT, LIMIT + 1, dtype=np.float64)
    for context_class, state, start, stop in runs.bounds:
        symbol = symbols[start:stop].astype(np.int64)
        shift = low_bits(context_class, state)
        if shift:
            symbol = (symbol + (1 << (shift - 1))) >> shift
        inside = np.abs(symbol) <= LIMIT
        index = np.where(inside, symbol + LIMIT, 2 * LIMIT + 1)
        number = np.bincount(index, minlength=2 * LIMIT + 2).astype(np.float64)
        if state == 0:
            number[:-1] = (number[:-1] + number[:-1][::-1]) / 2
        scaled = number * min(1.0, 2**22 / max(number.sum(), 1))
        counts[context_class, state] = np.maximum(1, np.rint(scaled)).astype(np.int32)
        if shift:
            continue
        values = offsets[start:stop][inside].astype(np.float64)
        total = np.bincount(index[inside], values, minlength=2 * LIMIT + 1).astype(np.float64)
        if state == 0:
            total = (total - total[::-1]) / 2
        mean = (total + 8 * prior) / (number[:-1] + 8)
        points[context_class, state] = np.clip(mean, prior - 0.5, prior + 0.5)
    return StageTables(counts, points, tables.first_class)


def initial_trellis(plain: StageTables) -> TrellisTables:
    """Tables of a last stage before anything was counted: those of the plain stage, half a step aside."""
    counts = np.repeat(plain.counts[:, :, None], QUANTISERS, axis=2)
    points = np.repeat(plain.points[:, :, None], QUANTISERS, axis=2)
    symbols = np.arange(-LIMIT, LIMIT + 1)
    points[:, 0, 1] -= np.sign(symbols) / 2
    points[:, 1:, 1] += 0.5
    return TrellisTables(counts, points)


def fit_trellis(
    units: FloatArray, runs: Runs, weight: float, plain: StageTables, rounds: int
) -> TrellisTables:
    """Alternate paths and counting; latents flat, in steps of the stage, which ``plain`` codes elsewhere."""
    tables = initial_trellis(plain)
    offsets = runs.remainders(units)
    for _ in range(rounds):
        path = tables.quantise(units, runs, weight)
        inside = np.abs(path.symbols) <= LIMIT
        rows = runs.keys * np.int64(QUANTISERS) + path.second
        index = rows * (ESCAPE + 1) + np.where(inside, path.symbols + LIMIT, ESCAPE)
        size = CLASSES * STATES * QUANTISERS * (ESCAPE + 1)
        shape = (CLASSES, STATES, QUANTISERS, ESCAPE + 1)
        number = np.bincount(index, minlength=size).astype(np.float64).reshape(shape)
        total = np.bincount(index, offsets, size).reshape(shape)[..., :-1]
        # State 0 is symmetric.
        number[:, 0, :, :-1] = (number[:, 0, :, :-1] + number[:, 0, :, -2::-1]) / 2
        total[:, 0] = (total[:, 0] - total[:, 0, :, ::-1]) / 2
        scaled = number * np.minimum(1, 2**22 / np.maximum(number.sum(-1, keepdims=True), 1))
        seen = number.sum(axis=-1) > 0
        counts = np.where(seen[..., None], np.maximum(1, np.rint(scaled)), tables.counts)
        points = (total + 8 * tables.points) / (number[..., :-1] + 8)
        tables = TrellisTables(counts.astype(np.int32), points.astype(np.float32))
    return tables


def fit_tokens(samples: list[LatentSample], codebooks: Tensor) -> TokenTables:
    """Cluster the codes and count indices by the cluster of their context."""
    stages, codes, _ = codebooks.shape
    cluster = np.zeros((stages, codes), np.uint8)
    for stage, book in enumerate(codebooks):
        centres = book[torch.linspace(0, codes - 1, CLUSTERS).long()].clone()
        for _ in range(30):
            nearest = torch.cdist(book, centres).argmin(1)
            for k in range(CLUSTERS):
                if (nearest == k).any():
                    centres[k] = book[nearest == k].mean(0)
        cluster[stage] = nearest.numpy()
    counts = np.zeros((stages, CLUSTERS, codes), np.float64)
    for sample in samples:
        first = sample.indices[0]
        np.add.at(counts[0], (cluster[0][first[..., :-1]], first[..., 1:]), 1)
        for stage in range(1, stages):
            context = cluster[stage - 1][sample.indices[stage - 1]]
            np.add.at(counts[stage], (context, sample.indices[stage]), 1)
    marginal = counts.sum(axis=1, keepdims=True)
    smooth = counts + 20 * (marginal + 0.5) / (marginal + 0.5).sum(axis=2, keepdims=True)
    scaled = np.rint(smooth / smooth.sum(axis=2, keepdims=True) * 2**16)
    return TokenTables(np.maximum(1, scaled).astype(np.int32), cluster)


def fit_smooth(samples: list[LatentSample]) -> SmoothLatents:
    """Find the latents that their neighbours predict, by least squares over the samples."""
    latents = len(samples[0].residual)
    products, squares, energy = (np.zeros((PASSES, latents)) for _ in range(3))
    for sample in samples:
        flat = sample.residual.reshape(latents, -1)
        unit = np.maximum(np.square(flat).mean(axis=1), 1e-6)
        for number, where in enumerate(passes(*sample.residual.shape[1:])):
            if number and where.rows.size:
                target = flat[:, where.flat]
                mean = neighbour_mean(sample.residual, where)
                products[number] += (target * mean).sum(axis=1) / unit
                squares[number] += (mean * mean).sum(axis=1) / unit
                energy[number] += (target * target).sum(axis=1) / unit
    weight = np.clip(products / np.maximum(squares, 1e-9), 0, 1.2)
    left = energy - 2 * weight * products + weight**2 * squares
    ratio = np.clip(left / np.maximum(energy, 1e-9), 0.02, 1)
    useful = (ratio < SMOOTH_RATIO) & (energy > 0)
    channels = np.flatnonzero(useful[-1])
    offset = np.where(useful, np.rint(0.5 * np.log2(ratio) / UNIT_LOG2), 0)
    return SmoothLatents(
        channels.astype(np.int32),
        np.where(useful, weight, 0)[:, channels].astype(np.float32),
        offset[:, channels].astype(np.int32),
    )


def fit_first_stage(
    samples: list[LatentSample], smooth: SmoothLatents, rounds: int
) -> tuple[StageTables, TrellisTables, list[FirstStage]]:
    """Fit the tables of the first stage, predictions in the loop, also for tiles that end with it."""
    tables = initial_tables()
    relative = np.concatenate([stage_scale(s.log_scale, 0).ravel() for s in samples])
    runs = Runs.sort(class_of(relative), None, FIRST_CLASS)
    for _ in range(rounds):
        coded = [
            encode_first_stage(tables, smooth, s.residual, s.log_scale, LAMBDA, None)
            for s in samples
        ]
        left = [s.residual - c.prediction for s, c in zip(samples, coded, strict=True)]
        flat = (np.concatenate([x.ravel() for x in left]) / stage_step(0)).astype(np.float32)
        integers = np.concatenate([c.integers.ravel() for c in coded])
        tables = count_symbols(tables, flat, integers[runs.order], runs)
    coded = [
        encode_first_stage(tables, smooth, s.residual, s.log_scale, LAMBDA, None) for s in samples
    ]
    others = np.delete(np.arange(len(samples[0].residual)), smooth.channels)
    residual = np.concatenate([s.residual[others].ravel() for s in samples])
    relative = np.concatenate([stage_scale(s.log_scale[others], 0).ravel() for s in samples])
    runs = Runs.sort(class_of(relative), None, FIRST_CLASS)
    units = (residual / stage_step(0)).astype(np.float32)
    return tables, fit_trellis(units, runs, LAMBDA, tables, rounds), coded


def fit_later_stages(
    samples: list[LatentSample],
    before: list[IntArray],
    stages: int,
    rounds: int,
) -> tuple[list[StageTables], list[TrellisTables]]:
    """Fit the tables of stages 1 and up to samples whose residual is that of the first stage.

    The second list is for tiles that end with a stage.

    ``before`` are the integers of the first stage, sample by sample.
    """
    tables: list[StageTables] = []
    trellis: list[TrellisTables] = []
    flat = np.concatenate([s.residual.ravel() for s in samples])
    ends = np.cumsum([s.residual.size for s in samples])[:-1]
    for stage in tqdm(range(1, stages), desc="tables", disable=None):
        scales = [stage_scale(s.log_scale, stage) for s in samples]
        classes = np.concatenate([class_of(scale).ravel() for scale in scales])
        previous = np.concatenate([b.ravel() for b in before])
        units = (flat / stage_step(stage)).astype(np.float32)
        runs = Runs.sort(classes, previous, FIRST_CLASS)
        fitted, chosen = fit_tables(units, runs, LAMBDA, initial_tables(), rounds)
        tables.append(fitted)
        trellis.append(fit_trellis(units, runs, LAMBDA, fitted, rounds))
        parts = np.split(chosen, ends)
        before = [p.reshape(s.residual.shape) for p, s in zip(parts, samples, strict=True)]
    return tables, trellis


def fit_stages(
    samples: list[LatentSample], stages: int
) -> tuple[SmoothLatents, list[StageTables], list[TrellisTables]]:
    """Fit the smooth latents and the tables of all stages, as one of several and as a tile's last."""
    smooth = fit_smooth(samples)
    samples = [replace(s, log_scale=smooth.lower(s.log_scale)) for s in samples]
    first, first_trellis, coded = fit_first_stage(samples, smooth, 4)
    samples = [
        replace(s, residual=s.residual - c.prediction) for s, c in zip(samples, coded, strict=True)
    ]
    tables, trellis = fit_later_stages(samples, [c.integers for c in coded], stages, 4)
    return smooth, [first, *tables], [first_trellis, *trellis]
