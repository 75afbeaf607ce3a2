"""The open container: its first array at hand, the others by name or number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from eocodec.errors import EocodecError
from eocodec.formats.eoc.array_reader import ArrayReader
from eocodec.formats.eoc.metadata import ArrayHeader
from eocodec.formats.eoc.opening import Contents, open_source, read_contents
from eocodec.formats.eoc.source import Readable, Source
from eocodec.formats.eoc.window import SelectionError

_LONGEST_MESSAGE = 1000


class Reader(ArrayReader):
    """An open container: attributes and methods of its first array, the others by name.

    Safe in threads. Use it as a context manager, or `close` it. One opened from a path or URL
    can be pickled; it is opened anew where it is unpickled.
    """

    def __init__(self, source: Source, contents: Contents, reopen: tuple[Any, ...] | None = None):
        arrays = contents.header.arrays
        super().__init__(source, 0, arrays[0], contents.indexes[0])
        self._contents = contents
        self._reopen = reopen
        self._readers = [
            ArrayReader(source, i, header, index)
            for i, (header, index) in enumerate(zip(arrays, contents.indexes, strict=True))
        ]

    @property
    def arrays(self) -> tuple[ArrayHeader, ...]:
        """The headers of all arrays."""
        return self._contents.header.arrays

    @property
    def extra(self) -> Mapping[str, Any]:
        """What the container says beside its arrays."""
        return self._contents.header.extra

    def array(self, which: int | str = 0) -> ArrayReader:
        """Return one array by number or name.

        Raises
        ------
        InputError
            When there is none such.
        """
        names = [header.name for header in self.arrays]
        if isinstance(which, str) and which in names:
            return self._readers[names.index(which)]
        if isinstance(which, int) and 0 <= which < len(names):
            return self._readers[which]
        raise SelectionError(f"no array {which!r}; there are {names}")

    def __getitem__(self, key: Any) -> Any:
        return self.array(key) if isinstance(key, str) else super().__getitem__(key)

    def validate(self, threads: int | None = None) -> None:
        """Check every tile of every array; see `ArrayReader.validate`."""
        for reader in self._readers:
            reader.validate(threads)

    def info(self) -> dict[str, Any]:
        """Return what `eocodec info` shows of the container, as JSON can hold it."""
        return {
            "version": self._contents.version,
            "bytes": self._contents.size,
            "overhead_bytes": self._contents.overhead,
            "required_features": list(self._contents.header.required),
            "optional_features": list(self._contents.header.optional),
            "arrays": [reader.info() for reader in self._readers],
        }

    def close(self) -> None:
        """Let go of the file; a file object that was passed in stays open."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise TypeError("only a reader opened from a path, URL or bytes can be pickled")
        return _reopen, self._reopen


def open_reader(target: Readable, **storage_options: Any) -> Reader:
    """Open a container.

    Header and index of a remote file are kept in memory, at most 16 MiB of all files together, and used
    again when the file still ends in the same checksums.

    Parameters
    ----------
    target : path, fsspec URL, bytes-like or readable binary file
        A file object that cannot seek, such as a pipe, is read to its end first.
    **storage_options
        For fsspec.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    FormatError, UnsupportedError
        It is no container, damaged, cut, or needs a newer release.
    """
    source = open_source(target, storage_options)
    try:
        contents = read_contents(source)
    except EocodecError as error:
        source.close()
        text = str(error)
        if len(text) > _LONGEST_MESSAGE:  # what a hostile header holds may be quoted in it
            text = f"{text[:_LONGEST_MESSAGE]}…"
        named = text if source.name in text else f"{source.name}: {text}"
        raise type(error)(named) from error
    reopen = (target, storage_options) if isinstance(target, (str, os.PathLike, bytes)) else None
    return Reader(source, contents, reopen)


def _reopen(target: Readable, storage_options: dict[str, Any]) -> Reader:
    return open_reader(target, **storage_options)
