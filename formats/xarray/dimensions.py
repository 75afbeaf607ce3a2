"""Dimensions that xarray has no place for: those of no variable, and those that a variable has twice.

Both are kept in `Dataset.encoding`, as xarray keeps unlimited dimensions there.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import xarray as xr

from eocodec.errors import FormatError

FILE_DIMENSIONS = "file_dimensions"
"""Key in `Dataset.encoding`: {name: `Dimension`} of the file, in its order."""
REPEATED = "repeated_dims"
"""Key in `Dataset.encoding`: {other name: name} of dimensions that a variable has again."""


@dataclass(frozen=True)
class Dimension:
    """A dimension of a file: its size, and whether it may grow."""

    size: int
    unlimited: bool = False


def file_dimensions(ds: xr.Dataset) -> dict[str, Dimension]:
    """Return the dimensions of the file that a dataset comes from, in its order, and any further ones."""
    unlimited = {str(dim) for dim in ds.encoding.get("unlimited_dims", ())}
    again = repeated_dims(ds)
    own = {
        str(dim): Dimension(size, str(dim) in unlimited)
        for dim, size in ds.sizes.items()
        if str(dim) not in again
    }
    told: dict[str, Dimension] = ds.encoding.get(FILE_DIMENSIONS, {})
    return {name: own.get(name, one) for name, one in told.items()} | own


def repeated_dims(ds: xr.Dataset) -> dict[str, str]:
    """Return {other name: name} of the dimensions that a variable has again, see `distinct_dims`."""
    told: dict[str, str] = ds.encoding.get(REPEATED, {})
    return told


def distinct_dims(
    variables: Mapping[Any, xr.Variable],
) -> tuple[dict[str, xr.Variable], dict[str, str]]:
    """Give a dimension that a variable has again a name of its own: (layer, layer) is (layer, layer_2).

    Returns
    -------
    variables : dict of str to xr.Variable
        All of them.
    repeated : dict of str to str
        The dimension that each new name stands for.
    """
    taken = {str(dim) for variable in variables.values() for dim in variable.dims}
    taken |= set(map(str, variables))
    repeated: dict[str, str] = {}
    distinct = {}
    for key, variable in variables.items():
        dims: list[str] = []
        for dim in map(str, variable.dims):
            number, name = 2, dim
            while name in dims or (name in taken and name != dim and repeated.get(name) != dim):
                name, number = f"{dim}_{number}", number + 1
            if name != dim:
                repeated[name] = dim
            dims.append(name)
        same = tuple(dims) == tuple(map(str, variable.dims))
        distinct[str(key)] = variable if same else variable._replace(dims=dims)
    return distinct, repeated


@contextmanager
def repeated_dims_allowed() -> Iterator[None]:
    """Keep xarray from warning of dimensions that a variable has twice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate dimension names present", UserWarning)
        yield


def dump_dimensions(ds: xr.Dataset, repeated: Mapping[str, str]) -> dict[str, Any]:
    """Return what the header of a container tells of dimensions, as JSON can hold it.

    Parameters
    ----------
    ds : xr.Dataset
        The dataset.
    repeated : mapping of str to str
        Dimensions that its variables have again, see `distinct_dims`.
    """
    found = file_dimensions(ds)
    told: dict[str, Any] = {
        "unlimited": sorted(name for name, one in found.items() if one.unlimited)
    }
    if list(found) != [str(dim) for dim in ds.sizes if str(dim) not in repeated]:
        told["dimensions"] = [[name, one.size, one.unlimited] for name, one in found.items()]
    if repeated:
        told["repeated"] = dict(repeated)
    return told


def parse_dimensions(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `dump_dimensions` told, for `Dataset.encoding`; raises `FormatError` for anything else."""
    try:
        dimensions = {
            str(name): Dimension(int(size), bool(unlimited))
            for name, size, unlimited in described.get("dimensions", [])
        }
        repeated = {str(other): str(name) for other, name in described.get("repeated", {}).items()}
        if any(not 0 <= one.size < 2**63 for one in dimensions.values()):
            raise ValueError("a size is none")
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"the header describes malformed dimensions: {error}") from error
    found: dict[str, Any] = {FILE_DIMENSIONS: dimensions} if dimensions else {}
    return found | ({REPEATED: repeated} if repeated else {})
