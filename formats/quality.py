"""Finding the encoder settings that meet a requested error or size.

The learned mode has two knobs: the number of layers, coarse, and the scale of the quantiser steps,
continuous. One encoding of a few sampled tiles with all layers tells error and size of every prefix
of layers; the prefix nearest to the request is then fine-tuned by bisection on the step scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.errors import InputError
from eocodec.mask import find_invalid
from eocodec.payload import RVQ, parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

MAX_SAMPLED_TILES = 16
STEP_SCALES = (0.25, 4.0)
_TOLERANCE = 0.01
_MAX_BISECTIONS = 8


@dataclass(frozen=True)
class Target:
    """What the encoded raster must meet: exactly one of the two.

    Attributes
    ----------
    rmse : float or None
        Largest root-mean-square error over the valid samples of all bands, in DN.
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

    def of(self, point: Point) -> float:
        """Return the figure of `point` that this target limits."""
        return point.rmse if self.rmse is not None else point.bits_per_sample

    def is_met(self, point: Point) -> bool:
        """Tell whether `point` keeps within the target."""
        return self.of(point) <= self.value


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
        Root-mean-square error over their valid samples, in DN.
    learned : bool
        Whether the learned mode coded any of them, so that the settings matter.
    """

    settings: EncodeSettings
    bits_per_sample: float
    rmse: float
    learned: bool = True


def choose_settings(
    tiles: Iterable[NDArray[Any]],
    target: Target,
    settings: EncodeSettings,
    *,
    threads: int | None = None,
) -> Point:
    """Find the cheapest settings that meet `target` on sampled tiles.

    Parameters
    ----------
    tiles : iterable of ndarray, (C, H, W)
        A sample of the raster; the first `MAX_SAMPLED_TILES` are used.
    target : Target
        The error or size asked for.
    settings : EncodeSettings
        Settings to start from; `layers` is the most that may be used.
    threads : int, optional
        Tiles encoded at a time.

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
    with ThreadPoolExecutor(threads) as pool:

        def measure(candidate: EncodeSettings) -> list[Point]:
            curves = pool.map(lambda tile: _tile_curve(tile, candidate), sample)
            return _sum_curves(list(curves), candidate)

        return _search(measure, target, settings)


def _search(
    measure: Callable[[EncodeSettings], list[Point]], target: Target, settings: EncodeSettings
) -> Point:
    prefixes = measure(settings)
    if not prefixes[-1].learned:
        return _or_raise(prefixes[-1], target)
    start = min(prefixes, key=lambda point: abs(_log_distance(target, point)))
    # A larger step is cheaper and coarser: towards a larger error, towards a smaller size.
    coarser = target.is_met(start) == (target.rmse is not None)
    met = [point for point in prefixes if target.is_met(point)]
    best = _cheapest_or_finest(met, target)
    low = math.log2(STEP_SCALES[0]) if not coarser else 0.0
    high = math.log2(STEP_SCALES[1]) if coarser else 0.0
    for _ in range(_MAX_BISECTIONS):
        middle = (low + high) / 2
        point = measure(replace(start.settings, step_scale=settings.step_scale * 2**middle))[-1]
        if target.is_met(point):
            best = _cheapest_or_finest([point, *([best] if best else [])], target)
            if abs(_log_distance(target, point)) < _TOLERANCE:
                break
        if target.is_met(point) == (target.rmse is not None):
            low = middle
        else:
            high = middle
    return best or _or_raise(point, target)


def _cheapest_or_finest(points: Sequence[Point], target: Target) -> Point | None:
    """Return, of points that meet the target, the one that uses it up best."""
    return max(points, key=target.of, default=None)


def _or_raise(point: Point, target: Target) -> Point:
    if target.is_met(point):
        return point
    if target.rmse is not None:
        raise InputError(
            f"an RMSE of {target.rmse:g} DN is below what the model reaches ({point.rmse:.3g}); "
            "ask for a larger error or use lossless compression"
        )
    why = "" if point.learned else " (no model applies to this raster, it is coded without loss)"
    raise InputError(
        f"{target.value:.4g} bits per pixel and band are below what is reached{why}: "
        f"about {point.bits_per_sample:.4g}; ask for a larger size"
    )


def _log_distance(target: Target, point: Point) -> float:
    return math.log(max(target.of(point), 1e-12) / target.value)


@dataclass(frozen=True)
class _TileCurve:
    """Bytes and squared error of every prefix of one tile's layers."""

    sizes: list[int]
    squares: list[float]
    valid: int
    samples: int
    learned: bool


def _tile_curve(pixels: NDArray[Any], settings: EncodeSettings) -> _TileCurve:
    payload = encode_tile(pixels, settings)
    head = parse_head(payload)
    invalid = find_invalid(pixels, settings.nodata)
    valid = np.ones(pixels.shape, bool) if invalid is None else ~invalid
    original = pixels[valid].astype(np.float64)
    learned = head.mode == RVQ
    squares = []
    for layers in range(1, len(head.layer_ends) + 1):
        if learned:
            decoded = decode_tile(payload, layers)[valid].astype(np.float64)
            squares.append(float(np.square(decoded - original).sum()))
        else:
            squares.append(0.0)
    return _TileCurve(list(head.layer_ends), squares, original.size, pixels.size, learned)


def _sum_curves(curves: Sequence[_TileCurve], settings: EncodeSettings) -> list[Point]:
    samples = sum(curve.samples for curve in curves)
    valid = sum(curve.valid for curve in curves)
    points = []
    depth = max(len(curve.sizes) for curve in curves)
    for layers in range(1, depth + 1):
        # A tile with fewer layers (constant, lossless) is complete with all it has.
        size = sum(curve.sizes[min(layers, len(curve.sizes)) - 1] for curve in curves)
        squares = sum(curve.squares[min(layers, len(curve.squares)) - 1] for curve in curves)
        points.append(
            Point(
                settings=replace(settings, layers=layers) if depth > 1 else settings,
                bits_per_sample=8 * size / samples,
                rmse=math.sqrt(squares / max(valid, 1)),
                learned=any(curve.learned for curve in curves),
            )
        )
    return points
