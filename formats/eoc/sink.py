"""Where a container is written: a local file that appears whole or not at all, a URL, a stream."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from eocodec.errors import EocodecError, InputError
from eocodec.formats.eoc.remote import filesystem, is_url, problem

# Where an upload that fails leaves nothing, and a move would copy.
_OBJECT_STORES = ("abfs", "az", "gcs", "gs", "http", "https", "oci", "oss", "s3")

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
    if not is_url(path):
        local = Path(path.removeprefix("file://"))
        try:
            special = local.exists() and not stat.S_ISREG(local.stat().st_mode)
            if special and not local.is_dir():
                return _DeviceSink(local)
            return FileSink(local, overwrite=overwrite)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    fs, remote = filesystem(path, storage_options, "write")
    multipart = _speaks(fs, ("s3",))
    sink = MultipartSink if multipart else UrlSink
    return sink(fs, remote, path, overwrite=overwrite)


def _speaks(fs: Any, protocols: Collection[str]) -> bool:
    own = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return any(protocol in protocols for protocol in own)


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


class UrlSink:
    """An fsspec URL, uploaded whole at the end: until then a local temporary file holds the bytes."""

    def __init__(self, fs: Any, path: str, url: str, *, overwrite: bool):
        self._fs, self._path, self._url = fs, path, url
        self._overwrite = overwrite
        self._refuse_existing()
        self._file = self._open()

    def _open(self) -> Any:
        return tempfile.NamedTemporaryFile(suffix=".eoc.part", delete=False)

    def _refuse_existing(self) -> None:
        if self._overwrite:
            return
        try:
            self._fs.invalidate_cache(self._fs._parent(self._path))
            exists = self._fs.exists(self._path)
        except Exception as error:
            raise InputError(f"cannot write {self._url}: {problem(error)}") from error
        if exists:
            raise InputError(f"{self._url} exists; pass overwrite=True to replace it")

    def write(self, data: bytes) -> None:
        """Append `data`."""
        try:
            self._file.write(data)
        except Exception as error:
            raise EocodecError(f"cannot write to {self._url}: {problem(error)}") from error

    def publish(self) -> None:
        """Make what was written the file under its final name."""
        try:
            self._refuse_existing()
            self._commit()
        except EocodecError:
            raise
        except Exception as error:
            raise EocodecError(f"cannot write {self._url}: {problem(error)}") from error
        finally:
            self.discard()

    def _commit(self) -> None:
        self._file.close()
        if _speaks(self._fs, _OBJECT_STORES):
            self._fs.put_file(self._file.name, self._path)
            return
        # Elsewhere half an upload is half a file: it gets its name when it is whole.
        partial = f"{self._path}.{secrets.token_hex(6)}.part"
        try:
            self._fs.put_file(self._file.name, partial)
            self._fs.mv(partial, self._path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(partial)
            raise

    def discard(self) -> None:
        """Remove the temporary file; what was not published is nowhere else."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._file.name)


class MultipartSink(UrlSink):
    """An object in S3, sent in parts as they come: completing the upload makes it appear, whole."""

    # S3 takes 10000 parts, so a file of 335 GB.
    _PART_BYTES = 32 << 20

    def _open(self) -> Any:
        bucket, key, _ = self._fs.split_path(self._path)
        self._object = {"Bucket": bucket, "Key": key}
        try:
            started = self._call("create_multipart_upload")
        except Exception as error:
            raise InputError(f"cannot write {self._url}: {problem(error)}") from error
        self._object["UploadId"] = started["UploadId"]
        self._parts: list[dict[str, Any]] = []
        return io.BytesIO()

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._fs.call_s3(method, self._fs.s3_additional_kwargs, **self._object, **arguments)

    def write(self, data: bytes) -> None:
        """Append `data`, sending what fills a part."""
        super().write(data)
        if self._file.tell() >= self._PART_BYTES:
            try:
                self._send()
            except Exception as error:
                raise EocodecError(f"cannot write to {self._url}: {problem(error)}") from error

    def _send(self) -> None:
        number = len(self._parts) + 1
        sent = self._call("upload_part", PartNumber=number, Body=self._file.getvalue())
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        self._file = io.BytesIO()

    def _commit(self) -> None:
        self._send()
        self._call("complete_multipart_upload", MultipartUpload={"Parts": self._parts})
        self._object = {}
        self._fs.invalidate_cache(self._path)

    def discard(self) -> None:
        """Give up the upload, unless it is complete."""
        if self._object:
            with contextlib.suppress(Exception):
                self._call("abort_multipart_upload")
            self._object = {}
