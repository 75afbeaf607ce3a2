"""Error bounds of single bands, which people name, for the planes of arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from eocodec.bands import date_groups, look_alikes, match_bands, meant_bands
from eocodec.errors import InputError
from eocodec.formats.eoc.metadata import ArrayHeader, Band

Place = tuple[int, int]


def named_bounds(
    headers: Sequence[ArrayHeader], bounds: Mapping[str, float]
) -> list[list[float | None]]:
    """Return the bound of every plane of every array, None where no band is named.

    Parameters
    ----------
    headers : sequence of ArrayHeader
        Arrays whose bands are described, or are not to be named.
    bounds : mapping of str to float
        Bound by name, description or 1-based number of a band in its file. In a stack of several
        dates the name of a band of Sentinel-2 stands for that of every date.

    Raises
    ------
    InputError
        When a key stands for no band, or for several.
    """
    found: list[list[float | None]] = [[None] * header.planes for header in headers]
    bands = {
        (array, plane): band
        for array, header in enumerate(headers)
        for plane, band in enumerate(header.bands)
    }
    for key, bound in bounds.items():
        for array, plane in _places(key, headers, bands):
            found[array][plane] = bound
    return found


def _places(key: str, headers: Sequence[ArrayHeader], bands: Mapping[Place, Band]) -> list[Place]:
    """Return the bands that a key stands for: as it is written, else by what it means."""
    name, word = meant_bands([key])[0], _compact(key)
    places = (
        [place for place, band in bands.items() if _is_written(key, band)]
        or [place for place, band in bands.items() if word and word == _compact(band.description)]
        or [place for place, band in bands.items() if name and name == band.name]
    )
    if len(places) == 1 or (places and _one_a_date(places, bands)):
        return places
    ordered = sorted(bands.values(), key=lambda band: band.position or 0)
    descriptions = [band.description for band in ordered]
    alike = look_alikes(match_bands(descriptions), descriptions, name) if name else None
    if not places and alike:
        raise InputError(f"no band is called {key!r}: {alike}")
    names = [name for header in headers if header.bands for name in header.band_names]
    raise InputError(f"{len(places)} bands are called {key!r}; there are {', '.join(names)}")


def _is_written(key: str, band: Band) -> bool:
    if key in (band.name, band.description):
        return True
    return key.isdecimal() and band.position is not None and int(key) == band.position + 1


def _compact(text: str | None) -> str:
    """Reduce a name to letters and digits, without the prefix of Geoscience Australia."""
    return re.sub(r"^nbart?_|[\W_]+", "", (text or "").lower())


def _one_a_date(places: Sequence[Place], bands: Mapping[Place, Band]) -> bool:
    """Tell whether the places are one of every date of a stack of several dates."""
    ordered = sorted(bands, key=lambda place: bands[place].position or 0)
    groups = date_groups([bands[place].description for place in ordered])
    chosen = [ordered.index(place) for place in places]
    return groups is not None and all(
        sum(index in group for index in chosen) == 1 for _, group in groups
    )
