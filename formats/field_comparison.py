"""Comparing two files of fields, netCDF, GRIB or `.eoc`, variable by variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.compression import holds_fields
from eocodec.formats.eoc import ArrayHeader
from eocodec.formats.eoc import open as open_reader
from eocodec.formats.fields import field_names, open_decoded, open_fields
from eocodec.xarray.bounds import missing
from eocodec.xarray.stored import Packing, block_rows, blocks, field_axes, special_values


@dataclass(frozen=True)
class FieldErrors:
    """Errors of one field, in its unit (values unpacked).

    Attributes
    ----------
    name, units : str
        What the field is called, and its unit.
    rmse, max_error : float
        Over the samples that are valid in the reference; NaN without any.
    max_relative_error : float
        Largest error as a share of the sample's magnitude; infinite where 0 became another value.
    range : float
        Largest minus least valid sample of the reference.
    valid : int
        Samples that are valid in the reference.
    invalid_mismatches : int
        Samples that are missing, or another special value, on one side only.
    promise : tuple of 3 float or None
        Promised absolute bound (of several, the largest), relative bound, and bound by the square root
        of the packed sample; None without a promise.
    beyond : int
        Valid samples whose error is larger than promised.
    """

    name: str
    units: str
    rmse: float
    max_error: float
    max_relative_error: float
    range: float
    valid: int
    invalid_mismatches: int
    promise: tuple[float | None, float | None, float | None] | None
    beyond: int


@dataclass(frozen=True)
class FieldComparison:
    """Errors of every field, and what else differs.

    Attributes
    ----------
    fields : tuple of FieldErrors
        In the order of the reference.
    differing : tuple of str
        Coordinates, other variables, attributes and dimensions that are not identical.
    """

    fields: tuple[FieldErrors, ...]
    differing: tuple[str, ...]


@contextmanager
def open_either(
    path: str, layers: int | None = None
) -> Iterator[tuple[xr.Dataset, Sequence[ArrayHeader]]]:
    """Open fields of any kind undecoded; give the dataset, and the headers of a container."""
    if holds_fields(path):
        with open_fields(path) as (ds, _):
            yield ds, ()
        return
    with open_reader(path) as reader:
        headers = reader.arrays
        whole = layers is None or all(layers >= reader.array(n).layers for n in range(len(headers)))
    with open_decoded(path, layers=layers) as ds:
        yield ds, headers if whole else ()


def compare_fields(
    reference: xr.Dataset,
    decoded: xr.Dataset,
    headers: Sequence[ArrayHeader] = (),
    progress: Callable[[int], object] | None = None,
) -> FieldComparison:
    """Compare two undecoded datasets.

    Parameters
    ----------
    reference, decoded : xr.Dataset
        The original and the decoded dataset.
    headers : sequence of ArrayHeader
        Headers of the container that `decoded` comes from, for what they promise.
    progress : callable, optional
        Called with the number of samples compared since the last call.

    Raises
    ------
    InputError
        If they have no field in common, or one of another shape.
    """
    names = [
        name
        for name in map(str, reference.data_vars)
        if name in field_names(reference) & set(decoded.variables)
    ]
    if not names:
        raise InputError("the two files have no field of the same name")
    promised = {header.name: header for header in headers}
    fields = []
    for name in names:
        one, other = reference.variables[name], decoded.variables[name]
        if (one.dims, one.shape) != (other.dims, other.shape):
            raise InputError(
                f"field {name!r} is {dict(one.sizes)} in one file and {dict(other.sizes)} in the other"
            )
        axes = field_axes(one, reference.variables)
        same = one.dtype == other.dtype and Packing.of(one.attrs) == Packing.of(other.attrs)
        header = promised.get(name) if same else None
        errors = _Errors(
            Packing.of(one.attrs), Packing.of(other.attrs), special_values(one), header
        )
        pairs = zip(
            blocks(one, axes, block_rows(axes.extents(one.shape))),
            blocks(other, axes, block_rows(axes.extents(one.shape))),
            strict=True,
        )
        for (number, _, left), (_, _, right) in pairs:
            errors.add(number, axes.fold(left.values)[0], axes.fold(right.values)[0])
            if progress is not None:
                progress(left.size)
        fields.append(errors.result(name, str(one.attrs.get("units", ""))))
    return FieldComparison(tuple(fields), tuple(_differing(reference, decoded, set(names))))


class _Errors:
    """Adds up the errors of a field block by block."""

    def __init__(
        self, packing: Packing, other: Packing, special: list[float], header: ArrayHeader | None
    ):
        self._packing, self._other, self._special, self._header = packing, other, special, header
        self._squares = self._most = self._relative = 0.0
        self._low, self._high = math.inf, -math.inf
        self._valid = self._mismatches = self._beyond = 0

    def add(self, number: int, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> None:
        """Add time `number`: (levels, rows, columns) of both."""
        invalid = self._invalid(left)
        alike = (left == right) | ((left != left) & (right != right))
        self._mismatches += int(
            np.count_nonzero((invalid & ~alike) | (~invalid & self._invalid(right)))
        )
        valid = ~invalid & ~self._invalid(right)
        original = self._packing.values(left)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            error = np.abs(original - self._other.values(right))
            share = np.where(error > 0, error / np.abs(original), 0.0)
        self._valid += int(np.count_nonzero(~invalid))
        self._squares += float(np.square(error).sum(where=valid))
        self._most = max(self._most, float(error.max(where=valid, initial=0.0)))
        self._relative = max(self._relative, float(share.max(where=valid, initial=0.0)))
        self._low = min(self._low, float(original.min(where=valid, initial=math.inf)))
        self._high = max(self._high, float(original.max(where=valid, initial=-math.inf)))
        if self._header is not None:
            for level in range(len(left)):
                bounds = self._header.bounds(number * len(left) + level)
                if bounds is not None:
                    kept = bounds.met(
                        left[level : level + 1], right[level : level + 1], ~valid[level : level + 1]
                    )
                    if not kept:
                        allowed = bounds.allowed_in(0, left[level])
                        apart = np.abs(
                            left[level].astype(np.float64) - right[level].astype(np.float64)
                        )
                        self._beyond += int(np.count_nonzero((apart > allowed) & valid[level]))

    def result(self, name: str, units: str) -> FieldErrors:
        """Return the figures of everything that was added."""
        some = self._valid > 0
        return FieldErrors(
            name,
            units,
            math.sqrt(self._squares / self._valid) if some else math.nan,
            self._most if some else math.nan,
            self._relative if some else math.nan,
            self._high - self._low if self._high >= self._low else 0.0,
            self._valid,
            self._mismatches,
            self._promise(),
            self._beyond,
        )

    def _promise(self) -> tuple[float | None, float | None, float | None] | None:
        header, scale = self._header, abs(self._packing.scale)
        if header is None or header.bounds(0) is None:
            return None
        absolute = header.max_error
        if isinstance(absolute, tuple):
            absolute = max((value for value in absolute if value is not None), default=None)
        root = header.max_error_sqrt
        return (
            None if absolute is None else absolute * scale,
            header.max_relative_error,
            None if root is None else root * scale**0.5,
        )

    def _invalid(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        invalid: npt.NDArray[np.bool_] = ~np.isfinite(samples)
        for value in self._special:
            invalid |= missing(samples, value)
        return invalid


def _differing(reference: xr.Dataset, decoded: xr.Dataset, fields: set[str]) -> Iterator[str]:
    """Yield what of two datasets is not identical, besides the samples of fields."""
    if reference.sizes != decoded.sizes:
        yield "dimensions"
    yield from (f"attribute {key}" for key in _unlike(reference.attrs, decoded.attrs))
    for key in dict.fromkeys([*reference.variables, *decoded.variables]):
        name = str(key)
        if key not in reference.variables or key not in decoded.variables:
            yield name
            continue
        one, other = reference.variables[key], decoded.variables[key]
        yield from (f"{name}:{attribute}" for attribute in _unlike(one.attrs, other.attrs))
        alike = one.dtype.kind in "OSU" or one.dtype == other.dtype
        if name not in fields and not (alike and one.equals(other)):  # type: ignore[no-untyped-call]
            yield name


def _unlike(one: Any, other: Any) -> Iterator[str]:
    for key in dict.fromkeys([*one, *other]):
        if key not in one or key not in other or not _equal(one[key], other[key]):
            yield str(key)


def _equal(one: Any, other: Any) -> bool:
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f")
