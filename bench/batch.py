"""Many files on local workers: seconds of `eocodec compress --workers`, and how far two workers halve them.

python -m bench.batch ../shared/data/s2

The files are crops of real scenes, ten bands at 10 m. Every run is a process of its own that starts its workers, so
their start counts. Runs of all numbers of workers alternate; the fastest of each counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import rasterio

from bench.scenes import read_scenes
from bench.tables import Table
from eocodec.bands import MODEL_BANDS


def write_crops(scenes: Path, split: str, folder: Path, files: int, size: int) -> list[Path]:
    """Write `files` different crops of `size` rows and columns, spread over the scenes of a split.

    Raises
    ------
    click.ClickException
        No scene is that large.
    """
    stacks = [s for s in read_scenes(scenes, split).values() if min(s.shape[1:]) >= size]
    if not stacks:
        raise click.ClickException(f"no scene of {split} has {size} rows and columns")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(files):
        stack = stacks[number % len(stacks)]
        top, left = (int(rng.integers(0, side - size + 1)) for side in stack.shape[1:])
        crop = stack[:, top : top + size, left : left + size]
        paths.append(folder / f"crop{number:03d}.tif")
        with rasterio.open(
            paths[-1],
            "w",
            driver="GTiff",
            count=len(crop),
            width=size,
            height=size,
            dtype=crop.dtype,
            crs="EPSG:32633",
            transform=rasterio.Affine(10, 0, 5e5 + 10 * left, 0, -10, 5e6 - 10 * top),
        ) as file:
            file.write(crop)
            file.descriptions = MODEL_BANDS
    return paths


def seconds_of(paths: list[Path], folder: Path, *options: str) -> float:
    """Compress files into a new folder in a process of its own; return its seconds."""
    command = [sys.executable, "-c", "from eocodec.cli import main; main()", "compress"]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        subprocess.run(
            [*command, *map(str, paths), "--output-dir", out, *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


def rounds(
    paths: list[Path], folder: Path, workers: list[int], repeats: int
) -> Iterator[tuple[int, float, float]]:
    """Yield number of workers, seconds, and the load of the machine before, of every run."""
    for _ in range(repeats):
        for count in workers:
            load = os.getloadavg()[0]
            yield count, seconds_of(paths, folder, "--workers", str(count)), load


@click.command()
@click.argument("scenes", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="train", show_default=True, help="Scenes to cut the files from.")
@click.option("--files", type=click.IntRange(1), default=64, show_default=True)
@click.option("--size", type=click.IntRange(16), default=512, show_default=True, help="Rows.")
@click.option("--workers", type=click.IntRange(1), multiple=True, default=(1, 2), show_default=True)
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
def main(
    scenes: Path, split: str, files: int, size: int, workers: tuple[int, ...], repeats: int
) -> None:
    """Measure batches of crops of SCENES."""
    best: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_crops(scenes, split, folder, files, size)
        for count, seconds, load in rounds(paths, folder, sorted(set(workers)), repeats):
            click.echo(f"{count} workers: {seconds:.1f} s (load before: {load:.1f})", err=True)
            best[count] = min(best.get(count, (seconds, load)), (seconds, load))
    (slowest, _), *_ = best.values()
    raw = files * len(MODEL_BANDS) * size**2 * 2 / 1e6
    table = Table(
        f"{files} files of {size} x {size} x {len(MODEL_BANDS)}, best of {repeats}",
        ["workers", "seconds", "MB/s of raw samples", "times as fast", "load before"],
        [
            [str(count), f"{s:.1f}", f"{raw / s:.1f}", f"{slowest / s:.2f}", f"{load:.1f}"]
            for count, (s, load) in best.items()
        ],
        "Including the start of the workers.",
    )
    click.echo(table.markdown())


if __name__ == "__main__":
    main()
