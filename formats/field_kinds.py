"""Which variables of a file are fields, of which something may be lost: not coordinates, flags, counts, identifiers.

What CF attributes say comes first, then plain names; `whole_or_few` looks at the samples, since class maps,
station numbers and counts are often stored as floats and say nothing of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from eocodec.formats.cf import missing, seen
from eocodec.formats.chunk_axes import ChunkAxes
from eocodec.xarray.stored import block_rows, blocks, has_samples

_REFERENCES = (
    "coordinates",
    "bounds",
    "climatology",
    "grid_mapping",
    "cell_measures",
    "ancillary_variables",
    "formula_terms",
    "node_coordinates",
    "node_count",
    "part_node_count",
    "interior_ring",
)
_NO_FIELD = (
    "flag_values",
    "flag_masks",
    "flag_meanings",
    "cf_role",
    "axis",
    "calendar",
    "grid_mapping_name",
    "sample_dimension",
    "instance_dimension",
)
_PLAIN_NAMES = (
    "mask masks flag flags qa qf quality class classes classification category id ids identifier index "
    "count counts nobs lsm"
)
_WORDS = {
    "name": frozenset(_PLAIN_NAMES.split()),
    "long_name": frozenset(("mask", "flag", "flags")),
    "standard_name": frozenset(("mask", "flag", "quality", "identifier")),
}
_STANDARD_NAMES = re.compile(
    r"latitude|longitude|time|forecast_reference_time|region|area_type|land_cover_lccs|.*number_of_observations"
)
_ANGLES = re.compile(r"degrees?_?(north|east|n|e|true)", re.IGNORECASE)
_TIMES = re.compile(r"\w+\s+since\s", re.IGNORECASE)
# Fluxes too say which direction is positive; heights and depths do so in these units.
_VERTICAL = frozenset(
    ("", "1", "m", "km", "metre", "meter", "metres", "meters", "pa", "hpa", "level")
)
# Floats above are whole numbers for want of digits.
_LARGEST_WHOLE = {4: 2.0**24, 8: 2.0**31}

FEW_VALUES = 32
"""A float of at most so many different values is taken for classes: it costs 5 bits a sample at most."""


def field_names(ds: xr.Dataset) -> set[str]:
    """Return the variables of a dataset that are fields: not coordinates, bounds, flags, identifiers or text.

    What attributes of other variables refer to (CF conventions), is no field.
    """
    referred = _referred(ds)
    return {
        str(name)
        for name, variable in ds.variables.items()
        if str(name) not in referred
        and variable.ndim > 1
        and has_samples(variable)
        and name not in ds.sizes
        and not _says_no_field(str(name), variable)
    }


def whole_or_few(variable: xr.Variable, axes: ChunkAxes, special: Sequence[float]) -> str:
    """Return why the samples of a float look like counts, classes or identifiers; "" where they do not.

    They do when all of them are whole numbers, which have no digits to lose that stand for noise, or when
    they have at most `FEW_VALUES` different values. Missing values, NaN and infinities do not count. Samples
    of fields tell at once, so that little is read of them.

    Parameters
    ----------
    variable : xr.Variable
        A stored variable of floats.
    axes : ChunkAxes
        Its axes.
    special : sequence of float
        Samples that mean "missing".
    """
    different: set[float] = set()
    whole, largest = True, _LARGEST_WHOLE[variable.dtype.itemsize]
    for _, _, part in blocks(variable, axes, block_rows(axes.extents(variable.shape))):
        samples = seen(np.asarray(part.values), variable.attrs).ravel()
        for part_of_them in _parts(samples):
            valid = np.isfinite(part_of_them)
            for value in special:
                valid &= ~missing(part_of_them, value)
            found = part_of_them[valid]
            whole = whole and bool(((found == np.rint(found)) & (np.abs(found) < largest)).all())
            if len(different) <= FEW_VALUES:
                different.update(np.unique(found).tolist())
            if not whole and len(different) > FEW_VALUES:
                return ""
    if whole:
        return "all of its values are whole numbers"
    few = len(different)
    return "all of its values are alike" if few == 1 else f"it has only {few} values"


def _parts(samples: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield a few samples, then ever more."""
    start, size = 0, 4096
    while start < len(samples):
        yield samples[start : start + size]
        start, size = start + size, 4 * size


def _referred(ds: xr.Dataset) -> set[str]:
    referred: set[str] = set()
    for variable in ds.variables.values():
        for key in _REFERENCES:
            for room in (variable.attrs, variable.encoding):
                told = room.get(key)
                if isinstance(told, str):
                    referred.update(told.replace(":", " ").split())
    return referred


def _says_no_field(name: str, variable: xr.Variable) -> bool:
    attrs = variable.attrs
    units, standard = _text(attrs.get("units")), _text(attrs.get("standard_name"))
    said = {"name": name, "long_name": _text(attrs.get("long_name")), "standard_name": standard}
    return (
        any(key in attrs for key in _NO_FIELD)
        or ("positive" in attrs and units.lower() in _VERTICAL)
        or bool(_ANGLES.fullmatch(units) or _TIMES.match(units))
        or bool(_STANDARD_NAMES.fullmatch(standard))
        or any(not _WORDS[key].isdisjoint(_words(text)) for key, text in said.items())
        # Alone it is cloud water.
        or "qc" in _words(name)[1:]
    )


def _words(name: str) -> list[str]:
    """Return the words of a name, lower case: those of cloud_mask, cloudMask and QA60 are cloud, mask and qa."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+", apart.lower())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
