"""What transforms see of an array: decoded pixels, or cells of the tokens of its tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from eocodec.bands import look_alikes, match_band, match_bands, meant_bands
from eocodec.errors import InputError
from eocodec.formats.eoc.header import Band
from eocodec.mask import find_invalid
from eocodec.transforms import PixelTransform, TokenTransform

if TYPE_CHECKING:
    from eocodec.formats.eoc.array_reader import ArrayReader

FloatArray = npt.NDArray[np.float32]

_DN = 1e-4


class PlaceSource(Protocol):
    """Planes of an array on a grid of places: pixels, or the cells of its tokens.

    Attributes
    ----------
    cell : int
        Side of a place in pixels.
    planes : int
        About how many samples a pixel takes in memory.
    """

    cell: int
    planes: int

    def read(self, rows: slice, columns: slice) -> tuple[FloatArray, FloatArray]:
        """Values (C, h, w) of places, NaN where invalid, and the share of valid pixels of each (h, w)."""


def known_bands(reader: ArrayReader, given: Sequence[str] | None) -> tuple[str, ...]:
    """Name the planes of an array, Sentinel-2 bands by their canonical names.

    Parameters
    ----------
    reader : ArrayReader
    given : sequence of str or None
        The user's names, one a plane; by default those of the header.

    Raises
    ------
    InputError
        There are more or fewer names than planes.
    """
    header = reader.header
    if given is not None:
        if len(given) != header.planes:
            raise InputError(
                f"{len(given)} bands are named, array {reader.name!r} has {header.planes}: name every one"
            )
        names = [name or text for name, text in zip(meant_bands(given), given, strict=True)]
    else:
        pairs = zip(_found_bands(reader), header.band_names, strict=True)
        # What is not clear must not pass for a band of Sentinel-2.
        names = [name or ("" if match_band(text) else text) for name, text in pairs]
    counts = Counter(names)
    return tuple(
        name if name and counts[name] == 1 else str(number) for number, name in enumerate(names, 1)
    )


def _found_bands(reader: ArrayReader) -> list[str | None]:
    """Name the Sentinel-2 bands of an array, as its header does or as their descriptions say."""
    header = reader.header
    bands = header.bands or (Band(),) * header.planes
    named = match_bands([band.name for band in bands]).names
    tags = [band.tags for band in bands]
    described = match_bands([band.description for band in bands], tags, header.tags).names
    return [
        first or (second if second not in named else None)
        for first, second in zip(named, described, strict=True)
    ]


class PixelSource:
    """Decoded samples of the bands that a transform needs.

    Raises
    ------
    InputError
        The array lacks some of them.
    """

    cell = 1

    def __init__(
        self,
        reader: ArrayReader,
        transform: PixelTransform,
        bands: Sequence[str],
        layers: int | None,
        threads: int | None,
    ):
        missing = [name for name in transform.bands if name not in bands]
        if missing:
            descriptions = [band.description for band in reader.bands]
            alike = look_alikes(match_bands(descriptions), descriptions)
            raise InputError(
                f"transform {transform.name!r} needs bands {', '.join(missing)}, which array {reader.name!r} "
                f"lacks; it has {', '.join(bands)}" + (f"; {alike}" if alike else "")
            )
        wanted = transform.bands or bands
        self._numbers = [list(bands).index(name) for name in wanted]
        self._reader, self._layers, self._threads = reader, layers, threads
        self._scaling = _reflectance(reader, self._numbers) if transform.reflectance else None
        self.planes = len(wanted)

    def read(self, rows: slice, columns: slice) -> tuple[FloatArray, FloatArray]:
        """Values (C, h, w) and validity (h, w), 1 where all bands are valid."""
        samples = self._reader.read((rows, columns), self._numbers, self._layers, self._threads)
        found = find_invalid(samples, self._reader.nodata)
        invalid: npt.NDArray[np.bool_] = np.zeros(samples.shape[1:], bool)
        if found is not None:
            np.logical_or.reduce(found, axis=0, out=invalid)
        if samples.dtype.kind == "f":
            invalid |= np.logical_or.reduce(np.isinf(samples), axis=0)
        values = samples.astype(np.float32)
        if self._scaling is not None:
            scale, offset = self._scaling
            values = values * scale + offset
        values[:, invalid] = np.nan
        return values, (~invalid).astype(np.float32)


def _reflectance(reader: ArrayReader, numbers: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Scales and offsets (C, 1, 1) from samples to reflectances; DN / 10000 where the header has neither."""
    pairs = [(_DN, 0.0)] * len(numbers)
    if reader.bands:
        bands = [reader.bands[number] for number in numbers]
        pairs = [
            (_DN, 0.0)
            if band.scale is None and band.offset is None
            else (1.0 if band.scale is None else band.scale, band.offset or 0.0)
            for band in bands
        ]
    scale, offset = np.array(pairs, np.float32).T[..., None, None]
    return scale, offset


class TokenSource:
    """Cells of the tiles' tokens; only the layers that hold them are fetched.

    Raises
    ------
    InputError
        The tiles do not hold all planes, or their sides are no multiple of a cell.
    """

    def __init__(
        self,
        reader: ArrayReader,
        transform: TokenTransform,
        layers: int | None,
        threads: int | None,
    ):
        grid = reader.header.grid
        cell = transform.cell
        several = [count > 1 for count in grid.counts]
        if several[0]:
            raise InputError(
                f"transform {transform.name!r} needs all planes in one tile; "
                f"array {reader.name!r} has {grid.counts[0]} tiles over its planes"
            )
        if any(more and side % cell for more, side in zip(several, grid.tile, strict=True)):
            raise InputError(
                f"transform {transform.name!r} needs tiles whose sides are multiples of {cell} pixels; "
                f"those of array {reader.name!r} are {grid.tile[1]} x {grid.tile[2]}"
            )
        self._reader, self._threads, self._cells = reader, threads, transform.cells
        self._layers = transform.layers if layers is None else min(layers, transform.layers)
        self.cell = cell
        self.planes = 1

    def read(self, rows: slice, columns: slice) -> tuple[FloatArray, FloatArray]:
        """Values (S, h, w) and shares of valid pixels (h, w) of a window of cells; S is 0 without any tokens."""
        header, cell = self._reader.header, self.cell
        _, height, width = header.grid.shape
        box = (
            slice(0, header.planes),
            slice(rows.start * cell, min(rows.stop * cell, height)),
            slice(columns.start * cell, min(columns.stop * cell, width)),
        )
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        values, shares = np.empty((0, *shape), np.float32), np.zeros(shape, np.float32)
        tiles = self._reader.map_tiles(
            self._cells, header.grid.touched(box), self._layers, self._threads
        )
        for number, found in tiles:
            if found is None:
                continue
            if not len(values):
                values = np.full((len(found[0]), *shape), np.nan, np.float32)
            _, down, right = header.grid.box(number)
            top, left = down.start // cell - rows.start, right.start // cell - columns.start
            _paste(values, np.where(found[1] > 0, found[0], np.nan), top, left)
            _paste(shares, found[1], top, left)
        return values, shares


def _paste(target: FloatArray, part: FloatArray, top: int, left: int) -> None:
    """Copy the overlap of a part whose corner lies at (top, left), which may be outside."""
    height, width = part.shape[-2:]
    rows = slice(max(top, 0), min(top + height, target.shape[-2]))
    columns = slice(max(left, 0), min(left + width, target.shape[-1]))
    inner = part[
        ..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    target[..., rows, columns] = inner
