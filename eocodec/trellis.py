"""Dependent quantisation of a tile's last refinement stage (trellis-coded quantisation).

Two quantisers take turns; the points of the second lie half way between those of the first. Latents form chains,
and which quantiser a latent has follows from the parities of the symbols before it in its chain, through a machine
of eight states. The encoder looks for the cheapest path through the states of each chain (Viterbi). Nothing can
refine what such a stage leaves, so only the last one of a tile is coded this way. After Schwarz, Nguyen, Marpe and
Wiegand, Hybrid video coding with trellis-coded quantization, DCC 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder, code_lengths
from eocodec.refinement import (
    CLASSES,
    ESCAPE,
    LIMIT,
    RAW,
    STATES,
    Runs,
    decode_run,
    encode_run,
    low_bits,
    read_escapes,
    relative_points,
    restore,
    write_escapes,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

QUANTISERS = 2
MOST_CHAINS = 2048
CHAIN_LENGTH = 256
"""Chains are at least about so long, unless there are ``MOST_CHAINS``."""
FINENESS = 8
"""The encoder looks up candidates for latents rounded to this part of a step."""
BINS = 2 * (LIMIT + 1) * FINENESS + 1
NEVER = np.float32(1e9)
_PART = 2**14
"""Costs are found for so many latents at once, which stay in the processor's cache."""
WEIGHT_SHARE = 0.8
"""What a bit weighs here relative to plain stages of the same step."""

