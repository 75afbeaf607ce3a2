"""What is asked of a variable, in the unit of its values, as what its stored samples must keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.cf import missing as missing
from eocodec.formats.chunk_axes import ChunkAxes, Role
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.mask import MAX_FILLS
from eocodec.xarray.stored import Packing, special_values
from eocodec.xarray.survey import Survey, survey_field

REAL_INFORMATION = 0.99
"""Share of the real information that is kept of fields of which nothing is asked."""

MOST_SPECIAL = MAX_FILLS - 3
"""Missing values of a variable that can be kept beside an error: NaN and the infinities take a place each."""

_LEAST_PAIRS = 1000
_INFORMATION = "% of the real information"
_NO_INFORMATION = "no real information was found in it"
_ALL_INFORMATION = "all of its mantissa bits hold real information"
_SURPRISING = (_NO_INFORMATION, _ALL_INFORMATION)
_BOUNDS = ("max_error", "max_relative_error", "max_error_sqrt")


class Asked(TypedDict, total=False):
    """Options of `encoding` and `to_eoc`: each one value, or a mapping of variable name to value."""

    model: Any
    quality: Any
    max_error: Any
    max_relative_error: Any
    max_error_sqrt: Any
    max_range_error: Any
    keep_real_information: Any
    lossless: Any
    nodata: Any


@dataclass(frozen=True)
class Plan:
    """What is kept of a variable, and how to say it.

    Attributes
    ----------
    options : ChunkOptions
        In the unit of the stored samples, as a CF reader sees them.
    detail : str
        What was asked, such as "max error 0.1 K", or why the variable is exact.
    warning : str
        What the user should know, "" where there is nothing.
    """

    options: ChunkOptions
    detail: str = ""
    warning: str = ""

    @property
    def mode(self) -> str:
        """How the variable is coded: "exact", "within a bound" or "learned"."""
        if self.options.quality is not None:
            return "learned"
        settings = self.options.settings
        bands = len(settings.max_error) if isinstance(settings.max_error, tuple) else 1
        bounds = settings.bounds(bands)
        return "exact" if bounds is None or bounds.exact else "within a bound"


def stored_options(
    name: str,
    variable: xr.Variable,
    asked: Asked,
    packing: Packing,
    axes: ChunkAxes,
    stored: Callable[[], xr.Variable],
) -> ChunkOptions:
    """Return the options of a variable in the unit of its stored samples; see `plan_of`."""
    return plan_of(name, variable, asked, packing, axes, stored).options


def plan_of(
    name: str,
    variable: xr.Variable,
    asked: Asked,
    packing: Packing,
    axes: ChunkAxes,
    stored: Callable[[], xr.Variable],
) -> Plan:
    """Return what is kept of a variable, in the unit of its stored samples, which may be packed.

    Bounds hold for the samples as a CF reader sees them. Packed samples are never bounded below one of
    their steps: they are kept exactly instead. Where a relative bound meets an offset of the packing, the
    smallest magnitude of each level tells the bound.

    Parameters
    ----------
    name : str
        Name of the variable.
    variable : xr.Variable
        The variable, which tells its fill values.
    asked : Asked
        What is asked of all variables.
    packing : Packing
        How its values are packed.
    axes : ChunkAxes
        Its axes.
    stored : callable
        Gives its samples as they are stored.

    Raises
    ------
    InputError
        When an option is malformed, or excludes another.
    """
    given = {key: _of(value, name) for key, value in asked.items()}
    given = {key: value for key, value in given.items() if value is not None}
    of_range = _share("max_range_error", given.pop("max_range_error", None))
    kept = _share("keep_real_information", given.pop("keep_real_information", None))
    options = ChunkOptions.from_json(given)
    if options.lossless and (of_range, kept) != (None, None):
        raise InputError("lossless and another bound exclude each other")
    told: list[Any] = [] if options.nodata is None else [options.nodata]
    special = list(dict.fromkeys([*told, *special_values(variable)]))
    options = replace(options, nodata=special[0] if special else None)
    bounded = (of_range, kept) != (None, None) or any(
        getattr(options, key) is not None for key in _BOUNDS
    )
    if not bounded and options.quality is None:
        return Plan(options)
    if len(special) > MOST_SPECIAL:
        return Plan(
            _exact(options),
            f"{len(special)} missing values",
            f"{name} is kept exactly: it names {len(special)} missing values, at most {MOST_SPECIAL} "
            "can be kept beside an error",
        )
    options = replace(options, special=tuple(special[1:]))
    detail = _said(options, of_range, kept, _unit(variable))
    if not bounded:
        return Plan(options, detail)
    bands = axes.extents(variable.shape)[Role.BAND]
    allowed = (
        np.full(bands, np.inf) if options.max_error is None else _each(options.max_error, bands)
    )
    allowed = np.array([_divided(value, abs(packing.scale)) for value in allowed])
    relative, root = options.max_relative_error, options.max_error_sqrt
    shifted = packing.offset != 0 and (relative, root, kept) != (None, None, None)
    reason = ""
    if shifted or (of_range, kept) != (None, None):
        survey = survey_field(stored(), axes, packing, special, information=kept is not None)
        if of_range is not None:
            allowed = np.minimum(allowed, of_range * (survey.high - survey.low))
        if kept is not None and survey.bits is not None:
            bits, reason = _mantissa_bits(survey, kept)
            if bits is None:
                allowed[:] = 0
            else:
                relative = min(relative or 1.0, 2.0 ** -(bits + 1))
                detail = detail.replace(_INFORMATION, f"{_INFORMATION} ({_mantissa(bits)})")
        if shifted:
            steps = survey.smallest / abs(packing.scale)
            if relative is not None:
                allowed = np.minimum(allowed, relative * steps)
            if root is not None:
                allowed = np.minimum(allowed, root * np.sqrt(survey.smallest) / abs(packing.scale))
            relative = root = None
    if root is not None:
        root = _divided(root, abs(packing.scale) ** 0.5)
    if np.dtype(variable.encoding.get("dtype") or variable.dtype).kind in "iu":
        allowed = np.floor(allowed)
    if not allowed.any():
        warning = f"{name} is kept exactly: {reason}" if reason in _SURPRISING else ""
        return Plan(_exact(options), reason or f"{detail} leaves nothing to round", warning)
    return Plan(
        replace(
            options, max_error=_bound(allowed), max_relative_error=relative, max_error_sqrt=root
        ),
        detail,
    )


def _mantissa_bits(survey: Survey, share: float) -> tuple[int | None, str]:
    """Return the mantissa bits that hold a share of the real information; None, and why, where all are kept."""
    found = survey.bits
    if found is None or survey.low == survey.high:
        return None, "all of its values are alike"
    if found.pairs < _LEAST_PAIRS:
        return None, "it has too few values to tell their real information"
    bits = found.keepbits(share)
    if bits is None:
        return None, _NO_INFORMATION
    if bits >= found.mantissa:
        return None, _ALL_INFORMATION
    return bits, ""


def _mantissa(bits: int) -> str:
    return f"{bits} mantissa bit{'s' * (bits != 1)}: errors up to {100 * 2.0 ** -(bits + 1):.3g} % of a value"


def _exact(options: ChunkOptions) -> ChunkOptions:
    bounds: dict[str, Any] = dict.fromkeys(_BOUNDS)
    # Layers may be wanted all the same, for a preview; the guarantee after them is then of every sample.
    return replace(options, **bounds | {"max_error": 0.0}, special=())


def _said(options: ChunkOptions, of_range: float | None, kept: float | None, unit: str) -> str:
    """Say what was asked of a variable, bounds in the unit of its values."""
    said = [] if options.quality is None else [f"quality {options.quality}"]
    bound = options.max_error
    if isinstance(bound, Sequence):
        each = [value for value in bound if value is not None]
        said += [f"max error {min(each):g} to {max(each):g} {unit}".rstrip()] if each else []
    elif bound is not None:
        said.append(f"max error {bound:g} {unit}".rstrip())
    if options.max_relative_error is not None:
        said.append(f"max error {100 * options.max_relative_error:g} % of the value")
    if options.max_error_sqrt is not None:
        said.append(f"max error {options.max_error_sqrt:g} times the square root of the value")
    if of_range is not None:
        said.append(f"max error {100 * of_range:g} % of the range")
    if kept is not None:
        said.append(f"{100 * kept:g} {_INFORMATION}")
    return " and ".join(said)


def _unit(variable: xr.Variable) -> str:
    unit = variable.attrs.get("units")
    return unit if isinstance(unit, str) else ""


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


def _share(option: str, value: Any) -> float | None:
    if value is None:
        return None
    least = 0 if option == "max_range_error" else 1e-9
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1:
        raise InputError(f"{option} is a share from 0 to 1, not {value!r}")
    return float(value)


def _each(bound: Any, bands: int) -> npt.NDArray[np.float64]:
    if not isinstance(bound, Sequence):
        return np.full(bands, float(bound))
    if len(bound) != bands:
        raise InputError(f"max_error has {len(bound)} bounds for {bands} bands")
    return np.array([np.inf if value is None else float(value) for value in bound])


def _bound(allowed: npt.NDArray[np.float64]) -> float | tuple[float | None, ...] | None:
    """Return bounds of levels, infinity without one, as one number where they are alike."""
    each = [None if math.isinf(value) else float(value) for value in allowed]
    return each[0] if len(set(each)) == 1 else tuple(each)


def _divided(bound: float, scale: float) -> float:
    # 0.0003 / 0.0001 is 3, whatever the last bit says.
    return float(f"{bound / scale:.12g}")
