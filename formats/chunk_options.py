"""What users ask of the chunks of an array, as a small JSON object: the same in every container."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

import numpy as np

from eocodec.bounds import MaxError
from eocodec.codec_models import find_card
from eocodec.errors import InputError
from eocodec.formats.chunk_axes import ChunkAxes, chunk_axes
from eocodec.tile import EncodeSettings

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, kw_only=True)
class ChunkOptions:
    """What the chunks must keep, and what their axes are. Without any of them, every sample.

    Attributes
    ----------
    model : str or None
        Model name or id; None takes the default model.
    quality : int or None
        Learned layers to write, from 1: more is better and larger.
    max_error : float, sequence of float or None, or None
        Largest absolute error of any valid sample, in the unit of the stored data: for all bands, or
        one a band.
    max_relative_error : float or None
        Largest error as a share of the sample's magnitude.
    max_error_sqrt : float or None
        Largest error divided by the square root of the sample's magnitude.
    lossless : bool
        Keep every sample, as by default.
    nodata : int, float or None
        Samples of this value are kept exactly; NaN always is.
    special : sequence of int or float, or None
        Further values kept exactly, as nodata is.
    dims : sequence of str or None
        A name an axis of the chunks, see `chunk_axes`. None takes the last two as rows and columns,
        the one before as bands; or a short last axis as bands, see `bands_last`.
    chunk_shape : sequence of int or None
        Shape of a chunk, in stores whose tiles are cut at the far edges of the array, as those of `.eoc`
        are: decoders fill them up to it with zeros. None: every chunk is whole.

    Raises
    ------
    InputError
        When an option is malformed or contradicts another.
    ModelError
        When the model is not installed.
    """

    model: str | None = None
    quality: int | None = None
    max_error: MaxError | Sequence[float | None] | None = None
    max_relative_error: float | None = None
    max_error_sqrt: float | None = None
    lossless: bool = False
    nodata: int | float | str | None = None
    special: Sequence[int | float | str] | None = None
    dims: Sequence[str | None] | None = None
    chunk_shape: Sequence[int] | None = None

    def __post_init__(self) -> None:
        for name, parse in _PARSERS.items():
            value = getattr(self, name)
            if isinstance(value, (np.ndarray, np.generic)):
                value = value.tolist()
            if value is not None:
                object.__setattr__(self, name, parse(name, value))
        _ = self.settings
        asked = [name for name in _LOSSY if getattr(self, name) is not None]
        if self.lossless and asked:
            raise InputError(f"lossless and {asked[0]} exclude each other")
        if self.quality is not None:
            layers = find_card(self.model).layers
            if not 1 <= self.quality <= layers:
                raise InputError(f"quality is a whole number of 1 to {layers}, not {self.quality}")
        if self.chunk_shape is not None:
            self.axes(self.chunk_shape)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> ChunkOptions:
        """Read what `to_json` gave; raises `InputError` for other keys."""
        unknown = sorted(set(given) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"the configuration has unknown keys {', '.join(unknown)}")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """Return what is not as by default, as JSON can hold it."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        said = {
            name: value for name, value in given.items() if value is not None and value is not False
        }
        for name in ("max_error", "dims", "chunk_shape"):
            if isinstance(said.get(name), tuple):
                said[name] = list(said[name])
        if "nodata" in said:
            said["nodata"] = _plain(said["nodata"])
        if "special" in said:
            said["special"] = [_plain(value) for value in said["special"]]
        return said

    @property
    def settings(self) -> EncodeSettings:
        """What `encode_tile` is asked for."""
        lossy = any(getattr(self, name) is not None for name in _LOSSY)
        return EncodeSettings(
            lossless=not lossy,
            nodata=self.nodata,  # type: ignore[arg-type]
            special=self.special or (),  # type: ignore[arg-type]
            model=self.model,
            layers=self.quality,
            max_error=self.max_error,  # type: ignore[arg-type]
            max_relative_error=self.max_relative_error,
            max_error_sqrt=self.max_error_sqrt,
        )

    def axes(self, shape: Sequence[int]) -> ChunkAxes:
        """Return the roles of the axes of a chunk of `shape`; raises `InputError` if `dims` has another length."""
        return chunk_axes(len(shape), self.dims, shape)


_LOSSY = ("quality", "max_error", "max_relative_error", "max_error_sqrt")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} is a name, not {value!r}")
    return str(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} is True or False, not {value!r}")
    return value


def _number(name: str, value: Any) -> float:
    """Return a number of Python, integers as int: those of 64 bits are no floats."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InputError(f"{name} is a number, not {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if number != number // 1:
        raise InputError(f"{name} is a whole number, not {value!r}")
    return int(number)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _max_error(name: str, value: Any) -> float | tuple[float | None, ...]:
    if not _is_list(value):
        return _number(name, value)
    return tuple(None if one is None else _number(name, one) for one in value)


def _nodata(name: str, value: Any) -> float | None:
    """Return a nodata value as a number, None for NaN, which is invalid at any rate."""
    named = isinstance(value, str) and value in _NOT_FINITE
    number = _NOT_FINITE[value] if named else _number(name, value)
    return None if math.isnan(number) else number


def _special(name: str, value: Any) -> tuple[float, ...] | None:
    if not _is_list(value):
        raise InputError(f"{name} are several numbers, not {value!r}")
    kept = [_nodata(name, one) for one in value]
    return tuple(one for one in kept if one is not None) or None


def _plain(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    if math.isfinite(value):
        return value
    return "Infinity" if value > 0 else "-Infinity"


def _dims(name: str, value: Any) -> tuple[str | None, ...]:
    names = tuple(value) if _is_list(value) else ()
    if not names or any(one is not None and not isinstance(one, str) for one in names):
        raise InputError(f"{name} are several names, one an axis, not {value!r}")
    return tuple(None if one is None else str(one) for one in names)


def _extents(name: str, value: Any) -> tuple[int, ...]:
    extents = tuple(_whole(name, one) for one in value) if _is_list(value) else ()
    if not extents or min(extents) < 1:
        raise InputError(f"{name} is a whole number of at least 1 for each axis, not {value!r}")
    return extents


_PARSERS = {
    "model": _text,
    "quality": _whole,
    "max_error": _max_error,
    "max_relative_error": _number,
    "max_error_sqrt": _number,
    "lossless": _flag,
    "nodata": _nodata,
    "special": _special,
    "dims": _dims,
    "chunk_shape": _extents,
}
