"""Writing a container in one pass: tiles are encoded in threads as soon as they are complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from eocodec.distortion import Distortion
from eocodec.errors import EocodecError, InputError
from eocodec.formats.eoc.assembly import Assembly, relative_box, window_pixels
from eocodec.formats.eoc.coding import tile_settings, with_coding
from eocodec.formats.eoc.header import ArrayFields, array_header
from eocodec.formats.eoc.header_json import Header, dump_header
from eocodec.formats.eoc.index import TileEntry, build_index
from eocodec.formats.eoc.layout import build_footer, build_header_section, record_leader
from eocodec.formats.eoc.metadata import ArrayHeader
from eocodec.formats.eoc.pool import OrderedPool, thread_count
from eocodec.formats.eoc.sink import Sink, Target, open_sink
from eocodec.formats.eoc.window import Window, window_box
from eocodec.payload import parse_head
from eocodec.tile import EncodeSettings, encode_measured

Settings = EncodeSettings | Mapping[str, EncodeSettings] | None


class _Encoded(TypedDict):
    array: int
    tile: int
    payload: bytes
    distortion: Distortion | None


@dataclass
class _Track:
    """How far one array has come."""

    header: ArrayHeader
    settings: EncodeSettings
    entries: list[TileEntry | None]
    started: bytearray
    assemblies: dict[int, Assembly]
    size: int = 0
    distortion: Distortion | None = None


class Writer:
    """Writes one container. `create` opens it; use it as a context manager.

    Leaving the `with` block publishes the file; an exception inside it, or a missing tile,
    leaves nothing under the final name. A writer belongs to one thread.
    """

    def __init__(self, sink: Sink, *, threads: int | None = None):
        self._sink = sink
        self._threads = thread_count(threads)
        self._pool: OrderedPool[_Encoded] | None = None
        self._tracks: list[_Track] = []
        self._header_crc: int | None = None
        self._records_start = self._at = 0
        self._closed = self._failed = False

    @property
    def arrays(self) -> tuple[ArrayHeader, ...]:
        """The headers of the arrays, codec and model set."""
        return tuple(track.header for track in self._tracks)

    @property
    def size(self) -> int:
        """Bytes written so far; after `close`, those of the container."""
        return self._at

    def size_of(self, array: int | str | None = None) -> int:
        """Return the bytes of the tiles of an array written so far."""
        return self._tracks[self._number(array)].size

    def distortion(self, array: int | str | None = None) -> Distortion | None:
        """Return the errors of the tiles of an array written so far, by plane, in the unit of its samples.

        None where a tile was encoded elsewhere (`write_tile`).
        """
        return self._tracks[self._number(array)].distortion

    def add_array(self, header: ArrayHeader, settings: EncodeSettings | None = None) -> None:
        """Declare one more array; possible until the first window is written.

        Parameters
        ----------
        header : ArrayHeader
            From `array_header`; its `nodata` is used where `settings` has none.
        settings : EncodeSettings, optional
            What its tiles must keep.

        Raises
        ------
        InputError
            After the first `write`, or when `header` and `settings` contradict each other.
        """
        self._check_open()
        if self._header_crc is not None:
            raise InputError("arrays must be declared before the first window is written")
        header, settings = with_coding(header, settings or EncodeSettings())
        tiles = header.grid.tiles
        track = _Track(header, settings, [None] * tiles, bytearray(tiles), {})
        track.distortion = Distortion.none(header.planes)
        self._tracks.append(track)

    def write(
        self, window: Window, pixels: npt.NDArray[Any], array: int | str | None = None
    ) -> None:
        """Write a window of an array; each sample exactly once, in any order.

        Tiles that the window covers whole are encoded at once. Parts of tiles are held in memory
        until the tile is complete, so windows aligned to tiles need the least.

        Parameters
        ----------
        window : None, tuple or object
            None for the whole array; (rows, columns) or (planes, rows, columns), each a slice
            or a pair (start, stop); or a `rasterio.windows.Window`.
        pixels : ndarray, (planes, height, width)
            Of the array's dtype; (height, width) will do for one plane. Copied where needed.
        array : int or str, optional
            Number or name of the array; the first by default.

        Raises
        ------
        InputError
            When window, shape or dtype do not fit, or samples are written twice.
        EocodecError
            When the bytes cannot be written.
        """
        self._check_open()
        number = self._number(array)
        track = self._tracks[number]
        grid = track.header.grid
        box = window_box(window, grid.shape)
        block = window_pixels(np.asarray(pixels), box, track.header)
        self._start()
        for tile in grid.touched(box):
            tile_box = grid.box(tile)
            shared = tuple(
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(box, tile_box, strict=True)
            )
            part = block[relative_box(shared, box)]
            if track.started[tile]:
                raise InputError(f"{track.header.place(tile)}: it was already written")
            if shared == tile_box and tile not in track.assemblies:
                self._encode(number, tile, part.copy())
                continue
            if tile not in track.assemblies:
                track.assemblies[tile] = Assembly(grid.tile_shape(tile), track.header.dtype)
            try:
                complete = track.assemblies[tile].add(relative_box(shared, tile_box), part)
            except InputError as error:
                raise InputError(f"{track.header.place(tile)}: {error}") from error
            if complete:
                self._encode(number, tile, track.assemblies.pop(tile).pixels)

    def tile_settings(self, number: int, array: int | str | None = None) -> EncodeSettings:
        """Return what tile `number` of an array must keep, for `encode_tile` in another process."""
        track = self._tracks[self._number(array)]
        return tile_settings(track.header, track.settings, number)

    def write_tile(self, number: int, payload: bytes, array: int | str | None = None) -> None:
        """Write a whole tile that was encoded elsewhere.

        Parameters
        ----------
        number : int
            Number of the tile in the array's grid.
        payload : bytes
            What `encode_tile` returned for its samples and `tile_settings`.
        array : int or str, optional
            Number or name of the array; the first by default.

        Raises
        ------
        InputError
            When there is no such tile, the payload has another shape or dtype, or the tile is written
            already.
        EocodecError
            When the bytes cannot be written.
        """
        self._check_open()
        which = self._number(array)
        track = self._tracks[which]
        tiles = len(track.entries)
        if (
            isinstance(number, bool)
            or not isinstance(number, (int, np.integer))
            or not 0 <= number < tiles
        ):
            raise InputError(
                f"array {track.header.name!r} has no tile {number!r}; its {tiles} tiles have the numbers 0 to "
                f"{tiles - 1}"
            )
        number = int(number)
        if track.started[number] or number in track.assemblies:
            raise InputError(f"{track.header.place(number)}: it was already written")
        head = parse_head(payload)
        wanted = track.header.grid.tile_shape(number), track.header.dtype
        if (head.shape, head.dtype.newbyteorder("=")) != wanted:
            raise InputError(
                f"{track.header.place(number)}: the payload is one of {head.shape} {head.dtype}"
            )
        self._start()
        track.started[number] = 1
        self._record({"array": which, "tile": number, "payload": payload, "distortion": None})

    def close(self) -> None:
        """Finish the file: wait for the encoders, write index and footer, publish.

        Raises
        ------
        InputError
            When a tile is missing; the file is not published.
        EocodecError
            When the bytes cannot be written, or could not before.
        """
        if self._failed:
            raise EocodecError("the container was given up when writing to its target failed")
        if self._closed:
            return
        try:
            pool = self._start()
            for encoded in pool.drain():
                self._record(encoded)
            index = build_index([_complete(track) for track in self._tracks], self._records_start)
            self._put(index + build_footer(self._at, index, self._header_crc or 0))
            self._closed = True
            pool.close()
            self._sink.publish()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Stop and leave nothing behind; what went down a pipe is no valid container."""
        self._closed = True
        if self._pool is not None:
            self._pool.close()
        self._sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif not self._closed:
            self.abort()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("the writer is closed")

    def _number(self, array: int | str | None) -> int:
        if isinstance(array, str):
            names = [track.header.name for track in self._tracks]
            if array not in names:
                raise InputError(f"no array {array!r}; there are {names}")
            return names.index(array)
        if not 0 <= (array or 0) < len(self._tracks):
            raise InputError(f"no array {array or 0}; there are {len(self._tracks)}")
        return array or 0

    def _start(self) -> OrderedPool[_Encoded]:
        """Write the header unless that is done; return the pool of encoders."""
        if self._pool is None:
            section, crc = build_header_section(dump_header(Header(arrays=self.arrays)))
            self._put(section)
            self._records_start, self._header_crc = self._at, crc
            tiles = sum(len(track.entries) for track in self._tracks)
            self._pool = OrderedPool(self._threads, tiles)
        return self._pool

    def _encode(self, array: int, tile: int, pixels: npt.NDArray[Any]) -> None:
        track = self._tracks[array]
        track.started[tile] = 1
        for encoded in self._start().push(partial(_encode, track, array, tile, pixels)):
            self._record(encoded)

    def _record(self, encoded: _Encoded) -> None:
        array, tile, payload = encoded["array"], encoded["tile"], encoded["payload"]
        leader = record_leader(array, tile, len(payload))
        head = parse_head(payload)
        crc = int.from_bytes(payload[head.size - 4 : head.size], "little")
        offset = self._at + len(leader)
        self._put(leader)
        self._put(payload)
        track, found = self._tracks[array], encoded["distortion"]
        track.entries[tile] = TileEntry(offset, head.size, head.layer_sizes, crc)
        track.size += len(payload)
        if track.distortion is not None:
            planes = track.header.grid.box(tile)[0]
            track.distortion = None if found is None else track.distortion.add(found, planes)

    def _put(self, data: bytes) -> None:
        try:
            self._sink.write(data)
        except BaseException:
            # Part of the bytes may be out: nothing that follows could make the file whole.
            self._failed = True
            self.abort()
            raise
        self._at += len(data)


