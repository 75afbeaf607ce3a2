"""Where a container is read from: byte ranges of memory, a local file or a file object."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from eocodec.errors import EocodecError, InputError, TruncatedError

Range = tuple[int, int]
Readable = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

_SPOOL_IN_MEMORY = 64 << 20


@dataclass(frozen=True)
class Ends:
    """The first and the last bytes of a file, which may overlap.

    Attributes
    ----------
    head, tail : bytes
        As many as were asked for, or are there, or more.
    size : int or None
        Bytes of the file, where the source tells.
    """

    head: bytes
    tail: bytes
    size: int | None


class Source(Protocol):
    """Byte ranges of one container. Safe in threads.

    Attributes
    ----------
    name : str
        For messages.
    remote : bool
        Whether reads take long enough to be worth doing ahead.
    key : hashable or None
        What the same file has when it is opened again, None for one that is at hand.
    """

    name: str
    remote: bool
    key: Hashable | None

    def ends(self, head: int, tail: int) -> Ends:
        """Return the first `head` and the last `tail` bytes."""

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range (start, stop)."""

    def close(self) -> None:
        """Let go of what the source opened itself."""


class LocalSource:
    """What the sources at hand share: they know their size."""

    name: str
    size: int
    remote: bool = False
    key: Hashable | None = None

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range."""
        raise NotImplementedError

    def ends(self, head: int, tail: int) -> Ends:
        """Return the first `head` and the last `tail` bytes."""
        ranges = [(0, min(head, self.size)), (max(0, self.size - tail), self.size)]
        first, last = self.read(ranges)
        return Ends(first, last, self.size)


class MemorySource(LocalSource):
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


class StreamSource(LocalSource):
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
