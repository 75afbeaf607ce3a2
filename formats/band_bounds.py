"""Error bounds of single bands, which people name, for the planes of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eocodec.bands import match_band
from eocodec.errors import InputError
from eocodec.formats.eoc.metadata import ArrayHeader, Band


def named_bounds(
    headers: Sequence[ArrayHeader], bounds: Mapping[str, float]
) -> list[list[float | None]]:
    """Return the bound of every plane of every array, None where no band is named.

    Parameters
    ----------
    headers : sequence of ArrayHeader
        Arrays whose bands are described, or are not to be named.
    bounds : mapping of str to float
        Bound by name, description or 1-based number of a band in its file.

    Raises
    ------
    InputError
        When a key stands for no band, or for several.
    """
    found: list[list[float | None]] = [[None] * header.planes for header in headers]
    for key, bound in bounds.items():
        places = [
            (array, plane)
            for array, header in enumerate(headers)
            for plane, band in enumerate(header.bands)
            if _stands_for(key, band)
        ]
        if len(places) != 1:
            names = [name for header in headers if header.bands for name in header.band_names]
            raise InputError(
                f"{len(places)} bands are called {key!r}; there are {', '.join(names)}"
            )
        array, plane = places[0]
        found[array][plane] = bound
    return found


def _stands_for(key: str, band: Band) -> bool:
    if key in (band.name, band.description):
        return True
    if key.isdecimal():
        return band.position is not None and int(key) == band.position + 1
    return band.name is not None and match_band(key) == band.name
