"""Variables too small for tiles, and attributes, as the JSON of a container's header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import FormatError, InputError

_KINDS = "biufSU"
_NUMBERS = "biuf"


def dump_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON can hold them; numbers of numpy with their dtype."""
    return {str(key): _dump_attr(value) for key, value in attrs.items()}


def parse_attrs(said: Any) -> dict[str, Any]:
    """Return what `dump_attrs` was given; raises `FormatError` for anything else."""
    try:
        return {str(key): _parse_attr(value) for key, value in said.items()}
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"the header holds malformed attributes: {error}") from error


def dump_variable(name: str, variable: xr.Variable) -> dict[str, Any]:
    """Return a CF-encoded variable as JSON can hold it.

    Raises
    ------
    InputError
        When its dtype is none of numbers and text.
    """
    values = np.asarray(variable.values)
    if values.dtype == object and all(isinstance(item, (str, bytes)) for item in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in _KINDS or (values.dtype.kind == "f" and values.dtype.itemsize > 8):
        raise InputError(f"variable {name!r} of {values.dtype} samples cannot be stored: drop it")
    dtype = {"S": f"S{values.dtype.itemsize}", "U": "str"}.get(values.dtype.kind, values.dtype.name)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "latin-1")
    return {
        "dims": [str(dim) for dim in variable.dims],
        "shape": list(values.shape),
        "dtype": dtype,
        "data": _plain(values.ravel()),
        "attrs": dump_attrs(variable.attrs),
    }


def parse_variable(said: Any) -> xr.Variable:
    """Return what `dump_variable` was given; raises `FormatError` for anything else."""
    try:
        dtype = np.dtype(said["dtype"])
        if dtype.kind not in _KINDS:
            raise ValueError(f"dtype {dtype}")
        values = np.array(said["data"], str if dtype.kind == "S" else dtype)
        if dtype.kind == "S":
            values = np.char.encode(values, "latin-1").astype(dtype)
        elif dtype.kind == "U":
            # Text as objects is what xarray writes to every format without complaint.
            values = values.astype(object)
        shape = [int(n) for n in said["shape"]]
        return xr.Variable(tuple(said["dims"]), values.reshape(shape), parse_attrs(said["attrs"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"the header holds a malformed variable: {error}") from error


def parse_dataset(said: Any) -> tuple[dict[str, Any], dict[str, xr.Variable]]:
    """Return the attributes and small variables of a dataset; raises `FormatError` for anything else."""
    try:
        variables = {name: parse_variable(one) for name, one in said.get("variables", {}).items()}
        return parse_attrs(said.get("attrs", {})), variables
    except (AttributeError, TypeError, ValueError) as error:
        raise FormatError(f"the header describes a malformed dataset: {error}") from error


def _dump_attr(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind in _NUMBERS:
        return {value.dtype.name: _plain(value)}
    if isinstance(value, float):  # JSON keeps no difference between 1.0 and 1
        return {"float64": _plain(value)}
    return _plain(value)


def _parse_attr(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    ((name, numbers),) = value.items()
    dtype = np.dtype(name)
    if dtype.kind not in _NUMBERS:
        raise ValueError(f"dtype {dtype}")
    parsed: npt.NDArray[Any] = np.array(numbers, dtype)
    return parsed if isinstance(numbers, list) else parsed[()]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        # So netCDF4 shows a _FillValue that is text.
        return value.decode("utf-8", "replace")
    return value if isinstance(value, (str, int, float, bool)) else str(value)
