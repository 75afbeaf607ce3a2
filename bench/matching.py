"""Finding the setting at which a codec has a given size or error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.peers.base import Peer, Stack
from eocodec.metrics import compare

_TRIES = 9
_TOLERANCE = 0.015
_LEAST_STEP = 0.1
"""Share of what is left that a try takes at least."""


@dataclass(frozen=True)
class Coded:
    """A stack coded at one setting.

    Attributes
    ----------
    name : str
        The codec's.
    setting : int or float
        Its setting.
    data : bytes
        What it wrote.
    decoded : ndarray (C, H, W)
        What it reads back.
    rmse : float
        Error over all bands in DN.
    """

    name: str
    setting: Any
    data: bytes
    decoded: npt.NDArray[Any]
    rmse: float

    @property
    def bpppb(self) -> float:
        """Bits per pixel and band."""
        return 8 * len(self.data) / self.decoded.size


def code(peer: Peer, stack: Stack, setting: Any) -> Coded:
    """Encode and decode a stack."""
    data = peer.encode(stack, setting)
    decoded = peer.decode(data, stack.shape)
    return Coded(peer.name, setting, data, decoded, compare(stack, decoded).total_rmse)


def at_size(peer: Peer, stack: Stack, size: int) -> Coded:
    """Code at the setting whose bytes are nearest to `size`."""
    return _nearest(peer, stack, lambda coded: math.log(len(coded.data) / size))


def at_error(peer: Peer, stack: Stack, rmse: float) -> Coded:
    """Code at the setting whose error is nearest to `rmse`, in DN."""
    return _nearest(peer, stack, lambda coded: math.log(rmse / max(coded.rmse, 1e-9)))


def _nearest(peer: Peer, stack: Stack, excess: Callable[[Coded], float]) -> Coded:
    """Close in between the peer's settings, whose `excess` rises from the first to the last.

    The next setting to try is where the excess would be 0 if it rose evenly, once it is known on both sides.
    """
    low, high = 0.0, len(peer.settings) - 1.0
    below = above = math.nan
    best: tuple[float, Coded] | None = None
    tried = set()
    for _ in range(_TRIES):
        share = 0.5 if math.isnan(below + above) else below / (below - above)
        middle = low + min(max(share, _LEAST_STEP), 1 - _LEAST_STEP) * (high - low)
        setting = _between(peer.settings, middle)
        if setting in tried:
            break
        tried.add(setting)
        coded = code(peer, stack, setting)
        over = excess(coded)
        if best is None or abs(over) < abs(best[0]):
            best = over, coded
        if abs(over) < _TOLERANCE:
            break
        if over > 0:
            high, above = middle, over
        else:
            low, below = middle, over
    assert best is not None
    return best[1]


def _between(settings: tuple[Any, ...], at: float) -> Any:
    """Interpolate the settings at a position: floats in equal ratios, integers rounded."""
    where = np.arange(len(settings))
    if all(isinstance(setting, int) for setting in settings):
        return round(float(np.interp(at, where, settings)))
    return float(np.exp(np.interp(at, where, np.log(settings))))
