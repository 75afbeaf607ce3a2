"""Speed of encoding and decoding next to what a user would pick, in one process on the same cores.

python -m bench.speed ../shared/data/s2 --split test --threads 1 --threads 2
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import eocodec
from bench.matching import at_size
from bench.peers.base import Peer, PerBand, Stack
from bench.peers.jpeg2000 import Jpeg2000
from bench.peers.jpegxl import JpegXl
from bench.peers.karhunen_loeve import OverKlt
from bench.scenes import middle_crop, read_scenes
from bench.tables import Table
from eocodec.bands import MODEL_BANDS

_SIDE = 1024


@dataclass(frozen=True)
class Speed:
    """Speed of one codec.

    Attributes
    ----------
    name : str
        The codec's.
    threads : int
        Threads it was given.
    bpppb : float
        Bits per pixel and band.
    encoding, decoding : float
        Median MB of uint16 samples a second.
    encoding_ratio, decoding_ratio : float
        Median over the repetitions of this codec's seconds over eocodec's: above 1, eocodec is faster.
    """

    name: str
    threads: int
    bpppb: float
    encoding: float
    decoding: float
    encoding_ratio: float
    decoding_ratio: float


def measure_speeds(stack: Stack, *, threads: int, repetitions: int) -> list[Speed]:
    """Time eocodec at its default quality, and JPEG 2000 and JPEG XL at the same size.

    Codecs take turns in every repetition, so that a ratio compares what ran next to each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            return _measured(stack, threads, repetitions)
    finally:
        torch.set_num_threads(before)


def _measured(stack: Stack, threads: int, repetitions: int) -> list[Speed]:
    data = eocodec.compress(stack, bands=MODEL_BANDS, threads=threads)
    jpeg2000 = replace(Jpeg2000(), threads=threads)
    peers: tuple[Peer, ...] = (
        PerBand(jpeg2000),
        OverKlt(jpeg2000),
        OverKlt(JpegXl(effort=7, threads=threads)),
    )
    matched = [at_size(peer, stack, len(data)) for peer in peers]
    names = ["eocodec", *(peer.name for peer in peers)]
    files = [data, *(coded.data for coded in matched)]
    encoders: list[Callable[[], Any]] = [
        lambda: eocodec.compress(stack, bands=MODEL_BANDS, threads=threads)
    ]
    decoders: list[Callable[[], Any]] = [lambda: eocodec.decompress(data, threads=threads)]
    for peer, coded in zip(peers, matched, strict=True):
        encoders.append(lambda p=peer, c=coded: p.encode(stack, c.setting))  # type: ignore[misc]
        decoders.append(lambda p=peer, c=coded: p.decode(c.data, stack.shape))  # type: ignore[misc]
    encoding, decoding = _interleaved(encoders, repetitions), _interleaved(decoders, repetitions)
    megabytes = stack.nbytes / 1e6
    return [
        Speed(
            name=name,
            threads=threads,
            bpppb=8 * len(files[i]) / stack.size,
            encoding=megabytes / float(np.median(encoding[:, i])),
            decoding=megabytes / float(np.median(decoding[:, i])),
            encoding_ratio=float(np.median(encoding[:, i] / encoding[:, 0])),
            decoding_ratio=float(np.median(decoding[:, i] / decoding[:, 0])),
        )
        for i, name in enumerate(names)
    ]


def _interleaved(tasks: list[Callable[[], Any]], repetitions: int) -> np.ndarray:
    """Run the tasks in turn; return seconds, (repetitions, tasks). The first round does not count."""
    seconds = np.empty((repetitions + 1, len(tasks)))
    for repetition in range(repetitions + 1):
        for i, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            seconds[repetition, i] = time.perf_counter() - start
    return seconds[1:]


def speed_table(speeds: list[Speed], stack: Stack) -> Table:
    """Return the table of speeds."""
    rows = [
        [
            speed.name,
            str(speed.threads),
            f"{speed.bpppb:.3f}",
            f"{speed.encoding:.1f}",
            f"{speed.encoding_ratio:.2f}",
            f"{speed.decoding:.1f}",
            f"{speed.decoding_ratio:.2f}",
        ]
        for speed in speeds
    ]
    head = ["codec", "threads", "bpppb", "encode MB/s", "time ratio", "decode MB/s", "time ratio"]
    bands, height, width = stack.shape
    return Table(
        "Speed at the default quality of eocodec and the same size",
        head,
        rows,
        f"MB of uint16 samples a second, stack of {bands} x {height} x {width}, in process. Time ratio: "
        "seconds of the codec over those of eocodec in the same round, median; above 1, eocodec is faster.",
    )


def speed_scene(scenes: dict[str, Stack]) -> Stack:
    """Return what the speed is measured on: at most 1024 x 1024 of the largest scene."""
    return middle_crop(max(scenes.values(), key=lambda stack: stack.size), _SIDE)


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Scenes to choose from.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 2),
    show_default=True,
    help="Threads of every codec; repeatable.",
)
@click.option("--repetitions", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="A small crop.")
def main(
    data: Path, split: str, threads: tuple[int, ...], repetitions: int, *, quick: bool
) -> None:
    """Measure speeds on the largest scene of DATA."""
    stack = speed_scene(read_scenes(data, split, quick=quick))
    speeds = [
        speed
        for count in threads
        for speed in measure_speeds(stack, threads=count, repetitions=repetitions)
    ]
    click.echo(speed_table(speeds, stack).markdown())


if __name__ == "__main__":
    main()
