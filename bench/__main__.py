"""Rate-distortion of every codec on the scenes of a split: tables, CSV, plots and a report.

python -m bench ../shared/data/s2 --split test --out bench-out
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from tqdm import tqdm

from bench.curves import compute_curves
from bench.peers import DECISIVE, OURS, all_peers
from bench.plots import plot_qualities, plot_scenes
from bench.scenes import read_scenes
from bench.tables import error_table, rate_differences, scene_table, summary_table, write_csv


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Scenes to use.")
@click.option("--out", type=click.Path(path_type=Path), default="bench-out", show_default=True)
@click.option("--quick", is_flag=True, help="A crop of two scenes and the codecs that matter most.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; the cores by default.")
@click.option("--codec", "codecs", multiple=True, help="Name of a codec to compare; repeatable.")
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of trained peers.",
)
def main(
    data: Path,
    split: str,
    out: Path,
    *,
    quick: bool,
    workers: int | None,
    codecs: tuple[str, ...],
    checkpoints: Path | None,
) -> None:
    """Compare all codecs on the scenes of DATA."""
    chosen = (OURS, *codecs) if codecs else DECISIVE if quick else None
    peers = [peer for peer in all_peers(checkpoints) if chosen is None or peer.name in chosen]
    scenes = read_scenes(data, split, quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    total = sum(stack.size for stack in scenes.values()) * len(peers)
    with tqdm(total=total, desc="curves", unit="sample", unit_scale=True, disable=None) as bar:
        curves = compute_curves(
            scenes,
            peers,
            workers=workers or len(os.sched_getaffinity(0)),
            folder=out / "curves",
            checkpoints=checkpoints,
            progress=bar.update,
        )
    differences = rate_differences(curves, OURS)
    tables = [
        summary_table(differences, OURS),
        scene_table(differences, OURS),
        error_table(curves, OURS),
    ]
    for table in tables:
        click.echo(table.markdown() + "\n")
    write_csv(curves, out / f"rate-distortion-{split}.csv")
    plot_scenes(curves, OURS, out / f"rate-distortion-{split}.png")
    plot_qualities(curves, next(iter(curves)), OURS, out / f"qualities-{split}.png")


if __name__ == "__main__":
    main()