def _encode(track: _Track, array: int, tile: int, pixels: npt.NDArray[Any]) -> _Encoded:
    try:
        wanted = tile_settings(track.header, track.settings, tile)
        payload, distortion = encode_measured(pixels, wanted)
    except EocodecError as error:
        raise type(error)(f"{track.header.place(tile)}: {error}") from error
    return {"array": array, "tile": tile, "payload": payload, "distortion": distortion}


def _complete(track: _Track) -> list[TileEntry]:
    entries = [entry for entry in track.entries if entry is not None]
    missing = len(track.entries) - len(entries)
    if missing:
        first = track.entries.index(None)
        raise InputError(
            f"{missing} of {len(track.entries)} tiles were not written whole; the first is "
            f"{track.header.place(first)}"
        )
    return entries


def create(
    target: Target,
    *,
    arrays: Sequence[ArrayHeader] | None = None,
    settings: Settings = None,
    threads: int | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **fields: Unpack[ArrayFields],
) -> Writer:
    """Start a container for one array (`shape=`, `dtype=`, ...) or several (`arrays=`).

    Parameters
    ----------
    target : path, fsspec URL or writable binary file
        A local file appears whole, under its name, when the writer is closed. A file object is
        written in one pass, never sought and not closed, so a pipe will do. An object on S3 is
        uploaded in parts as they come and appears whole; other URLs are spooled to local disk and
        uploaded at the end.
    arrays : sequence of ArrayHeader, optional
        Headers from `array_header`, instead of `fields`. May be empty: see `Writer.add_array`.
    settings : EncodeSettings, or mapping of array name to EncodeSettings, optional
        What the tiles must keep.
    threads : int, optional
        Encoding threads; the process's cores, at most 8, by default.
    overwrite : bool
        Replace an existing file.
    storage_options : mapping, optional
        For fsspec.
    **fields
        The keywords of `array_header` (see `ArrayFields`, `ArrayHeader`).

    Returns
    -------
    Writer
        A context manager.

    Raises
    ------
    InputError
        When a keyword cannot be, or the target exists or cannot be written.

    Examples
    --------
    >>> import io, numpy as np, eocodec
    >>> buffer = io.BytesIO()
    >>> lossless = eocodec.EncodeSettings(lossless=True)
    >>> with eocodec.create(buffer, shape=(2, 8, 8), dtype="uint16", settings=lossless) as writer:
    ...     writer.write((slice(0, 8), slice(0, 8)), np.ones((2, 8, 8), "uint16"))
    >>> eocodec.open(buffer.getvalue())[1, 0:2, 0:2].tolist()
    [[1, 1], [1, 1]]
    """
    if arrays is None:
        arrays = [array_header(**fields)]
    elif fields:
        raise InputError(f"pass arrays or {sorted(fields)}, not both")
    chosen = {header.name: _settings_of(header, settings) for header in arrays}
    # Everything that can be wrong with the arrays is found before the target is touched.
    coded = tuple(with_coding(header, chosen[header.name])[0] for header in arrays)
    if coded:
        dump_header(Header(arrays=coded))
    sink = open_sink(target, overwrite=overwrite, storage_options=storage_options or {})
    writer = Writer(sink, threads=threads)
    for header in arrays:
        writer.add_array(header, chosen[header.name])
    return writer


def _settings_of(header: ArrayHeader, settings: Settings) -> EncodeSettings:
    if isinstance(settings, Mapping):
        if header.name not in settings:
            raise InputError(f"settings has no entry for array {header.name!r}")
        return settings[header.name]
    return settings or EncodeSettings()
