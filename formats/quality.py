"""Finding the encoder settings that meet a requested error or size.

The learned mode has two knobs: the number of layers, coarse, and the scale of the quantiser steps,
continuous. One encoding of a few sampled tiles tells error and size of every prefix of layers, and so
which layers to ask for: those of the prefix just too coarse for the request, which with finer steps take
fewer bytes than one more. Their step scale is then found by a bracketed secant search; error and size
depend on it nearly by a power law. (The last layer of a file is a little finer than in a longer one.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.errors import InputError
from eocodec.formats.eoc.pool import thread_count
from eocodec.mask import find_invalid
from eocodec.payload import RVQ, parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

MAX_SAMPLED_TILES = 16
STEP_SCALES = (0.25, 16.0)
_REACH = {"rmse": 0.8, "size": 1.25}
"""A prefix too coarse by up to this, in ln of the figure, is preferred to the next one."""
_TOLERANCE = 0.02
_MAX_ENCODINGS = 6
# d ln(error) and d ln(size) for a doubling of the steps, to begin with.
_SLOPES = {"rmse": 0.55, "size": -0.55}
# About ln(figure) of a file of some layers less that of a longer one's prefix: the last layer is finer.
_LAST_LAYER = {"rmse": -0.09, "size": 0.1}


@dataclass(frozen=True)
class Target:
    """What the encoded raster must meet: exactly one of the two.

    Attributes
    ----------
    rmse : float or None
        Largest root-mean-square error over the valid samples of all bands, in their unit.
    bits_per_sample : float or None
        Largest size, in bits per pixel and band.
    """

    rmse: float | None = None
    bits_per_sample: float | None = None

    def __post_init__(self) -> None:
        value = self.value
        if (self.rmse is None) == (self.bits_per_sample is None):
            raise InputError("ask for a target error or for a target size, not for both")
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"a target error or size must be above 0, not {value}")

    @property
    def value(self) -> float:
        """The number asked for."""
        return self.rmse if self.rmse is not None else self.bits_per_sample or 0.0

    def excess(self, encoded: _Encoded, layers: int) -> float:
        """Return ln(figure / target) of the first `layers`: at most 0 where the target is met."""
        rmse = self.rmse is not None
        figure = encoded.rmse(layers) if rmse else encoded.bits_per_sample(layers)
        return math.log(max(figure, 1e-12) / self.value)


@dataclass(frozen=True)
class Point:
    """Rate and distortion of the sampled tiles under some settings.

    Attributes
    ----------
    settings : EncodeSettings
        What they were encoded with.
    bits_per_sample : float
        Bits per pixel and band.
    rmse : float
        Root-mean-square error over their valid samples, in their unit.
    """

    settings: EncodeSettings
    bits_per_sample: float
    rmse: float


def choose_settings(
    tiles: Iterable[NDArray[Any]],
    target: Target,
    settings: EncodeSettings,
    *,
    most_layers: int,
    least_layers: int = 1,
    threads: int | None = None,
) -> Point:
    """Find settings that meet `target` closely on sampled tiles.

    Parameters
    ----------
    tiles : iterable of ndarray, (C, H, W)
        A sample of the raster; the first `MAX_SAMPLED_TILES` are used.
    target : Target
        The error or size asked for.
    settings : EncodeSettings
        Settings to start from.
    most_layers : int
        Layers that the model has.
    least_layers : int
        Layers from which on the error follows the step scale.
    threads : int, optional
        Tiles encoded at a time; the process's cores, at most 8, by default.

    Returns
    -------
    Point
        The settings, with the rate and error they gave on the sample.

    Raises
    ------
    InputError
        If the model cannot reach the target, or there are no tiles.
    """
    sample = [tile for tile, _ in zip(tiles, range(MAX_SAMPLED_TILES), strict=False)]
    if not sample:
        raise InputError("there are no samples to find the quality on")
    workers = min(thread_count(threads), len(sample))
    with ThreadPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
        encode = partial(_Encoded, sample, map if pool is None else pool.map)
        encoded = encode(settings)
        if not encoded.learned:
            return _met_or_raise(encoded, 1, target)
        # The default quality is quick to encode and mostly enough to start from.
        finest = len(encoded)
        coarse_enough = (target.excess(encoded, finest) <= 0) == (target.rmse is not None)
        if not coarse_enough and finest < most_layers:
            encoded = encode(replace(settings, layers=most_layers))
        layers = _prefix(encoded, target, least_layers)
        found = _refined(encode, encoded, layers, target)
        if target.rmse is None or not layers < least_layers <= len(encoded):
            return found
        # In calm rasters, one layer more with a large step may be smaller than tokens alone.
        other = _refined(encode, encoded, least_layers, target)
        return min(found, other, key=lambda point: point.bits_per_sample)


def _prefix(encoded: _Encoded, target: Target, least: int) -> int:
    """Return the layers to fine-tune: the most that are too coarse, or one more where they are out of reach."""
    below, above = 1, len(encoded)
    finer_meets = target.rmse is not None
    # Errors fall and sizes grow with every layer, so a binary search finds the two neighbours.
    while above - below > 1:
        middle = (below + above) // 2
        if (target.excess(encoded, middle) <= 0) == finer_meets:
            above = middle
        else:
            below = middle
    reach = _REACH["rmse" if target.rmse is not None else "size"]
    near = below >= min(least, above) and abs(target.excess(encoded, below)) <= reach
    return below if near else above


def _refined(
    encode: Callable[[EncodeSettings], _Encoded], encoded: _Encoded, layers: int, target: Target
) -> Point:
    """Search the step scale, as its logarithm to base 2, for the given number of layers."""
    base = replace(encoded.settings, layers=layers)
    low, high = (math.log2(scale) for scale in STEP_SCALES)
    kind = "rmse" if target.rmse is not None else "size"
    slope = _SLOPES[kind]
    at, excess = 0.0, target.excess(encoded, layers)
    whole = layers == len(encoded)
    if not whole:
        excess += _LAST_LAYER[kind]
    best: tuple[float, Point] | None = None
    for tries in range(_MAX_ENCODINGS + 1):
        if whole:
            if excess <= 0 and (best is None or excess > best[0]):
                best = excess, encoded.point(layers)
            if -_TOLERANCE <= excess <= 0 or tries == _MAX_ENCODINGS:
                break
            # A larger step has a larger error and a smaller size.
            if (excess > 0) == (slope > 0):
                high = min(high, at)
            else:
                low = max(low, at)
        # Aims a little within the target, further after each try.
        following = at - (excess + _TOLERANCE / 2 * (1 + tries / 2)) / slope
        if not low < following < high:
            bound = low if following <= low else high
            # An outer bound may itself be tried; between two tries their middle is.
            following = bound if bound in map(math.log2, STEP_SCALES) else (low + high) / 2
        if whole and abs(following - at) < 1e-3:
            break
        scale = base.step_scale * 2**following
        encoded = encode(replace(base, step_scale=scale))
        layers = min(layers, len(encoded))
        before, excess = excess, target.excess(encoded, layers)
        if whole and (excess - before) / (following - at) * slope > 0:
            slope = (excess - before) / (following - at)
        at, whole = following, True
    return best[1] if best is not None else _met_or_raise(encoded, layers, target)


def _met_or_raise(encoded: _Encoded, layers: int, target: Target) -> Point:
    point = encoded.point(layers)
    if target.excess(encoded, layers) <= 0:
        return point
    if target.rmse is not None:
        raise InputError(
            f"an RMSE of {target.rmse:g} is below what the model reaches "
            f"(about {point.rmse:.3g}); ask for a larger error or use lossless compression"
        )
    why = "" if encoded.learned else " (no model applies to this raster, it is coded without loss)"
    raise InputError(
        f"{target.value:.4g} bits per pixel and band are below what is reached{why}: "
        f"about {point.bits_per_sample:.4g}; ask for a larger size"
    )


class _Encoded:
    """Sampled tiles encoded with some settings; errors are measured when they are asked for.

    `each` is `map`, or that of a pool.
    """

    def __init__(
        self,
        sample: Sequence[NDArray[Any]],
        each: Callable[..., Iterable[Any]],
        settings: EncodeSettings,
    ) -> None:
        self.settings = settings
        self._sample, self._each = sample, each
        self._payloads: list[bytes] = list(each(lambda tile: encode_tile(tile, settings), sample))
        self._heads = [parse_head(payload) for payload in self._payloads]
        self._rmse: dict[int, float] = {}

    def __len__(self) -> int:
        return max(len(head.layer_ends) for head in self._heads)

    @property
    def learned(self) -> bool:
        """Whether the learned mode coded any tile, so that the settings matter."""
        return any(head.mode == RVQ for head in self._heads)

    def bits_per_sample(self, layers: int) -> float:
        """Bits per pixel and band of the first `layers`; a tile with fewer counts whole."""
        ends = (head.layer_ends for head in self._heads)
        size = sum(end[min(layers, len(end)) - 1] for end in ends)
        return 8 * size / sum(tile.size for tile in self._sample)

    def rmse(self, layers: int) -> float:
        """Root-mean-square error of the first `layers` over the valid samples."""
        if layers not in self._rmse:
            sums = list(self._each(partial(self._squares, layers), range(len(self._sample))))
            valid = sum(count for _, count in sums)
            self._rmse[layers] = math.sqrt(sum(total for total, _ in sums) / max(valid, 1))
        return self._rmse[layers]

    def point(self, layers: int) -> Point:
        """Return rate and error of the first `layers`, and the settings that give them."""
        chosen = replace(self.settings, layers=layers) if self.learned else self.settings
        return Point(chosen, self.bits_per_sample(layers), self.rmse(layers))

    def _squares(self, layers: int, number: int) -> tuple[float, int]:
        pixels, head = self._sample[number], self._heads[number]
        invalid = find_invalid(pixels, *self.settings.invalid_values)
        valid = np.ones(pixels.shape, bool) if invalid is None else ~invalid
        if head.mode != RVQ:
            return 0.0, int(np.count_nonzero(valid))
        error = decode_tile(self._payloads[number], layers)[valid].astype(np.float64)
        error -= pixels[valid]
        return float(np.square(error).sum()), error.size
