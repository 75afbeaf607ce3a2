"""What is asked of a variable, in the unit of its values, as what its stored samples must keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.chunk_axes import ChunkAxes, Role
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.real_information import BitPairs
from eocodec.xarray.stored import Packing, block_rows, blocks, special_values

REAL_INFORMATION = 0.99
"""Share of the real information that is kept of fields of which nothing is asked."""

_SAMPLED = 2**23
_LEAST_PAIRS = 1000
_BOUNDS = ("max_error", "max_relative_error", "max_error_sqrt")


class Asked(TypedDict, total=False):
    """Options of `encoding` and `to_eoc`: each one value, or a mapping of variable name to value."""

    model: Any
    quality: Any
    max_error: Any
    max_relative_error: Any
    max_error_sqrt: Any
    max_range_error: Any
    keep_real_information: Any
    lossless: Any
    nodata: Any


def stored_options(
    name: str,
    variable: xr.Variable,
    asked: Asked,
    packing: Packing,
    axes: ChunkAxes,
    stored: Callable[[], xr.Variable],
) -> ChunkOptions:
    """Return the options of a variable in the unit of its stored samples, which may be packed.

    Packed samples are never bounded below one of their steps: they are kept exactly instead. Where a
    relative bound meets an offset of the packing, the smallest magnitude of each level tells the bound.

    Parameters
    ----------
    name : str
        Name of the variable.
    variable : xr.Variable
        The variable, which tells its fill values.
    asked : Asked
        What is asked of all variables.
    packing : Packing
        How its values are packed.
    axes : ChunkAxes
        Its axes.
    stored : callable
        Gives its samples as they are stored.

    Raises
    ------
    InputError
        When an option is malformed, or excludes another.
    """
    given = {key: _of(value, name) for key, value in asked.items()}
    given = {key: value for key, value in given.items() if value is not None}
    of_range = _share("max_range_error", given.pop("max_range_error", None))
    kept = _share("keep_real_information", given.pop("keep_real_information", None))
    options = ChunkOptions.from_json(given)
    if options.lossless and (of_range, kept) != (None, None):
        raise InputError("lossless and another bound exclude each other")
    special = special_values(variable)
    if options.nodata is None:
        options = replace(options, nodata=special[0] if special else None)
    elif options.nodata not in special:
        special.insert(0, float(options.nodata))
    if (of_range, kept) == (None, None) and not any(
        getattr(options, key) is not None for key in _BOUNDS
    ):
        return options
    bands = axes.extents(variable.shape)[Role.BAND]
    allowed = (
        np.full(bands, np.inf) if options.max_error is None else _each(options.max_error, bands)
    )
    allowed = np.array([_divided(value, abs(packing.scale)) for value in allowed])
    relative, root = options.max_relative_error, options.max_error_sqrt
    shifted = packing.offset != 0 and (relative, root, kept) != (None, None, None)
    if shifted or len(special) > 1 or (of_range, kept) != (None, None):
        survey = survey_field(stored(), axes, packing, special, information=kept is not None)
        if survey.others:
            # A tile knows one value as missing; another can only be kept with everything.
            allowed[:] = 0
        if of_range is not None:
            allowed = np.minimum(allowed, of_range * (survey.high - survey.low))
        if kept is not None and survey.bits is not None:
            bits = survey.bits.keepbits(kept)
            if bits is None or bits >= survey.bits.mantissa or survey.bits.pairs < _LEAST_PAIRS:
                allowed[:] = 0
            else:
                relative = min(relative or 1.0, 2.0 ** -(bits + 1))
        if shifted:
            steps = survey.smallest / abs(packing.scale)
            if relative is not None:
                allowed = np.minimum(allowed, relative * steps)
            if root is not None:
                allowed = np.minimum(allowed, root * np.sqrt(survey.smallest) / abs(packing.scale))
            relative = root = None
    if root is not None:
        root = _divided(root, abs(packing.scale) ** 0.5)
    if np.dtype(variable.encoding.get("dtype") or variable.dtype).kind in "iu":
        allowed = np.floor(allowed)
    if not allowed.any():
        return replace(options, max_error=0.0, max_relative_error=None, max_error_sqrt=None)
    return replace(
        options, max_error=_bound(allowed), max_relative_error=relative, max_error_sqrt=root
    )


@dataclass
class Survey:
    """What a look at all samples of a variable finds; missing values, NaN and infinities left out.

    Attributes
    ----------
    low, high : float
        Least and largest sample, as stored; 0 without any.
    smallest : ndarray, (levels,)
        Least magnitude of the values of each level, 0 without any.
    others : bool
        Whether samples have a missing value other than the first one.
    bits : BitPairs or None
        Bits of neighbours along the rows, of part of a large variable.
    """

    low: float
    high: float
    smallest: npt.NDArray[np.float64]
    others: bool
    bits: BitPairs | None


def survey_field(
    stored: xr.Variable,
    axes: ChunkAxes,
    packing: Packing,
    special: Sequence[float],
    *,
    information: bool,
) -> Survey:
    """Look at all samples of a stored variable, a block at a time.

    Bits are counted of floating-point samples, and of packed ones as float32; of others there are none.
    Pairs with a zero do not count.
    """
    extents = axes.extents(stored.shape)
    bits = None
    if information and (stored.dtype.kind == "f" or packing.packed):
        bits = BitPairs(stored.dtype if stored.dtype.kind == "f" else np.dtype(np.float32))
    every = max(1, math.prod(extents) // _SAMPLED)
    low, high, others = math.inf, -math.inf, False
    smallest = np.full(extents[Role.BAND], np.inf)
    for number, (_, _, part) in enumerate(blocks(stored, axes, block_rows(extents))):
        samples = axes.fold(part.values)[0]
        if stored.attrs.get("_Unsigned") == "true":
            samples = samples.view(f"u{samples.dtype.itemsize}")
        valid = np.isfinite(samples) if samples.dtype.kind == "f" else np.ones(samples.shape, bool)
        for place, value in enumerate(special):
            absent = missing(samples, value)
            others |= place > 0 and bool(absent.any())
            valid &= ~absent
        if not valid.any():
            continue
        low = min(low, float(samples.min(where=valid, initial=samples[valid][0])))
        high = max(high, float(samples.max(where=valid, initial=samples[valid][0])))
        values = np.abs(packing.values(samples))
        smallest = np.minimum(smallest, values.min(axis=(1, 2), where=valid, initial=np.inf))
        if bits is not None and number % every == 0:
            pairs = samples if samples.dtype.kind == "f" else packing.values(samples)
            # Zeros are exact within any relative bound. Where they are many, every bit would tell of them.
            told = valid & (pairs != 0)
            across = pairs.shape[2] > 1
            bits.add(
                pairs if across else pairs.swapaxes(1, 2), told if across else told.swapaxes(1, 2)
            )
    if low > high:
        low = high = 0.0
    smallest[np.isinf(smallest)] = 0
    return Survey(low, high, smallest, others, bits)


def missing(samples: npt.NDArray[Any], value: float) -> npt.NDArray[np.bool_]:
    """Return where samples are the special value `value`, which their dtype may round."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = float(samples.dtype.type(value))
    equal: npt.NDArray[np.bool_] = samples == value
    return equal


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


def _share(option: str, value: Any) -> float | None:
    if value is None:
        return None
    least = 0 if option == "max_range_error" else 1e-9
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1:
        raise InputError(f"{option} is a share from 0 to 1, not {value!r}")
    return float(value)


def _each(bound: Any, bands: int) -> npt.NDArray[np.float64]:
    if not isinstance(bound, Sequence):
        return np.full(bands, float(bound))
    if len(bound) != bands:
        raise InputError(f"max_error has {len(bound)} bounds for {bands} bands")
    return np.array([np.inf if value is None else float(value) for value in bound])


def _bound(allowed: npt.NDArray[np.float64]) -> float | tuple[float | None, ...] | None:
    """Return bounds of levels, infinity without one, as one number where they are alike."""
    each = [None if math.isinf(value) else float(value) for value in allowed]
    return each[0] if len(set(each)) == 1 else tuple(each)


def _divided(bound: float, scale: float) -> float:
    # 0.0003 / 0.0001 is 3, whatever the last bit says.
    return float(f"{bound / scale:.12g}")
