"""Compressing many files, one container each: in this process or on a Dask cluster, resumable."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import fsspec

from eocodec.codec_models import find_card
from eocodec.errors import EocodecError, InputError
from eocodec.formats.batch_jobs import Job, plan_jobs
from eocodec.formats.batch_manifest import Entry, Manifest
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file

if TYPE_CHECKING:
    from distributed import Client

_BLOCK = 1 << 20
_HOW_NOT_WHAT = ("threads", "overwrite")


class BatchProgress(Protocol):
    """Is told how far a batch is."""

    def tiles(self, job: int, done: int) -> None:
        """Job number `job` has encoded `done` tiles."""

    def file(self, entry: Entry) -> None:
        """A file is finished: written, kept or failed."""


@dataclass(frozen=True)
class BatchReport:
    """What a batch came to.

    Attributes
    ----------
    manifest : str
        Where sizes, errors and checksums of all files are.
    written, kept : tuple of Entry
        The files compressed now, and those that were finished before.
    failed : tuple of Entry
        The others; `Entry.error` says why.
    """

    manifest: str
    written: tuple[Entry, ...]
    kept: tuple[Entry, ...]
    failed: tuple[Entry, ...]


@dataclass(frozen=True)
class _Outcome:
    entry: Entry
    kept: bool = False


@dataclass(frozen=True)
class _Task:
    """A job as a worker gets it."""

    number: int
    job: Job
    options: CompressOptions
    settings: dict[str, Any]
    known: Entry | None

    @property
    def ours(self) -> bool:
        """Whether the manifest has the output, with the same settings."""
        return self.known is not None and self.known.settings == self.settings


def compress_files(
    paths: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str] | None = None,
    options: CompressOptions | None = None,
    *,
    client: Client | None = None,
    progress: BatchProgress | None = None,
) -> BatchReport:
    """Compress files, one container each; those that an earlier run finished are kept.

    A container is finished where the manifest in its folder says so, its checksum is right, and neither source
    nor settings have changed since. What another run left unfinished is done again. A file that fails does not
    keep the others from being compressed.

    Parameters
    ----------
    paths : sequence of paths or URLs
        See `plan_jobs` for which file goes into which container.
    folder : path or URL, optional
        Where containers and manifest go; made if needed. By default the folder of the files.
    options : CompressOptions, optional
        How to compress. With `overwrite`, containers of other settings, or of no batch, are replaced.
    client : distributed.Client, optional
        The Dask cluster that does the work (see `local_client`, `remote_client`), a file a task; it must see files
        and folder under the same names. Without one the files are compressed one after the other in this process.
    progress : BatchProgress, optional
        Is told of every tile and file.

    Raises
    ------
    InputError
        Two files would have the same output; nothing is written then.
    EocodecError
        The manifest cannot be read or written.
    """
    options = options or CompressOptions()
    jobs = plan_jobs(paths, folder)
    room = jobs[0].output.rpartition("/")[0]
    settings = settings_of(options)
    if "://" not in room:
        os.makedirs(room, exist_ok=True)
    manifest = Manifest(room)
    tasks = [
        _Task(number, job, options, settings, manifest.get(_name(job)))
        for number, job in enumerate(jobs)
    ]
    refused = _refused(tasks, room)
    tasks = [task for task in tasks if task.number not in refused]
    manifest.update(_pending(task) for task in tasks if not task.ours)
    run = _run_here(tasks, progress) if client is None else _run_on(client, tasks, progress)
    written, kept, failed = [], [], []
    try:
        for outcome in chain(refused.values(), run):
            entry = outcome.entry
            if entry.status == "failed":
                failed.append(entry)
            else:
                (kept if outcome.kept else written).append(entry)
            if not _hides_another(entry, manifest):
                manifest.update([entry])
            if progress is not None:
                progress.file(entry)
    finally:
        manifest.write()
    return BatchReport(manifest.path, tuple(written), tuple(kept), tuple(failed))


def settings_of(options: CompressOptions) -> dict[str, Any]:
    """Return what tells whether a container was asked to keep the same, as JSON can hold it."""
    asked = {key: value for key, value in asdict(options).items() if key not in _HOW_NOT_WHAT}
    asked["settings"]["model"] = find_card(options.settings.model).id
    settings: dict[str, Any] = json.loads(json.dumps(_given(asked)))
    return settings


def _given(value: Any) -> Any:
    """Return a value without what is None in its mappings."""
    if not isinstance(value, Mapping):
        return value
    return {key: _given(item) for key, item in value.items() if item is not None}


def remove_leftovers(jobs: Sequence[Job]) -> None:
    """Remove the temporary files that killed writers left beside their outputs."""
    for job in jobs:
        if "://" not in job.output:
            folder, name = os.path.split(job.output)
            for part in glob.glob(f".{glob.escape(name)}.*.part", root_dir=folder):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, part))


def _name(job: Job) -> str:
    return job.output.rpartition("/")[2]


def _pending(task: _Task) -> Entry:
    sources = [{"path": source} for source in task.job.sources]
    return Entry(output=_name(task.job), sources=sources, settings=task.settings)


def _refused(tasks: Sequence[_Task], room: str) -> dict[int, _Outcome]:
    """Return the failures of those tasks whose output exists and must not be replaced."""
    present = _names_in(room)
    return {
        task.number: _Outcome(
            _failed(
                task,
                InputError(
                    f"{task.job.output} exists, of other settings or of no batch; choose another "
                    "folder, or let it be replaced (overwrite)"
                ),
            )
        )
        for task in tasks
        if not (task.ours or task.options.overwrite) and _name(task.job) in present
    }


def _names_in(folder: str) -> set[str]:
    if "://" not in folder:
        return set(os.listdir(folder))
    fs, path = fsspec.core.url_to_fs(folder)
    try:
        return {name.rpartition("/")[2] for name in fs.ls(path, detail=False)}
    except FileNotFoundError:
        return set()


def _hides_another(entry: Entry, manifest: Manifest) -> bool:
    """Whether a failure would take the place of what is known of a finished container of other settings."""
    known = manifest.get(entry.output)
    finished = known is not None and known.status == "done"
    return entry.status == "failed" and finished and known.settings != entry.settings


def _run_here(tasks: Sequence[_Task], progress: BatchProgress | None) -> Iterator[_Outcome]:
    for task in tasks:
        yield _compress(task, lambda number, done: progress and progress.tiles(number, done))


def _run_on(
    client: Client, tasks: Sequence[_Task], progress: BatchProgress | None
) -> Iterator[_Outcome]:
    from distributed import as_completed

    topic = f"eocodec-{secrets.token_hex(8)}"
    if progress is not None:
        client.subscribe_topic(topic, lambda event: progress.tiles(*event[1]))
    waiting = {
        client.submit(
            _compress_on_worker, task, topic, key=f"{topic}-{task.number}", pure=False
        ): task
        for task in tasks
    }
    try:
        for future in as_completed(list(waiting), loop=client.loop):
            task = waiting.pop(future)
            error = future.exception()
            yield future.result() if error is None else _Outcome(_failed(task, error))
            future.release()
    finally:
        with contextlib.suppress(Exception):
            client.cancel(list(waiting))
        if progress is not None:
            client.unsubscribe_topic(topic)


def _compress_on_worker(task: _Task, topic: str) -> _Outcome:
    from distributed import get_worker

    worker = get_worker()
    return _compress(task, lambda number, done: worker.log_event(topic, (number, done)))


def _compress(task: _Task, tell: Callable[[int, int], object]) -> _Outcome:
    """Write a container unless it is there already; an error becomes a failed entry."""
    job = task.job
    done = 0

    def count(_samples: int) -> None:
        nonlocal done
        done += 1
        tell(task.number, done)

    try:
        remove_leftovers([job])
        sources = [_identity(source) for source in job.sources]
        if task.ours and _is_finished(task.known, sources, job.output):
            return _Outcome(task.known, kept=True)
        # What is there under this name is an older or unfinished state of the same output.
        report = compress_file(
            job.sources, job.output, replace(task.options, overwrite=True), count
        )
        entry = replace(
            _pending(task),
            status="done",
            sources=sources,
            bytes=report.size,
            raw_bytes=report.raw_bytes,
            sha256=_checksum(job.output),
        )
        return _Outcome(entry)
    except Exception as error:
        return _Outcome(_failed(task, error))


def _is_finished(known: Entry, sources: list[dict[str, Any]], output: str) -> bool:
    same = known.status == "done" and known.sources == sources
    return same and known.sha256 == _checksum(output)


def _failed(task: _Task, error: BaseException) -> Entry:
    text = " ".join(str(error).split())
    if not isinstance(error, (EocodecError, OSError)) or not text:
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return replace(_pending(task), status="failed", error=text)


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
