"""Reading one array: fetch just the tiles and layers asked for, decode them in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError, LimitError
from eocodec.formats.eoc.fetch import fetch
from eocodec.formats.eoc.index import ArrayIndex
from eocodec.formats.eoc.metadata import ArrayHeader, Band
from eocodec.formats.eoc.pool import OrderedPool
from eocodec.formats.eoc.source import Source
from eocodec.formats.eoc.summary import array_summary
from eocodec.formats.eoc.tile_access import TileAccess
from eocodec.formats.eoc.window import SelectionError, Window, parse_index, window_box

if TYPE_CHECKING:
    from eocodec.formats.features import Features
    from eocodec.transforms import PixelTransform, TokenTransform

Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class TileInfo:
    """Where one tile lies in its array and in the file.

    Attributes
    ----------
    number : int
        Number in the array's grid, plane-major, then by row, by column.
    planes, rows, columns : slice
        What it covers.
    offset, size : int
        Bytes of the payload in the file.
    layer_ends : tuple of int
        Bytes of the payload up to the end of each layer.
    """

    number: int
    planes: slice
    rows: slice
    columns: slice
    offset: int
    size: int
    layer_ends: tuple[int, ...]


class ArrayReader:
    """One array of an open container. Safe in threads."""

    def __init__(self, source: Source, number: int, header: ArrayHeader, index: ArrayIndex):
        self._source = source
        self._index = index
        self._access = TileAccess(source.name, number, header, index)
        self.header = header

    @property
    def name(self) -> str:
        """Name of the array."""
        return self.header.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape; the last two axes are rows and columns."""
        return self.header.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.header.shape)

    @property
    def dims(self) -> tuple[str, ...]:
        """Name of each axis."""
        return self.header.dims

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type."""
        return self.header.dtype

    @property
    def bands(self) -> tuple[Band, ...]:
        """What is known of each plane; may be empty."""
        return self.header.bands

    @property
    def crs(self) -> str | None:
        """Coordinate reference system, "EPSG:n" or WKT2."""
        return self.header.crs

    @property
    def affine(self) -> tuple[float, float, float, float, float, float] | None:
        """Affine transform (a, b, c, d, e, f), which the header calls `transform`."""
        return self.header.transform

    @property
    def nodata(self) -> int | float | None:
        """Value of invalid samples."""
        return self.header.nodata

    @property
    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """Dataset tags by namespace."""
        return self.header.tags

    @property
    def layers(self) -> int:
        """Largest number of layers that a tile has."""
        return int(self._index.layer_counts.max())

    def __getitem__(self, key: Any) -> Array:
        chosen = parse_index(key, self.header.shape)
        flat = chosen.planes.reshape(-1)
        out = self._read(flat, chosen.rows, chosen.columns, None, None)
        out = out.reshape(*chosen.planes.shape, *out.shape[1:])
        return out[(..., *chosen.cut)]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("the samples must be decoded, which copies")
        return self.read().astype(dtype or self.dtype, copy=False)

    def read(
        self,
        window: Window = None,
        bands: Sequence[int | str] | int | str | None = None,
        layers: int | None = None,
        threads: int | None = None,
    ) -> Array:
        """Decode a window; only the bytes of its tiles, and of the layers asked for, are fetched.

        Parameters
        ----------
        window : None, tuple or object
            As `Writer.write`; None reads everything.
        bands : int, str, or sequence of int or str, optional
            0-based numbers or names of planes; a single one drops the axis.
        layers : int, optional
            How many layers to use; all by default, or where a tile has fewer.
        threads : int, optional
            Decoding threads; the process's cores, at most 8, by default.

        Returns
        -------
        ndarray
            (planes, rows, columns) of `dtype`; (rows, columns) for a 2-D array. Without `bands`
            and with no planes in `window`, the leading axes are the array's.

        Raises
        ------
        InputError
            When window, bands or layers cannot be.
        FormatError, UnsupportedError, ModelError
            When the bytes cannot be decoded.
        """
        planes, rows, columns = window_box(window, self.header.grid.shape)
        numbers = np.arange(planes.start, planes.stop)
        whole = len(numbers) == self.header.planes
        if bands is None:
            out = self._read(numbers, rows, columns, layers, threads)
            return out.reshape(*self.shape[:-2], *out.shape[1:]) if whole else out
        if not whole:
            raise SelectionError("pass planes in the window or bands, not both")
        several = [bands] if isinstance(bands, (int, str, np.integer)) else list(bands)
        wanted = [self._plane(band) for band in several]
        out = self._read(np.array(wanted, np.int64), rows, columns, layers, threads)
        return out[0] if isinstance(bands, (int, str, np.integer)) else out

    def read_native(
        self, bands: Sequence[int | str] | None = None, layers: int | None = None
    ) -> Array:
        """Decode bands that were resampled from pixels twice as wide, at their own resolution.

        Parameters
        ----------
        bands : sequence of int or str, optional
            By default all whose `native_factor` is 2.
        layers : int, optional
            As `read`.

        Returns
        -------
        ndarray, (len(bands), ceil(rows / 2), ceil(columns / 2))
            In the array's dtype, rounded.

        Raises
        ------
        InputError
            When there is no such band, or a band is stored at its own resolution.
        """
        factors = [band.native_factor for band in self.bands]
        chosen = [i for i, factor in enumerate(factors) if factor == 2] if bands is None else bands
        numbers = [self._plane(band) for band in chosen]
        if not numbers or any(not factors or factors[n] != 2 for n in numbers):
            raise InputError(
                f"array {self.name!r}: bands {list(chosen)} were not resampled from coarser ones"
            )
        return np.stack([self._native_band(n, layers) for n in numbers])

    def _native_band(self, number: int, layers: int | None) -> Array:
        from eocodec.formats.eoc.native import is_repeated, native_band

        pixels: Array = self.read(bands=[number], layers=layers)[0]
        if is_repeated(self.bands[number]):
            return pixels[::2, ::2]
        return native_band(pixels, self.nodata)

    def tiles(self) -> Iterator[TileInfo]:
        """Yield every tile's place, without reading it."""
        for number in range(len(self._index)):
            entry = self._index[number]
            ends = tuple(entry.prefix_size(k + 1) for k in range(len(entry.layer_sizes)))
            yield TileInfo(number, *self.header.grid.box(number), entry.offset, entry.size, ends)

    def read_tile(self, number: int, layers: int | None = None) -> bytes:
        """Return the payload of a tile, or the prefix of it that holds the first `layers`."""
        if not 0 <= number < len(self._index):
            raise SelectionError(f"no tile {number}; array {self.name!r} has {len(self._index)}")
        _check_layers(layers)
        entry = self._index[number]
        stop = entry.offset + entry.prefix_size(layers)
        payload = self._source.read([(entry.offset, stop)])[0]
        self._access.check_head(number, payload)
        return payload

    def map_tiles(
        self,
        function: Callable[[memoryview], T],
        numbers: Iterable[int],
        layers: int | None = None,
        threads: int | None = None,
    ) -> Iterator[tuple[int, T]]:
        """Call a function in threads on payloads of tiles, or on prefixes that hold `layers`.

        Yields the tiles' numbers with the results, in file order; the function must be safe in threads.
        """
        _check_layers(layers)

        def call(number: int, data: memoryview) -> tuple[int, T]:
            return number, self._access.call(function, number, data)

        wanted = []
        for number in numbers:
            entry = self._index[number]
            wanted.append((number, entry.offset, entry.offset + entry.prefix_size(layers)))
        pool: OrderedPool[tuple[int, T]] = OrderedPool(threads, len(wanted))
        try:
            for number, data in fetch(self._source, wanted):
                yield from pool.push(partial(call, number, data))
            yield from pool.drain()
        finally:
            pool.close()

    def transform(
        self,
        transform: str | PixelTransform | TokenTransform,
        *,
        patch: int | None = None,
        stride: int | None = None,
        layers: int | None = None,
        bands: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> Features:
        """Compute features of patches with an installed transform, such as "indices" or "tokens".

        The parameters, and the errors raised for them, are those of `eocodec.formats.features.plan_features`.

        Returns
        -------
        Features
            Values (rows, columns, D) of patches with their places; NaN where nothing is valid.
        """
        from eocodec.formats.features import collect_features, plan_features

        plan = plan_features(
            self, transform, patch=patch, stride=stride, layers=layers, bands=bands, threads=threads
        )
        return collect_features(plan)

    def validate(self, threads: int | None = None) -> None:
        """Read and check every tile: record leader, checksums, decoded pixels where they bind.

        Raises
        ------
        FormatError, UnsupportedError, ModelError
            At the first tile that is damaged or cannot be decoded.
        """
        wanted = []
        for number in range(len(self._index)):
            entry = self._index[number]
            leader = self._access.leader(number)
            wanted.append(((number, leader), entry.offset - len(leader), entry.offset + entry.size))
        pool: OrderedPool[None] = OrderedPool(threads, len(wanted))
        try:
            for (number, leader), data in fetch(self._source, wanted):
                pool.push(partial(self._access.verify, number, leader, data))
            pool.drain()
        finally:
            pool.close()

    def _read(
        self,
        planes: npt.NDArray[np.int64],
        rows: slice,
        columns: slice,
        layers: int | None,
        threads: int | None,
    ) -> Array:
        _check_layers(layers)
        shape = (len(planes), rows.stop - rows.start, columns.stop - columns.start)
        try:
            out = np.empty(shape, self.dtype)
        except (MemoryError, ValueError) as error:
            raise LimitError(
                f"{shape} samples of {self.dtype} do not fit in memory: read smaller windows"
            ) from error
        if out.size == 0:
            return out
        span = slice(int(planes.min()), int(planes.max()) + 1)
        wanted = []
        for number in self.header.grid.touched((span, rows, columns)):
            entry = self._index[number]
            wanted.append((number, entry.offset, entry.offset + entry.prefix_size(layers)))
        pool: OrderedPool[None] = OrderedPool(threads, len(wanted))
        try:
            for number, data in fetch(self._source, wanted):
                pool.push(partial(self._decode, number, data, layers, planes, rows, columns, out))
            pool.drain()
        finally:
            pool.close()
        return out

    def _decode(
        self,
        number: int,
        data: memoryview,
        layers: int | None,
        planes: npt.NDArray[np.int64],
        rows: slice,
        columns: slice,
        out: Array,
    ) -> None:
        box = self.header.grid.box(number)
        slots = np.flatnonzero((planes >= box[0].start) & (planes < box[0].stop))
        if not len(slots):
            return
        pixels = self._access.decode(number, data, layers)
        (top, bottom), (left, right) = (
            (max(a.start, b.start), min(a.stop, b.stop))
            for a, b in zip((rows, columns), box[1:], strict=True)
        )
        part = pixels[
            :,
            top - box[1].start : bottom - box[1].start,
            left - box[2].start : right - box[2].start,
        ]
        place = out[:, top - rows.start : bottom - rows.start]
        place = place[:, :, left - columns.start : right - columns.start]
        for slot in slots:
            place[slot] = part[planes[slot] - box[0].start]

    def _plane(self, band: int | str) -> int:
        if isinstance(band, str):
            names = self.header.band_names
            if names.count(band) != 1:
                raise SelectionError(f"{names.count(band)} bands are named {band!r}, of {names}")
            return names.index(band)
        if not -self.header.planes <= band < self.header.planes:
            raise SelectionError(f"no band {band}; array {self.name!r} has {self.header.planes}")
        return int(band) % self.header.planes

    def info(self) -> dict[str, Any]:
        """Return what `eocodec info` shows of the array, as JSON can hold it."""
        return array_summary(self.header, self._index)


def _check_layers(layers: int | None) -> None:
    if layers is not None and layers < 1:
        raise InputError(f"layers must be at least 1, not {layers}")
