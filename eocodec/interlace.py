"""The interlaced lattice of a plane: the passes, their neighbours, prediction and context.

A grid splits into four phases by row and column parity. Phase (0, 0) is the next coarser grid;
given it, the phases (1, 1), (0, 1) and (1, 0) are coded in this order, each in one vectorised
pass, from neighbours on all sides. All arithmetic is integer and wraps in the plane's word (int32
or int64). SPEC.md, "Predictive layer", is the normative description.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.predictive_parameters import WEIGHT_BITS, PassParameters

IntArray = npt.NDArray[Any]
Phases = dict[tuple[int, int], IntArray]
Shape = tuple[int, int]

PASSES: tuple[Shape, ...] = ((1, 1), (0, 1), (1, 0))
PHASES: tuple[Shape, ...] = ((0, 0), *PASSES)
MARGIN = 2

# Twelve neighbours of a pass as (rows, columns) from the sample; the four nearest come first.
_NEIGHBOURS: dict[Shape, tuple[Shape, ...]] = {
    (1, 1): (
        *((-1, -1), (1, 1), (-1, 1), (1, -1)),
        *((-1, -3), (1, 3), (-1, 3), (1, -3)),
        *((-3, -1), (3, 1), (-3, 1), (3, -1)),
    ),
    (0, 1): (
        *((0, -1), (0, 1), (-1, 0), (1, 0)),
        *((-2, -1), (2, 1), (-2, 1), (2, -1)),
        *((-1, -2), (1, 2), (-1, 2), (1, -2)),
    ),
    (1, 0): (
        *((-1, 0), (1, 0), (0, -1), (0, 1)),
        *((-1, -1), (1, 1), (-1, 1), (1, -1)),
        *((-1, -2), (1, 2), (-1, 2), (1, -2)),
    ),
}
_CROSS: tuple[Shape, ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
# One of each pair of opposite neighbours of a sample in a reference, the nearest pairs first.
PAIRS: tuple[Shape, ...] = (
    *((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)),
    *((1, 2), (1, -2), (2, 1), (2, -1), (2, 2), (2, -2), (0, 3), (3, 0)),
)


def level_shapes(height: int, width: int) -> list[Shape]:
    """Return the grid shapes from the finest to 1 x 1."""
    shapes = [(height, width)]
    while shapes[-1] != (1, 1):
        height, width = (height + 1) // 2, (width + 1) // 2
        shapes.append((height, width))
    return shapes


def phase_shape(shape: Shape, phase: Shape) -> Shape:
    """Return the shape of one phase of a grid of `shape`."""
    return (shape[0] - phase[0] + 1) // 2, (shape[1] - phase[1] + 1) // 2


def pad_phase(phase: IntArray) -> IntArray:
    """Return `phase` with its edges replicated `MARGIN` samples outward (zeros when empty)."""
    height, width = phase.shape
    out = np.zeros((height + 2 * MARGIN, width + 2 * MARGIN), phase.dtype)
    if phase.size:
        rows = out[MARGIN : MARGIN + height]
        rows[:, MARGIN : MARGIN + width] = phase
        rows[:, :MARGIN] = phase[:, :1]
        rows[:, MARGIN + width :] = phase[:, -1:]
        out[:MARGIN] = rows[:1]
        out[MARGIN + height :] = rows[-1:]
    return out


def join_phases(phases: Phases, shape: Shape) -> IntArray:
    """Return the grid of `shape` that the four padded phases form."""
    grid = np.empty(shape, phases[0, 0].dtype)
    for (row, column), padded in phases.items():
        part = grid[row::2, column::2]
        part[...] = padded[MARGIN:, MARGIN:][: part.shape[0], : part.shape[1]]
    return grid


@dataclass
class CodedPlane:
    """A plane as the later ones see it: padded phases of values and of |residual|, finest first.

    A learned plane has no residuals: it is known before any pass.
    """

    values: list[Phases] = field(default_factory=list)
    errors: list[Phases] = field(default_factory=list)


KnownPlane = list[Phases]


def known_plane(grid: IntArray) -> KnownPlane:
    """Return the padded phases, finest first, of a plane (H, W) that is known before any pass."""
    levels: KnownPlane = []
    for _ in level_shapes(*grid.shape)[1:]:
        levels.append({phase: pad_phase(grid[phase[0] :: 2, phase[1] :: 2]) for phase in PHASES})
        grid = grid[::2, ::2]
    return levels


class PassContext:
    """Everything a decoder knows when it starts a pass: neighbours, references, past errors."""

    def __init__(
        self,
        phase: Shape,
        shape: Shape,
        values: Phases,
        errors: Phases,
        references: list[CodedPlane],
        labels: KnownPlane | None,
        level: int,
    ) -> None:
        self.shape = phase_shape(shape, phase)
        self.taps = [self._tap(values, phase, offset) for offset in _NEIGHBOURS[phase]]
        self.near = self.taps[0] + self.taps[1] + self.taps[2] + self.taps[3]
        self._errors = [self._tap(errors, phase, offset) for offset in _NEIGHBOURS[phase]]
        self._shown = [reference.values[level] for reference in references]
        self._misses = [reference.errors[level] for reference in references if reference.errors]
        self._learned = [
            place for place, reference in enumerate(references) if not reference.errors
        ]
        self._labels = None if labels is None else labels[level]
        self._phase = phase
        self._around = [self._sum(shown, phase, _NEIGHBOURS[phase][:4]) for shown in self._shown]

    @property
    def references(self) -> int:
        """Number of reference planes."""
        return len(self._shown)

    def _tap(self, phases: Phases, phase: Shape, offset: Shape) -> IntArray:
        row, column = phase[0] + offset[0], phase[1] + offset[1]
        source = phases[row & 1, column & 1]
        top, left = MARGIN + (row >> 1), MARGIN + (column >> 1)
        return source[top : top + self.shape[0], left : left + self.shape[1]]

    def _sum(self, phases: Phases, phase: Shape, offsets: tuple[Shape, ...]) -> IntArray:
        total = self._tap(phases, phase, offsets[0]) + self._tap(phases, phase, offsets[1])
        for offset in offsets[2:]:
            total += self._tap(phases, phase, offset)
        return total

    def detail(self, reference: int, pair: int, rows: slice = slice(None)) -> IntArray:
        """Return 4 times what a reference adds to the mean of its near neighbours, for the given rows.

        Pair 0 is the sample itself, pair k the mean of the k-th of `PAIRS` and its opposite.
        """
        phases = self._shown[reference]
        if pair == 0:
            detail = 4 * self._tap(phases, self._phase, (0, 0))[rows]
        else:
            row, column = PAIRS[pair - 1]
            detail = (
                self._tap(phases, self._phase, (row, column))[rows]
                + (self._tap(phases, self._phase, (-row, -column))[rows])
            )
            detail *= 2
        detail -= self._around[reference][rows]
        return detail

    def predict(self, parameters: PassParameters, top: int) -> IntArray:
        """Return the prediction, clipped to 0..top."""
        rest = (1 << WEIGHT_BITS) - sum(parameters.spatial)
        total = rest * self.near
        total += 2 << WEIGHT_BITS
        scratch = np.empty_like(total)
        for weight, tap in zip(parameters.spatial, self.taps[1:], strict=False):
            if weight:
                np.multiply(tap, 4 * weight, out=scratch)
                total += scratch
        each = len(parameters.spectral) // max(1, self.references)
        for place, weight in enumerate(parameters.spectral):
            if weight:
                reference, pair = divmod(place, each)
                np.multiply(self.detail(reference, pair), weight, out=scratch)
                total += scratch
        total >>= WEIGHT_BITS + 2
        return np.clip(total, 0, top, out=total)

    def copies(self) -> tuple[npt.NDArray[np.bool_], IntArray] | None:
        """Return where a near neighbour has the sample's label, and the plane's value there.

        The first such neighbour counts; None without labels.
        """
        if self._labels is None:
            return None
        value = self.taps[0].copy()
        hit = np.zeros(value.shape, bool)
        centre = self._tap(self._labels, self._phase, (0, 0))
        for index, offset in enumerate(_NEIGHBOURS[self._phase][:4]):
            same = centre == self._tap(self._labels, self._phase, offset)
            same &= ~hit
            np.copyto(value, self.taps[index], where=same)
            hit |= same
        return hit, value

    def scale_terms(self, rows: slice = slice(None)) -> list[IntArray]:
        """Return the context terms after the constant, for the given rows."""
        taps = [tap[rows] for tap in self.taps]
        errors = [error[rows] for error in self._errors]
        shape = taps[0].shape
        near = np.abs(taps[0] - taps[1])
        near += np.abs(taps[2] - taps[3])
        far = np.abs(taps[4] - taps[5])
        for index in (6, 8, 10):
            far += np.abs(taps[index] - taps[index + 1])
        near_errors = errors[0] + errors[1]
        near_errors += errors[2]
        near_errors += errors[3]
        far_errors = errors[4] + errors[5]
        for error in errors[6:]:
            far_errors += error
        terms = [near, far, near_errors, far_errors]
        none = np.zeros(shape, near.dtype)
        others = none
        if self._misses:
            first = self._misses[0]
            terms.append(self._tap(first, self._phase, (0, 0))[rows])
            cross = [self._tap(first, self._phase, offset)[rows] for offset in _CROSS]
            terms.append((cross[0] + cross[1]) + (cross[2] + cross[3]))
            for misses in self._misses[1:]:
                others = others + self._tap(misses, self._phase, (0, 0))[rows]
        else:
            terms += [none, none]
        terms.append(others)
        details = [np.abs(self.detail(place, 0, rows)) for place in self._learned]
        terms.append(details[0] if details else none)
        return terms

    def scale(self, parameters: PassParameters, near: int = 0) -> IntArray:
        """Return the expected magnitude of the residual, in 1/256 of the quantiser step 2 `near` + 1."""
        terms = self.scale_terms()
        total = np.full(self.shape, parameters.scales[0], self.near.dtype)
        scratch = np.empty_like(total)
        for weight, term in zip(parameters.scales[1:], terms, strict=False):
            if weight:
                np.multiply(term, weight, out=scratch)
                total += scratch
        if near:
            total //= 2 * near + 1
        return total
