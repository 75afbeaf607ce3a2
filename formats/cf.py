"""What the CF attributes of a variable say of its stored samples, as a CF reader takes them.

`_Unsigned` makes other integers of them, `scale_factor` and `add_offset` other values, `_FillValue` and
`missing_value` name samples that stand for nothing. Attributes of a wrong type say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Attributes = Mapping[Any, Any]

FILL_KEYS = ("_FillValue", "missing_value")
_PACKING_KEYS = ("scale_factor", "add_offset")
_NAME_KEYS = ("coordinates", "grid_mapping", "bounds", "cell_measures", "formula_terms")


@dataclass(frozen=True)
class Packing:
    """Value = sample * scale + offset, as netCDF's attributes scale_factor and add_offset say."""

    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, said: Attributes) -> Self:
        """Return what attributes, or the encoding of a decoded variable, say.

        Text, several numbers, infinities, NaN or a scale of 0 are no packing: then values are the samples.
        """
        if any(not _packs(key, said.get(key)) for key in _PACKING_KEYS):
            return cls()
        scale, offset = (number(said.get(key)) for key in _PACKING_KEYS)
        return cls(1.0 if scale is None else scale, 0.0 if offset is None else offset)

    @property
    def packed(self) -> bool:
        """Whether values are others than the samples."""
        return self != Packing()

    def values(self, samples: Array) -> npt.NDArray[np.float64]:
        """Return the values of samples."""
        return samples.astype(np.float64) * self.scale + self.offset


def number(value: Any) -> float | None:
    """Return an attribute as a number, None where it is none: text, nothing or several."""
    found = _numbers(value)
    return float(found[0]) if len(found) == 1 else None


def seen_dtype(dtype: np.dtype[Any], attrs: Attributes) -> np.dtype[Any]:
    """Return the dtype of stored samples as a CF reader sees them: `_Unsigned` may change the sign.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the stored samples. `seen` gives the samples themselves.
    attrs : mapping
        Attributes of the variable, or the encoding of a decoded one.
    """
    told = attrs.get("_Unsigned")
    other = {"true": "iu", "false": "ui"}.get(told.lower() if isinstance(told, str) else "")
    if other is None or dtype.kind != other[0]:
        return dtype
    return np.dtype(f"{other[1]}{dtype.itemsize}")


def seen(samples: Array, attrs: Attributes) -> Array:
    """Return stored samples as a CF reader sees them before it unpacks them; see `seen_dtype`."""
    return samples.astype(seen_dtype(samples.dtype, attrs), copy=False)


def fill_values(attrs: Attributes, dtype: np.dtype[Any]) -> list[int | float]:
    """Return the samples that mean "missing", `_FillValue` first, in the dtype that a CF reader sees.

    Left out are NaN, which always means that, and what the dtype cannot hold.

    Parameters
    ----------
    attrs : mapping
        Attributes of the variable, or the encoding of a decoded one.
    dtype : numpy.dtype
        Of the stored samples.
    """
    shown = seen_dtype(dtype, attrs)
    told = [value for key in FILL_KEYS for value in _numbers(attrs.get(key))]
    held = [_as_held(value, shown, wraps=shown != dtype) for value in told]
    return list(dict.fromkeys(value for value in held if value is not None))


def missing(samples: Array, value: float) -> npt.NDArray[np.bool_]:
    """Return where samples are the special value `value`, which their dtype may round."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = float(samples.dtype.type(value))
    equal: npt.NDArray[np.bool_] = samples == value
    return equal


def seen_attrs(attrs: Attributes, dtype: np.dtype[Any]) -> dict[Any, Any]:
    """Return the attributes of a variable once its samples are stored as a CF reader sees them."""
    shown = seen_dtype(dtype, attrs)
    if shown == dtype:
        return dict(attrs)
    own = {key: value for key, value in attrs.items() if key != "_Unsigned"}
    for key in FILL_KEYS:
        held = [_as_held(value, shown, wraps=True) for value in _numbers(attrs.get(key))]
        values = np.array([value for value in held if value is not None], shown)
        if len(values):
            own[key] = values[0] if np.ndim(attrs[key]) == 0 else values
    return own


def malformed(attrs: Attributes) -> list[str]:
    """Return the attributes that CF gives a meaning but whose type has none, such as a scale that is text."""
    wrong = [key for key in _PACKING_KEYS if not _packs(key, attrs.get(key))]
    wrong += [key for key in FILL_KEYS if key in attrs and not _numbers(attrs[key])]
    return wrong + [key for key in _NAME_KEYS if not isinstance(attrs.get(key, ""), str)]


def _packs(key: str, value: Any) -> bool:
    if value is None:
        return True
    found = number(value)
    return found is not None and math.isfinite(found) and (key, found) != ("scale_factor", 0.0)


def _numbers(value: Any) -> list[int | float]:
    """Return the numbers of an attribute, none where it is anything else."""
    if value is None:
        return []
    try:
        found = np.ravel(value)
    except ValueError:
        return []
    return list(found.tolist()) if found.dtype.kind in "iuf" else []


def _as_held(value: int | float, dtype: np.dtype[Any], *, wraps: bool) -> int | float | None:
    """Return a special value as samples of a dtype hold it, None where they cannot.

    Where it `wraps`, an integer may be written as the one of the same bits and the other sign.
    """
    if math.isnan(value):
        return None
    if dtype.kind not in "iu":
        return value
    if not float(value).is_integer():
        return None
    whole, limits = int(value), np.iinfo(dtype)
    if wraps and not limits.min <= whole <= limits.max:
        whole += 2 ** (8 * dtype.itemsize) * (1 if whole < 0 else -1)
    return whole if limits.min <= whole <= limits.max else None
