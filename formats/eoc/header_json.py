"""The JSON header of a container: dataclasses to canonical bytes, and untrusted bytes back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from eocodec.bounds import MaxError
from eocodec.errors import FormatError, InputError, LimitError, UnsupportedError
from eocodec.formats.eoc.json_fields import Fields, is_number
from eocodec.formats.eoc.metadata import (
    MAX_ARRAYS,
    MAX_AXES,
    MAX_DESCRIBED,
    PREDICTIVE,
    RVQ2D,
    RVQ3D,
    ArrayHeader,
    Band,
    Extra,
    Gcp,
)
from eocodec.payload import DTYPES, MAX_LAYERS

CODECS = (PREDICTIVE, RVQ2D, RVQ3D)
# Features a container may list; this version defines none.
KNOWN_FEATURES: frozenset[str] = frozenset()

# Each of these bytes may start a value of a hundred bytes in memory.
_MARKS = (b",", b"[", b"{")
MAX_MARKS = 2**20

_DTYPES = {dtype.name: dtype.newbyteorder("=") for dtype in DTYPES}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The whole header: the arrays, and what a reader must or may know to read them."""

    arrays: tuple[ArrayHeader, ...]
    extra: Extra = field(default_factory=dict)
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def dump_header(header: Header) -> bytes:
    """Return the canonical JSON of a header: sorted keys, no blanks, defaults left out.

    Raises
    ------
    InputError
        When a field holds something that JSON or UTF-8 cannot, or the arrays describe too much.
    """
    names = [array.name for array in header.arrays]
    if not 1 <= len(names) <= MAX_ARRAYS:
        raise InputError(f"a container holds 1 to {MAX_ARRAYS} arrays, not {len(names)}")
    if len(set(names)) != len(names):
        raise InputError(f"array names must differ, got {names}")
    described = sum(len(array.bands) + len(array.gcps) for array in header.arrays)
    if described > MAX_DESCRIBED:
        raise InputError(_too_many_described(described))
    document = _without_defaults(
        {
            "arrays": [_array_json(array) for array in header.arrays],
            "extra": header.extra,
            "required_features": sorted(header.required),
            "optional_features": sorted(header.optional),
        }
    )
    try:
        text = json.dumps(
            _plain(document),
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=True,
            separators=(",", ":"),
        )
        raw = text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the header cannot be written as JSON: {error}") from error
    if _marks(raw) > MAX_MARKS:
        raise InputError(
            f"the header lists {_marks(raw)} values, more than the {MAX_MARKS} a container may hold: "
            "leave out tags or ground control points"
        )
    return raw


def parse_header(raw: bytes) -> Header:
    """Read a JSON header from untrusted bytes.

    Raises
    ------
    FormatError, LimitError
        Not JSON, a missing or malformed field, or sizes beyond the limits.
    UnsupportedError
        A required feature, dtype or codec id that this release does not know.
    """
    if _marks(raw) > MAX_MARKS:
        raise LimitError(f"the header lists {_marks(raw)} values; at most {MAX_MARKS} are allowed")
    try:
        text = raw.decode("utf-8")
        document = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the header is not valid JSON: {error}") from error
    fields = Fields(document, "the header")
    required = fields.strings("required_features")
    unknown = sorted(set(required) - KNOWN_FEATURES)
    if unknown:
        raise UnsupportedError(
            f"the file needs features that this release lacks: {', '.join(map(repr, unknown))}"
        )
    arrays = fields.objects("arrays", MAX_ARRAYS)
    if not arrays:
        raise FormatError("the header declares no arrays")
    described = sum(len(array.items("bands")) + len(array.items("gcps")) for array in arrays)
    if described > MAX_DESCRIBED:
        raise LimitError(_too_many_described(described))
    parsed = tuple(_parse_array(array) for array in arrays)
    names = {array.name for array in parsed}
    if len(names) != len(parsed):
        raise FormatError("the header names two arrays alike")
    return Header(
        arrays=parsed,
        extra=fields.mapping("extra"),
        required=required,
        optional=fields.strings("optional_features"),
    )


def _marks(raw: bytes) -> int:
    """Return how many values the text of a header may list, at most."""
    return sum(raw.count(mark) for mark in _MARKS)


def _too_many_described(number: int) -> str:
    return (
        f"the arrays describe {number} bands and ground control points; "
        f"at most {MAX_DESCRIBED} are allowed"
    )


def _array_json(array: ArrayHeader) -> dict[str, Any]:
    return _without_defaults(
        {
            "name": array.name,
            "shape": array.shape,
            "dims": array.dims,
            "dtype": array.dtype.name,
            "tile": array.tile_size,
            "bands": [_without_defaults(_band_json(band)) for band in array.bands],
            "nodata": array.nodata,
            "crs": array.crs,
            "transform": array.transform,
            "gcps": [[g.row, g.col, g.x, g.y, g.z, g.id, g.info] for g in array.gcps],
            "gcps_crs": array.gcps_crs,
            "rpcs": array.rpcs,
            "area_or_point": array.area_or_point,
            "tags": array.tags,
            "extra": array.extra,
            "codec": array.codec,
            "model": array.model,
            "layers": array.layers,
            "max_error": array.max_error,
            "max_relative_error": array.max_relative_error,
            "max_error_sqrt": array.max_error_sqrt,
        }
    )


