"""What users ask of the chunks of an array, as a small JSON object: the same in every container."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
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
    dims : sequence of str or None
        A name an axis of the chunks, see `chunk_axes`; None takes the last two as rows and columns,
        the one before as bands.
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
    dims: Sequence[str | None] | None = None
    chunk_shape: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_error, Sequence):
            object.__setattr__(self, "max_error", tuple(self.max_error))
        if self.dims is not None:
            if isinstance(self.dims, str):
                raise InputError(f"dims are several names, not {self.dims!r}")
            object.__setattr__(self, "dims", tuple(self.dims))
        if self.chunk_shape is not None:
            object.__setattr__(self, "chunk_shape", _extents(self.chunk_shape))
        object.__setattr__(self, "nodata", _number(self.nodata))
        asked = [name for name in _LOSSY if getattr(self, name) is not None]
        if self.lossless and asked:
            raise InputError(f"lossless and {asked[0]} exclude each other")
        if self.quality is not None:
            layers = find_card(self.model).layers
            if self.quality != int(self.quality) or not 1 <= self.quality <= layers:
                raise InputError(f"quality is a whole number of 1 to {layers}, not {self.quality}")
        _ = self.settings

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
        if "nodata" in said and not math.isfinite(said["nodata"]):
            said["nodata"] = "Infinity" if said["nodata"] > 0 else "-Infinity"
        return said

    @property
    def settings(self) -> EncodeSettings:
        """What `encode_tile` is asked for."""
        lossy = any(getattr(self, name) is not None for name in _LOSSY)
        return EncodeSettings(
            lossless=not lossy,
            nodata=self.nodata,  # type: ignore[arg-type]
            model=self.model,
            layers=self.quality,
            max_error=self.max_error,  # type: ignore[arg-type]
            max_relative_error=self.max_relative_error,
            max_error_sqrt=self.max_error_sqrt,
        )

    def axes(self, ndim: int) -> ChunkAxes:
        """Return the roles of the axes of a chunk of `ndim`; raises `InputError` if `dims` has another length."""
        return chunk_axes(ndim, self.dims)


_LOSSY = ("quality", "max_error", "max_relative_error", "max_error_sqrt")


def _extents(given: Sequence[int]) -> tuple[int, ...]:
    whole = not isinstance(given, str) and all(n == int(n) and n >= 1 for n in given)
    if not whole or not given:
        raise InputError(f"chunk_shape is one whole number an axis, not {given!r}")
    return tuple(int(n) for n in given)


def _number(value: int | float | str | None) -> int | float | None:
    """Return a nodata value as a number, None for NaN, which is invalid at any rate."""
    if isinstance(value, str):
        if value not in _NOT_FINITE:
            raise InputError(f"nodata {value!r} is no number")
        value = _NOT_FINITE[value]
    if value is None:
        return None
    # 64-bit integers are no floats.
    number = int(value) if isinstance(value, (int, np.integer)) else float(value)
    return number if number == number else None
