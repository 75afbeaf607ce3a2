"""Many files at once: what `eocodec compress` does with `--output-dir`, `--workers` or `--dask`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from eocodec.cli.command import AT_LEAST_ONE
from eocodec.cli.compress_report import part_lines
from eocodec.cli.output import STDOUT, human_size
from eocodec.cli.progress import hidden
from eocodec.errors import EocodecError

if TYPE_CHECKING:
    from eocodec.formats.batch_manifest import Entry
    from eocodec.formats.compress_options import CompressOptions

F = TypeVar("F", bound=Callable[..., Any])
IN_BATCH = ("output_dir", "workers", "dask")


def batch_options(command: F) -> F:
    """Add the options of a batch to a command."""
    for option in (
        click.option(
            "--dask", metavar="ADDRESS", help="Dask scheduler to compress on: tcp://host:8786."
        ),
        click.option(
            "--workers",
            type=AT_LEAST_ONE,
            metavar="N",
            help="Processes, of one thread each, to compress in; by default this one.",
        ),
        click.option(
            "--output-dir",
            metavar="FOLDER",
            help="Where the .eoc files and manifest.jsonl go; made if needed; by default the folder "
            "of the rasters.",
        ),
    ):
        command = option(command)
    return command


def compress_batch(
    paths: Sequence[str],
    options: CompressOptions,
    *,
    output_dir: str | None,
    workers: int | None,
    dask: str | None,
    as_json: bool = False,
) -> None:
    """Compress files into one container each, and list those that failed.

    Raises
    ------
    EocodecError
        When a file failed: the others are compressed by then.
    """
    from eocodec.formats.batch import compress_files
    from eocodec.formats.batch_cluster import local_client, remote_client
    from eocodec.formats.batch_jobs import plan_jobs
    from eocodec.formats.batch_task import remove_leftovers

    if workers is not None and dask is not None:
        raise click.UsageError("--workers and --dask exclude each other")
    if STDOUT in paths:
        raise click.UsageError("a batch reads and writes files, not standard input or output")
    named = [path for path in paths if path.lower().endswith(".eoc")]
    if named:
        raise click.UsageError(f"{named[0]} is no raster; outputs are named after the rasters")
    if output_dir is not None and os.path.isfile(output_dir):
        raise click.UsageError(f"--output-dir {output_dir} is a file; name a folder")
    jobs = plan_jobs(paths, output_dir)
    cluster: Any = nullcontext()
    if workers is not None:
        cluster = local_client(min(workers, len(jobs)))
    elif dask is not None:
        cluster = remote_client(dask)
    try:
        with cluster as client, _bars(len(jobs)) as bars:
            report = compress_files(paths, output_dir, options, client=client, progress=bars)
    finally:
        if dask is None:
            remove_leftovers(jobs)  # of workers that were stopped in the middle of a file
    size = sum(entry.bytes or 0 for entry in report.written)
    raw = sum(entry.raw_bytes or 0 for entry in report.written)
    text = f"{len(report.written)} written"
    if size:
        text += f" ({human_size(raw)} -> {human_size(size)}, ratio {raw / size:.2f})"
    if as_json:
        click.echo("\n".join(entry.to_json() for entry in report.written))
    else:
        for entry in report.written:
            click.echo("\n".join(_entry_lines(entry)))
    for entry in report.written:
        for warning in entry.warnings or ():
            click.echo(f"eocodec: warning: {entry.output}: {warning}", err=True)
    click.echo(f"{text}, {len(report.kept)} kept; {report.manifest}", err=as_json)
    for entry in report.failed:
        click.echo(f"{entry.output}: {entry.error}", err=True)
    if report.failed:
        raise EocodecError(f"{len(report.failed)} of {len(jobs)} files failed")


def _entry_lines(entry: Entry) -> list[str]:
    """Return the size of a file, and how each of its parts was coded."""
    from eocodec.formats.compress_options import CodedPart

    size, raw = entry.bytes or 0, entry.raw_bytes or 0
    parts = [CodedPart(**part) for part in entry.parts or ()]
    first = f"{entry.output}: {human_size(size)}, ratio {raw / max(size, 1):.2f} to raw samples"
    return [first, *(f"  {line}" for line in part_lines(parts))]


class _Bars:
    """A bar of files above a count of tiles."""

    def __init__(self, files: Any, tiles: Any):
        self._files, self._tiles = files, tiles
        self._lock = threading.Lock()
        self._done: dict[int, int] = {}

    def tiles(self, job: int, done: int) -> None:
        # A file that is begun again, because its worker died, starts from its first tile.
        with self._lock:
            before = self._done.get(job, 0)
            self._done[job] = max(done, before)
            self._tiles.update(self._done[job] - before)

    def file(self, entry: Entry) -> None:
        with self._lock:
            self._files.update(1)


@contextmanager
def _bars(files: int) -> Iterator[_Bars]:
    look = {"leave": False, "disable": hidden()}
    with (
        tqdm(total=files, desc="files", unit="file", position=0, **look) as above,
        tqdm(desc="tiles", unit="tile", position=1, **look) as below,
    ):
        yield _Bars(above, below)