def _band_json(band: Band) -> dict[str, Any]:
    fields = dict(vars(band))
    if band.native_factor == 1:
        del fields["native_factor"]
    return fields


def _without_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, (), [], {}, "")}


def _plain(value: Any) -> Any:
    """Reduce numpy numbers, tuples and whole floats to what JSON writes shortest."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys must be text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        if value.is_integer() and abs(value) < 2**53 and str(value) != "-0.0":
            return int(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("an object repeats a key")
    return fields


def _parse_array(fields: Fields) -> ArrayHeader:
    codec = fields.text("codec")
    if codec not in CODECS:
        raise UnsupportedError(f"codec id {codec!r} is unknown to this release")
    dtype = fields.text("dtype")
    if dtype not in _DTYPES:
        raise UnsupportedError(f"dtype {dtype!r} is unknown to this release")
    model = fields.text("model")
    if model is not None and not re.fullmatch(r"[0-9a-f]{8}", model):
        fields.fail("model", "8 lower-case hexadecimal digits")
    shape = fields.wholes("shape")
    if len(shape) > MAX_AXES:
        raise LimitError(f"an array of {len(shape)} axes; at most {MAX_AXES} are allowed")
    transform = _numbers(fields, "transform", fields.items("transform"))
    rpcs = fields.mapping("rpcs")
    try:
        return ArrayHeader(
            name=fields.text("name") or "",
            shape=shape,
            dims=fields.strings("dims"),
            dtype=_DTYPES[dtype],
            tile_size=fields.wholes("tile"),  # type: ignore[arg-type]  # checked by ArrayHeader
            bands=tuple(_parse_band(band) for band in fields.objects("bands", MAX_DESCRIBED)),
            nodata=_parse_nodata(fields, _DTYPES[dtype]),
            crs=fields.text("crs"),
            transform=(transform or None),  # type: ignore[arg-type]  # checked by ArrayHeader
            gcps=tuple(_parse_gcp(fields, gcp) for gcp in fields.limited("gcps", MAX_DESCRIBED)),
            gcps_crs=fields.text("gcps_crs"),
            rpcs=rpcs or None,
            area_or_point=fields.text("area_or_point"),
            tags=fields.tags(),
            extra=fields.mapping("extra"),
            codec=codec,
            model=model,
            layers=fields.whole("layers", 1, MAX_LAYERS),
            max_error=_parse_max_error(fields),
            max_relative_error=fields.real("max_relative_error"),
            max_error_sqrt=fields.real("max_error_sqrt"),
        )
    except InputError as error:
        raise LimitError(f"the header declares an impossible array: {error}") from error


def _parse_nodata(fields: Fields, dtype: np.dtype[Any]) -> float | None:
    value = fields.number("nodata", finite=False)
    return value if value is None or dtype.kind in "iu" else float(value)


def _parse_max_error(fields: Fields) -> MaxError | None:
    if not fields.is_list("max_error"):
        return fields.real("max_error")
    bounds = fields.items("max_error")
    if not all(bound is None or is_number(bound) for bound in bounds):
        fields.fail("max_error", "a number, or a list of numbers and nulls")
    return tuple(None if bound is None else float(bound) for bound in bounds)


def _parse_band(fields: Fields) -> Band:
    return Band(
        name=fields.text("name"),
        description=fields.text("description"),
        wavelength_nm=fields.real("wavelength_nm"),
        scale=fields.real("scale"),
        offset=fields.real("offset"),
        unit=fields.text("unit"),
        colour=fields.text("colour"),
        mask_flags=fields.strings("mask_flags"),
        position=fields.whole("position", 0, 2**31 - 1),
        native_factor=fields.whole("native_factor", 1, 2) or 1,
        tags=fields.tags(),
        extra=fields.mapping("extra"),
    )


def _parse_gcp(fields: Fields, item: Any) -> Gcp:
    if (
        not isinstance(item, list)
        or len(item) != 7
        or not all(isinstance(t, str) for t in item[5:])
    ):
        fields.fail("gcps", "a list of [row, col, x, y, z, id, info]")
    row, col, x, y, z = _numbers(fields, "gcps", item[:5])
    return Gcp(row=row, col=col, x=x, y=y, z=z, id=item[5], info=item[6])


def _numbers(fields: Fields, key: str, items: Sequence[Any]) -> tuple[float, ...]:
    if not all(is_number(item) for item in items):
        fields.fail(key, "a list of numbers")
    return tuple(float(item) for item in items)
