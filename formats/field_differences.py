"""What two datasets say differently beside the samples of their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import xarray as xr

from eocodec.xarray.dimensions import file_dimensions

_LONGEST = 60


def field_differences(
    reference: xr.Dataset, decoded: xr.Dataset, fields: Set[str]
) -> Iterator[str]:
    """Yield each thing that two undecoded datasets say differently, beside the samples of `fields`.

    Compared are dimensions, with those of no variable, and which are unlimited, attributes with their
    type, the dtypes of variables, and the values of all that are no fields. Not compared is how a file is laid
    out: chunks, compression, order.
    """
    one, other = _dimensions(reference), _dimensions(decoded)
    yield from _apart("dimension", one[0], other[0])
    yield from _apart("unlimited dimension", one[1], other[1])
    yield from _unlike("attribute ", reference.attrs, decoded.attrs)
    for key in dict.fromkeys([*reference.variables, *decoded.variables]):
        name = str(key)
        if key not in reference.variables or key not in decoded.variables:
            only = "A" if key in reference.variables else "B"
            yield f"{name} (only in {only})"
            continue
        left, right = reference.variables[key], decoded.variables[key]
        yield from _unlike(f"{name}:", left.attrs, right.attrs)
        texts = left.dtype.kind in "OSU" and right.dtype.kind in "OSU"
        if not texts and left.dtype.newbyteorder("=") != right.dtype.newbyteorder("="):
            yield f"{name} dtype ({left.dtype}, {right.dtype})"
        elif name not in fields and not left.equals(right):  # type: ignore[no-untyped-call]
            yield name


def _dimensions(ds: xr.Dataset) -> tuple[dict[str, int], dict[str, bool]]:
    """Return the extents of all dimensions, those of no variable among them, and which may grow."""
    found = file_dimensions(ds)
    unlimited = {name: True for name, dimension in found.items() if dimension.unlimited}
    return {name: dimension.size for name, dimension in found.items()}, unlimited


def _apart(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield f"{what} {key} ({one.get(key)}, {other.get(key)})"


def _unlike(before: str, one: Mapping[Any, Any], other: Mapping[Any, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*one, *other]):
        if key not in one or key not in other or not _equal(one[key], other[key]):
            yield f"{before}{key} ({_shown(one, key)}, {_shown(other, key)})"


def _equal(one: Any, other: Any) -> bool:
    """Whether two attributes are the same, of one type: files have no difference of 1 and [1]."""
    one, other = _as_array(one), _as_array(other)
    texts = one.dtype.kind in "OSU" and other.dtype.kind in "OSU"
    if not (texts or one.dtype == other.dtype) or one.shape != other.shape:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _as_array(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    array = np.asarray(value)
    return array.reshape(()) if array.size == 1 else array


def _shown(attrs: Mapping[Any, Any], key: Any) -> str:
    if key not in attrs:
        return "absent"
    text = repr(attrs[key])
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
