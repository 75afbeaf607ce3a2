"""Variables too small for tiles, and attributes, as the JSON of a container's header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from eocodec.errors import FormatError, InputError

ROOM = "xarray"
"""Name under which what these modules need is kept in `ArrayHeader.extra`."""

_KINDS = "biufSU"


def dump_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON can hold them; a NaN `_FillValue` is left out, NaN needs none."""
    plain = {str(key): _plain(value) for key, value in attrs.items()}
    return {key: value for key, value in plain.items() if value != "NaN"}


def dump_variable(name: str, variable: xr.Variable) -> dict[str, Any]:
    """Return a CF-encoded variable as JSON can hold it.

    Raises
    ------
    InputError
        When its dtype is none of numbers and text.
    """
    values = np.asarray(variable.values)
    if values.dtype == object:
        values = values.astype(str)
    if values.dtype.kind not in _KINDS:
        raise InputError(f"variable {name!r} of {values.dtype} samples cannot be stored: drop it")
    return {
        "dims": [str(dim) for dim in variable.dims],
        "dtype": "str" if values.dtype.kind in "SU" else values.dtype.name,
        "data": _plain(values.astype(str) if values.dtype.kind == "S" else values),
        "attrs": dump_attrs(variable.attrs),
    }


def parse_variable(said: Any) -> xr.Variable:
    """Return what `dump_variable` was given; raises `FormatError` for anything else."""
    try:
        dims, data, attrs = tuple(said["dims"]), said["data"], dict(said["attrs"])
        dtype = np.dtype(said["dtype"])
        if dtype.kind not in _KINDS:
            raise ValueError(f"dtype {dtype}")
        values = np.array(data, dtype)
        # Text as objects is what xarray writes to every format without complaint.
        return xr.Variable(dims, values.astype(object) if dtype.kind in "SU" else values, attrs)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"the header holds a malformed variable: {error}") from error


def parse_dataset(said: Any) -> tuple[dict[str, Any], dict[str, xr.Variable]]:
    """Return the attributes and small variables of a dataset; raises `FormatError` for anything else."""
    try:
        variables = {name: parse_variable(one) for name, one in said.get("variables", {}).items()}
        return dict(said.get("attrs", {})), variables
    except (AttributeError, TypeError, ValueError) as error:
        raise FormatError(f"the header describes a malformed dataset: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (str, int, float, bool)) else str(value)