FIRST_CHAINED = 5
"""Latents of state 0 in lower classes, nearly all zero, are outside the chains and have the first quantiser."""
CHAINED = np.array(
    [
        not low_bits(*divmod(table, STATES))
        and (table % STATES > 0 or table // STATES >= FIRST_CHAINED)
        for table in range(CLASSES * STATES)
    ]
)
"""Whether the latents of a table belong to chains."""

NEXT = np.array([[0, 2], [5, 7], [1, 3], [6, 4], [2, 0], [4, 6], [3, 1], [7, 5]], np.uint8)
"""State after a symbol of even or odd parity; in states of odd number a latent has the second quantiser."""
STEPS = np.argsort(NEXT, axis=None, kind="stable").reshape(len(NEXT), 2).T
"""The two ways (2, states) into each state: 2 * state before + parity."""
BEFORE = (STEPS // 2).astype(np.uint8)
LABEL = (BEFORE % 2 * 2 + STEPS % 2).astype(np.uint8)
"""The quantiser and the parity of the ways into each state, as 2 * quantiser + parity."""


@dataclass(frozen=True)
class Path:
    """What a stage codes of its coded latents, in the order of their runs.

    ``second`` (bool) tells which latents have the second quantiser.
    """

    symbols: IntArray
    second: npt.NDArray[np.bool_]


def _in_chains(context_class: int, state: int) -> bool:
    return bool(CHAINED[context_class * STATES + state])


def _chains(runs: Runs) -> int:
    """Number of chains of a stage."""
    size = sum(stop - start for *table, start, stop in runs.bounds if _in_chains(*table))
    return max(1, min(MOST_CHAINS, size // CHAIN_LENGTH))


def _steps(start: int, stop: int, chains: int) -> Iterator[tuple[slice, int]]:
    """Latents of a run that the chains take at the same time, one each, and how many."""
    for first in range(start, stop, chains):
        yield slice(first, min(first + chains, stop)), min(chains, stop - first)


@dataclass(frozen=True)
class TrellisTables:
    """Learned tables of one stage as the last one.

    Attributes
    ----------
    counts : int32 array (CLASSES, STATES, QUANTISERS, 2 LIMIT + 2)
        Symbol counts, the escape last; at least 1 each.
    points : float32 array (CLASSES, STATES, QUANTISERS, 2 LIMIT + 1)
        Reconstruction points of the symbols, in steps.
    """

    counts: IntArray
    points: FloatArray

    @cached_property
    def bits(self) -> npt.NDArray[np.float64]:
        """Code lengths of the symbols."""
        return code_lengths(self.counts)

    @cached_property
    def _cache(self) -> dict[float, tuple[npt.NDArray[np.int8], FloatArray, FloatArray]]:
        return {}

    def _candidates(self, weight: float) -> tuple[npt.NDArray[np.int8], FloatArray, FloatArray]:
        """Cheapest symbol of each quantiser and parity (tables * BINS, 4) for latents in the middle of a bin.

        The second and third array give its cost for a latent x: the second less x times the third, plus x**2.
        """
        if weight not in self._cache:
            points = self.points.reshape(CLASSES * STATES, 1, -1, 2 * LIMIT + 1).astype(np.float64)
            bits = self.bits[..., :-1].reshape(points.shape)
            middle = np.arange(BINS)[:, None, None] / FINENESS - LIMIT - 1
            still = points**2 + weight * bits
            cost = still - 2 * middle * points
            odd = np.arange(2 * LIMIT + 1) % 2 != LIMIT % 2
            best = np.stack(
                [np.where(odd == parity, cost, np.inf).argmin(axis=-1) for parity in (0, 1)],
                axis=-1,
            )

            def chosen(values: npt.NDArray[np.float64]) -> FloatArray:
                out = np.take_along_axis(np.broadcast_to(values, cost.shape), best, axis=-1)
                return out.astype(np.float32).reshape(-1, 4)

            symbols = (best - LIMIT).astype(np.int8).reshape(-1, 4)
            self._cache[weight] = symbols, chosen(still), chosen(2 * points)
        return self._cache[weight]

    def quantise(self, units: FloatArray, runs: Runs, weight: float) -> Path:
        """Choose the path of flat latents given in steps of this stage.

        ``weight`` are the squared steps that a bit is worth in a plain stage.
        """
        symbols, still, slope = self._candidates(weight * WEIGHT_SHARE)
        offset = runs.remainders(units)
        place = np.clip(np.rint(offset * FINENESS), -(BINS // 2), BINS // 2).astype(np.int32)
        place += runs.keys * np.int32(BINS) + np.int32(BINS // 2)
        cost = np.empty((4, offset.size), np.float32)
        for start in range(0, offset.size, _PART):
            part = slice(start, start + _PART)
            some = place[part]
            costs = offset[part, None] * slope.take(some, axis=0)
            np.subtract(still.take(some, axis=0), costs, out=costs)
            cost[:, part] = costs.T
        beyond = np.abs(offset) > LIMIT + 0.5
        cost[:, beyond] = np.array([0, NEVER, 0, NEVER], np.float32)[:, None]
        label = _cheapest_path(cost, runs)
        chosen = symbols.ravel()[place * 4 + label].astype(np.int32)
        plain = np.flatnonzero(beyond | RAW[runs.keys])
        chosen[plain] = np.rint(offset[plain])
        return Path(chosen, label > 1)

    def encode(self, coder: SymbolEncoder, path: Path, runs: Runs) -> None:
        """Range-code a path, run by run."""
        chains = _chains(runs)
        for context_class, state, start, stop in runs.bounds:
            counts = self.counts[context_class, state]
            symbols = path.symbols[start:stop]
            if not _in_chains(context_class, state):
                encode_run(coder, symbols, counts[0], low_bits(context_class, state))
                continue
            escaped = np.abs(symbols) > LIMIT
            index = np.where(escaped, ESCAPE, symbols + LIMIT)
            second = path.second[start:stop]
            for part, _ in _steps(0, stop - start, chains):
                for quantiser, chosen in enumerate((~second[part], second[part])):
                    coder.encode(index[part][chosen], counts[quantiser])
            write_escapes(coder, symbols[escaped])

    def decode(self, coder: SymbolDecoder, runs: Runs) -> Path:
        """Inverse of :meth:`encode`.

        Raises
        ------
        FormatError
            The bytes are invalid, or a value exceeds what a latent can be.
        """
        symbols = np.empty(runs.order.shape, np.int32)
        second = np.zeros(runs.order.shape, bool)
        chains = _chains(runs)
        states = np.zeros(chains, np.uint8)
        for context_class, state, start, stop in runs.bounds:
            counts = self.counts[context_class, state]
            if not _in_chains(context_class, state):
                shift = low_bits(context_class, state)
                symbols[start:stop] = decode_run(coder, stop - start, counts[0], shift)
                continue
            for part, number in _steps(start, stop, chains):
                before = states[:number]
                chosen = (before & 1).astype(bool)
                index = np.empty(before.shape, np.int32)
                for quantiser, some in enumerate((~chosen, chosen)):
                    index[some] = coder.decode(int(np.count_nonzero(some)), counts[quantiser])
                second[part] = chosen
                symbols[part] = index - LIMIT
                states[:number] = NEXT.ravel()[2 * before + ((index + LIMIT) & 1)]
            read_escapes(coder, symbols[start:stop])
        runs.check(symbols)
        return Path(symbols, second)

    def reconstruct(self, path: Path, runs: Runs) -> FloatArray:
        """Values of the latents in steps of this stage."""
        rows = runs.keys * np.int32(QUANTISERS) + path.second
        return restore(path.symbols, runs, rows, self._moves)

    @cached_property
    def _moves(self) -> FloatArray:
        return relative_points(self.points)


def _cheapest_path(cost: FloatArray, runs: Runs) -> npt.NDArray[np.uint8]:
    """Labels (N,) of the cheapest path through ``cost`` (4, N), what every label costs each latent."""
    chains = _chains(runs)
    steps = [
        step
        for context_class, state, start, stop in runs.bounds
        if _in_chains(context_class, state)
        for step in _steps(start, stop, chains)
    ]
    total = np.full((len(NEXT), chains), NEVER)
    total[0] = 0
    second = np.zeros((len(NEXT), cost.shape[1]), bool)
    for part, number in steps:
        here = total[:, :number]
        ways = here[BEFORE] + cost[:, part][LABEL]
        np.less(ways[1], ways[0], out=second[:, part])
        np.minimum(ways[0], ways[1], out=here)
    states = total.argmin(axis=0)
    label: npt.NDArray[np.uint8] = (cost[1] < cost[0]).astype(np.uint8)
    for part, number in reversed(steps):
        here = states[:number]
        way = second[:, part][here, np.arange(number)].astype(np.intp)
        label[part] = LABEL[way, here]
        here[:] = BEFORE[way, here]
    return label
