"""`eocodec features`."""

from __future__ import annotations

from pathlib import Path

import click

from eocodec.cli.command import AT_LEAST_ONE, Command
from eocodec.cli.inputs import check_layers
from eocodec.cli.output import STDOUT, check_output, readable, refuse_existing, refuse_url
from eocodec.cli.progress import progress_bar

DEFAULT = "ssl-s2"
ENDINGS = (".parquet", ".npy", ".zarr")


@click.command(
    "features",
    cls=Command,
    sections={
        "Input and output": ("output", "label", "bands", "overwrite"),
        "Features": ("transform", "patch", "stride", "layers", "list_all"),
    },
    examples=(
        ("features tile.eoc -o tile.parquet", "a row a patch"),
        ("features tile.eoc -o t.zarr --transform indices --patch 16", "a grid for xarray"),
        ("features --list", "which transforms there are"),
    ),
)
@click.argument("source", metavar="FILE.eoc", required=False)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="FILE.parquet, FILE.npy or FILE.zarr; by default FILE.features.parquet.",
)
@click.option("--transform", default=DEFAULT, metavar="NAME", help="Which features; see --list.")
@click.option(
    "--patch",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Rows and columns of a patch, in pixels; by default the transform's.",
)
@click.option(
    "--stride",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Pixels from one patch to the next; by default the transform's, or a patch's side.",
)
@click.option(
    "--layers",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Layers to use, of those that `eocodec info` lists; by default all.",
)
@click.option(
    "--bands",
    metavar="B02,B03,...",
    help="Names of the bands in the file, in order, where it has none.",
)
@click.option(
    "--array",
    "label",
    metavar="NAME",
    help="Which raster, in a file with several; the first by default.",
)
@click.option("--threads", type=AT_LEAST_ONE, metavar="N", help="Threads; by default one a core.")
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
    check_output(str(path), ENDINGS, "features")
    refuse_existing(path, overwrite, "-o FILE")
    with eocodec.open(readable(source)) as reader:
        check_layers(reader, layers, source)
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
        refuse_url(output)
        return Path(output.removeprefix("file://"))
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
