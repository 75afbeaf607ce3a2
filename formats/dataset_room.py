"""What a header says of the dataset whose variables are the arrays of a container, without xarray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eocodec.formats.cf import Packing, malformed
from eocodec.formats.eoc.metadata import ArrayHeader

ROOM = "xarray"
"""Name under which what belongs to a dataset is kept in `ArrayHeader.extra`."""


def said(header: ArrayHeader) -> Mapping[str, Any]:
    """Return what is kept of a dataset in a header, which anybody may have written."""
    room = header.extra.get(ROOM)
    return room if isinstance(room, Mapping) else {}


def source_format(header: ArrayHeader) -> str | None:
    """Return the format of the file whose variables a container holds, such as "NETCDF4" or "GRIB".

    Parameters
    ----------
    header : ArrayHeader
        Of its first array.
    """
    described = said(header).get("dataset")
    told = described.get("format") if isinstance(described, Mapping) else None
    return told if isinstance(told, str) else None


def small_variables(header: ArrayHeader) -> list[str]:
    """Return the names of the variables that the header itself holds; as `source_format`."""
    described = said(header).get("dataset")
    told = described.get("variables") if isinstance(described, Mapping) else None
    return list(map(str, told)) if isinstance(told, Mapping) else []


def unit_text(header: ArrayHeader) -> str:
    """Return the unit of a field, and how its samples are packed; "" where nothing is said."""
    attrs = said(header).get("attrs")
    if not isinstance(attrs, Mapping):
        return ""
    unit = attrs.get("units") if isinstance(attrs.get("units"), str) else ""
    keys = [key for key in ("scale_factor", "add_offset") if key in attrs]
    told = {key: _plain(attrs[key]) for key in keys}
    packing = Packing.of(told)
    if not keys or malformed(told):
        return str(unit)
    text = f"sample * {packing.scale:g} + {packing.offset:g}"
    return f"{unit} = {text}" if unit else text


def _plain(value: Any) -> Any:
    """Return an attribute of a header without its dtype."""
    if isinstance(value, Mapping) and len(value) == 1:
        (value,) = value.values()
    return value
