"""Comparing two files of fields, netCDF, GRIB or `.eoc`, variable by variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import xarray as xr

from eocodec.errors import InputError
from eocodec.formats.compression import holds_fields
from eocodec.formats.eoc import open as open_reader
from eocodec.formats.field_differences import field_differences
from eocodec.formats.field_errors import ErrorSum, FieldErrors
from eocodec.formats.field_values import FieldValues
from eocodec.formats.field_windows import FieldWindows, StoredArrays, field_windows
from eocodec.formats.fields import field_names, open_decoded, open_fields
from eocodec.xarray.stored import field_axes

_AT_ONCE = 2**20


@dataclass(frozen=True)
class FieldComparison:
    """Errors of every field, and what else differs.

    Attributes
    ----------
    fields : tuple of FieldErrors
        In the order of the reference.
    differing : tuple of str
        Coordinates, other variables, attributes, dtypes and dimensions that are not identical, with what both
        files say.
    """

    fields: tuple[FieldErrors, ...]
    differing: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise is kept, and metadata and missing samples are those of the reference."""
        broken = any(field.beyond or field.invalid_mismatches for field in self.fields)
        return not (broken or self.differing)


@contextmanager
def open_either(path: str, layers: int | None = None) -> Iterator[tuple[xr.Dataset, StoredArrays]]:
    """Open fields of any kind undecoded; give the dataset, and the arrays of a container.

    Raises
    ------
    InputError
        If the file is neither netCDF, GRIB nor a container, or cannot be read.
    """
    if holds_fields(path):
        with open_fields(path) as (ds, _):
            yield ds, StoredArrays()
        return
    with open_reader(path) as reader, open_decoded(path, layers=layers) as ds:
        yield ds, StoredArrays(reader, layers)


def compare_fields(
    reference: xr.Dataset,
    decoded: xr.Dataset,
    arrays: StoredArrays | None = None,
    *,
    reference_arrays: StoredArrays | None = None,
    peak: float | None = None,
    progress: Callable[[int], object] | None = None,
) -> FieldComparison:
    """Compare two undecoded datasets; each tile of a container whose arrays are given is decoded once.

    Parameters
    ----------
    reference, decoded : xr.Dataset
        The original and the decoded dataset.
    arrays : StoredArrays, optional
        Those of the container that `decoded` comes from; what they promise is checked.
    reference_arrays : StoredArrays, optional
        Those of the container that `reference` comes from.
    peak : float, optional
        Peak of the PSNR, in the unit of the values; by default the range of each field.
    progress : callable, optional
        Called with the number of samples compared since the last call.

    Raises
    ------
    InputError
        If they have fields, but none in common, or one of another shape.
    """
    arrays, reference_arrays = arrays or StoredArrays(), reference_arrays or StoredArrays()
    names = _compared(reference, decoded, arrays)
    fields = []
    for name in names:
        one, other = reference.variables[name], decoded.variables[name]
        if (one.dims, one.shape) != (other.dims, other.shape):
            raise InputError(
                f"field {name!r} is {dict(one.sizes)} in one file and {dict(other.sizes)} in the other"
            )
        values = FieldValues(one), FieldValues(other)
        same = values[0].packing == values[1].packing and values[0].dtype == values[1].dtype
        errors = ErrorSum(*values, arrays.promise(name) if same else None)
        axes = field_axes(one, reference.variables)
        extents = axes.extents(one.shape)
        sides = [
            FieldWindows(variable, axes, held.array(name), held.layers)
            for variable, held in ((one, reference_arrays), (other, arrays))
        ]
        for times, rows, columns in field_windows(extents, [side.tiles for side in sides]):
            left, right = (side.read(times, rows, columns) for side in sides)
            for at in _pieces(left.shape):
                errors.add(times.start * extents[1], left[:, at], right[:, at])
            if progress is not None:
                progress(left.size)
        fields.append(errors.result(name, str(one.attrs.get("units", "")), peak))
    return FieldComparison(tuple(fields), tuple(field_differences(reference, decoded, set(names))))


def _compared(reference: xr.Dataset, decoded: xr.Dataset, arrays: StoredArrays) -> list[str]:
    """Return the variables whose errors are told: fields, and what else a container holds with losses."""
    lossy = {str(name) for name in reference.variables if arrays.lossy(str(name))}
    wanted = field_names(reference) | lossy
    names = [
        str(name)
        for name in reference.variables
        if str(name) in wanted and name in decoded.variables
    ]
    if not names and (wanted or field_names(decoded)):
        raise InputError("the two files have no field of the same name")
    return names


def _pieces(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows of a window, so that what is computed of it stays small."""
    planes, height, width = shape
    step = max(1, _AT_ONCE // (planes * width))
    for top in range(0, height, step):
        yield slice(top, top + step)
