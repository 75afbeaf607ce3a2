"""A container behind an fsspec URL: ranges fetched together, and clear errors where that fails."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import fsspec

from eocodec.errors import EocodecError, InputError, TruncatedError
from eocodec.formats.eoc.source import Ends, Range

_EXTRAS = {"s3": "eocodec[s3]", "s3a": "eocodec[s3]"}
_DENIED = (401, 403)
# How servers and file systems say that they cannot read the end of a file without its size.
_STATUS_WITHOUT_SUFFIX = (400, 416, 501)
_ERRNO_WITHOUT_SUFFIX = (errno.EINVAL, errno.ENOSYS)


def is_url(path: str) -> bool:
    """Whether a path is for fsspec rather than a local file."""
    return not path.startswith("file://") and ("://" in path or "::" in path)


def filesystem(url: str, storage_options: Mapping[str, Any], what: str = "read") -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path on it, to do `what`.

    Raises
    ------
    InputError
        When the protocol is unknown, or needs a package that is not installed.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url, **storage_options)
    except ImportError as error:
        extra = _EXTRAS.get(url.split("://")[0])
        advice = f": pip install '{extra}'" if extra else ""
        raise InputError(f"cannot {what} {url}: {error}{advice}") from error
    except Exception as error:
        raise InputError(f"cannot {what} {url}: {problem(error)}") from error
    return fs, path


def problem(error: BaseException) -> str:
    """Return what went wrong with a remote file, in a few words."""
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return "no such file"
    if isinstance(error, PermissionError) or status in _DENIED:
        return "access denied"
    if isinstance(status, int):
        return f"the server answers {status} {getattr(error, 'message', '')}".rstrip()
    return " ".join(str(error).split()) or type(error).__name__


class UrlSource:
    """An fsspec URL; ranges of one call are fetched together where the protocol can."""

    remote: bool = True

    def __init__(self, url: str, storage_options: Mapping[str, Any]):
        self.name = url
        self._fs, self._path = filesystem(url, storage_options)
        self.key: Hashable = (hash(self._fs), self._path)
        self._whole: bytes | None = None

    def ends(self, head: int, tail: int) -> Ends:
        """Return the first `head` and the last `tail` bytes, each in a request, made together.

        Raises
        ------
        InputError
            There is no such file, or it cannot be read.
        """
        spans: list[tuple[int, int | None]] = [(0, head)] if head else []
        try:
            parts = self._cat([*spans, (-tail, None)])
            for part in parts:
                if isinstance(part, BaseException):
                    raise part
        except Exception as error:
            if not _needs_size(error):
                raise InputError(f"cannot read {self.name}: {problem(error)}") from error
            return self._ends_by_size(head, tail)
        first, last = parts if head else [b"", *parts]
        if len(first) > head or len(last) > tail:
            # The server ignores ranges: what it sent is the file, and it is not asked again.
            self._whole = bytes(max(first, last, key=len))
            return Ends(self._whole, self._whole, len(self._whole))
        return Ends(bytes(first), bytes(last), len(last) if len(last) < tail else None)

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the bytes of each range.

        Raises
        ------
        EocodecError
            The server fails, or sends too little.
        """
        if self._whole is not None:
            parts: list[Any] = [self._whole[start:stop] for start, stop in ranges]
        else:
            try:
                parts = self._cat(ranges)
            except Exception as error:
                raise EocodecError(f"cannot read {self.name}: {problem(error)}") from error
        return [
            self._exactly(part, start, stop)
            for part, (start, stop) in zip(parts, ranges, strict=True)
        ]

    def _cat(self, ranges: Sequence[tuple[int, int | None]]) -> list[Any]:
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        parts: list[Any] = self._fs.cat_ranges([self._path] * len(ranges), starts, stops)
        return parts

    def _ends_by_size(self, head: int, tail: int) -> Ends:
        try:
            # What a listing said of the file may be long out of date.
            self._fs.invalidate_cache(self._fs._parent(self._path))
            size = self._fs.info(self._path).get("size")
        except Exception as error:
            raise InputError(f"cannot read {self.name}: {problem(error)}") from error
        if size is None:
            raise InputError(f"cannot read {self.name} by ranges: the server tells no size")
        if size == 0:
            return Ends(b"", b"", 0)
        first, last = self.read([(0, min(head, size)), (max(0, size - tail), size)])
        return Ends(first, last, size)

    def _exactly(self, part: Any, start: int, stop: int) -> bytes:
        if isinstance(part, BaseException):
            raise EocodecError(f"cannot read {self.name}: {problem(part)}") from part
        if len(part) != stop - start:
            raise TruncatedError(
                f"{self.name}: asked for bytes {start} to {stop}, got {len(part)} bytes"
            )
        return bytes(part)

    def close(self) -> None:
        """Do nothing: fsspec keeps and closes its connections."""


def _needs_size(error: BaseException) -> bool:
    if isinstance(error, (TypeError, ValueError, NotImplementedError)):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNO_WITHOUT_SUFFIX:
        return True
    return getattr(error, "status", None) in _STATUS_WITHOUT_SUFFIX
