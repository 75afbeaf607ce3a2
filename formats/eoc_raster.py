"""The arrays of a container put together again as the rasters that they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.bounds import ErrorBounds
from eocodec.errors import InputError, UnsupportedError
from eocodec.formats.eoc import ArrayReader, Reader
from eocodec.formats.eoc.header import ArrayHeader, Band
from eocodec.formats.geotiff_layout import MASK_ROLE, ROOM


@dataclass(frozen=True)
class _Place:
    """Where a band of the raster lies: array and plane."""

    array: ArrayReader
    plane: int


class EocRaster:
    """One raster out of a container, its bands in the order of the file it came from.

    Parameters
    ----------
    label : str
        What tells it from the other rasters of the container; "" when it is the only one.
    name : str
        Where it comes from, for messages.
    arrays : sequence of ArrayReader
        The arrays with its bands, of one size and dtype; the first one describes the whole.
    mask : ArrayReader or None
        The array with its dataset mask.
    layers : int or None
        Layers to decode; None decodes all.
    threads : int or None
        Decoding threads.
    """

    def __init__(
        self,
        label: str,
        name: str,
        arrays: Sequence[ArrayReader],
        *,
        mask: ArrayReader | None = None,
        layers: int | None = None,
        threads: int | None = None,
    ) -> None:
        first = arrays[0]
        for array in arrays:
            if array.ndim > 3:
                raise UnsupportedError(
                    f"{name}: array {array.name!r} has {array.ndim} axes {array.dims}, a raster "
                    "file has bands, rows and columns; read it with the Python interface"
                )
            if array.shape[-2:] != first.shape[-2:] or array.dtype != first.dtype:
                raise UnsupportedError(
                    f"{name}: arrays {first.name!r} and {array.name!r} differ in size or dtype"
                )
        self.label, self.name = label, name
        self.header: ArrayHeader = first.header
        self.layers, self.threads, self.mask_array = layers, threads, mask
        found = []
        for array in arrays:
            for plane in range(array.header.planes):
                band = array.bands[plane] if array.bands else Band()
                found.append((_Place(array, plane), band))
        if all(band.position is not None for _, band in found):
            found.sort(key=lambda item: item[1].position or 0)
        self._places = [place for place, _ in found]
        self.bands: tuple[Band, ...] = tuple(band for _, band in found)
        self.shape: tuple[int, int, int] = (len(found), first.shape[-2], first.shape[-1])
        self.dtype: np.dtype[Any] = first.dtype
        self.nodata: int | float | None = first.nodata

    @property
    def has_mask(self) -> bool:
        """Whether the raster has a dataset mask."""
        return self.mask_array is not None

    @property
    def arrays(self) -> list[ArrayReader]:
        """The arrays that hold the bands, each once."""
        return list(dict.fromkeys(place.array for place in self._places))

    def bands_of(self, array: ArrayReader) -> list[tuple[int, int]]:
        """Return (band, plane) of every band that lies in an array."""
        return [
            (band, place.plane) for band, place in enumerate(self._places) if place.array is array
        ]

    @property
    def promises(self) -> tuple[ErrorBounds | None, ...]:
        """The promised error bounds of each band, as those of a single one.

        None for a band without, or of which not all layers are decoded.
        """
        return tuple(
            place.array.header.bounds(place.plane)
            if self.layers is None or self.layers >= place.array.layers
            else None
            for place in self._places
        )

    @property
    def native_tags(self) -> dict[str, dict[str, str]]:
        """Dataset tags by namespace of the 20 m file, where the raster came from two files."""
        native = _room(self.header).get("native")
        tags = native.get("tags") if isinstance(native, Mapping) else None
        return {
            str(space): {str(key): str(value) for key, value in values.items()}
            for space, values in (tags.items() if isinstance(tags, Mapping) else ())
            if isinstance(values, Mapping)
        }

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Decode a window, (bands, rows, columns); `bands` counts from 0."""
        wanted = list(range(self.shape[0]) if bands is None else bands)
        size = rows.stop - rows.start, columns.stop - columns.start
        pixels = np.empty((len(wanted), *size), self.dtype)
        for array in dict.fromkeys(self._places[band].array for band in wanted):
            at = [i for i, band in enumerate(wanted) if self._places[band].array is array]
            planes = [self._places[wanted[i]].plane for i in at]
            pixels[at] = array.read(
                (rows, columns), bands=planes, layers=self.layers, threads=self.threads
            )
        return pixels

    def read_mask(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Decode a window of the dataset mask, (rows, columns): 0 invalid, 255 valid."""
        if self.mask_array is None:
            raise InputError(f"{self.name} has no dataset mask")
        mask: NDArray[np.uint8] = self.mask_array.read((rows, columns), threads=self.threads)
        return mask.reshape(mask.shape[-2:])


def rasters_of(
    reader: Reader, *, layers: int | None = None, threads: int | None = None, name: str = "file"
) -> list[EocRaster]:
    """Return the rasters that the arrays of a container make up.

    Parameters
    ----------
    reader : Reader
        An open container.
    layers, threads : int, optional
        As `ArrayReader.read`.
    name : str
        Where the container comes from, for messages.

    Returns
    -------
    list of EocRaster
        One or more, in the order of their first arrays.

    Raises
    ------
    UnsupportedError
        If an array has more axes than a raster.
    """
    groups: dict[str, list[ArrayReader]] = {}
    masks: dict[str, ArrayReader] = {}
    for header in reader.arrays:
        said = _room(header)
        group = str(said.get("raster", header.name))
        if said.get("role") == MASK_ROLE:
            masks[group] = reader.array(header.name)
        else:
            groups.setdefault(group, []).append(reader.array(header.name))
    if not groups:
        raise UnsupportedError(f"{name} holds no raster")
    return [
        EocRaster(
            label if len(groups) > 1 else "",
            name,
            arrays,
            mask=masks.get(label),
            layers=layers,
            threads=threads,
        )
        for label, arrays in groups.items()
    ]


def _room(header: ArrayHeader) -> Mapping[str, Any]:
    """Return what these modules keep in a header; anybody may have written it."""
    said = header.extra.get(ROOM)
    return said if isinstance(said, Mapping) else {}
