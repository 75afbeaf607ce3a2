"""Which Sentinel-2 bands the bands of a raster are, their descriptions and tags seen together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eocodec.band_dates import date_groups, undated
from eocodec.band_table import MODEL_BANDS
from eocodec.band_text import (
    Reading,
    common_name_band,
    family,
    read_description,
    tagged_wavelength,
    wavelength_band,
)
from eocodec.sensor_names import names_other_sensor, names_sentinel2, tag_texts

# Landsat 8 has bands of these numbers; Sentinel-2 stacks that have them have B08 or B8A too.
_LANDSAT = {f"B{number:02}" for number in range(2, 8)}
_THERMAL = {"B10", "B11"}
_BROAD = frozenset({"broadnir", "nirbroad", "bnr"})


@dataclass(frozen=True)
class BandMatches:
    """Which Sentinel-2 bands the bands of a raster are.

    Attributes
    ----------
    names : tuple of str or None
        Canonical name of each band, None where it is no band of Sentinel-2 or not clear which. But
        for stacks of several dates no name is there twice.
    candidates : tuple of str or None
        The same, with the name that each of several bands looks like.
    reasons : dict of int to str
        Why a band has no name though it looks as if it had one, by position from 0.
    alike : dict of str to tuple of int
        Positions of the bands that look like the same band, by its name.
    """

    names: tuple[str | None, ...]
    candidates: tuple[str | None, ...]
    reasons: dict[int, str]
    alike: dict[str, tuple[int, ...]]


def match_bands(
    descriptions: Sequence[str | None] | None,
    band_tags: Sequence[Mapping[str, Any]] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> BandMatches:
    """Find the Sentinel-2 bands among the bands of a raster.

    Parameters
    ----------
    descriptions : sequence of str or None
        One description a band.
    band_tags : sequence of dict, optional
        Tags of each band, by name or by namespace and name: wavelengths tell where a description
        does not.
    tags : dict, optional
        Tags of the raster: a sensor that they name tells what numbers of bands mean.
    """
    texts = list(descriptions or ())
    bases = undated(texts)
    readings = [read_description(text) for text in bases or texts]
    wavelengths = [tagged_wavelength(each) for each in band_tags or ()] or [None] * len(texts)
    reasons: dict[int, str] = {}
    numbered = _numbering(readings, tags or {}, reasons)
    words = _words_in_context(readings)
    found: list[str | None] = []
    for index, (reading, wavelength) in enumerate(zip(readings, wavelengths, strict=True)):
        name = reading.code if numbered[index] else None
        if name is None and reading.word is not None:
            name = _of_word(reading, words[index], wavelength)
            bands = family(reading.word)
            if name is None and bands and reading.word in ("rededge", "swir", "swir2", "swir3"):
                reasons[index] = f"may be {' or '.join(sorted(bands & set(MODEL_BANDS)))}"
        if name is None and reading.silent and wavelength is not None:
            name = wavelength_band(reading, wavelength)
        found.append(name)
        if name is not None:
            reasons.pop(index, None)
    groups = [group for _, group in date_groups(texts) or [("", tuple(range(len(texts))))]]
    alike: dict[str, tuple[int, ...]] = {}
    names = list(found)
    for group in groups:
        for name in {found[index] for index in group} - {None}:
            positions = tuple(index for index in group if found[index] == name)
            if name is not None and len(positions) > 1:
                alike[name] = positions
                for index in positions:
                    names[index] = None
                    reasons[index] = f"looks like {name}, as another band does"
    return BandMatches(tuple(names), tuple(found), reasons, alike)


def _numbering(
    readings: Sequence[Reading], tags: Mapping[str, Any], reasons: dict[int, str]
) -> list[bool]:
    """Tell for each band whether its number is one of Sentinel-2's numbering."""
    ours = other = False
    for text in tag_texts(tags):
        ours |= names_sentinel2(text)
        other |= names_other_sensor(text)
    codes = {reading.code for reading in readings if reading.code}
    typical = bool({"B8A", "B12"} & codes)
    numbered = [reading.code is not None or reading.foreign for reading in readings]
    counts = [reading.counted == index + 1 for index, reading in enumerate(readings)]
    whole = None
    if any(reading.foreign for reading in readings) or (other and not ours):
        whole = "its number is not of Sentinel-2's numbering"
    elif not (ours or typical) and ("B08" not in codes or codes >= _THERMAL) and codes >= _LANDSAT:
        whole = "its number may be of Landsat's numbering"
    elif "B8A" not in codes and sum(numbered) > 1 and counts == numbered:
        whole = "its number may only count the bands"
    trusted = []
    for index, reading in enumerate(readings):
        reason = whole
        if reading.spelled and not (ours or typical):
            reason = "its number may only count the bands"
        if numbered[index] and reason is not None:
            reasons[index] = reason
        trusted.append(reason is None)
    return trusted


