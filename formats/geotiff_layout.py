"""Which arrays of a container a GeoTIFF becomes.

The ten Sentinel-2 bands of the model become one array, in the model's order; bands outside it
another, coded without loss; a dataset mask a third. Each band knows its position in the file, so
that the same file can be put together again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from eocodec.bands import BandSelection, band, match_band, select_bands
from eocodec.formats.eoc.header import ArrayHeader, Band, array_header
from eocodec.formats.native import NativePair
from eocodec.formats.raster import GeoTiff, Raster

ROOM = "geotiff"
"""Name under which what these modules need is kept in `ArrayHeader.extra`."""

IMAGE = "image"
MASK = "mask"
MASK_ROLE = "mask"


@dataclass(frozen=True)
class Part:
    """One array to be.

    Attributes
    ----------
    header : ArrayHeader
        Its description.
    lossless : bool
        Whether it must be kept exactly, whatever the quality.
    read : callable
        Gives the samples (bands, rows, columns) of a window of rows and columns.
    """

    header: ArrayHeader
    lossless: bool
    read: Callable[[slice, slice], NDArray[Any]]

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
    lossless : bool
        Everything is kept exactly, so that no band needs the model.
    bounded : bool
        Errors are bounded: of a 10 m and a 20 m file each sample as it is, not as resampled.
    tile_size : int
        Rows and columns of a tile.
    """

    names: Sequence[str] | None
    lossless: bool
    bounded: bool
    tile_size: int

    def parts(self, files: Sequence[GeoTiff]) -> list[Part]:
        """Return the arrays that one raster, or a 10 m and a 20 m file, become.

        Raises
        ------
        InputError
            If the bands cannot be told apart, or two files are no pair.
        """
        if len(files) == 1:
            return self._image(files[0], files[0], {})
        pair = NativePair(*files)
        if not (self.lossless or self.bounded):
            return self._image(pair, files[0], {"native": {"tags": files[1].fields["tags"]}})
        # What holds for samples must hold for those of the files, not for interpolated ones: one
        # array a grid.
        made = []
        at = 0
        for name, file in zip(("10m", "20m"), files, strict=True):
            count = file.shape[0]
            named = replace(self, names=self.names and self.names[at : at + count])
            made.append(named._part(name, file, range(count), file.fields, {"raster": name}))
            at += count
        return made

    def _image(self, raster: Raster, file: GeoTiff, extra: dict[str, Any]) -> list[Part]:
        """Return learned stack, remaining bands and mask of one raster."""
        count = raster.shape[0]
        descriptions = [band.description for band in raster.bands]
        if self.lossless and self.names is None:
            chosen = BandSelection((), tuple(range(count)))
        else:
            chosen = select_bands(descriptions, self.names, count)
        split = bool(chosen.stack) and bool(chosen.others) and not self.lossless
        if split or file.has_mask:
            extra = {**extra, "raster": IMAGE}
        if not split:
            order = range(count) if self.lossless or not chosen.stack else chosen.stack
            made = [self._part("data", raster, order, file.fields, extra)]
        else:
            located = {name: file.fields[name] for name in ("crs", "transform", "nodata")}
            made = [
                self._part("stack", raster, chosen.stack, file.fields, extra),
                self._part(
                    "other", raster, chosen.others, located, {"raster": IMAGE}, lossless=True
                ),
            ]
        return [*made, self._mask(file)] if file.has_mask else made

    def _part(
        self,
        name: str,
        raster: Raster,
        indexes: Sequence[int],
        fields: dict[str, Any],
        extra: dict[str, Any],
        *,
        lossless: bool = False,
    ) -> Part:
        header = array_header(
            shape=(len(indexes), *raster.shape[1:]),
            dtype=raster.dtype,
            name=name,
            bands=[self._band(raster, index, fields) for index in indexes],
            tile_size=self.tile_size,
            extra={ROOM: extra} if extra else {},
            **fields,
        )
        return Part(
            header,
            lossless or self.lossless,
            lambda rows, columns: raster.read(rows, columns, indexes),
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
        return Part(header, True, lambda rows, columns: file.read_mask(rows, columns)[None])

    def _band(self, raster: Raster, index: int, fields: dict[str, Any]) -> Band:
        """Return the description of a band, with the user's name and the known wavelength."""
        described = raster.bands[index]
        name = match_band(self.names[index]) if self.names is not None else described.name
        platform = _platform(fields.get("tags", {}))
        wavelength = band(name).wavelength_nm[platform] if name and platform else None
        return replace(described, name=name, wavelength_nm=wavelength)


def _platform(tags: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return "S2A" or "S2B" where the dataset's tags name just one of them."""
    text = " ".join(value for values in tags.values() for value in values.values())
    named = {match[-1] for match in re.findall(r"\b(?:Sentinel-2|S2)[AB](?:_|\b)", text)}
    return f"S2{named.pop()}" if len(named) == 1 else None
