"""Sizes and speeds of lossless and near-lossless files next to the codecs that bound errors, on native grids.

python -m bench.guarantee ../shared/data/s2 --split test --readme README.md

Rasters are the files of the scenes as they are: the four 10 m bands and the six 20 m bands apart, and stacks
that somebody resampled to one grid. Every codec decodes, and every sample is checked against the bound, which
is the same for all.
"""

from __future__ import annotations

from pathlib import Path

import click

from bench.guarantee.measure import BOUNDS, ROUNDS, measure_bounds, read_rasters
from bench.guarantee.tables import all_tables
from bench.report import BOUNDS_MARK, update_readme


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", "split_name", default="test", show_default=True, help="Scenes to use.")
@click.option("--bound", "bounds", type=click.IntRange(0, 32767), multiple=True, help="In DN.")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True)
@click.option("--only", help="Measure this codec only.")
@click.option("--quick", is_flag=True, help="Small crops of two rasters.")
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables between their marks in this Markdown file.",
)
def main(
    data: Path,
    split_name: str,
    bounds: tuple[int, ...],
    rounds: int,
    only: str | None,
    *,
    quick: bool,
    readme: Path | None,
) -> None:
    """Print bits per pixel and band and speeds of all codecs on the native rasters of DATA."""
    rasters = read_rasters(data, split_name, quick=quick)
    found = measure_bounds(rasters, bounds or BOUNDS, rounds=rounds, only=only)
    if only is not None:
        for entry in found:
            for codec in entry.found:
                mean = entry.mean(codec, list(rasters))
                encoding, decoding = entry.speed(codec, list(rasters))
                click.echo(
                    f"E = {entry.bound}, {codec}: {mean:.3f} ({encoding:.1f} / {decoding:.1f} MB/s)"
                )
        return
    tables = all_tables(list(rasters), found)
    for table in tables:
        click.echo(table.markdown() + "\n")
    if readme is not None:
        update_readme(readme, tables, BOUNDS_MARK)


if __name__ == "__main__":
    main()
