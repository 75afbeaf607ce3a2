"""One file of a batch: looked at, compressed unless it is finished, its errors kept as text."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import fsspec

from eocodec.errors import EocodecError, InputError
from eocodec.formats.batch_jobs import Job
from eocodec.formats.batch_manifest import Entry
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What became of a task, and whether its container was there already."""

    entry: Entry
    kept: bool = False


@dataclass(frozen=True)
class Task:
    """A job as a worker gets it."""

    number: int
    job: Job
    options: CompressOptions
    settings: dict[str, Any]
    known: Entry | None

    @property
    def ours(self) -> Entry | None:
        """What the manifest says of the output, unless that is of other settings."""
        same = self.known is not None and self.known.settings == self.settings
        return self.known if same else None


def name_of(job: Job) -> str:
    """Return the name of an output in its folder."""
    return job.output.rpartition("/")[2]


def pending(task: Task) -> Entry:
    """Return what is known of a task before it runs."""
    sources = [{"path": source} for source in task.job.sources]
    return Entry(output=name_of(task.job), sources=sources, settings=task.settings)


def compress_task(task: Task, tell: Callable[[int, int], object]) -> Outcome:
    """Write a container unless it is there already; an error becomes a failed entry.

    Parameters
    ----------
    task : Task
    tell : callable
        Called with the task's number and its tiles so far.
    """
    job = task.job
    done = 0

    def count(_samples: int) -> None:
        nonlocal done
        done += 1
        tell(task.number, done)

    try:
        remove_leftovers([job])
        sources = [_identity(source) for source in job.sources]
        known = task.ours
        if known is not None and _is_finished(known, sources, job.output):
            return Outcome(known, kept=True)
        # What is there under this name is an older or unfinished state of the same output.
        report = compress_file(
            job.sources, job.output, replace(task.options, overwrite=True), count
        )
        entry = replace(
            pending(task),
            status="done",
            sources=sources,
            bytes=report.size,
            raw_bytes=report.raw_bytes,
            sha256=_checksum(job.output),
            parts=[asdict(part) for part in report.parts],
            warnings=list(report.warnings) or None,
        )
        return Outcome(entry)
    except Exception as error:
        return Outcome(failure(task, error))


def _is_finished(known: Entry, sources: list[dict[str, Any]], output: str) -> bool:
    same = known.status == "done" and known.sources == sources
    return same and known.sha256 == _checksum(output)


def failure(task: Task, error: BaseException) -> Entry:
    """Return what is left of a task that failed."""
    text = " ".join(str(error).split())
    if not isinstance(error, (EocodecError, OSError)) or not text:
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return replace(pending(task), status="failed", error=text)


def _identity(source: str) -> dict[str, Any]:
    """Return path, size, and what changes whenever the file does."""
    if "://" in source:
        fs, path = fsspec.core.url_to_fs(source)
        return {"path": source, "bytes": fs.size(path), "version": fs.ukey(path)}
    if source.startswith("/vsi"):
        return {"path": source}
    try:
        status = Path(source).stat()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from error
    return {"path": source, "bytes": status.st_size, "version": status.st_mtime_ns}


def _checksum(path: str) -> str | None:
    """Return the SHA-256 of a file, None where there is none."""
    digest = hashlib.sha256()
    try:
        with fsspec.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def remove_leftovers(jobs: Sequence[Job]) -> None:
    """Remove the temporary files that killed writers left beside their outputs."""
    for job in jobs:
        if "://" not in job.output:
            folder, name = os.path.split(job.output)
            for part in glob.glob(f".{glob.escape(name)}.*.part", root_dir=folder):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, part))
