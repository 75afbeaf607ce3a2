"""The manifest of a batch: what became of each file, in JSON lines, replaced as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import fsspec

from eocodec.errors import EocodecError, FormatError
from eocodec.formats.eoc.sink import open_sink

NAME = "manifest.jsonl"
_SECONDS_BETWEEN_WRITES = 1.0

Status = Literal["pending", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one output: a line of the manifest.

    Attributes
    ----------
    output : str
        Name of the container in the folder of the manifest.
    status : str
        "pending" until it is written, then "done", or "failed".
    sources : list of dict
        `path` of each source; once it was looked at, `bytes` and what tells its `version`.
    settings : dict
        What the container was asked to keep.
    bytes, raw_bytes : int or None
        Size of the container, and of the samples in it.
    sha256 : str or None
        Checksum of the container.
    parts : list of dict or None
        How each array was coded and with what errors, as `CodedPart`.
    warnings : list of str or None
        What a user should know of it.
    error : str or None
        Why it failed.
    """

    output: str
    status: Status = "pending"
    sources: list[dict[str, Any]]
    settings: dict[str, Any]
    bytes: int | None = None
    raw_bytes: int | None = None
    sha256: str | None = None
    parts: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None
    error: str | None = None

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Parse a line.

        Raises
        ------
        ValueError, TypeError
            It is malformed.
        """
        fields = json.loads(line)
        entry = cls(**fields)
        named = isinstance(entry.output, str) and isinstance(entry.settings, dict)
        if not named or entry.status not in ("pending", "done", "failed"):
            raise ValueError("not an entry of a manifest")
        return entry

    def to_json(self) -> str:
        """Return the line, without what is not known."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})


class Manifest:
    """The manifest in a folder.

    Parameters
    ----------
    folder : str
        Path or URL.

    Raises
    ------
    FormatError
        There is a manifest, but malformed.
    EocodecError
        There is one that cannot be read.
    """

    def __init__(self, folder: str):
        self.path = f"{folder}/{NAME}"
        self._entries = {entry.output: entry for entry in _read(self.path)}
        self._written_at = -_SECONDS_BETWEEN_WRITES

    def get(self, output: str) -> Entry | None:
        """Return what is known of an output."""
        return self._entries.get(output)

    def update(self, entries: Iterable[Entry]) -> None:
        """Take in what is known now, and write it once a second."""
        self._entries |= {entry.output: entry for entry in entries}
        if time.monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Replace the file.

        Raises
        ------
        EocodecError
            It cannot be written.
        """
        lines = "".join(f"{entry.to_json()}\n" for entry in self._entries.values())
        sink = open_sink(self.path, overwrite=True, storage_options={})
        try:
            sink.write(lines.encode())
            sink.publish()
        except BaseException:
            sink.discard()
            raise
        self._written_at = time.monotonic()


def _read(path: str) -> list[Entry]:
    try:
        with fsspec.open(path, "rb") as file:
            lines = file.read().decode().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise EocodecError(f"cannot read {path}: {error}") from error
    try:
        return [Entry.from_json(line) for line in lines]
    except (ValueError, TypeError) as error:
        raise FormatError(f"{path} is no manifest of eocodec: {error}") from error
