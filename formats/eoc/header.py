"""Array headers from what callers have at hand: names, numbers, objects of other libraries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError
from eocodec.formats.eoc.crs import crs_text
from eocodec.formats.eoc.metadata import (
    DEFAULT_TILE_SIZE,
    ArrayHeader,
    Band,
    Extra,
    Gcp,
    nodata_number,
)
from eocodec.payload import MAX_TILE_SAMPLES

__all__ = ["DEFAULT_TILE_SIZE", "ArrayFields", "ArrayHeader", "Band", "Gcp", "array_header"]


class ArrayFields(TypedDict, total=False):
    """Keywords of `array_header`, `create` and `compress`; see `ArrayHeader` for their meaning.

    `tile_size` may be one number, (rows, columns) or (planes, rows, columns); `bands` may be
    names; `crs` may be text or an object of rasterio or pyproj; `transform` may be an
    `affine.Affine`; `tags` may be flat, for the default namespace.
    """

    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    name: str
    dims: Sequence[str] | None
    tile_size: int | Sequence[int]
    bands: Sequence[Band | str | None] | None
    nodata: int | float | None
    crs: Any
    transform: Sequence[float] | None
    gcps: Sequence[Gcp]
    gcps_crs: Any
    rpcs: Mapping[str, Any] | None
    area_or_point: str | None
    tags: Mapping[str, Any] | None
    extra: Extra


def array_header(**fields: Unpack[ArrayFields]) -> ArrayHeader:
    """Build an `ArrayHeader` from what callers have at hand (see `ArrayFields`).

    Raises
    ------
    InputError
        When a field is missing, malformed or contradicts another.
    """
    given: dict[str, Any] = dict(fields)
    try:
        shape = tuple(int(n) for n in given.pop("shape"))
        dtype = np.dtype(given.pop("dtype")).newbyteorder("=")
        bands = tuple(
            band if isinstance(band, Band) else Band(name=band)
            for band in given.pop("bands", None) or ()
        )
        transform = given.pop("transform", None)
        header: dict[str, Any] = {
            "dims": tuple(given.pop("dims", None) or _default_dims(len(shape))),
            "tile_size": _tile_size(given.pop("tile_size", DEFAULT_TILE_SIZE), shape),
            "bands": bands,
            "nodata": nodata_number(given.pop("nodata", None), dtype),
            "crs": crs_text(given.pop("crs", None)),
            "gcps_crs": crs_text(given.pop("gcps_crs", None)),
            "transform": None if transform is None else tuple(map(float, tuple(transform)[:6])),
            "gcps": tuple(given.pop("gcps", None) or ()),
            "tags": _tags_by_namespace(given.pop("tags", None) or {}),
        }
        return ArrayHeader(shape=shape, dtype=dtype, **header, **given)
    except KeyError as error:
        raise InputError(f"{error.args[0]} is missing: pass shape and dtype") from error
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"the array cannot be described: {error}") from error


def _default_dims(axes: int) -> tuple[str, ...]:
    leading = ("band",) if axes == 3 else tuple(f"dim{i}" for i in range(axes - 2))
    return (*leading, "y", "x")


def _tile_size(size: int | Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    given = (size, size) if isinstance(size, int) else tuple(int(n) for n in size)
    if len(given) != 2 or len(shape) < 2:
        return given
    samples = max(1, min(given[0], shape[-2]) * min(given[1], shape[-1]))
    planes = min(math.prod(shape[:-2]), max(1, MAX_TILE_SAMPLES // samples))
    return (planes, *given)


def _tags_by_namespace(tags: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    spaces: dict[str, dict[str, str]] = {}
    for key, value in tags.items():
        if isinstance(value, Mapping):
            spaces.setdefault(key, {}).update({str(k): str(v) for k, v in value.items()})
        else:
            spaces.setdefault("", {})[str(key)] = str(value)
    return spaces
