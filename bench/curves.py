"""Rate-distortion curves of all peers on all scenes, in worker processes, kept between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

import eocodec
from bench.measures import Point, measure
from bench.peers import Peer, Stack, named
from eocodec.codec_models import find_card
from eocodec.errors import InputError

FINEST_RMSE, COARSEST_RMSE = 20.0, 120.0
"""Errors in DN that a curve must enclose."""

Curves = dict[str, dict[str, list[Point]]]
"""Points by scene and peer."""


def sweep(peer: Peer, stack: Stack) -> list[Point]:
    """Code a stack at the settings around 20 to 120 DN, those far outside left out.

    Starts in the middle of the settings and goes both ways, until an error beyond the range is met.
    """
    middle = len(peer.settings) // 2
    finer, coarser = peer.settings[middle:], peer.settings[:middle][::-1]
    points = _until(peer, stack, finer, lambda error: error <= FINEST_RMSE)
    if not points or points[0].rmse < COARSEST_RMSE:
        points = _until(peer, stack, coarser, lambda error: error >= COARSEST_RMSE)[::-1] + points
    return points


def _until(
    peer: Peer, stack: Stack, settings: Iterable[Any], done: Callable[[float], bool]
) -> list[Point]:
    points: list[Point] = []
    for setting in settings:
        try:
            data = peer.encode(stack, setting)
        except InputError:  # a target out of this codec's reach
            break
        decoded = peer.decode(data, stack.shape)
        points.append(measure(str(setting), len(data), decoded, stack))
        if done(points[-1].rmse):
            break
    return points


def compute_curves(
    scenes: dict[str, Stack],
    peers: Iterable[Peer],
    *,
    workers: int,
    folder: Path,
    checkpoints: Path | None = None,
    progress: Callable[[int], object] = lambda samples: None,
) -> Curves:
    """Compute the curves of all peers on all scenes.

    Parameters
    ----------
    scenes : dict of str to ndarray (C, H, W)
        Stacks by name.
    peers : iterable of Peer
        Codecs; workers find them again by name.
    workers : int
        Processes, each with one thread.
    folder : Path
        Where curves are kept; one that was computed with the same code and pixels is read.
    checkpoints : Path, optional
        Folder of the trained peers.
    progress : callable
        Called with the number of samples of each finished scene and peer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [peer.name for peer in peers]
    curves: Curves = {scene: {} for scene in scenes}
    missing = []
    for scene, stack in scenes.items():
        for name in names:
            path = folder / f"{_key(name, stack, checkpoints)}.json"
            if path.exists():
                curves[scene][name] = [Point(**point) for point in json.loads(path.read_text())]
                progress(stack.size)
            else:
                missing.append((stack.size, scene, name, path))
    missing.sort(key=lambda task: -task[0])
    with worker_pool(workers) as pool:
        tasks = {
            pool.submit(_sweep_named, name, scenes[scene], checkpoints): (scene, name, path)
            for _, scene, name, path in missing
        }
        for task in as_completed(tasks):
            scene, name, path = tasks[task]
            curves[scene][name] = task.result()
            path.write_text(json.dumps([asdict(point) for point in curves[scene][name]]))
            progress(scenes[scene].size)
    return {scene: {name: found[name] for name in names} for scene, found in curves.items()}


def _sweep_named(name: str, stack: Stack, checkpoints: Path | None) -> list[Point]:
    return sweep(named(name, checkpoints), stack)


def worker_pool(workers: int) -> Executor:
    """Return processes of one thread each; for a single one, a thread of this process."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, get_context("spawn"), _single_threaded)


def _single_threaded() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    threadpool_limits(1)


def _key(name: str, stack: Stack, checkpoints: Path | None) -> str:
    """Digest of all that a curve depends on."""
    digest = hashlib.sha256(f"{name} {stack.shape} {stack.dtype}".encode())
    digest.update(stack.tobytes())
    own = type(named(name, checkpoints)).__module__ in OWN_MODULES
    digest.update(_own_digest(checkpoints) if own else _peer_digest())
    return digest.hexdigest()[:32]


OWN_MODULES = ("bench.peers.eocodec_cli", "bench.peers.trained")
"""Where the codecs are that depend on this package's code; the others depend on the bench alone."""


@cache
def _peer_digest() -> bytes:
    here = Path(__file__).parent
    sources = [*here.glob("peers/*.py"), here / "measures.py", here / "curves.py"]
    return _digest(version("imagecodecs"), sources)


@cache
def _own_digest(checkpoints: Path | None) -> bytes:
    sources = [path for folder in eocodec.__path__ for path in Path(folder).rglob("*.py")]
    if checkpoints is not None:
        sources += [path for path in checkpoints.rglob("*") if path.is_file()]
    return _peer_digest() + _digest(find_card().id, sources)


def _digest(text: str, sources: list[Path]) -> bytes:
    digest = hashlib.sha256(text.encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.digest()
