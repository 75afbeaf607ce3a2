"""Bjøntegaard rate differences between curves of rate against error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from bjontegaard import bd_rate

from bench.measures import Point
from eocodec.metrics import psnr_of

LOWEST_RMSE, HIGHEST_RMSE = 20.0, 120.0
"""Errors in DN over which rates are compared: 38.4 to 54 dB for a peak of 10000."""
_SLACK_DB = 0.01


class Rated(Protocol):
    """A size and its error."""

    @property
    def bytes(self) -> int: ...  # noqa: D102

    @property
    def rmse(self) -> float: ...  # noqa: D102


RatedT = TypeVar("RatedT", bound=Rated)


@dataclass(frozen=True)
class RateDifference:
    """Bytes of one codec relative to another at equal error, averaged in log bytes over PSNR.

    Attributes
    ----------
    percent : float
        -50 means half the bytes; NaN where the curves have no error in common.
    lowest_rmse, highest_rmse : float
        Errors in DN that both curves reach, within 20 to 120.
    """

    percent: float
    lowest_rmse: float
    highest_rmse: float

    @property
    def partial(self) -> bool:
        """Whether a curve does not span 20 to 120 DN."""
        reached = psnr_of(self.highest_rmse), psnr_of(self.lowest_rmse)
        wanted = psnr_of(HIGHEST_RMSE), psnr_of(LOWEST_RMSE)
        return reached[0] > wanted[0] + _SLACK_DB or reached[1] < wanted[1] - _SLACK_DB


def hull(points: Sequence[RatedT]) -> list[RatedT]:
    """Keep the points that no other beats in both bytes and error, small files first."""
    best: list[RatedT] = []
    for point in sorted(points, key=lambda p: (p.bytes, p.rmse)):
        if not best or (point.rmse < best[-1].rmse and point.bytes > best[-1].bytes):
            best.append(point)
    return best


def rate_difference(ours: list[Point], theirs: list[Point]) -> RateDifference:
    """Bjøntegaard rate difference of one curve against another (VCEG-M33), by monotone cubics.

    The integral is over the part of 20 to 120 DN that both curves reach.
    """
    nothing = RateDifference(float("nan"), float("nan"), float("nan"))
    (our_rate, our_psnr), (their_rate, their_psnr) = _arrays(ours), _arrays(theirs)
    if min(len(our_rate), len(their_rate)) < 2:
        return nothing
    low = max(our_psnr.min(), their_psnr.min(), psnr_of(HIGHEST_RMSE))
    high = min(our_psnr.max(), their_psnr.max(), psnr_of(LOWEST_RMSE))
    if high <= low:
        return nothing
    _, anchor, test = bd_rate(
        their_rate,
        their_psnr,
        our_rate,
        our_psnr,
        method="pchip",
        require_matching_points=False,
        interpolators=True,
        min_overlap=0,
    )
    log10 = (test.integrate(low, high) - anchor.integrate(low, high)) / (high - low)
    return RateDifference(float(100 * (10**log10 - 1)), _rmse_of(high), _rmse_of(low))


def bytes_at(points: Sequence[Rated], rmse: float) -> float:
    """Bytes at an error, linear between points in log bytes and log error; NaN outside."""
    curve = hull(points)[::-1]
    errors = np.log([point.rmse for point in curve])
    sizes = np.log([point.bytes for point in curve])
    return float(np.exp(np.interp(np.log(rmse), errors, sizes, left=np.nan, right=np.nan)))


def _arrays(points: list[Point]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rates and PSNR of the hull, PSNR rising."""
    curve = [point for point in hull(points) if point.rmse > 0]
    return (
        np.array([point.bpppb for point in curve]),
        np.array([point.psnr for point in curve]),
    )


def _rmse_of(psnr: float) -> float:
    return float(10 ** ((psnr_of(1.0) - psnr) / 20))
