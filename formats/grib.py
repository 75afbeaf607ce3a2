"""Reading GRIB: all messages of a file as one dataset, through cfgrib and ecCodes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from eocodec.errors import InputError, MissingPackageError
from eocodec.extras import needs

FORMAT = "GRIB"


@contextmanager
def open_grib(path: str | os.PathLike[str]) -> Iterator[xr.Dataset]:
    """Open a GRIB file as one dataset of undecoded variables, missing samples as NaN.

    Attributes are those of cfgrib, `GRIB_pv` (the coefficients a and b of hybrid levels) among them.
    Where messages of one name lie on other levels, times or grids, variables and coordinates carry
    the type of level, or a number, from the second on.

    Raises
    ------
    InputError
        If it is no GRIB file, or cfgrib does not show every message.
    MissingPackageError
        cfgrib or ecCodes is not installed.
    """
    try:
        with needs("fields", f"{path}: GRIB"):
            import cfgrib
            import eccodes
    except RuntimeError as error:
        # cfgrib is there, the library of ecCodes is not.
        raise MissingPackageError(
            f"{path}: GRIB needs ecCodes, which cannot be loaded: pip install 'eocodec[fields]'"
        ) from error
    options = {"indexpath": "", "read_keys": ["pv"], "errors": "raise"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parts = cfgrib.open_datasets(
                os.fspath(path), backend_kwargs=options, decode_times=False, mask_and_scale=False
            )
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (eccodes.CodesInternalError, OSError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path} is no GRIB file that cfgrib reads: {error}") from error
    ds = merged(parts)
    shown = sum(
        variable.size // variable.attrs["GRIB_numberOfPoints"]
        for variable in ds.data_vars.values()
        if variable.attrs.get("GRIB_numberOfPoints")
    )
    messages = _count_messages(path)
    if not messages or shown < messages:
        raise InputError(f"{path}: cfgrib shows {shown} fields of {messages} GRIB messages")
    yield ds


def merged(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return datasets as one; what clashes with an earlier one is renamed.

    Attributes of the datasets that differ go to their variables.
    """
    attrs = {
        key: value
        for key, value in (parts[0].attrs if parts else {}).items()
        if all(_alike(part.attrs.get(key), value) for part in parts)
    }
    taken: dict[str, xr.Variable] = {}
    sizes: dict[str, int] = {}
    # The largest keeps its names.
    for part in sorted(parts, key=lambda part: -part.nbytes):
        variables = {str(name): variable for name, variable in part.variables.items()}
        ends = _level_type(part)
        names: dict[str, str] = {}
        for name in dict.fromkeys([*map(str, part.sizes), *variables]):
            names[name] = _free_name(name, ends, names, variables, part.sizes, taken, sizes)
        for name, variable in variables.items():
            dims = [names[str(dim)] for dim in variable.dims]
            own = dict(variable.attrs)
            if name in part.data_vars:
                own |= {key: value for key, value in part.attrs.items() if key not in attrs}
            told = variable.encoding.get("coordinates")
            if isinstance(told, str):
                own["coordinates"] = " ".join(names.get(one, one) for one in told.split())
            taken.setdefault(names[name], variable._replace(dims=dims, attrs=own))
        sizes |= {names[str(dim)]: n for dim, n in part.sizes.items()}
    coords = {name: variable for name, variable in taken.items() if variable.dims == (name,)}
    data = {name: variable for name, variable in taken.items() if name not in coords}
    return xr.Dataset(data, coords, attrs)


def _free_name(
    name: str,
    level_type: str,
    names: Mapping[str, str],
    variables: Mapping[str, xr.Variable],
    own_sizes: Mapping[Any, int],
    taken: Mapping[str, xr.Variable],
    sizes: Mapping[str, int],
) -> str:
    """Return a name under which a dimension or variable clashes with none that is there."""
    candidates = [name, f"{name}_{level_type}" if level_type else f"{name}_2"]
    candidates += [f"{candidates[1]}_{number}" for number in range(2, 10_000)]
    for candidate in candidates:
        free = candidate not in taken or (
            name in variables and _same(variables[name], taken[candidate], names)
        )
        if name in own_sizes:
            free &= sizes.get(candidate, own_sizes[name]) == own_sizes[name]
            free &= candidate in sizes or candidate not in taken
        else:
            free &= candidate not in sizes
        if free and candidate not in names.values():
            return candidate
    raise InputError(f"too many variables are called {name!r}")


def _same(variable: xr.Variable, other: xr.Variable, names: Mapping[str, str]) -> bool:
    """Whether a coordinate is another one; fields never are."""
    dims = tuple(names.get(str(dim), str(dim)) for dim in variable.dims)
    if "GRIB_paramId" in variable.attrs or dims != other.dims or variable.shape != other.shape:
        return False
    return bool(np.array_equal(variable.values, other.values)) and variable.attrs == other.attrs


def _alike(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other))


def _level_type(part: xr.Dataset) -> str:
    told = {str(variable.attrs.get("GRIB_typeOfLevel", "")) for variable in part.data_vars.values()}
    return next((name for name in sorted(told) if name), "")


def _count_messages(path: str | os.PathLike[str]) -> int:
    import eccodes

    with open(path, "rb") as file:
        return int(eccodes.codes_count_in_file(file))
