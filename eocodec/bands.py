"""Sentinel-2 bands: their table, and finding them among the bands of a raster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eocodec.band_dates import date_groups
from eocodec.band_lists import BandMatches, band_names, look_alikes, match_bands
from eocodec.band_table import BANDS, MODEL_BANDS, Band, all_names, band
from eocodec.band_text import FILLER_WORDS, read_description
from eocodec.errors import InputError
from eocodec.sensor_names import names_other_sensor, names_sentinel2, tag_texts

__all__ = [
    "BANDS",
    "MODEL_BANDS",
    "Band",
    "BandMatches",
    "BandSelection",
    "band",
    "band_names",
    "date_groups",
    "look_alikes",
    "match_band",
    "match_bands",
    "meant_bands",
    "option_names",
    "plainly_sentinel2",
    "select_bands",
]

_FINE = frozenset({"B02", "B03", "B04", "B08"})
# What follows a number; words there that are none of the usual ones may say that values are no reflectances.
_TAIL = re.compile(r"(?:^|[^a-z0-9])(?:b|band)[ _.-]?0*(?:1[0-2]|8a|[1-9])(?![a-z0-9])(.*)")
_USUAL = FILLER_WORDS | {
    *("central", "wavelength", "nm", "um", "tif", "tiff", "jp2", "m", "dn", "scaled"),
    *(
        "blue",
        "green",
        "red",
        "nir",
        "edge",
        "swir",
        "narrow",
        "broad",
        "vnir",
        "coastal",
        "aerosol",
    ),
    *("water", "vapour", "vapor", "cirrus", "short", "wave", "infrared", "near"),
    *("bottom", "top", "of", "at", "atmosphere"),
}


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


def match_band(description: str | None) -> str | None:
    """Return the canonical name that a single band description stands for, or None.

    Understands "B2", "B02.tif", "Band 8A", "B8A, central wavelength 865 nm", common names as "red",
    "nir08", "swir16" or "Red Edge 1 (705 nm)", and ACOLITE's "rhos_865". What a description means may
    depend on the others beside it: `band_names` takes all of a raster.
    """
    return band_names([description])[0]


def select_bands(
    descriptions: Sequence[str | None] | None,
    bands_option: Sequence[str] | None,
    count: int,
    names: Sequence[str | None] | None = None,
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
    names : sequence of str or None, optional
        Canonical names that are known already, as those found with the tags of the bands.

    Raises
    ------
    InputError
        When two bands stand for the same name of a complete stack, or the option does not fit the
        raster.
    """
    needed = set(MODEL_BANDS)
    if bands_option is not None:
        if len(bands_option) != count:
            raise InputError(
                f"the bands option names {len(bands_option)} bands; the raster has {count}: name every "
                "band in the raster's order, 'other' for those outside the stack"
            )
        found: Sequence[str | None] = option_names(bands_option)
    else:
        matches = match_bands(descriptions)
        found = matches.names if names is None else names
        if len(found) not in (0, count):
            raise InputError(f"{len(found)} band descriptions for a raster of {count} bands")
        alike = look_alikes(matches, list(descriptions or ()))
        if alike and needed <= set(matches.candidates) and not needed <= set(found):
            raise InputError(alike)
    if not needed <= set(found) or any(found.count(name) > 1 for name in MODEL_BANDS):
        return BandSelection((), tuple(range(count)))
    stack = tuple(found.index(name) for name in MODEL_BANDS)
    return BandSelection(stack, tuple(index for index in range(count) if index not in stack))


def option_names(option: Sequence[str]) -> list[str | None]:
    """Return the canonical names that a user gives the bands of a raster, None for "other" and "-".

    Raises
    ------
    InputError
        When one is no Sentinel-2 band, or two are the same.
    """
    names = meant_bands(option)
    for name, text in zip(names, option, strict=True):
        if name is None and text.strip().lower() not in ("-", "other"):
            raise InputError(
                f"the bands option holds {text!r}, which is no Sentinel-2 band; the names are "
                f"{all_names()}, or 'other' for a band outside the stack"
            )
    return names


def meant_bands(given: Sequence[str]) -> list[str | None]:
    """Return the canonical names of bands that a user names, None of what is no Sentinel-2 band.

    Their numbers are Sentinel-2's, whatever the others are.

    Raises
    ------
    InputError
        When two are the same.
    """
    together = match_bands(given).candidates
    names = [
        name or match_band(text) or read_description(text).code
        for name, text in zip(together, given, strict=True)
    ]
    for name in filter(None, names):
        where = [index for index, other in enumerate(names) if other == name]
        if len(where) > 1:
            said = " and ".join(f"{index + 1} ({given[index]!r})" for index in where)
            raise InputError(
                f"bands {said} are all named as {name}; name each band once, 'other' where it is none"
            )
    return names


def plainly_sentinel2(
    names: Sequence[str | None],
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> bool:
    """Tell whether the bands of a raster are plainly those of Sentinel-2.

    They are where at least two bands of the model are recognised, nothing names another sensor, and
    one of these holds: all ten are there; the descriptions have numbers that are Sentinel-2's alone
    (B8A, B12, or just the 10 m bands B02, B03, B04 and B08); tags or descriptions name Sentinel-2.
    Common names alone, as blue, green, red and nir, are those of many a sensor.

    Parameters
    ----------
    names : sequence of str or None
        What `band_names` found.
    descriptions : sequence of str or None, optional
        Descriptions of the bands.
    tags : dict, optional
        Tags of the raster, by name or by namespace and name; those of its bands may be among them.
    """
    recognised = {name for name in names if name in MODEL_BANDS}
    texts = [text for text in descriptions or () if text]
    said = [*texts, *tag_texts(tags or {})]
    if len(recognised) < 2 or any(map(names_other_sensor, said)):
        return False
    if any(map(_says_more, texts)):
        return False
    if len(recognised) == len(MODEL_BANDS) or any(map(names_sentinel2, said)):
        return True
    if any(read_description(text).foreign for text in texts):
        return False
    numbers = {read_description(text).code for text in texts} & set(names) - {None}
    return bool({"B8A", "B12"} & numbers) or numbers == _FINE


def _says_more(description: str) -> bool:
    """Whether words that are none of the usual ones follow the number of a band."""
    tail = _TAIL.search(description.strip().lower())
    words = re.findall(r"(?<![a-z0-9])[a-zµμ]+(?![a-z0-9])", tail[1]) if tail else []
    return any(word not in _USUAL and word not in ("µm", "μm") for word in words)
