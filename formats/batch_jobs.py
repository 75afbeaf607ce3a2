"""Which files of a list go into which container."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from eocodec.errors import InputError

_NATIVE = re.compile(r"(?P<stem>.+)[._-](?P<metres>10|20)m")


@dataclass(frozen=True)
class Job:
    """One container to be written.

    Attributes
    ----------
    sources : tuple of str
        A raster, or the 10 m and the 20 m file of one place: absolute paths or URLs.
    output : str
        The container.
    """

    sources: tuple[str, ...]
    output: str


def plan_jobs(
    paths: Sequence[str | os.PathLike[str]], folder: str | os.PathLike[str] | None = None
) -> list[Job]:
    """Return the containers that a list of rasters gives, in the order of the list.

    A raster X.tif goes into X.eoc. Two rasters of one folder named X.10m.tif and X.20m.tif (or with _ or -
    for the first point) are the native bands of one place and go into X.eoc together.

    Parameters
    ----------
    paths : sequence of paths or URLs
    folder : path or URL, optional
        Where the containers go; by default the folder in which all the rasters are.

    Raises
    ------
    InputError
        There is no raster, two would have the same output, or `folder` is needed to tell where it goes.
    """
    sources = [_absolute(path) for path in paths]
    if not sources:
        raise InputError("no raster is named")
    if folder is None:
        folders = {_split(source)[0] for source in sources}
        if len(folders) > 1:
            raise InputError("the rasters lie in several folders: name one for the outputs")
        (folder,) = folders
    room = _absolute(folder).rstrip("/")
    jobs: dict[str, Job] = {}
    for name, group in _grouped(sources):
        job = Job(group, f"{room}/{name}.eoc")
        other = jobs.setdefault(job.output, job)
        if other is not job:
            raise InputError(
                f"{' + '.join(other.sources)} and {' + '.join(group)} would both be written to "
                f"{job.output}; rename one, or compress them into different folders"
            )
    return list(jobs.values())


def _grouped(sources: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the name of each output, and what goes into it."""
    natives: dict[tuple[str, str, str], dict[str, str]] = {}
    for source in sources:
        folder, stem, ending = _split(source)
        match = _NATIVE.fullmatch(stem)
        if match is not None:
            natives.setdefault((folder, match["stem"], ending), {})[match["metres"]] = source
    partners = {pair["10"]: pair["20"] for pair in natives.values() if len(pair) == 2}
    paired = set(partners.values())
    groups: list[tuple[str, tuple[str, ...]]] = []
    for source in sources:
        stem = _split(source)[1]
        if source in partners:
            native = _NATIVE.fullmatch(stem)
            assert native is not None
            groups.append((native["stem"], (source, partners[source])))
        elif source not in paired:
            groups.append((stem, (source,)))
    return groups


def _absolute(path: str | os.PathLike[str]) -> str:
    """Return a path that means the same in another process; what is no local path is left as it is."""
    name = os.fspath(path)
    return name if "://" in name or name.startswith("/vsi") else os.path.abspath(name)


def _split(path: str) -> tuple[str, str, str]:
    """Return folder, stem and ending."""
    folder, _, name = path.replace(os.sep, "/").rpartition("/")
    stem, ending = os.path.splitext(name)
    return folder, stem, ending
