"""A coordinate reference system as text, from text or from an object of rasterio or pyproj."""

from __future__ import annotations

from typing import Any

from eocodec.errors import InputError


def crs_text(crs: Any) -> str | None:
    """Return "EPSG:n" when that is exactly the CRS, else WKT2.

    Parameters
    ----------
    crs : str, int, object or None
        Text is kept as it is; an int is an EPSG code; an object needs `to_epsg` and `to_wkt`
        (`rasterio.crs.CRS`, `pyproj.CRS`).

    Raises
    ------
    InputError
        When `crs` is something else, or cannot be written as WKT.
    """
    if not crs:
        return None
    if isinstance(crs, str):
        return crs
    if isinstance(crs, int):
        return f"EPSG:{crs}"
    if not hasattr(crs, "to_wkt"):
        raise InputError(f"a CRS is text, an EPSG code or a CRS object, not {type(crs).__name__}")
    try:
        code = crs.to_epsg()
        if code is not None and type(crs).from_epsg(code) == crs:
            return f"EPSG:{code}"
        try:
            return str(crs.to_wkt(version="WKT2_2019")) or None
        except TypeError:
            return str(crs.to_wkt("WKT2_2019")) or None
    except Exception as error:
        raise InputError(f"the CRS cannot be written as WKT2: {error}") from error
