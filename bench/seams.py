"""Seams: whether tiles, which decode on their own, are worse at their edges.

python -m bench.seams ../shared/data/s2 --split test
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from bench.peers.base import Stack
from bench.peers.eocodec_cli import decode_file, encode_file
from bench.scenes import read_scenes
from bench.tables import Table
from eocodec.codec_models import find_card

TILE_SIZE = 512
EDGE = 8
"""Pixels along the four sides of a tile that count as its edge."""


def edge_mask(height: int, width: int, tile_size: int) -> npt.NDArray[np.bool_]:
    """Return True on the outer 8 pixels of every tile of a grid that starts top left."""
    rows, columns = (_near_end(size, tile_size) for size in (height, width))
    edge: npt.NDArray[np.bool_] = rows[:, None] | columns[None]
    return edge


def _near_end(size: int, tile_size: int) -> npt.NDArray[np.bool_]:
    at = np.arange(size)
    start = at % tile_size
    end = np.minimum(at - start + tile_size, size) - 1 - at
    near: npt.NDArray[np.bool_] = (start < EDGE) | (end < EDGE)
    return near


def seam_ratios(stack: Stack, tile_size: int = TILE_SIZE) -> list[tuple[float, float]]:
    """RMSE at the tiles' edges and in their interior, in DN, at every number of layers.

    The stack is written as a GeoTIFF, compressed once with all layers by `eocodec compress`, and its first
    layers are decoded by `eocodec decompress --layers`.
    """
    layers = find_card().layers
    data = encode_file(stack, "--quality", str(layers), "--tile-size", str(tile_size))
    edge = edge_mask(stack.shape[1], stack.shape[2], tile_size)
    ratios = []
    for count in range(1, layers + 1):
        error = decode_file(data, "--layers", str(count)).astype(np.float64) - stack
        power = np.square(error).mean(axis=0)
        ratios.append((float(np.sqrt(power[edge].mean())), float(np.sqrt(power[~edge].mean()))))
    return ratios


def seam_table(scenes: dict[str, list[tuple[float, float]]], tile_size: int = TILE_SIZE) -> Table:
    """Ratio of edge to interior, by layers and scene, and its mean over the scenes."""
    rows = []
    for layer, pairs in enumerate(zip(*scenes.values(), strict=True), 1):
        ratios = [edge / interior for edge, interior in pairs]
        rows.append(
            [
                str(layer),
                f"{np.mean([interior for _, interior in pairs]):.1f}",
                f"{np.mean(ratios):.3f}",
                *[f"{ratio:.2f}" for ratio in ratios],
            ]
        )
    return Table(
        f"RMSE in the outer {EDGE} pixels of tiles relative to their interior",
        ["layers", "interior RMSE, DN", "mean ratio", *scenes],
        rows,
        f"Tiles of {tile_size} x {tile_size} pixels, or the scene where it is smaller.",
    )


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Scenes to use.")
@click.option("--tile-size", type=click.IntRange(32), default=TILE_SIZE, show_default=True)
@click.option("--quick", is_flag=True, help="A crop of two scenes.")
def main(data: Path, split: str, tile_size: int, *, quick: bool) -> None:
    """Measure seams on the scenes of DATA."""
    scenes = read_scenes(data, split, quick=quick)
    ratios = {name: seam_ratios(stack, tile_size) for name, stack in scenes.items()}
    click.echo(seam_table(ratios, tile_size).markdown())


if __name__ == "__main__":
    main()
