"""What an encoder is asked to keep of a tile."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from eocodec.bounds import ErrorBounds, MaxError, bounds_for, check_bounds
from eocodec.errors import InputError
from eocodec.mask import MAX_FILLS

_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "lossless": ("True or False", (bool,)),
    "only_reflectance": ("True or False", (bool,)),
    "nodata": ("a number", (int, float)),
    "model": ("a name", (str,)),
    "layers": ("a whole number", (int,)),
    "step_scale": ("a number", (int, float)),
    "unit": ("a number", (int, float)),
}


def _plain(value: Any) -> Any:
    """Return a number of NumPy, or several, as Python's."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """What a tile must keep.

    Attributes
    ----------
    lossless : bool
        Keep every sample exactly.
    nodata : int, float or None
        Samples of this value are invalid: kept exactly, outside the model.
    special : tuple of int or float
        Further values kept as nodata is. No valid sample is decoded to any of them.
    model : str or None
        Model name or id; None takes the default model.
    layers : int or None
        Layers to write in the learned mode, which is asked for by them.
    step_scale : float
        Multiplies the quantiser steps of the learned mode; above 1 is smaller and coarser. Other than 1, it asks for
        the learned mode too, at the model's default quality.
    unit : float or None
        What one DN (1e-4 of reflectance), the unit of those steps, is in the unit of the data. None: found from the
        tile, see `eocodec.units.natural_unit`. Models of fields have none.
    only_reflectance : bool
        Learned layers only where the samples look like reflectances in that unit; other tiles are exact.
    max_error : float, tuple of float or None, or None
        Largest absolute error, in the unit of the data: one for all bands, or one a band, where None
        leaves a band without this bound.
    max_relative_error : float or None
        Largest error as a share of the sample's magnitude.
    max_error_sqrt : float or None
        Largest error divided by the square root of the sample's magnitude, as sensor noise grows.

    Where nothing is asked, every sample is kept exactly. With bounds, or `lossless`, the encoder takes the smallest
    mode that meets them, unless `layers` or `step_scale` ask for the learned layers: then a last layer adds the
    guarantee.

    Raises
    ------
    InputError
        When an option is of another type; a bound is negative or not finite, or a relative one is not below 1; or
        when more than 15 values are to be kept exactly.
    """

    lossless: bool = False
    nodata: int | float | None = None
    special: tuple[int | float, ...] = ()
    model: str | None = None
    layers: int | None = None
    step_scale: float = 1.0
    unit: float | None = None
    only_reflectance: bool = False
    max_error: MaxError | None = None
    max_relative_error: float | None = None
    max_error_sqrt: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, (told, kinds) in _TYPES.items():
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
            ):
                raise InputError(f"{name} is {told}, not {value!r}")
        if self.unit is not None and not 0 < self.unit < math.inf:
            raise InputError(f"unit must be a finite number above 0, not {self.unit}")
        check_bounds(self.max_error, self.max_relative_error, self.max_error_sqrt)
        kept = {value for value in self.invalid_values if value == value}
        if len(kept) > MAX_FILLS:
            raise InputError(
                f"{len(kept)} values of nodata and special; at most {MAX_FILLS} are kept exactly"
            )

    @property
    def invalid_values(self) -> tuple[int | float, ...]:
        """Values of invalid samples: `nodata` and `special`."""
        return self.special if self.nodata is None else (self.nodata, *self.special)

    @property
    def asks_for_layers(self) -> bool:
        """Whether the learned layers are wanted even where another mode meets the bounds."""
        return self.layers is not None or self.step_scale != 1.0

    @property
    def bounded(self) -> bool:
        """Whether an error is bounded."""
        given = (self.max_error, self.max_relative_error, self.max_error_sqrt)
        return any(bound is not None for bound in given)

    @property
    def network_scale(self) -> float:
        """Factor on the quantiser steps of the model, in the unit of the data."""
        return self.step_scale * (1.0 if self.unit is None else self.unit)

    def bounds(self, bands: int) -> ErrorBounds | None:
        """Return the error bounds of a tile of `bands` bands; None where nothing is bounded.

        Raises
        ------
        InputError
            When `max_error` is given for another number of bands.
        """
        if self.lossless:
            return ErrorBounds((0.0,) * bands)
        return bounds_for(bands, self.max_error, self.max_relative_error, self.max_error_sqrt)
