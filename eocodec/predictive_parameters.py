"""The integers that steer a pass of the predictive layer; SPEC.md, "Predictive layer", is normative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WEIGHT_BITS = 8
MAX_REFERENCES = 4
MAX_WEIGHT = 32767
MAX_SHIFT = 6
SCALE_WEIGHTS = 9
TAPER_LEVELS = 3
TAPER_UNIT = 16
# Context weights that can be sent: 0 to 8, then four an octave.
SCALES = np.array(
    [*range(8), *((4 + part) << octave for octave in range(1, 29) for part in range(4))]
)


@dataclass(frozen=True)
class PassKind:
    """Which parameters a pass has.

    Attributes
    ----------
    spatial : int
        Number of spatial weights.
    details : int
        Number of spectral weights a reference.
    scales : bool
        Whether all context weights are sent, or the constant alone.
    """

    spatial: int
    details: int
    scales: bool


KINDS = (
    PassKind(0, 0, False),
    PassKind(0, 1, False),
    PassKind(7, 1, True),
    PassKind(11, 1, True),
    PassKind(11, 7, True),
    PassKind(11, 15, True),
)


@dataclass(frozen=True)
class PassParameters:
    """The integers that steer one pass, all sent in the side information.

    Attributes
    ----------
    kind : int
        Index into `KINDS`.
    shift : int
        Spatial and spectral weights are multiples of 2**shift.
    spatial : tuple of int
        Weights of neighbours 1, 2, ..., in 1/256.
    spectral : tuple of int
        For each reference plane the same number of weights, in 1/256: of its detail at the sample, then
        of the pairs of `PAIRS` in order.
    scales : tuple of int
        Weights of the context terms, in 1/256: constant, near and far gradient, near and far errors,
        error of the first coded reference, its cross sum, summed errors of the other ones, detail of the
        learned reference.
    """

    kind: int
    shift: int
    spatial: tuple[int, ...]
    spectral: tuple[int, ...]
    scales: tuple[int, ...]


@dataclass(frozen=True)
class Taper:
    """How the largest error of a plane falls towards coarse levels, which finer ones build on.

    Attributes
    ----------
    shares : tuple of int
        Shares of the plane's largest error at levels 1, 2 and from 3 on, in 1/16.
    """

    shares: tuple[int, ...] = (TAPER_UNIT,) * TAPER_LEVELS

    def at(self, near: int, level: int) -> int:
        """Return the largest error at a level."""
        share = self.shares[min(level, TAPER_LEVELS) - 1] if level else TAPER_UNIT
        return near * share // TAPER_UNIT