def _words_in_context(readings: Sequence[Reading]) -> list[str | None]:
    """Return the band of each common name, where the others tell what it means.

    FORCE calls B08 BROADNIR and B8A NIR; Geoscience Australia counts the cirrus band as the first
    of the short-wave infrared.
    """
    words = {reading.word for reading in readings}
    meaning: dict[str, str | None] = {}
    if words & _BROAD:
        meaning["nir"] = "B8A"
    if {"rededge2", "rededge3"} <= words and "rededge1" not in words:
        meaning["rededge"] = "B05"
    brdf = any(reading.brdf and reading.word == "swir2" for reading in readings)
    if "swir3" in words or brdf:
        if "swir1" not in words:
            meaning |= {"swir2": "B11", "swir3": "B12"}
        elif "swir3" in words:
            meaning |= {"swir1": None, "swir2": None}
    return [
        None if reading.word is None else meaning.get(reading.word, common_name_band(reading.word))
        for reading in readings
    ]


def _of_word(reading: Reading, meaning: str | None, tagged: float | None) -> str | None:
    """Return the band of a common name, of a wavelength beside it or, where it is general, in the tags."""
    if reading.word == "" and reading.wavelength_nm is not None:
        return wavelength_band(reading, reading.wavelength_nm)
    bands = family(reading.word or "")
    if reading.wavelength_nm is not None:
        name = wavelength_band(reading, reading.wavelength_nm) if bands else None
        exact = meaning is not None and reading.word not in ("nir", "swir", "rededge")
        return None if exact and name != meaning else name
    if tagged is not None and reading.word in ("nir", "swir", "rededge"):
        return wavelength_band(reading, tagged)
    return meaning


def band_names(
    descriptions: Sequence[str | None] | None,
    band_tags: Sequence[Mapping[str, Any]] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> list[str | None]:
    """Return the canonical name of every band, None where it is none or not clear which.

    Takes the arguments of `match_bands`.
    """
    return list(match_bands(descriptions, band_tags, tags).names)


def look_alikes(
    matches: BandMatches, descriptions: Sequence[str | None], name: str | None = None
) -> str | None:
    """Say which bands look alike, and what to pass to tell them apart; None where none do.

    Parameters
    ----------
    matches : BandMatches
    descriptions : sequence of str or None
        Those that were matched.
    name : str, optional
        The canonical name asked for, by default any.
    """
    alike = {key: where for key, where in matches.alike.items() if name in (None, key)}
    if not alike:
        return None
    said = []
    for key, where in alike.items():
        bands = [
            f"{index + 1} ({descriptions[index] or 'without description'!r})" for index in where
        ]
        said.append(f"bands {', '.join(bands[:-1])} and {bands[-1]} look like {key}")
    taken: set[str] = set()
    proposal = []
    for candidate in matches.candidates:
        proposal.append("other" if candidate is None or candidate in taken else candidate)
        taken.add(proposal[-1])
    return (
        f"{'; '.join(said)}: name every band in the file's order, 'other' for those outside the stack, "
        f"as --bands {','.join(proposal)}"
    )
