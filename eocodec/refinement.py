"""Refinement stages: structured residual quantisation of the latents, entropy-constrained and range-coded.

Stage s quantises with a third of the step of stage s - 1. After it a latent is the integer ``n`` (its value is
about ``n`` steps); the next stage codes a symbol ``q`` with ``n' = 3 n + sign(n) q``, so every stage is a uniform
quantiser with a cell around zero and the cells nest without loss. A latent's table is chosen by its predicted
scale relative to the step (the class) and by whether ``n`` is 0, 1 or larger (the state). Tables and
reconstruction points are learned; the encoder picks symbols by ``argmin distance**2 + lambda bits``, which
changes no decoder (entropy-constrained quantisation, Chou et al. 1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder, code_lengths
from eocodec.errors import FormatError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

RATIO = 3
"""Step of a stage divided by the step of the next."""
UNITS_PER_STAGE = 12
"""Log-scales are integers in units of log2(RATIO) / 12."""
CLASSES = 30
CLASS_WIDTH = 3
CLASS_ZERO = -36
"""Relative log-scale at which class 0 starts."""
STATES = 3
LIMIT = 15
"""Symbols run from -LIMIT to LIMIT; the table's last entry is the escape."""
ESCAPE = 2 * LIMIT + 1
MAX_MAGNITUDE = 2**28


def stage_scale(log_scale: IntArray, stage: int) -> IntArray:
    """Log-scale relative to the step of a stage; stages count from 0, stage 1 has a step of one unit."""
    return log_scale + UNITS_PER_STAGE * (stage - 1)


def stage_step(stage: int) -> float:
    """Step of a stage in network units."""
    return float(RATIO) ** (1 - stage)


def raw_class_of(relative_scale: IntArray) -> IntArray:
    """Context class of relative log-scales, also beyond 0 to CLASSES - 1."""
    raw: IntArray = (relative_scale - CLASS_ZERO) // CLASS_WIDTH
    return raw


def class_of(relative_scale: IntArray) -> npt.NDArray[np.uint8]:
    """Context class of relative log-scales."""
    return np.clip(raw_class_of(relative_scale), 0, CLASSES - 1).astype(np.uint8)


def state_of(integers: IntArray) -> npt.NDArray[np.uint8]:
    """0, 1 or 2 for integers of magnitude 0, 1, larger."""
    return np.minimum(np.abs(integers), STATES - 1).astype(np.uint8)


def low_bits(context_class: int, state: int) -> int:
    """Bits of a symbol that are coded raw, below the table's symbol, where the scale exceeds the table."""
    if state:
        return 0
    log2_scale = (context_class * CLASS_WIDTH + CLASS_ZERO) * np.log2(RATIO) / UNITS_PER_STAGE
    return max(0, int(np.floor(log2_scale)) - 1)


@dataclass(frozen=True)
class Runs:
    """The coded latents of a stage, sorted by table.

    Attributes
    ----------
    size : int
        Number of all latents. Those that are not coded stay 0.
    order : int array
        Flat positions of the coded ones, table after table.
    sign : int32 array
        Sign of their integer before the stage, 1 for zero: symbols count in this direction.
    middle : int32 array
        Magnitude of that integer in steps of the stage.
    keys : uint8 array
        Their table (class * STATES + state).
    bounds : list of (class, state, start, stop)
        Where the tables lie in ``order``.
    """

    size: int
    order: npt.NDArray[np.intp]
    sign: IntArray
    middle: IntArray
    keys: npt.NDArray[np.uint8]
    bounds: list[tuple[int, int, int, int]]

    @classmethod
    def sort(cls, classes: npt.NDArray[np.uint8], previous: IntArray | None, first: int) -> Runs:
        """Sort flat latents; those of state 0 in classes below ``first`` are left out: their symbol is 0.

        ``previous`` is None before stage 0.
        """
        tables = classes * np.uint8(STATES)
        coded = classes >= first
        if previous is not None:
            state = state_of(previous)
            tables += state
            coded |= state > 0
        places = np.flatnonzero(coded)
        keys = tables[places]
        order = places[np.argsort(keys, kind="stable")]
        ends = np.cumsum(np.bincount(keys, minlength=CLASSES * STATES))
        sizes = np.diff(ends, prepend=0)
        used = np.flatnonzero(sizes)
        bounds = [
            (*divmod(key, STATES), stop - size, stop)
            for key, size, stop in zip(
                used.tolist(), sizes[used].tolist(), ends[used].tolist(), strict=True
            )
        ]
        keys = np.repeat(used.astype(np.uint8), sizes[used])
        if previous is None:
            sign = np.broadcast_to(np.int32(1), order.shape)
            middle = np.broadcast_to(np.int32(0), order.shape)
        else:
            before = previous[order]
            sign = np.where(before < 0, np.int32(-1), np.int32(1))
            middle = RATIO * before * sign
        return cls(classes.size, order, sign, middle, keys, bounds)

    def remainders(self, units: FloatArray) -> FloatArray:
        """What the stage quantises of the coded latents, from flat latents in its steps."""
        sign, middle = self.sign.astype(np.float32), self.middle.astype(np.float32)
        return units[self.order] * sign - middle

    def check(self, symbols: IntArray) -> None:
        """Raise FormatError for symbols that lead to integers beyond what a latent can be."""
        if np.abs(symbols + self.middle).max(initial=0) > MAX_MAGNITUDE:
            raise FormatError("a latent is out of range")

    def scatter(self, symbols: IntArray) -> IntArray:
        """Integers (size,) after the stage from the symbols of the coded latents, in the order of the runs."""
        out = np.zeros(self.size, np.int32)
        out[self.order] = (symbols + self.middle) * self.sign
        return out


