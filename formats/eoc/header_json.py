"""The JSON header of a container: dataclasses to canonical bytes, and untrusted bytes back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from eocodec.errors import FormatError, InputError, LimitError, UnsupportedError
from eocodec.formats.eoc.header import (
    MAX_ARRAYS,
    MAX_AXES,
    MAX_DESCRIBED,
    PREDICTIVE,
    RVQ2D,
    ArrayHeader,
    Band,
    Extra,
    Gcp,
)
from eocodec.payload import DTYPES, MAX_LAYERS

CODECS = (PREDICTIVE, RVQ2D)
# Features a container may list; this version defines none.
KNOWN_FEATURES: frozenset[str] = frozenset()

_DTYPES = {dtype.name: dtype.newbyteorder("=") for dtype in DTYPES}
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


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
        When a field holds something that JSON or UTF-8 cannot.
    """
    names = [array.name for array in header.arrays]
    if not 1 <= len(names) <= MAX_ARRAYS:
        raise InputError(f"a container holds 1 to {MAX_ARRAYS} arrays, not {len(names)}")
    if len(set(names)) != len(names):
        raise InputError(f"array names must differ, got {names}")
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
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the header cannot be written as JSON: {error}") from error


def parse_header(raw: bytes) -> Header:
    """Read a JSON header from untrusted bytes.

    Raises
    ------
    FormatError, LimitError
        Not JSON, a missing or malformed field, or sizes beyond the limits.
    UnsupportedError
        A required feature, dtype or codec id that this release does not know.
    """
    try:
        document = json.loads(raw, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the header is not valid JSON: {error}") from error
    fields = _Fields(document, "the header")
    required = fields.strings("required_features")
    unknown = sorted(set(required) - KNOWN_FEATURES)
    if unknown:
        raise UnsupportedError(
            f"the file needs features that this release lacks: {', '.join(map(repr, unknown))}"
        )
    arrays = fields.objects("arrays", MAX_ARRAYS)
    if not arrays:
        raise FormatError("the header declares no arrays")
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


class _Fields:
    """Typed access to the fields of one untrusted JSON object."""

    def __init__(self, value: Any, where: str):
        if not isinstance(value, dict):
            raise FormatError(f"{where} is not a JSON object")
        self._value: dict[str, Any] = value
        self._where = where

    def fail(self, key: str, wanted: str) -> NoReturn:
        raise FormatError(f"{self._where}: field {key!r} must be {wanted}")

    def text(self, key: str) -> str | None:
        value = self._value.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(key, "text")
        return value

    def number(self, key: str, *, finite: bool = True) -> float | None:
        value = self._value.get(key)
        if value is None:
            return None
        if not finite and isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if not _is_number(value):
            self.fail(key, "a number")
        return value  # type: ignore[no-any-return]

    def real(self, key: str) -> float | None:
        value = self.number(key)
        return None if value is None else float(value)

    def whole(self, key: str, low: int, high: int) -> int | None:
        value = self._value.get(key)
        if value is not None and not (_is_int(value) and low <= value <= high):
            self.fail(key, f"a whole number from {low} to {high}")
        return value

    def items(self, key: str) -> list[Any]:
        value = self._value.get(key, [])
        if not isinstance(value, list):
            self.fail(key, "a list")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        items = self.items(key)
        if not all(isinstance(item, str) for item in items):
            self.fail(key, "a list of text")
        return tuple(items)

    def wholes(self, key: str) -> tuple[int, ...]:
        items = self.items(key)
        if not all(_is_int(item) for item in items):
            self.fail(key, "a list of whole numbers")
        return tuple(items)

    def objects(self, key: str, most: int) -> list[_Fields]:
        items = self.limited(key, most)
        return [_Fields(item, f"{self._where}, {key}[{i}]") for i, item in enumerate(items)]

    def limited(self, key: str, most: int) -> list[Any]:
        items = self.items(key)
        if len(items) > most:
            raise LimitError(f"{self._where} lists {len(items)} {key}; at most {most} are allowed")
        return items

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._value.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, "an object")
        return value

    def tags(self) -> dict[str, dict[str, str]]:
        tags = self.mapping("tags")
        for space in tags.values():
            if not isinstance(space, dict) or not all(isinstance(v, str) for v in space.values()):
                self.fail("tags", "an object of objects of text")
        return tags


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return _is_int(value) and abs(value) < 2**64


def _parse_array(fields: _Fields) -> ArrayHeader:
    codec = fields.text("codec")
    if codec not in CODECS:
        raise UnsupportedError(f"codec id {codec!r} is unknown to this release")
    dtype = fields.text("dtype")
    if dtype not in _DTYPES:
        raise UnsupportedError(f"dtype {dtype!r} is unknown to this release")
    model = fields.text("model")
    if model is not None and not re.fullmatch(r"[0-9a-f]{64}", model):
        fields.fail("model", "a SHA-256 as 64 lower-case hexadecimal digits")
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
            max_error=fields.real("max_error"),
        )
    except InputError as error:
        raise LimitError(f"the header declares an impossible array: {error}") from error


def _parse_nodata(fields: _Fields, dtype: np.dtype[Any]) -> float | None:
    value = fields.number("nodata", finite=False)
    return value if value is None or dtype.kind in "iu" else float(value)


def _parse_band(fields: _Fields) -> Band:
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


def _parse_gcp(fields: _Fields, item: Any) -> Gcp:
    if (
        not isinstance(item, list)
        or len(item) != 7
        or not all(isinstance(t, str) for t in item[5:])
    ):
        fields.fail("gcps", "a list of [row, col, x, y, z, id, info]")
    row, col, x, y, z = _numbers(fields, "gcps", item[:5])
    return Gcp(row=row, col=col, x=x, y=y, z=z, id=item[5], info=item[6])


def _numbers(fields: _Fields, key: str, items: Sequence[Any]) -> tuple[float, ...]:
    if not all(_is_number(item) for item in items):
        fields.fail(key, "a list of numbers")
    return tuple(float(item) for item in items)
