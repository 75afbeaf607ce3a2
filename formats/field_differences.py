"""What two datasets say differently beside the samples of their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import xarray as xr

_LONGEST = 60


def field_differences(
    reference: xr.Dataset, decoded: xr.Dataset, fields: Set[str]
) -> Iterator[str]:
    """Yield each thing that two undecoded datasets say differently, beside the samples of `fields`.

    Compared are dimensions, with those of no variable, and which are unlimited, attributes with their
    type, the dtypes of variables, and the values of all that are no fields. Not compared is how a file is laid
    out: chunks, compression, order.
    """
    yield from _apart("dimension", dimensions(reference), dimensions(decoded))
    yield from _apart("unlimited dimension", _unlimited(reference), _unlimited(decoded))
    yield from _unlike("attribute ", reference.attrs, decoded.attrs)
    for key in dict.fromkeys([*reference.variables, *decoded.variables]):
        name = str(key)
        if key not in reference.variables or key not in decoded.variables:
            only = "A" if key in reference.variables else "B"
            yield f"{name} (only in {only})"
            continue
        one, other = reference.variables[key], decoded.variables[key]
        yield from _unlike(f"{name}:", one.attrs, other.attrs)
        texts = one.dtype.kind in "OSU" and other.dtype.kind in "OSU"
        if not texts and one.dtype.newbyteorder("=") != other.dtype.newbyteorder("="):
            yield f"{name} dtype ({one.dtype}, {other.dtype})"
        elif name not in fields and not one.equals(other):  # type: ignore[no-untyped-call]
            yield name


def dimensions(ds: xr.Dataset) -> dict[str, int]:
    """Return the extents of all dimensions, those of no variable among them."""
    unused = ds.encoding.get("unused_dims", {})
    return {**{str(dim): int(n) for dim, n in unused.items()}, **_sizes(ds)}


def _sizes(ds: xr.Dataset) -> dict[str, int]:
    return {str(dim): int(n) for dim, n in ds.sizes.items()}


def _unlimited(ds: xr.Dataset) -> dict[str, bool]:
    known = dimensions(ds)
    return {str(dim): True for dim in ds.encoding.get("unlimited_dims", ()) if str(dim) in known}


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
