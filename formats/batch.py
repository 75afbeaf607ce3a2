"""Compressing many files, one container each: in this process or on a Dask cluster, resumable."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import fsspec

from eocodec.codec_models import find_card
from eocodec.errors import InputError
from eocodec.formats.batch_jobs import plan_jobs
from eocodec.formats.batch_manifest import Entry, Manifest
from eocodec.formats.batch_task import Outcome, Task, compress_task, failure, name_of, pending
from eocodec.formats.compress_options import CompressOptions

if TYPE_CHECKING:
    from distributed import Client

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
        Task(number, job, options, settings, manifest.get(name_of(job)))
        for number, job in enumerate(jobs)
    ]
    refused = _refused(tasks, room)
    tasks = [task for task in tasks if task.number not in refused]
    manifest.update(pending(task) for task in tasks if not task.ours)
    run = _run_here(tasks, progress) if client is None else _run_on(client, tasks, progress)
    written: list[Entry] = []
    kept: list[Entry] = []
    failed = list(refused.values())
    try:
        with closing(run):
            for outcome in run:
                entry = outcome.entry
                manifest.update([entry])
                if entry.status == "failed":
                    failed.append(entry)
                else:
                    (kept if outcome.kept else written).append(entry)
                if progress is not None:
                    progress.file(entry)
    finally:
        manifest.write()
    return BatchReport(manifest.path, tuple(written), tuple(kept), tuple(failed))


def _refused(tasks: Sequence[Task], room: str) -> dict[int, Entry]:
    """Return the failures of those tasks whose output exists and must not be replaced.

    They are none of the manifest's business: it says which files are the batch's own.
    """
    present = _names_in(room)
    refused = {}
    for task in tasks:
        if not (task.ours or task.options.overwrite) and name_of(task.job) in present:
            error = InputError(
                f"{task.job.output} exists, of other settings or of no batch; choose another folder, "
                "or let it be replaced (overwrite)"
            )
            refused[task.number] = failure(task, error)
    return refused


def _names_in(folder: str) -> set[str]:
    if "://" not in folder:
        return set(os.listdir(folder))
    fs, path = fsspec.core.url_to_fs(folder)
    try:
        return {name.rpartition("/")[2] for name in fs.ls(path, detail=False)}
    except FileNotFoundError:
        return set()


def _run_here(
    tasks: Sequence[Task], progress: BatchProgress | None
) -> Generator[Outcome, None, None]:
    tell = (lambda number, done: None) if progress is None else progress.tiles
    for task in tasks:
        yield compress_task(task, tell)


def _run_on(
    client: Client, tasks: Sequence[Task], progress: BatchProgress | None
) -> Generator[Outcome, None, None]:
    from distributed import as_completed

    topic = f"eocodec-{secrets.token_hex(8)}"
    if progress is not None:
        tell = progress.tiles
        client.subscribe_topic(topic, lambda event: tell(*event[1]))
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
            yield future.result() if error is None else Outcome(failure(task, error))
            future.release()
    finally:
        with suppress(Exception):
            client.cancel(list(waiting))
        if progress is not None:
            client.unsubscribe_topic(topic)


def _compress_on_worker(task: Task, topic: str) -> Outcome:
    from distributed import get_worker

    worker = get_worker()
    return compress_task(task, lambda number, done: worker.log_event(topic, (number, done)))


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
