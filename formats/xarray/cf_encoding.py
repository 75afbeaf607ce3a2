"""Variables of a dataset as CF stores them, whatever attributes they carry; errors name the variable."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from xarray import conventions

from eocodec.errors import InputError
from eocodec.formats.cf import FILL_KEYS, fill_values, malformed
from eocodec.xarray.stored import stored_dtype

_TEXT = (str, bytes, np.str_, np.bytes_)


def encode_variable(name: str, variable: xr.Variable) -> xr.Variable:
    """Return a variable as CF stores it: packed, with its missing values, times as numbers.

    Attributes of a wrong type, and several missing values, are left out of the encoding and kept as they are.

    Raises
    ------
    InputError
        When it cannot be stored; the message says what to do.
    """
    refuse_unstorable(name, variable)
    plain, aside = _without_odd(variable)
    try:
        stored = conventions.encode_cf_variable(plain, name=name)
    except (TypeError, ValueError, AttributeError, NotImplementedError, OverflowError) as error:
        raise InputError(f"variable {name!r} cannot be stored: {error}") from error
    unsigned = variable.encoding.get("_Unsigned")
    if unsigned is not None:
        # xarray leaves it out where no value is missing.
        stored.attrs.setdefault("_Unsigned", unsigned)
    stored.attrs.update(aside)
    _refuse_mixed(name, stored)
    return stored


def refuse_unstorable(name: str, variable: xr.Variable) -> None:
    """Raise `InputError`, naming the variable, when its dtype is none that a container can hold."""
    if variable.dtype.kind == "c":
        raise InputError(
            f"variable {name!r} holds {variable.dtype} samples, which cannot be stored: keep its real and "
            f"imaginary parts as two variables, or drop it with ds.drop_vars({name!r})"
        )
    if variable.dtype == object and variable.chunks is None:
        odd = next((item for item in variable.values.flat if not _storable(item)), None)
        if odd is not None:
            raise InputError(
                f"variable {name!r} holds Python objects ({type(odd).__name__}), which cannot be stored: "
                f"drop it with ds.drop_vars({name!r}), or turn it to text or numbers"
            )


def _refuse_mixed(name: str, stored: xr.Variable) -> None:
    if stored.dtype == object:
        odd = [item for item in stored.values.flat if not isinstance(item, _TEXT)]
        if odd:
            raise InputError(
                f"variable {name!r} holds text or objects beside {odd[0]!r}, which cannot be stored: fill what "
                f"is missing in it, turn it to one type, or drop it with ds.drop_vars({name!r})"
            )


def _storable(item: Any) -> bool:
    if item is None or isinstance(item, (*_TEXT, bool, int, float, np.generic)):
        return True
    # Times of cftime and of Python are numbers once encoded.
    return hasattr(item, "timetuple") or hasattr(item, "total_seconds")


def _without_odd(variable: xr.Variable) -> tuple[xr.Variable, dict[str, Any]]:
    """Return a variable that xarray can encode, and the attributes to set afterwards."""
    aside = {key: variable.encoding[key] for key in malformed(variable.encoding)}
    special = fill_values(variable.encoding, stored_dtype(variable))
    several = len(special) > 1
    if several:
        aside |= {key: variable.encoding[key] for key in FILL_KEYS if key in variable.encoding}
    if not aside:
        return variable, aside
    plain = variable.copy(deep=False)
    plain.encoding = {key: value for key, value in variable.encoding.items() if key not in aside}
    if several:
        # Values that are missing now were any of them.
        plain.encoding["_FillValue"] = special[0]
        if "_FillValue" not in aside:
            aside["_FillValue"] = stored_dtype(variable).type(special[0])
    return plain, aside
