"""Which arrays of a container a GeoTIFF becomes.

The Sentinel-2 bands that are learned become one array a date, in the model's order; bands beside them another,
flags and classes a third, a dataset mask a fourth. Each band knows its position in the file, so that the same file
can be put together again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from numpy.typing import NDArray

from eocodec.bands import band, match_band
from eocodec.formats.band_choice import BandChoice, Group
from eocodec.formats.eoc.header import ArrayHeader, Band, array_header
from eocodec.formats.native import NativePair
from eocodec.formats.raster import GeoTiff, Raster

ROOM = "geotiff"
"""Name under which what these modules need is kept in `ArrayHeader.extra`."""

IMAGE = "image"
MASK = "mask"
MASK_ROLE = "mask"


class Coding(Enum):
    """How the samples of an array are coded."""

    LEARNED = "learned"
    """By the layers of a model."""
    BOUNDED = "bounded"
    """Within the bounds for all bands; exact without any."""
    EXACT = "exact"
    """Exact, unless a bound names a band."""


@dataclass(frozen=True)
class Part:
    """One array to be.

    Attributes
    ----------
    header : ArrayHeader
        Its description.
    coding : Coding
        How it is coded.
    read : callable
        Gives the samples (bands, rows, columns) of a window of rows and columns.
    group : Group or None
        The bands of a learned array.
    """

    header: ArrayHeader
    coding: Coding
    read: Callable[[slice, slice], NDArray[Any]]
    group: Group | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.header.shape[-2], self.header.shape[-1]


@dataclass(frozen=True)
class Layout:
    """How rasters are laid out as arrays.

    Attributes
    ----------
    names : sequence of str or None
        Names of the bands, where the file's descriptions do not tell.
    tile_size : int
        Rows and columns of a tile.
    """

    names: Sequence[str] | None
    tile_size: int

    def parts(
        self, files: Sequence[GeoTiff], choice: BandChoice, *, apart: bool = False
    ) -> list[Part]:
        """Return the arrays that one raster, or a 10 m and a 20 m file, become.

        Parameters
        ----------
        files : sequence of GeoTiff
            One raster, or the two of a pair.
        choice : BandChoice
            Of their bands together.
        apart : bool
            Keep the two grids of a pair apart: what holds for samples then holds for those of the files, not for
            interpolated ones.
        """
        if len(files) == 1:
            return self._image(files[0], files[0], choice, {})
        if choice.groups and not apart:
            pair = NativePair(*files, repeated=set(range(_count(files))) - choice.learned)
            return self._image(
                pair, files[0], choice, {"native": {"tags": files[1].fields["tags"]}}
            )
        made = []
        at = 0
        for name, file in zip(("10m", "20m"), files, strict=True):
            count = file.shape[0]
            named = replace(self, names=self.names and self.names[at : at + count])
            made += named._arrays(file, file, choice.of(at, count), {"raster": name}, name)
            at += count
        return made

    def _image(
        self, raster: Raster, file: GeoTiff, choice: BandChoice, extra: dict[str, Any]
    ) -> list[Part]:
        """Return the arrays of the bands of one raster, and that of its mask."""
        parts = self._arrays(raster, file, choice, extra, "data", masked=file.has_mask)
        return [*parts, self._mask(file)] if file.has_mask else parts

    def _arrays(
        self,
        raster: Raster,
        file: GeoTiff,
        choice: BandChoice,
        extra: dict[str, Any],
        name: str,
        *,
        masked: bool = False,
    ) -> list[Part]:
        """Return learned arrays, one of what bounds may hold for, and one of flags; `name` is that of a single one."""
        rest = [index for index in range(raster.shape[0]) if index not in choice.learned]
        plain = tuple(index for index in rest if index not in choice.flags)
        flags = tuple(index for index in rest if index in choice.flags)
        wanted: list[tuple[str, tuple[int, ...], Coding, Group | None]] = [
            (_group_name(choice, number), group.bands, Coding.LEARNED, group)
            for number, group in enumerate(choice.groups)
        ]
        wanted += [("other", plain, Coding.BOUNDED, None), ("exact", flags, Coding.EXACT, None)]
        wanted = [one for one in wanted if one[1]]
        several = len(wanted) > 1
        if several or masked:
            extra = {"raster": IMAGE, **extra}
        prefix = f"{name}_" if several and name != "data" else ""
        located = {key: file.fields[key] for key in ("crs", "transform", "nodata")}
        return [
            self._part(
                f"{prefix}{own}" if several else name,
                raster,
                bands,
                file.fields if number == 0 else located,
                _platform(file.fields["tags"]),
                extra if number == 0 else {"raster": extra["raster"]},
                coding,
                group,
            )
            for number, (own, bands, coding, group) in enumerate(wanted)
        ]

    def _part(
        self,
        name: str,
        raster: Raster,
        indexes: Sequence[int],
        fields: dict[str, Any],
        platform: str | None,
        extra: dict[str, Any],
        coding: Coding,
        group: Group | None,
    ) -> Part:
        header = array_header(
            shape=(len(indexes), *raster.shape[1:]),
            dtype=raster.dtype,
            name=name,
            bands=[self._band(raster, index, platform) for index in indexes],
            tile_size=self.tile_size,
            extra={ROOM: extra} if extra else {},
            **fields,
        )
        return Part(
            header, coding, lambda rows, columns: raster.read(rows, columns, indexes), group
        )

    def _mask(self, file: GeoTiff) -> Part:
        header = array_header(
            shape=(1, *file.shape[1:]),
            dtype="uint8",
            name=MASK,
            tile_size=self.tile_size,
            crs=file.fields["crs"],
            transform=file.fields["transform"],
            extra={ROOM: {"raster": IMAGE, "role": MASK_ROLE}},
        )
        return Part(header, Coding.EXACT, lambda rows, columns: file.read_mask(rows, columns)[None])

    def _band(self, raster: Raster, index: int, platform: str | None) -> Band:
        """Return the description of a band, with the user's name and the known wavelength."""
        described = raster.bands[index]
        name = match_band(self.names[index]) if self.names is not None else described.name
        wavelength = band(name).wavelength_nm[platform] if name and platform else None
        return replace(described, name=name, wavelength_nm=wavelength)


def _count(files: Sequence[GeoTiff]) -> int:
    return sum(file.shape[0] for file in files)


def _group_name(choice: BandChoice, number: int) -> str:
    if len(choice.groups) == 1:
        return "stack"
    group = choice.groups[number]
    same = [other for other in choice.groups if other.date == group.date]
    name = "_".join(filter(None, ("stack", group.date)))
    return f"{name}_{same.index(group) + 1}" if len(same) > 1 else name


def _platform(tags: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return "S2A" or "S2B" where the dataset's tags name just one of them."""
    text = " ".join(value for values in tags.values() for value in values.values())
    named = {match[-1] for match in re.findall(r"\b(?:Sentinel-2|S2)[AB](?:_|\b)", text)}
    return f"S2{named.pop()}" if len(named) == 1 else None
