"""Error-bounded codecs of floating-point arrays: SZ3, ZFP, SPERR.

Each may lay a field out as it likes; what counts is its smallest coding that truly holds the bound on every
value, after its tolerance was tightened where it must be, or loosened where it is too careful.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import imagecodecs
import numpy as np
from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

from bench.fields.data import Values
from bench.fields.layouts import (
    Array,
    Layout,
    native_layouts,
    permuted_layouts,
    volume_layouts,
)

TIGHTER = (1.0, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5)
"""Tolerances to try, relative to the bound."""
BOUNDS = (1e-2, 1e-3, 1e-4)
"""Bounds of the comparison, relative to the spread of a field."""
CURVE_BOUNDS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
"""Bounds that span a curve of size against RMSE."""
_ZFP_TOLERANCES = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5)
_LEAST_PSNR = 0.1
_SZ3_ALGORITHMS = ("INTERP_LORENZO", "INTERP", "LORENZO_REG")


@dataclass(frozen=True)
class Coding:
    """What a codec made of a field within a bound.

    Attributes
    ----------
    size : int
        Bytes, all but those of shape, layout and lengths of parts.
    decoded : ndarray (T, L, Y, X)
        What it reads back.
    how : str
        Layout and options.
    tolerance : float
        The tolerance it was given, relative to the bound.
    """

    size: int
    decoded: Array
    how: str
    tolerance: float = 1.0


class FieldCodec(Protocol):
    """A codec of fields.

    Attributes
    ----------
    name : str
        What tables and plots call it.
    bounds : tuple of float
        Bounds at which it is measured, relative to the spread of a field.
    bounded : bool
        Whether it keeps bounds; the others only take part at equal RMSE.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def bounds(self) -> tuple[float, ...]: ...  # noqa: D102

    @property
    def bounded(self) -> bool: ...  # noqa: D102

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings (T, L, Y, X) within the bound, at least one where the codec can."""


class ArrayCoder(Protocol):
    """Codes one array at an absolute tolerance."""

    def __call__(self, array: Array, tolerance: float) -> tuple[bytes, Array]:
        """Return the bytes and what they decode to."""


def smallest(codec: FieldCodec, values: Values, bound: float) -> Coding | None:
    """Return the smallest coding, of those that hold the bound if it keeps any; None where there is none."""
    found = codec.codings(values, bound)
    if codec.bounded:
        found = (c for c in found if largest_error(values, c.decoded) <= bound)
    return min(found, key=lambda coding: coding.size, default=None)


def largest_error(values: Array, decoded: Array) -> float:
    """Return the largest absolute error in double precision; infinite where it is not finite."""
    error = float(np.abs(decoded.astype(np.float64) - values).max())
    return error if np.isfinite(error) else np.inf


def code_within(
    coder: ArrayCoder,
    layout: Layout,
    values: Values,
    bound: float,
    how: str = "",
    factors: Iterable[float] = TIGHTER,
) -> Coding | None:
    """Code in a layout at the first tolerance, of `factors` times the bound, that holds the bound."""
    for factor in factors:
        coding = code_at(coder, layout, values, factor * bound, how)
        if largest_error(values, coding.decoded) <= bound:
            return replace(coding, tolerance=factor)
    return None


def code_at(
    coder: ArrayCoder, layout: Layout, values: Values, tolerance: float, how: str
) -> Coding:
    """Code in a layout at a tolerance."""
    coded = [coder(array, tolerance) for array in layout.split(values)]
    decoded = layout.join([array for _, array in coded], values.shape)
    return Coding(sum(len(data) for data, _ in coded), decoded, f"{how} {layout}".strip())


@dataclass(frozen=True)
class Sz3:
    """SZ3 (pysz) in all its predictors and all orders of the axes, in up to four dimensions."""

    name: str = "SZ3"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        for algorithm in _SZ3_ALGORITHMS:

            def coder(
                array: Array, tolerance: float, algorithm: str = algorithm
            ) -> tuple[bytes, Array]:
                config = szConfig()
                config.errorBoundMode = szErrorBoundMode.ABS
                config.absErrorBound = tolerance
                config.cmprAlgo = getattr(szAlgorithm, algorithm)
                data, _ = sz.compress(array, config)
                decoded, _ = sz.decompress(data, array.dtype, array.shape)
                return data.tobytes(), decoded

            for layout in permuted_layouts(values.shape):
                coding = code_within(coder, layout, values, bound, algorithm)
                if coding is not None:
                    yield coding


@dataclass(frozen=True)
class Zfp:
    """ZFP with fixed accuracy, in up to four dimensions.

    Its tolerance is a power of two to it, and far from reached: it is given the largest that holds.
    """

    name: str = "ZFP"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        layouts = dict.fromkeys(native_layouts(values.shape) + volume_layouts(values.shape))
        for layout in layouts:
            coding = code_within(_zfp, layout, values, bound, factors=_ZFP_TOLERANCES)
            if coding is not None:
                yield coding


@dataclass(frozen=True)
class Sperr:
    """SPERR (CDF 9/7, SPECK, outlier coding) with a point-wise error, in two or three dimensions."""

    name: str = "SPERR"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        for layout in volume_layouts(values.shape):
            coding = code_within(_sperr, layout, values, bound)
            if coding is not None:
                yield coding


@dataclass(frozen=True)
class SperrPsnr:
    """SPERR at a PSNR, without outlier coding; the target is an RMSE of half the bound."""

    name: str = "SPERR, PSNR"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = False

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        for layout in volume_layouts(values.shape):
            yield code_at(_sperr_psnr, layout, values, bound / 2, "")


def _zfp(array: Array, tolerance: float) -> tuple[bytes, Array]:
    data = imagecodecs.zfp_encode(array, tolerance, mode="a", header=True)  # type: ignore[arg-type]
    return bytes(data), np.asarray(imagecodecs.zfp_decode(data)).reshape(array.shape)


def _sperr(array: Array, tolerance: float) -> tuple[bytes, Array]:
    data = imagecodecs.sperr_encode(array, tolerance, "pwe")
    decoded: Any = imagecodecs.sperr_decode(data, shape=array.shape, dtype=array.dtype)
    return bytes(data), decoded


def _sperr_psnr(array: Array, rmse: float) -> tuple[bytes, Array]:
    spread = float(np.ptp(array)) or 1.0
    psnr = max(20 * float(np.log10(spread / rmse)), _LEAST_PSNR)
    data = imagecodecs.sperr_encode(array, psnr, "psnr")
    decoded: Any = imagecodecs.sperr_decode(data, shape=array.shape, dtype=array.dtype)
    return bytes(data), decoded
