"""What is kept of each variable of a file of fields: what was asked of it, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import xarray as xr

from eocodec.codec_models import FIELD_MODEL, find_card
from eocodec.errors import InputError
from eocodec.formats.chunk_axes import ChunkAxes
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.field_kinds import field_names, whole_or_few
from eocodec.xarray.bounds import REAL_INFORMATION, Asked, Plan, plan_of
from eocodec.xarray.stored import Packing, field_axes, has_samples, special_values
from eocodec.xarray.writing import MOST_IN_HEADER

_BOUNDS = (
    "max_error",
    "max_relative_error",
    "max_error_sqrt",
    "max_range_error",
    "keep_real_information",
)
_FEW_SAMPLES = 1024
# What netCDF libraries put where nothing was written.
_UNWRITTEN = 9.969209968386869e36


def field_plans(ds: xr.Dataset, options: CompressOptions) -> dict[str, Plan]:
    """Return what is kept of each variable of an undecoded dataset that a tile can hold.

    Raises
    ------
    InputError
        When an option cannot be, contradicts another, or names a variable that there is not.
    """
    asked = _asked(options, ds)
    fields = field_names(ds)
    plans = {}
    for key, variable in ds.variables.items():
        name = str(key)
        if not has_samples(variable):
            continue
        axes = field_axes(variable, ds.variables)
        own, reason = _asked_of(name, variable, axes, asked, is_field=name in fields)
        plan = plan_of(
            name,
            variable,
            own,
            Packing.of(variable.attrs),
            axes,
            partial(ds.variables.__getitem__, key),
        )
        plans[name] = Plan(plan.options, reason) if reason else plan
    return plans


def _asked_of(
    name: str, variable: xr.Variable, axes: ChunkAxes, asked: Asked, *, is_field: bool
) -> tuple[Asked, str]:
    """Return what is asked of one variable, or the default; and why it is exact where nobody asked that."""
    exact: Asked = {"lossless": True}
    named = any(isinstance(value, Mapping) and name in value for value in asked.values())
    if asked.get("lossless"):
        return exact, "as asked"
    if not (is_field or named):
        return exact, "no field"
    own: dict[str, Any] = dict(asked)
    for key, value in asked.items():
        own[key] = value.get(name) if isinstance(value, Mapping) else value
    if not named and variable.dtype.kind != "f" and not Packing.of(variable.attrs).packed:
        # Whole numbers that are no packed values have no mantissa.
        own["keep_real_information"] = None
    bounded = any(own.get(key) is not None for key in _BOUNDS)
    if not (bounded or named):
        # Of what looks like no field, an error that was asked of every field is the user's word; a quality is not.
        if own.get("quality") is None and variable.dtype.kind != "f":
            return exact, "packed" if Packing.of(variable.attrs).packed else "whole numbers"
        if own.get("quality") is None and variable.size < _FEW_SAMPLES:
            return exact, f"fewer than {_FEW_SAMPLES} samples"
        if variable.dtype.kind == "f":
            reason = whole_or_few(variable, axes, special_values(variable))
            if reason:
                return exact, reason
    if own.get("quality") is not None:
        own["model"] = own.get("model") or FIELD_MODEL
    elif not bounded:
        own["keep_real_information"] = REAL_INFORMATION
    if variable.dtype.kind == "f" and not special_values(variable):
        own["nodata"] = float(variable.dtype.type(_UNWRITTEN))
    return own, ""  # type: ignore[return-value]


def _asked(options: CompressOptions, ds: xr.Dataset) -> Asked:
    settings = options.settings
    if settings.model is not None and find_card(settings.model).ndim != 3:
        raise InputError(
            f"model {find_card(settings.model).name} is for rasters of bands; fields take {FIELD_MODEL}"
        )
    asked: Asked = {
        "lossless": settings.lossless or None,
        "model": settings.model,
        "quality": settings.layers,
        "max_error": options.max_error or settings.max_error,
        "max_relative_error": options.max_relative_error or settings.max_relative_error,
        "max_error_sqrt": settings.max_error_sqrt,
        "max_range_error": options.max_range_error,
        "keep_real_information": options.keep_real_information,
    }
    if settings.lossless and any(asked.get(key) is not None for key in _BOUNDS):
        raise InputError("lossless leaves no error to bound; ask for one of both")
    for value in asked.values():
        for name in value if isinstance(value, Mapping) else ():
            if name not in ds.variables or not has_samples(ds.variables[name]):
                names = ", ".join(sorted(field_names(ds)))
                raise InputError(f"no field is called {name!r}; there are {names}")
            if ds.variables[name].ndim < 2 and ds.variables[name].size <= MOST_IN_HEADER:
                raise InputError(
                    f"{name!r} has one axis of {ds.variables[name].size} values, which are always exact: "
                    "leave it out of the bounds"
                )
    return asked
