"""Where a container is read from: byte ranges of memory, a local file, a file object or a URL."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Protocol

import fsspec

from eocodec.errors import EocodecError, InputError, TruncatedError

Range = tuple[int, int]
Readable = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

_SPOOL_IN_MEMORY = 64 << 20


class Source(Protocol):
    """Byte ranges of one container. Safe in threads."""

    name: str
    size: int

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range (start, stop), all within `size`."""

    def close(self) -> None:
        """Let go of what the source opened itself."""


def open_source(target: Readable, storage_options: Mapping[str, Any]) -> Source:
    """Open the source that fits `target`.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    """
    if isinstance(target, (bytes, bytearray, memoryview)):
        return MemorySource(target)
    if not isinstance(target, (str, os.PathLike)):
        if not hasattr(target, "read"):
            raise InputError(f"cannot read a {type(target).__name__}: pass a path, file or bytes")
        return StreamSource(target)
    path = os.fspath(target)
    if path.startswith("file://") or ("://" not in path and "::" not in path):
        return FileSource(path.removeprefix("file://"))
    return UrlSource(path, storage_options)


class MemorySource:
    """Bytes at hand."""

    name = "the bytes"

    def __init__(self, buffer: bytes | bytearray | memoryview):
        self._view = memoryview(buffer).cast("B")
        self.size = len(self._view)

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range."""
        return [bytes(self._view[start:stop]) for start, stop in ranges]

    def close(self) -> None:
        """Do nothing: the bytes belong to the caller."""


class StreamSource:
    """A binary file object; one that cannot seek, such as a pipe, is spooled first."""

    def __init__(self, stream: IO[bytes]):
        self.name = str(getattr(stream, "name", "the stream"))
        self._lock = threading.Lock()
        self._spool: IO[bytes] | None = None
        try:
            if not (hasattr(stream, "seekable") and stream.seekable()):
                self._spool = tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY)  # noqa: SIM115
                shutil.copyfileobj(stream, self._spool, 1 << 20)
                stream = self._spool
            self._stream = stream
            self.size = stream.seek(0, io.SEEK_END)
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error}") from error

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range."""
        with self._lock:
            return [self._read(start, stop) for start, stop in ranges]

    def _read(self, start: int, stop: int) -> bytes:
        def read_at(size: int, offset: int) -> bytes:
            self._stream.seek(offset)
            return self._stream.read(size)

        return self._gather(read_at, start, stop)

    def _gather(self, read_at: Callable[[int, int], bytes], start: int, stop: int) -> bytes:
        """Read a range by calls of ``read_at(size, offset)``, which may each give less than asked."""
        parts, at = [], start
        try:
            while at < stop:
                part = read_at(stop - at, at)
                if not part:
                    raise TruncatedError(f"{self.name} ends at byte {at}, needs {stop}")
                parts.append(part)
                at += len(part)
        except (OSError, ValueError) as error:
            raise EocodecError(f"cannot read {self.name}: {error}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Remove the spooled bytes; the caller's stream stays open."""
        if self._spool is not None:
            self._spool.close()


class FileSource(StreamSource):
    """A local file, kept open, so that a replaced file is read to its end as it was."""

    def __init__(self, path: str):
        try:
            self._file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        if not self._file.seekable():
            with self._file:
                super().__init__(self._file)
            return
        super().__init__(self._file)
        self.name = path

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range, without a lock where the system reads at an offset."""
        if self._spool is not None or not hasattr(os, "pread"):
            return super().read(ranges)
        return [self._pread(start, stop) for start, stop in ranges]

    def _pread(self, start: int, stop: int) -> bytes:
        def read_at(size: int, offset: int) -> bytes:
            return os.pread(self._file.fileno(), size, offset)

        return self._gather(read_at, start, stop)

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()


class UrlSource:
    """An fsspec URL; ranges of one call are fetched together where the protocol can."""

    def __init__(self, url: str, storage_options: Mapping[str, Any]):
        self.name = url
        try:
            self._fs, self._path = fsspec.core.url_to_fs(url, **storage_options)
            size = self._fs.size(self._path)
        except FileNotFoundError as error:
            raise InputError(f"cannot read {url}: no such file") from error
        except Exception as error:
            raise InputError(f"cannot read {url}: {type(error).__name__}: {error}") from error
        if size is None:
            raise InputError(f"cannot read {url} by ranges: the server does not tell its size")
        self.size = int(size)

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range."""
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        try:
            parts = self._fs.cat_ranges([self._path] * len(ranges), starts, stops)
        except Exception as error:
            raise EocodecError(f"cannot read {self.name}: {error}") from error
        return [
            self._exactly(part, start, stop)
            for part, (start, stop) in zip(parts, ranges, strict=True)
        ]

    def _exactly(self, part: Any, start: int, stop: int) -> bytes:
        if isinstance(part, BaseException):
            raise EocodecError(f"cannot read {self.name}: {part}") from part
        if len(part) == self.size and stop - start != self.size:
            part = part[start:stop]  # a server that ignores ranges sends the whole file
        if len(part) != stop - start:
            raise TruncatedError(
                f"{self.name}: asked for bytes {start} to {stop}, got {len(part)} of them"
            )
        return bytes(part)

    def close(self) -> None:
        """Do nothing: fsspec keeps and closes its connections."""