@dataclass(frozen=True)
class StageTables:
    """Learned tables of one stage.

    Attributes
    ----------
    counts : int32 array (CLASSES, STATES, 2 LIMIT + 2)
        Symbol counts, the escape last; at least 1 each.
    points : float32 array (CLASSES, STATES, 2 LIMIT + 1)
        Reconstruction points of the symbols, in steps.
    first_class : int
        Latents of state 0 in lower classes are not coded.
    """

    counts: IntArray
    points: FloatArray
    first_class: int

    @cached_property
    def bits(self) -> npt.NDArray[np.float64]:
        """Code lengths of the symbols."""
        return code_lengths(self.counts)

    @cached_property
    def _cache(self) -> dict[tuple[int, int, float], tuple[FloatArray, IntArray]]:
        return {}

    def _thresholds(
        self, context_class: int, state: int, weight: float
    ) -> tuple[FloatArray, IntArray]:
        key = (context_class, state, weight)
        if key not in self._cache:
            self._cache[key] = self.thresholds(*key)
        return self._cache[key]

    def thresholds(
        self, context_class: int, state: int, weight: float
    ) -> tuple[FloatArray, IntArray]:
        """Decision thresholds of ``argmin (x - point)**2 + weight * bits`` and the symbol above each.

        The costs differ by lines in x: the decision is their lower envelope.
        """
        points = self.points[context_class, state].astype(np.float64)
        costs = points**2 + weight * self.bits[context_class, state, :-1]
        order = np.argsort(points, kind="stable")
        hull: list[int] = []
        edges: list[float] = []
        for index in order:
            while hull:
                gap = points[index] - points[hull[-1]]
                if gap <= 0:
                    if costs[index] >= costs[hull[-1]]:
                        break
                    edge = -np.inf
                else:
                    edge = (costs[index] - costs[hull[-1]]) / (2 * gap)
                if (edges and edge <= edges[-1]) or not np.isfinite(edge):
                    hull.pop()
                    if edges:
                        edges.pop()
                    continue
                edges.append(edge)
                hull.append(int(index))
                break
            else:
                hull.append(int(index))
        return np.array(edges, np.float32), np.array(hull, np.int32) - LIMIT

    def quantise(self, units: FloatArray, runs: Runs, weight: float) -> IntArray:
        """Choose the symbols of flat latents given in steps of this stage; ``weight`` is lambda in steps**2."""
        offset = runs.remainders(units)
        symbols = np.empty(offset.shape, np.int32)
        for context_class, state, start, stop in runs.bounds:
            part = offset[start:stop]
            if low_bits(context_class, state):
                symbols[start:stop] = np.rint(part)
            else:
                edges, chosen = self._thresholds(context_class, state, weight)
                symbols[start:stop] = chosen[np.searchsorted(edges, part)]
        far = np.flatnonzero(np.abs(offset) > LIMIT + 0.5)
        symbols[far] = np.rint(offset[far])
        return symbols

    def encode(self, coder: SymbolEncoder, symbols: IntArray, runs: Runs) -> None:
        """Range-code the symbols, run by run."""
        for context_class, state, start, stop in runs.bounds:
            shift = low_bits(context_class, state)
            encode_run(coder, symbols[start:stop], self.counts[context_class, state], shift)

    def decode(self, coder: SymbolDecoder, runs: Runs) -> IntArray:
        """Inverse of :meth:`encode`.

        Raises
        ------
        FormatError
            The bytes are invalid, or a value exceeds what a latent can be.
        """
        symbols = np.empty(runs.order.shape, np.int32)
        for context_class, state, start, stop in runs.bounds:
            counts, shift = self.counts[context_class, state], low_bits(context_class, state)
            symbols[start:stop] = decode_run(coder, stop - start, counts, shift)
        runs.check(symbols)
        return symbols

    def reconstruct(self, symbols: IntArray, runs: Runs) -> FloatArray:
        """Values of the latents in steps of this stage."""
        return restore(symbols, runs, runs.keys, self._moves)

    @cached_property
    def _moves(self) -> FloatArray:
        return relative_points(self.points)


