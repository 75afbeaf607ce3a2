"""Error-bounded codecs of floating-point arrays: SZ3, ZFP, SPERR.

Each may lay a field out as it likes; what counts is its smallest coding that truly holds the bound on every
value, after its tolerance was tightened where it must be, or loosened where it is too careful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
class Steps:
    """How a coding is made and read back, of a layout and options that are settled.

    Attributes
    ----------
    encode : callable
        Takes nothing, returns what is stored.
    decode : callable
        Takes that, returns the field.
    """

    encode: Callable[[], Any]
    decode: Callable[[Any], Array]


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
    steps : Steps, optional
        Its encoding and decoding, to run once more.
    """

    size: int
    decoded: Array
    how: str
    tolerance: float = 1.0
    steps: Steps | None = None


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


@dataclass(frozen=True)
class ArrayCoder:
    """Codes one array at an absolute tolerance.

    Attributes
    ----------
    encode : callable
        Takes an array and a tolerance, returns bytes.
    decode : callable
        Takes the bytes and an array of the shape and dtype to return.
    """

    encode: Callable[[Array, float], bytes]
    decode: Callable[[bytes, Array], Array]


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

    def encode() -> list[bytes]:
        return [coder.encode(array, tolerance) for array in layout.split(values)]

    def decode(parts: list[bytes]) -> Array:
        arrays = layout.split(values)
        decoded = [coder.decode(part, like) for part, like in zip(parts, arrays, strict=True)]
        return layout.join(decoded, values.shape)

    parts = encode()
    return Coding(
        sum(map(len, parts)),
        decode(parts),
        f"{how} {layout}".strip(),
        steps=Steps(encode, decode),
    )


@dataclass(frozen=True)
class Sz3:
    """SZ3 (pysz) in all its predictors and all orders of the axes, in up to four dimensions."""

    name: str = "SZ3"
    bounds: tuple[float, ...] = CURVE_BOUNDS
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        """Yield codings."""
        for algorithm in _SZ3_ALGORITHMS:
            coder = _sz3(getattr(szAlgorithm, algorithm))
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
            coding = code_within(_ZFP, layout, values, bound, factors=_ZFP_TOLERANCES)
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
            coding = code_within(_SPERR, layout, values, bound)
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
            yield code_at(_SPERR_PSNR, layout, values, bound / 2, "")


def _sz3(algorithm: Any) -> ArrayCoder:
    def encode(array: Array, tolerance: float) -> bytes:
        config = szConfig()
        config.errorBoundMode = szErrorBoundMode.ABS
        config.absErrorBound = tolerance
        config.cmprAlgo = algorithm
        data, _ = sz.compress(array, config)
        return bytes(data.tobytes())

    def decode(data: bytes, like: Array) -> Array:
        decoded, _ = sz.decompress(np.frombuffer(data, np.uint8), like.dtype, like.shape)
        return np.asarray(decoded)

    return ArrayCoder(encode, decode)


def _encode_zfp(array: Array, tolerance: float) -> bytes:
    return bytes(imagecodecs.zfp_encode(array, tolerance, mode="a", header=True))  # type: ignore[arg-type]


def _decode_zfp(data: bytes, like: Array) -> Array:
    return np.asarray(imagecodecs.zfp_decode(data)).reshape(like.shape)


def _encode_sperr(array: Array, tolerance: float) -> bytes:
    return bytes(imagecodecs.sperr_encode(array, tolerance, "pwe"))


def _encode_sperr_psnr(array: Array, rmse: float) -> bytes:
    spread = float(np.ptp(array)) or 1.0
    psnr = max(20 * float(np.log10(spread / rmse)), _LEAST_PSNR)
    return bytes(imagecodecs.sperr_encode(array, psnr, "psnr"))


def _decode_sperr(data: bytes, like: Array) -> Array:
    return np.asarray(imagecodecs.sperr_decode(data, shape=like.shape, dtype=like.dtype))


_ZFP = ArrayCoder(_encode_zfp, _decode_zfp)
_SPERR = ArrayCoder(_encode_sperr, _decode_sperr)
_SPERR_PSNR = ArrayCoder(_encode_sperr_psnr, _decode_sperr)
