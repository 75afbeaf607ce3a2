"""Speed of encoding and decoding next to other codecs at the same size, in one process on the same cores.

python -m bench.speed ../shared/data/s2 --split test --readme README.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

import eocodec
from bench.matching import Coded, at_size
from bench.peers import OURS
from bench.peers.base import Peer, PerBand, Stack
from bench.peers.jpeg2000 import Htj2k, Jpeg2000
from bench.peers.jpegxl import JpegXl
from bench.peers.karhunen_loeve import OverKlt
from bench.report import SPEED_MARK, update_readme
from bench.scenes import CALM_SCENE, middle_crop, read_scenes
from bench.tables import Table, speed_cell
from bench.timing import interleaved, limited_threads
from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import find_card
from eocodec.metrics import compare

_SIDE = 512
_LEAST_SIDE = 200
ROUNDS = 3
"""Times that each codec runs and counts."""


@dataclass(frozen=True)
class Speed:
    """Speed of one codec on one stack.

    Attributes
    ----------
    name : str
        The codec's.
    bpppb : float
        Bits per pixel and band.
    rmse : float
        Error over all bands in DN.
    encoding, decoding : float
        Median MB of uint16 samples a second.
    """

    name: str
    bpppb: float
    rmse: float
    encoding: float
    decoding: float


def picked_peers(threads: int = 1) -> tuple[Peer, ...]:
    """Return what a user would pick instead, with so many threads where they take any (HTJ2K does not)."""
    jpeg2000 = replace(Jpeg2000(), threads=threads)
    return (
        PerBand(jpeg2000),
        OverKlt(jpeg2000),
        OverKlt(Htj2k()),
        OverKlt(JpegXl(effort=3, threads=threads)),
        OverKlt(JpegXl(effort=7, threads=threads)),
    )


@dataclass(frozen=True)
class _DefaultQuality:
    """Arrays to ``.eoc`` bytes and back, at the default quality of the model."""

    threads: int

    def encode(self, stack: Stack) -> bytes:
        settings = eocodec.EncodeSettings(layers=find_card().default_layers)
        return eocodec.compress(stack, bands=MODEL_BANDS, settings=settings, threads=self.threads)

    def decode(self, data: bytes) -> Any:
        return eocodec.decompress(data, threads=self.threads)


def measure_speeds(
    stack: Stack, peers: Sequence[Peer], *, threads: int = 1, rounds: int = ROUNDS
) -> list[Speed]:
    """Time eocodec at its default quality, and peers at the same size or the nearest that they reach.

    Codecs take turns in every round; one round before does not count.

    Parameters
    ----------
    stack : ndarray (10, H, W)
        Samples in DN.
    peers : sequence of Peer
        Codecs, which have their threads.
    threads : int
        Threads of eocodec and of linear algebra.
    rounds : int
        How many times each codec runs and counts.
    """
    ours = _DefaultQuality(threads)
    with limited_threads(threads):
        data = ours.encode(stack)
        decoded = ours.decode(data)
        own = Coded(OURS, None, data, decoded, compare(stack, decoded).total_rmse)
        coded = [own, *(at_size(peer, stack, len(data)) for peer in peers)]
        encoders: list[Callable[[], Any]] = [lambda: ours.encode(stack)]
        decoders: list[Callable[[], Any]] = [lambda: ours.decode(data)]
        for peer, one in zip(peers, coded[1:], strict=True):
            encoders.append(lambda p=peer, c=one: p.encode(stack, c.setting))  # type: ignore[misc]
            decoders.append(lambda p=peer, c=one: p.decode(c.data, stack.shape))  # type: ignore[misc]
        seconds = [interleaved(tasks, rounds, threads=threads) for tasks in (encoders, decoders)]
    encoding, decoding = (stack.nbytes / 1e6 / np.median(found, axis=0) for found in seconds)
    return [
        Speed(one.name, one.bpppb, one.rmse, float(fast), float(back))
        for one, fast, back in zip(coded, encoding, decoding, strict=True)
    ]


def speed_table(found: Mapping[str, Sequence[Speed]], threads: int = 1) -> Table:
    """Return a row a codec and a column a scene: error and speeds at the size of ours there."""
    scenes = list(found)
    codecs = [speed.name for speed in found[scenes[0]]]
    rows = [["bpppb of all", *(f"{found[scene][0].bpppb:.3f}" for scene in scenes)]]
    for index, codec in enumerate(codecs):
        own = (found[scene][index] for scene in scenes)
        cells = (f"{s.rmse:.1f} DN, {speed_cell(s.encoding, s.decoding)}" for s in own)
        rows.append([codec, *cells])
    cores = "one core" if threads == 1 else f"{threads} threads"
    return Table(
        f"Error and speed at the default quality of {OURS} and the same size, {cores}",
        ["codec", *(_shown(scene) for scene in scenes)],
        rows,
        f"RMSE; MB of uint16 samples encoded / decoded a second, in process, at most {_SIDE} x {_SIDE} pixels of "
        f"ten bands in the middle of each scene. Median of rounds in which the codecs take turns.",
    )


def speed_scenes(scenes: Mapping[str, Stack]) -> dict[str, Stack]:
    """Return what speed is measured on: the middle of every scene that is large, or else of all."""
    large = {n: s for n, s in scenes.items() if min(s.shape[1:]) >= _LEAST_SIDE} or dict(scenes)
    return {name: middle_crop(stack, _SIDE) for name, stack in large.items()}


def busy_scene(scenes: Mapping[str, Stack]) -> str:
    """Return the name of the largest scene that is not mostly calm water."""
    busy = [name for name in scenes if name != CALM_SCENE] or list(scenes)
    return max(busy, key=lambda name: scenes[name].size)


def measure_scenes(
    scenes: Mapping[str, Stack],
    others: Sequence[Peer] = (),
    *,
    threads: int = 1,
    rounds: int = ROUNDS,
) -> dict[str, list[Speed]]:
    """Measure what a user would pick on every scene, and other codecs on the busy one too."""
    found = {}
    busy = busy_scene(scenes)
    for name, stack in tqdm(scenes.items(), desc="speed", unit="scene", disable=None):
        peers = list(picked_peers(threads))
        if name == busy:
            known = {peer.name for peer in peers}
            peers += [peer for peer in others if peer.name not in known]
        found[name] = measure_speeds(stack, peers, threads=threads, rounds=rounds)
    return found


def busy_speeds(found: Mapping[str, Sequence[Speed]]) -> dict[str, tuple[float, float]]:
    """Return MB/s of encoding and decoding by codec, on the scene where most were measured."""
    speeds = max(found.values(), key=len, default=())
    return {speed.name: (speed.encoding, speed.decoding) for speed in speeds}


def picked(found: Mapping[str, Sequence[Speed]]) -> dict[str, list[Speed]]:
    """Return the speeds of ours and of what a user would pick."""
    names = {OURS, *(peer.name for peer in picked_peers())}
    return {scene: [s for s in speeds if s.name in names] for scene, speeds in found.items()}


def _shown(scene: str) -> str:
    return f"{scene} (calm)" if scene == CALM_SCENE else scene


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Scenes to use.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Threads of every codec that takes any; repeatable.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True)
@click.option("--quick", is_flag=True, help="Small crops of two scenes.")
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables between their marks in this Markdown file.",
)
def main(
    data: Path,
    split: str,
    threads: tuple[int, ...],
    rounds: int,
    *,
    quick: bool,
    readme: Path | None,
) -> None:
    """Measure speeds on the large scenes of DATA."""
    scenes = speed_scenes(read_scenes(data, split, quick=quick))
    tables = [
        speed_table(measure_scenes(scenes, threads=count, rounds=rounds), count)
        for count in threads
    ]
    for table in tables:
        click.echo(table.markdown() + "\n")
    if readme is not None:
        update_readme(readme, tables, SPEED_MARK)


if __name__ == "__main__":
    main()