RAW = np.array([low_bits(key // STATES, key % STATES) > 0 for key in range(CLASSES * STATES)])
"""Whether the symbols of a table have raw bits."""


def encode_run(
    coder: SymbolEncoder, symbols: IntArray, counts: npt.NDArray[Any], shift: int
) -> None:
    """Range-code the symbols of a run (N,); ``shift`` are the bits of each that are coded raw."""
    if shift:
        centred = symbols + (1 << (shift - 1))
        symbols, low = centred >> shift, centred & ((1 << shift) - 1)
    escaped = np.abs(symbols) > LIMIT
    coder.encode(np.where(escaped, ESCAPE, symbols + LIMIT), counts)
    if shift:
        coder.encode_uniform(low, 1 << shift)
    write_escapes(coder, symbols[escaped])


def decode_run(coder: SymbolDecoder, number: int, counts: npt.NDArray[Any], shift: int) -> IntArray:
    """Inverse of :func:`encode_run`; raises FormatError for invalid bytes."""
    symbols = coder.decode(number, counts) - LIMIT
    low = coder.decode_uniform(np.full(number, 1 << shift)) if shift else None
    read_escapes(coder, symbols, shift)
    return symbols if low is None else (symbols << shift) - (1 << (shift - 1)) + low


def write_escapes(coder: SymbolEncoder, beyond: IntArray) -> None:
    """Range-code symbols (N,) of magnitudes above LIMIT."""
    if beyond.size:
        coder.encode_unbounded(2 * (np.abs(beyond) - LIMIT - 1) + (beyond < 0))


def read_escapes(coder: SymbolDecoder, symbols: IntArray, shift: int = 0) -> None:
    """Put the symbols that :func:`write_escapes` wrote in the place of escapes (N,), ESCAPE - LIMIT.

    Raises
    ------
    FormatError
        The bytes are invalid, or a symbol exceeds what it can be.
    """
    escaped = np.flatnonzero(symbols == ESCAPE - LIMIT)
    if escaped.size:
        code = coder.decode_unbounded(escaped.size)
        if code.max() > MAX_MAGNITUDE >> shift:
            raise FormatError("a latent is out of range")
        magnitude = (code >> 1) + LIMIT + 1
        symbols[escaped] = np.where(code & 1, -magnitude, magnitude)


def relative_points(points: FloatArray) -> FloatArray:
    """Reconstruction points (CLASSES, STATES, …, 2 LIMIT + 1) relative to their symbols, flat.

    With zeros for the symbols on both sides, and for those that have raw bits.
    """
    symbols = np.arange(-LIMIT, LIMIT + 1, dtype=np.float32)
    relative = (points - symbols).astype(np.float32)
    relative[RAW.reshape(CLASSES, STATES)] = 0
    return np.pad(relative, [(0, 0)] * (points.ndim - 1) + [(1, 1)]).ravel()


def restore(symbols: IntArray, runs: Runs, rows: npt.NDArray[Any], moves: FloatArray) -> FloatArray:
    """Values (size,) in steps of the symbols of the coded latents.

    ``moves`` are what :func:`relative_points` gave; ``rows`` tells which table of them a
    latent has.
    """
    index = np.clip(symbols, -LIMIT - 1, LIMIT + 1) + (LIMIT + 1)
    index += rows * np.int32(2 * LIMIT + 3)
    values = (symbols + runs.middle).astype(np.float32)
    values += moves.take(index)
    values *= runs.sign.astype(np.float32)
    out = np.zeros(runs.size, np.float32)
    out[runs.order] = values
    return out
