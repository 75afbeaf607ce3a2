"""`eocodec features`."""

from __future__ import annotations

from pathlib import Path

import click

from eocodec.cli.output import STDOUT, readable, refuse_existing
from eocodec.cli.progress import progress_bar

DEFAULT = "ssl-s2"


@click.command("features")
@click.argument("source", metavar="FILE.eoc", required=False)
@click.option(
    "-o", "--output", help="FILE.parquet, FILE.npy or FILE.zarr; by default FILE.features.parquet."
)
@click.option("--transform", default=DEFAULT, show_default=True, help="Which features; see --list.")
@click.option(
    "--patch",
    type=click.IntRange(min=1),
    help="Side of a patch in pixels; by default the transform's.",
)
@click.option(
    "--stride", type=click.IntRange(min=1), help="Pixels between patches; by default their side."
)
@click.option("--layers", type=click.IntRange(min=1), help="Layers to use, of those the file has.")
@click.option("--bands", help="Bands of the file in its order, as B02,B03,…, where it names none.")
@click.option(
    "--array", "label", help="Which raster, in a file with several; the first by default."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--list", "list_all", is_flag=True, help="List the installed transforms.")
def command(
    source: str | None,
    output: str | None,
    transform: str,
    patch: int | None,
    stride: int | None,
    layers: int | None,
    bands: str | None,
    label: str | None,
    threads: int | None,
    overwrite: bool,
    list_all: bool,
) -> None:
    """Compute features of patches of an .eoc file (or - for standard input, or a URL).

    Patches lie on a regular grid from the upper left corner; those at the far edges may reach beyond the raster.
    Each has the share of its pixels that are valid, and NaN where none is.
    """
    if list_all:
        _list()
        return
    if source is None:
        raise click.UsageError("name the .eoc file to compute features of, or pass --list")
    import eocodec
    from eocodec.formats.features import plan_features
    from eocodec.formats.features_out import write_features

    path = _output(source, output)
    refuse_existing(path, overwrite)
    with eocodec.open(readable(source)) as reader:
        array = reader if label is None else reader.array(label)
        plan = plan_features(
            array,
            transform,
            patch=patch,
            stride=stride,
            layers=layers,
            bands=None if bands is None else bands.split(","),
            threads=threads,
        )
        rows, columns = plan.grid.shape
        with progress_bar(rows * columns, "features", "patch") as progress:
            empty = write_features(plan, path, overwrite=overwrite, progress=progress)
    click.echo(
        f"{path}: {len(plan.names)} features ({transform}) of {rows} x {columns} patches of {plan.grid.patch} pixels"
    )
    if empty:
        click.echo(f"{empty} patches have nothing to compute features of; theirs are NaN")


def _output(source: str, output: str | None) -> Path:
    if output == STDOUT:
        raise click.UsageError("features cannot be written to standard output; name a file")
    if output is not None:
        return Path(output)
    if source == STDOUT:
        raise click.UsageError("name the file to write with -o when reading standard input")
    name = source.rstrip("/").rsplit("/", 1)[-1] if "://" in source else source
    return Path(name).with_suffix(".features.parquet")


def _list() -> None:
    from eocodec.errors import EocodecError
    from eocodec.transforms import PixelTransform, find_transform, transform_names

    for name in transform_names():
        try:
            transform = find_transform(name)
        except EocodecError as error:
            click.echo(f"{name}: {error}")
            continue
        bands = transform.bands if isinstance(transform, PixelTransform) else ()
        click.echo(f"{name}: {transform.description}")
        click.echo(f"  bands    {', '.join(bands) or 'any'}")
        click.echo(f"  patches  {transform.patch} x {transform.patch} pixels by default")
