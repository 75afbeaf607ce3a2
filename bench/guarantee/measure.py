"""Bytes and seconds of every codec on every raster at one bound."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from tqdm import tqdm

from bench.guarantee.codecs import OURS, QUANTISED, BoundedCodec, codecs_at
from bench.peers.base import Stack
from bench.scenes import CALM_SCENE, middle_crop
from bench.timing import clock, limited_threads

BOUNDS = (0, 2, 5, 10)
"""Largest errors in DN of the comparison; 0 is lossless."""
ROUNDS = 3

_QUICK_RASTERS, _QUICK_SIDE = 2, 96
_LEAST_PIXELS = 200**2


@dataclass(frozen=True)
class Measured:
    """What one codec made of one raster.

    Attributes
    ----------
    pixels : int
        Rows times columns.
    raw, coded : int
        Bytes of the samples and of the file.
    bpppb : float
        Bits per pixel and band.
    encoding, decoding : float
        Median seconds over the rounds.
    """

    pixels: int
    raw: int
    coded: int
    bpppb: float
    encoding: float
    decoding: float


@dataclass
class AtBound:
    """All codecs at one bound in DN (0: lossless), by codec, then by raster."""

    bound: int
    found: dict[str, dict[str, Measured]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def mean(self, codec: str, rasters: Sequence[str]) -> float:
        """Return the mean bits per pixel and band of a codec over rasters."""
        return float(np.mean([self.found[codec][raster].bpppb for raster in rasters]))

    def speed(self, codec: str, rasters: Sequence[str]) -> tuple[float, float]:
        """Return the MB of samples a second in which a codec encodes and decodes rasters one by one."""
        own = [self.found[codec][raster] for raster in rasters]
        raw = sum(m.raw for m in own) / 1e6
        return raw / sum(m.encoding for m in own), raw / sum(m.decoding for m in own)

    def best_other(self, rasters: Sequence[str]) -> str | None:
        """Return the codec of others with the fewest bits in the mean; None where there is none."""
        others = [codec for codec in self.found if codec not in (OURS, QUANTISED)]
        return min(others, key=lambda codec: self.mean(codec, rasters), default=None)

    def difference(self, codec: str, rasters: Sequence[str]) -> float:
        """Return by how many percent our mean over rasters exceeds that of a codec."""
        return 100 * (self.mean(OURS, rasters) / self.mean(codec, rasters) - 1)


def read_rasters(folder: Path, split_name: str, *, quick: bool = False) -> dict[str, Stack]:
    """Read the GeoTIFFs of a split, each on its own grid; if `quick`, crops of two."""
    index = json.loads((folder / "index.json").read_text())
    rasters: dict[str, Stack] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for scene in index["scenes"]:
            names = [str(name) for name in scene["files"] if str(name).endswith(".tif")]
            for name in names if scene["split"] == split_name else ():
                with rasterio.open(folder / name) as source:
                    rasters[name.removesuffix(".tif")] = source.read()
    if not quick:
        return rasters
    first = list(rasters.items())[:_QUICK_RASTERS]
    return {name: middle_crop(stack, _QUICK_SIDE) for name, stack in first}


def native(rasters: Sequence[str]) -> list[str]:
    """Return the rasters on grids that nobody resampled."""
    return [name for name in rasters if name.endswith((".10m", ".20m"))]


def calm(rasters: Sequence[str]) -> list[str]:
    """Return the rasters of the scene that is mostly calm water."""
    return [name for name in rasters if name.startswith(CALM_SCENE)]


def timed(found: AtBound, rasters: Sequence[str]) -> list[str]:
    """Return the rasters whose speed is told: large ones that are not calm; all where there are none."""
    sizes = next(iter(found.found.values()))
    large = [name for name in rasters if sizes[name].pixels >= _LEAST_PIXELS]
    return [name for name in large if name not in calm(rasters)] or list(rasters)


def measure(
    rasters: dict[str, Stack],
    bound: int,
    *,
    rounds: int = 1,
    only: str | None = None,
    progress: Callable[[int], Any] = lambda samples: None,
) -> AtBound:
    """Encode and decode every raster with every codec of a bound, on one core.

    Codecs take turns in every round. Every sample is checked against the bound.

    Parameters
    ----------
    rasters : dict
        Stacks (C, H, W) of uint16 by name.
    bound : int
        Largest error in DN; 0 is lossless.
    rounds : int
        How many times each codec runs.
    only : str, optional
        Name of the only codec to run.
    progress : callable
        Called with the number of samples of each raster when it is done.
    """
    codecs = [codec for codec in codecs_at(bound) if only in (None, codec.name)]
    result = AtBound(bound, {codec.name: {} for codec in codecs})
    with limited_threads(1):
        for name, stack in rasters.items():
            runs = [[_run(codec, stack, bound) for codec in codecs] for _ in range(rounds)]
            for codec, own in zip(codecs, zip(*runs, strict=True), strict=True):
                result.found[codec.name][name] = Measured(
                    pixels=stack[0].size,
                    raw=stack.nbytes,
                    coded=own[0].coded,
                    bpppb=8 * own[0].coded / stack.size,
                    encoding=float(np.median([run.encoding for run in own])),
                    decoding=float(np.median([run.decoding for run in own])),
                )
                error = max(run.error for run in own)
                if error > bound:
                    text = f"{codec.name} on {name}: error {error:g} at a bound of {bound}"
                    result.broken.append(text)
            progress(stack.size)
    return result


def measure_bounds(
    rasters: dict[str, Stack],
    bounds: Sequence[int] = BOUNDS,
    *,
    rounds: int = ROUNDS,
    only: str | None = None,
) -> list[AtBound]:
    """Measure all codecs, or one, at every bound; tells broken promises."""
    found = []
    total = len(bounds) * sum(stack.size for stack in rasters.values())
    with tqdm(total=total, desc="bounds", unit="sample", unit_scale=True, disable=None) as bar:
        for bound in bounds:
            found.append(measure(rasters, bound, rounds=rounds, only=only, progress=bar.update))
            for line in found[-1].broken:
                click.echo(f"BROKEN {line}")
    return found


@dataclass(frozen=True)
class _Run:
    coded: int
    error: float
    encoding: float
    decoding: float


def _run(codec: BoundedCodec, stack: Stack, bound: int) -> _Run:
    now = clock(1)
    start = now()
    data = codec.encode(stack, bound)
    middle = now()
    decoded = codec.decode(data, stack.shape)
    end = now()
    error = float(np.abs(decoded - stack.astype(np.float64)).max())
    return _Run(len(data), error, middle - start, end - middle)
