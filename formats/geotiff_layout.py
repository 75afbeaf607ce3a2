"""Which arrays of a container a GeoTIFF becomes.

The ten Sentinel-2 bands of the model become one array, in the model's order; bands outside it
another, coded without loss; a dataset mask a third. Each band knows its position in the file, so
that the same file can be put together again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from eocodec.bands import select_bands
from eocodec.formats.eoc.header import ArrayHeader, array_header
from eocodec.formats.native import NativePair
from eocodec.formats.raster import GeoTiff, Raster

ROOM = "geotiff"
"""Name under which what these modules need is kept in `ArrayHeader.extra`."""

IMAGE = "image"
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
    tile_size : int
        Rows and columns of a tile.
    """

    names: Sequence[str] | None
    lossless: bool
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
        if not self.lossless:
            return self._image(pair, files[0], {"native": _own_fields(files[1])})
        # Without loss there is nothing to gain from interpolated samples: one array a grid.
        return [
            self._part(name, file, range(file.shape[0]), file.fields, {"raster": name})
            for name, file in zip(("10m", "20m"), files, strict=True)
        ]

    def _image(self, raster: Raster, file: GeoTiff, extra: dict[str, Any]) -> list[Part]:
        """Return learned stack, remaining bands and mask of one raster."""
        count = raster.shape[0]
        stack, other = select_bands([band.description for band in raster.bands], self.names, count)
        split = bool(stack) and bool(other) and not self.lossless
        if split or file.has_mask:
            extra = {**extra, "raster": IMAGE}
        if not split:
            order = stack if stack and not self.lossless else range(count)
            made = [self._part("data", raster, order, file.fields, extra)]
        else:
            located = {name: file.fields[name] for name in ("crs", "transform", "nodata")}
            made = [
                self._part("stack", raster, stack, file.fields, extra),
                self._part("other", raster, other, located, {"raster": IMAGE}, lossless=True),
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
            bands=[raster.bands[index] for index in indexes],
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
            name="mask",
            tile_size=self.tile_size,
            crs=file.fields["crs"],
            transform=file.fields["transform"],
            extra={ROOM: {"raster": IMAGE, "role": MASK_ROLE}},
        )
        return Part(header, True, lambda rows, columns: file.read_mask(rows, columns)[None])


def _own_fields(file: GeoTiff) -> dict[str, Any]:
    """Return what a 20 m file says of itself beyond its bands and what the 10 m file says."""
    return {"tags": file.fields["tags"], "transform": file.fields["transform"]}
