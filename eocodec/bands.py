"""Sentinel-2 bands: their table, and finding them among the band descriptions of a raster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eocodec.errors import InputError


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument.

    Attributes
    ----------
    name : str
        Canonical name, as B02 or B8A.
    wavelength_nm : dict of str to float
        Central wavelength by platform, S2A and S2B, in nm.
    bandwidth_nm : dict of str to float
        Bandwidth by platform, in nm.
    resolution_m : int
        Native ground sampling distance in metres.
    common_names : tuple of str
        Names in the STAC catalogues and in everyday use, lower case.
    """

    name: str
    wavelength_nm: dict[str, float]
    bandwidth_nm: dict[str, float]
    resolution_m: int
    common_names: tuple[str, ...]


def _band(
    name: str, s2a: tuple[float, float], s2b: tuple[float, float], resolution_m: int, *names: str
) -> Band:
    return Band(
        name,
        {"S2A": s2a[0], "S2B": s2b[0]},
        {"S2A": s2a[1], "S2B": s2b[1]},
        resolution_m,
        names,
    )


# Central wavelength and bandwidth: ESA, Sentinel-2 MSI spatial and spectral resolution tables.
BANDS: tuple[Band, ...] = (
    _band("B01", (442.7, 21), (442.3, 21), 60, "coastal", "aerosol", "coastalaerosol"),
    _band("B02", (492.4, 66), (492.1, 66), 10, "blue"),
    _band("B03", (559.8, 36), (559.0, 36), 10, "green"),
    _band("B04", (664.6, 31), (665.0, 31), 10, "red"),
    _band("B05", (704.1, 15), (703.8, 16), 20, "rededge1", "rededge071", "vre1", "re1"),
    _band("B06", (740.5, 15), (739.1, 15), 20, "rededge2", "rededge075", "vre2", "re2"),
    _band("B07", (782.8, 20), (779.7, 20), 20, "rededge3", "rededge078", "vre3", "re3"),
    _band("B08", (832.8, 106), (833.0, 106), 10, "nir", "nir1", "nirbroad", "broadnir"),
    _band("B8A", (864.7, 21), (864.0, 22), 20, "nir08", "nir2", "nirnarrow", "narrownir", "vre4"),
    _band("B09", (945.1, 20), (943.2, 21), 60, "nir09", "watervapour", "watervapor"),
    _band("B10", (1373.5, 31), (1376.9, 30), 60, "cirrus"),
    _band("B11", (1613.7, 91), (1610.4, 94), 20, "swir16", "swir1"),
    _band("B12", (2202.4, 175), (2185.7, 185), 20, "swir22", "swir2"),
)

MODEL_BANDS: tuple[str, ...] = (
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B8A",
    "B11",
    "B12",
)

_BY_NAME = {band.name: band for band in BANDS}
_BY_COMMON_NAME = {name: band.name for band in BANDS for name in band.common_names}
# "B2", "B02", "B8A", "band 11", "Band_8a", "SR_B4", "S2_B03"; more text may follow a separator.
_NUMBERED = re.compile(r"(?:^|[^a-z0-9])(?:b|band)[ _.-]?0?(1[0-2]|8a|[1-9])(?![a-z0-9.])")


class BandSelection(NamedTuple):
    """Where the learned stack and the rest lie in a raster.

    Attributes
    ----------
    stack : tuple of int
        Positions, from 0, of `MODEL_BANDS` in their order; empty when the raster lacks any.
    others : tuple of int
        The remaining positions, ascending.
    """

    stack: tuple[int, ...]
    others: tuple[int, ...]


def band(name: str) -> Band:
    """Return the band of a canonical name.

    Raises
    ------
    InputError
        When there is no such band.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise InputError(f"{name!r} is no Sentinel-2 band; the names are {_names()}") from None


def match_band(description: str | None) -> str | None:
    """Return the canonical name that a band description stands for, or None.

    Understands "B2", "B02", "Band 8A", "B8A, central wavelength 865 nm" and common names as "red",
    "nir08", "swir16" or "Red Edge 1".
    """
    if not description:
        return None
    text = description.strip().lower()
    found = set(_NUMBERED.findall(text))
    if len(found) == 1:
        code = found.pop().upper()
        return f"B{code}" if code == "8A" else f"B{int(code):02d}"
    if found:
        return None
    compact = re.sub(r"[^a-z0-9]", "", text)
    return _BY_COMMON_NAME.get(compact)


def band_names(descriptions: Sequence[str | None] | None) -> list[str | None]:
    """Return the canonical name of every description, None where it stands for no band."""
    return [match_band(text) for text in descriptions or ()]


def select_bands(
    descriptions: Sequence[str | None] | None, bands_option: Sequence[str] | None, count: int
) -> BandSelection:
    """Find the bands of the learned stack in a raster.

    Parameters
    ----------
    descriptions : sequence of str or None
        One description a band of the raster, where it has them.
    bands_option : sequence of str or None
        The user's own names, one a band in the raster's order; overrides the descriptions. A name
        of "-" or "other" marks a band outside the stack.
    count : int
        Number of bands.

    Raises
    ------
    InputError
        When two bands stand for the same name of a complete stack, or the option does not fit the
        raster.
    """
    given = bands_option is not None
    names = _names_from_option(bands_option or (), count) if given else band_names(descriptions)
    if len(names) != count and names:
        raise InputError(f"{len(names)} band descriptions for a raster of {count} bands")
    complete = set(MODEL_BANDS) <= set(names)
    for name in MODEL_BANDS if complete or given else ():
        positions = [index + 1 for index, found in enumerate(names) if found == name]
        if len(positions) > 1:
            raise InputError(
                f"bands {' and '.join(map(str, positions))} both stand for {name}; "
                "name every band with the bands option, 'other' for those outside the stack"
            )
    if not complete:
        return BandSelection((), tuple(range(count)))
    stack = tuple(names.index(name) for name in MODEL_BANDS)
    return BandSelection(stack, tuple(index for index in range(count) if index not in stack))


def _names_from_option(option: Sequence[str], count: int) -> list[str | None]:
    if len(option) != count:
        raise InputError(
            f"the bands option names {len(option)} bands; the raster has {count}: name every band "
            "in the raster's order, 'other' for those outside the stack"
        )
    names: list[str | None] = []
    for text in option:
        name = match_band(text)
        if name is None and text.strip().lower() not in ("-", "other"):
            raise InputError(
                f"the bands option holds {text!r}, which is no Sentinel-2 band; the names are "
                f"{_names()}, or 'other' for a band outside the stack"
            )
        names.append(name)
    return names


def _names() -> str:
    return ", ".join(band.name for band in BANDS)


def plainly_sentinel2(
    names: Sequence[str | None],
    descriptions: Sequence[str | None],
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> bool:
    """Whether recognised bands are plainly those of Sentinel-2: all ten of the model, or its 10 m ones."""
    known = set(names) & set(MODEL_BANDS)
    return known == set(MODEL_BANDS) or (len(known) > 1 and bool(known & {"B08", "B8A", "B12"}))


def date_groups(
    descriptions: Sequence[str | None],
) -> list[tuple[str, tuple[int, ...]]] | None:
    """Return the dates of a stack of several and the positions of the bands of each; None where it is none."""
    found: dict[str, list[int]] = {}
    for index, text in enumerate(descriptions):
        date, _, name = (text or "").rpartition("_")
        if not date or match_band(name) is None:
            return None
        found.setdefault(date, []).append(index)
    if len(found) < 2:
        return None
    return [(date, tuple(positions)) for date, positions in found.items()]
