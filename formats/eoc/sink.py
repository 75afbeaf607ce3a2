"""Where a container is written: a local file that appears whole or not at all, a URL, a stream."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import fsspec

from eocodec.errors import EocodecError, InputError

Target = str | os.PathLike[str] | IO[bytes]


class Sink(Protocol):
    """Takes the bytes of one container, in order; `publish` or `discard` ends it."""

    def write(self, data: bytes) -> None:
        """Append `data`."""

    def publish(self) -> None:
        """Make what was written the file under its final name."""

    def discard(self) -> None:
        """Leave nothing behind."""


def open_sink(target: Target, *, overwrite: bool, storage_options: Mapping[str, Any]) -> Sink:
    """Open the sink that fits `target`: a path, an fsspec URL, or a writable binary file.

    Raises
    ------
    InputError
        The file exists and `overwrite` is False, or the place cannot be written.
    """
    if not isinstance(target, (str, os.PathLike)):
        if not hasattr(target, "write"):
            raise InputError(f"cannot write to a {type(target).__name__}: pass a path or a file")
        return StreamSink(target, "the stream")
    path = os.fspath(target)
    if path.startswith("file://") or "://" not in path:
        local = Path(path.removeprefix("file://"))
        try:
            special = local.exists() and not stat.S_ISREG(local.stat().st_mode)
            if special and not local.is_dir():
                return _DeviceSink(local)
            return FileSink(local, overwrite=overwrite)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    return UrlSink(path, overwrite=overwrite, storage_options=storage_options)


class StreamSink:
    """A binary stream, such as a pipe: written once, in order, never sought, never closed."""

    def __init__(self, stream: IO[bytes], name: str):
        self._stream = stream
        self._name = name

    def write(self, data: bytes) -> None:
        """Append `data`, in pieces where the stream takes only part."""
        view = memoryview(data)
        try:
            while view:
                written = self._stream.write(view)
                view = view[len(view) if written is None else written :]
        except OSError as error:
            raise EocodecError(f"cannot write to {self._name}: {error}") from error

    def publish(self) -> None:
        """Flush the stream."""
        try:
            if hasattr(self._stream, "flush"):
                self._stream.flush()
        except OSError as error:
            raise EocodecError(f"cannot write to {self._name}: {error}") from error

    def discard(self) -> None:
        """Do nothing: without index and footer what was written is no valid container."""


class _DeviceSink(StreamSink):
    """A path that is no regular file: a named pipe, /dev/stdout."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        super().__init__(self._file, str(path))

    def publish(self) -> None:
        super().publish()
        self._file.close()

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


class FileSink(StreamSink):
    """A local file, written under a temporary name in the same folder and renamed when whole."""

    def __init__(self, path: Path, *, overwrite: bool):
        if path.is_dir():
            raise InputError(f"{path} is a folder")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; pass overwrite=True to replace it")
        self._path = path.resolve()
        self._overwrite = overwrite
        self._temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(6)}.part")
        self._file = self._temporary.open("xb")
        super().__init__(self._file, str(path))

    def publish(self) -> None:
        """Sync the file to disk, then give it its final name in one step."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self._overwrite:
                self._temporary.replace(self._path)
            else:
                self._link()
            _sync_folder(self._path.parent)
        except OSError as error:
            self.discard()
            raise EocodecError(f"cannot write {self._path}: {error}") from error

    def _link(self) -> None:
        # A hard link, unlike a rename, cannot replace a file that appeared meanwhile.
        try:
            os.link(self._temporary, self._path)
        except FileExistsError as error:
            self.discard()
            raise InputError(f"{self._path} appeared meanwhile; it was left as it is") from error
        except OSError:  # a file system without hard links
            self._temporary.rename(self._path)
        else:
            self._temporary.unlink()

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class UrlSink(StreamSink):
    """An fsspec URL: spooled to a local temporary file, uploaded whole at the end."""

    def __init__(self, url: str, *, overwrite: bool, storage_options: Mapping[str, Any]):
        try:
            self._fs, self._path = fsspec.core.url_to_fs(url, **storage_options)
            exists = not overwrite and self._fs.exists(self._path)
        except Exception as error:
            raise InputError(f"cannot write {url}: {error}") from error
        if exists:
            raise InputError(f"{url} exists; pass overwrite=True to replace it")
        self._url = url
        handle, self._spool = tempfile.mkstemp(suffix=".eoc.part")
        self._file = os.fdopen(handle, "wb")
        super().__init__(self._file, url)

    def publish(self) -> None:
        """Upload the file."""
        try:
            self._file.close()
            self._fs.put_file(self._spool, self._path)
        except Exception as error:
            raise EocodecError(f"cannot write {self._url}: {error}") from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the spooled bytes; nothing was uploaded."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._spool)
