"""Which bands of a raster are learned, in which unit, and which are exact.

Without a quality only plain Sentinel-2 reflectances are learned: by their bands and by their values. With one, every
band is that holds measurements: flags, classes, colour tables and alpha never are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.bands import MODEL_BANDS, date_groups, option_names, plainly_sentinel2
from eocodec.formats.eoc.header import Band
from eocodec.formats.quality import MAX_SAMPLED_TILES
from eocodec.formats.raster import Raster, windows
from eocodec.mask import find_invalid
from eocodec.units import (
    band_spreads,
    few_values,
    looks_like_reflectance,
    reflectance_unit,
    spread_unit,
)

SAMPLE_SIZE = 256

_ENOUGH = 256
_ALIKE = 4.0
"""Bands whose spreads differ by no more than this factor share a unit."""
_FLAGS = re.compile(
    r"(?:^|[^a-z])(?:mask|masks|flag|flags|qa|quality|class|classes|classification|scl|fmask|clm|cld|cloud|snow|"
    r"landcover|lulc|label|labels|id|index|count)(?:$|[^a-z])|qa\d|mask$|^msk|^cld|^scl"
)
_NO_MEASUREMENTS = {"alpha": "alpha", "palette": "a colour table"}


@dataclass(frozen=True)
class Group:
    """Bands of one learned array.

    Attributes
    ----------
    bands : tuple of int
        Their positions in the raster, counted from 0, in the order of the array.
    unit : float
        What one DN is in the unit of the samples.
    reflectance : bool
        Whether they are reflectances of Sentinel-2; otherwise the unit is that of their spread.
    date : str
        What tells them from those of other dates; "" without dates.
    """

    bands: tuple[int, ...]
    unit: float
    reflectance: bool
    date: str = ""


@dataclass(frozen=True)
class BandChoice:
    """How the bands of a raster are coded.

    Attributes
    ----------
    groups : tuple of Group
        Learned arrays.
    flags : mapping of int to str
        Bands that no measurements are in, by position, and why: exact, unless a bound names them.
    notes : tuple of str
        What a user should know.
    """

    groups: tuple[Group, ...] = ()
    flags: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def learned(self) -> frozenset[int]:
        """Positions of the learned bands."""
        return frozenset(band for group in self.groups for band in group.bands)

    def of(self, first: int, count: int) -> BandChoice:
        """Return the choice of `count` bands from `first` on, as those of a raster of their own."""
        groups = []
        for group in self.groups:
            bands = tuple(band - first for band in group.bands if 0 <= band - first < count)
            groups += [replace(group, bands=bands)] if bands else []
        flags = {b - first: why for b, why in self.flags.items() if 0 <= b - first < count}
        return BandChoice(tuple(groups), flags)


def sampled_windows(height: int, width: int, tile_size: int) -> Iterator[tuple[slice, slice]]:
    """Yield windows of tiles spread over a raster; of many tiles only their middles."""
    boxes = list(windows(height, width, tile_size, tile_size))
    chosen = np.linspace(0, len(boxes) - 1, MAX_SAMPLED_TILES).round().astype(int)
    for number in np.unique(chosen).tolist():
        rows, columns = boxes[number]
        yield (_middle(rows), _middle(columns)) if len(boxes) > 4 else (rows, columns)


def _middle(span: slice) -> slice:
    start = span.start + max(span.stop - span.start - SAMPLE_SIZE, 0) // 2
    return slice(start, min(start + SAMPLE_SIZE, span.stop))


class Sample:
    """Samples of some windows of a raster, read once.

    Parameters
    ----------
    raster : Raster
    tile_size : int
        Rows and columns of a tile.
    """

    def __init__(self, raster: Raster, tile_size: int) -> None:
        self._raster = raster
        _, height, width = raster.shape
        self._windows = list(sampled_windows(height, width, tile_size))
        self._values: dict[int, NDArray[Any]] = {}

    def values(self, band: int) -> NDArray[Any]:
        """Return the valid, finite samples of a band, (N,)."""
        if band not in self._values:
            self._read(range(self._raster.shape[0]))
        return self._values[band]

    def _read(self, bands: Sequence[int]) -> None:
        parts: dict[int, list[NDArray[Any]]] = {band: [] for band in bands}
        for rows, columns in self._windows:
            pixels = self._raster.read(rows, columns, list(bands))
            for band, plane in zip(bands, pixels, strict=True):
                invalid = find_invalid(plane, self._raster.nodata)
                valid = plane.ravel() if invalid is None else plane[~invalid]
                parts[band].append(valid[np.isfinite(valid)])
        self._values = {band: np.concatenate(values) for band, values in parts.items()}


def find_flags(raster: Raster, sample: Sample, named: Sequence[str] | None) -> dict[int, str]:
    """Return the bands without measurements, by position, and why.

    Parameters
    ----------
    raster : Raster
    sample : Sample
        Of it.
    named : sequence of str, optional
        The user's own names of the bands.
    """
    found: dict[int, str] = {}
    for index, band in enumerate(raster.bands):
        why = _told_no_measurements(band, named[index] if named else None)
        if why is None and few_values(sample.values(index)):
            enough = sample.values(index).size >= _ENOUGH
            why = "few different values" if enough else "few valid samples"
        if why is not None:
            found[index] = why
    return found


def _told_no_measurements(band: Band, named: str | None) -> str | None:
    if band.colour in _NO_MEASUREMENTS:
        return _NO_MEASUREMENTS[band.colour]
    if named is not None:
        return "named other" if named.strip().lower() in ("-", "other") else None
    if band.name is None and band.description and _FLAGS.search(band.description.strip().lower()):
        return "flags or classes by its name"
    return None


def choose_bands(
    raster: Raster,
    sample: Sample,
    flags: Mapping[int, str],
    tags: Mapping[str, Mapping[str, str]],
    named: Sequence[str] | None,
    *,
    asked: bool,
) -> BandChoice:
    """Choose the bands that are learned.

    Parameters
    ----------
    raster, sample, flags, named
        As `find_flags`, and what it found.
    tags : mapping
        Tags of the dataset by namespace.
    asked : bool
        Whether a quality, or a target for it, is asked for.
    """
    descriptions = [band.description for band in raster.bands]
    names = option_names(named) if named else [band.name for band in raster.bands]
    dates = None if named else date_groups(descriptions)
    groups: list[Group] = []
    notes: list[str] = []
    for date, positions in dates or [("", tuple(range(raster.shape[0])))]:
        places = [index for index in positions if index not in flags]
        own = [names[index] for index in places]
        plain = named is not None or plainly_sentinel2(
            own, [descriptions[index] for index in places], tags
        )
        stack = tuple(places[own.index(name)] for name in MODEL_BANDS if name in own)
        if plain and len(stack) > 1:
            unit = _unit(raster, sample, stack)
            if unit is not None:
                groups.append(Group(stack, unit, True, date))
                continue
            notes.append(_not_reflectances(sample, stack, asked))
        if asked:
            chosen = stack if named else tuple(places)
            if len(chosen) == len(MODEL_BANDS) and not any(own):
                # As in tiles: as many bands as the model has, which look like reflectances.
                unit = _unit(raster, sample, chosen)
                if unit is not None:
                    groups.append(Group(chosen, unit, True, date))
                    continue
            groups += [replace(group, date=date) for group in _by_spread(sample, chosen)]
    return BandChoice(tuple(groups), dict(flags), tuple(dict.fromkeys(notes)))


def _unit(raster: Raster, sample: Sample, stack: Sequence[int]) -> float | None:
    """Return what one DN is in bands of Sentinel-2; None where their samples do not look like reflectances."""
    packings = {(raster.bands[index].scale, raster.bands[index].offset) for index in stack}
    if len(packings) != 1:
        return None
    scale, offset = packings.pop()
    unit = reflectance_unit(raster.dtype, scale)
    samples = np.concatenate([sample.values(index) for index in stack])
    if unit is None or not looks_like_reflectance(samples, unit, offset or 0.0):
        return None
    return unit


def _not_reflectances(sample: Sample, stack: Sequence[int], asked: bool) -> str:
    values = np.concatenate([sample.values(index) for index in stack])
    span = f" of {values.min():g} to {values.max():g}" if values.size else ""
    then = "quality is by their spread" if asked else "the model is not used"
    return f"the bands are named as Sentinel-2's, but samples{span} do not look like reflectances: {then}"


def _by_spread(sample: Sample, places: Sequence[int]) -> list[Group]:
    """Return groups of at most ten bands of similar spreads; bands without any are left out."""
    spread = {
        index: float(band_spreads(sample.values(index)[None, None], None)[0]) for index in places
    }
    groups: list[list[int]] = []
    for index in sorted((index for index in places if spread[index] > 0), key=spread.__getitem__):
        last = groups[-1] if groups else []
        if last and len(last) < len(MODEL_BANDS) and spread[index] <= _ALIKE * spread[last[0]]:
            last.append(index)
        else:
            groups.append([index])
    units = [spread_unit(np.array([spread[index] for index in group])) for group in groups]
    made = [Group(tuple(sorted(g)), unit, False) for g, unit in zip(groups, units, strict=True)]
    return sorted(made, key=lambda group: group.bands)
