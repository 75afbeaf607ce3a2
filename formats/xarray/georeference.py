"""CRS and transform of a container as CF coordinates, and of a dataset as a container keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from rasterio.crs import CRS
from rasterio.errors import CRSError

from eocodec.formats.eoc.crs import crs_text
from eocodec.formats.eoc.metadata import ArrayHeader

GRID_MAPPING = "spatial_ref"
Transform = tuple[float, float, float, float, float, float]

_PROJECTED = {
    "y": {"standard_name": "projection_y_coordinate", "axis": "Y"},
    "x": {"standard_name": "projection_x_coordinate", "axis": "X"},
}
_GEOGRAPHIC = {
    "y": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "x": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}


def grid_mapping(header: ArrayHeader) -> xr.Variable | None:
    """Return the grid mapping of an array in the conventions of CF and rioxarray, None without a CRS."""
    if header.crs is None:
        return None
    crs = _parsed(header.crs)
    wkt = header.crs if crs is None or not header.crs.startswith("EPSG:") else crs.to_wkt()
    attrs: dict[str, Any] = {"crs_wkt": wkt, GRID_MAPPING: wkt}
    if header.transform is not None:
        a, b, c, d, e, f = header.transform
        attrs["GeoTransform"] = " ".join(repr(float(value)) for value in (c, a, b, f, d, e))
    return xr.Variable((), np.int64(0), attrs)


def pixel_centres(header: ArrayHeader) -> tuple[xr.Variable, xr.Variable] | None:
    """Return the coordinates of rows and columns, None without an unrotated transform."""
    if header.transform is None or header.transform[1] or header.transform[3]:
        return None
    a, _, c, _, e, f = header.transform
    rows, columns = header.shape[-2:]
    y_dim, x_dim = header.dims[-2:]
    crs = None if header.crs is None else _parsed(header.crs)
    attrs: dict[str, dict[str, Any]] = {"y": {}, "x": {}}
    if crs is not None and crs.is_geographic:
        attrs = _GEOGRAPHIC
    elif crs is not None:
        unit = {"units": crs.linear_units} if crs.is_projected else {}
        attrs = {axis: {**said, **unit} for axis, said in _PROJECTED.items()}
    return (
        xr.Variable((y_dim,), f + e * (np.arange(rows) + 0.5), attrs["y"]),
        xr.Variable((x_dim,), c + a * (np.arange(columns) + 0.5), attrs["x"]),
    )


def crs_of(ds: xr.Dataset, variable: xr.Variable) -> str | None:
    """Return the CRS that the grid mapping of a variable tells, "EPSG:n" or WKT2."""
    said = _grid_mapping_of(ds, variable)
    text = said.get("crs_wkt") or said.get(GRID_MAPPING)
    if not isinstance(text, str) or not text:
        return None
    crs = _parsed(text)
    return text if crs is None else crs_text(crs)


def transform_of(ds: xr.Dataset, variable: xr.Variable) -> Transform | None:
    """Return the transform of a variable whose last two axes are rows and columns, None where it has none.

    Evenly spaced coordinates tell it, else the GeoTransform of the grid mapping.
    """
    y, x = (_first_and_step(ds, str(dim)) for dim in variable.dims[-2:])
    if y is not None and x is not None:
        return x[1], 0.0, x[0] - x[1] / 2, 0.0, y[1], y[0] - y[1] / 2
    said = str(_grid_mapping_of(ds, variable).get("GeoTransform", "")).split()
    try:
        c, a, b, f, d, e = map(float, said)
    except ValueError:
        return None
    return a, b, c, d, e, f


def _grid_mapping_of(ds: xr.Dataset, variable: xr.Variable) -> dict[Any, Any]:
    name = variable.encoding.get("grid_mapping") or variable.attrs.get("grid_mapping")
    if not isinstance(name, str):
        name = GRID_MAPPING
    return ds.variables[name].attrs if name in ds.variables else {}


def _first_and_step(ds: xr.Dataset, dim: str) -> tuple[float, float] | None:
    if dim not in ds.variables or ds.variables[dim].dims != (dim,):
        return None
    if ds.variables[dim].dtype.kind not in "iuf" or ds.sizes[dim] < 2:
        return None
    values: npt.NDArray[np.float64] = ds.variables[dim].values.astype(np.float64)
    step = (values[-1] - values[0]) / (len(values) - 1)
    even = values[0] + step * np.arange(len(values))
    if step == 0 or not np.allclose(values, even, rtol=0, atol=1e-3 * abs(step)):
        return None
    return float(values[0]), float(step)


def _parsed(text: str) -> CRS | None:
    try:
        return CRS.from_user_input(text)
    except CRSError:
        return None
