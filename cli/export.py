"""`eocodec export`."""

from __future__ import annotations

from pathlib import Path

import click

from eocodec.cli.command import AT_LEAST_ONE, Command
from eocodec.cli.inputs import check_layers
from eocodec.cli.output import (
    RASTER_ENDINGS,
    check_output,
    human_size,
    is_folder,
    refuse_existing,
    refuse_url,
)
from eocodec.cli.progress import progress_bar


@click.command(
    "export",
    cls=Command,
    examples=(
        ("export tile.eoc cog.tif", "all of it"),
        ("export tile.eoc preview.tif --layers 2", "a coarser image"),
        ("export pair.eoc cog.tif --array 20m", "one of its rasters"),
    ),
)
@click.argument("source", metavar="FILE.eoc")
@click.argument("target", metavar="OUTPUT.tif")
@click.option(
    "--layers",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Layers to decode, of those that `eocodec info` lists; by default all.",
)
@click.option(
    "--array",
    "label",
    metavar="NAME",
    help="Which raster, in a file with several; the first by default.",
)
@click.option(
    "--compression",
    type=click.Choice(["deflate", "zstd", "lzw", "none"]),
    default="deflate",
    help="How the COG is compressed; nothing is lost.",
)
@click.option(
    "--resampling",
    type=click.Choice(["average", "nearest", "bilinear", "cubic", "mode"]),
    default="average",
    help="How the overviews are made.",
)
@click.option(
    "--threads",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Threads that decode and compress; by default one a core.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(
    source: str,
    target: str,
    layers: int | None,
    label: str | None,
    compression: str,
    resampling: str,
    threads: int | None,
    overwrite: bool,
) -> None:
    """Decode an .eoc file into a cloud-optimised GeoTIFF (COG) with overviews."""
    import eocodec
    from eocodec.formats.geotiff import rasters_of, write_cog

    refuse_url(target)
    if is_folder(target):
        target = str(
            Path(target, Path(source.rstrip("/").rsplit("/", 1)[-1]).with_suffix(".tif").name)
        )
    check_output(target, RASTER_ENDINGS, "GeoTIFFs")
    refuse_existing(Path(target), overwrite, "OUTPUT.tif")
    with eocodec.open(source) as reader:
        check_layers(reader, layers, source)
        rasters = rasters_of(reader, layers=layers, threads=threads, name=source)
        labels = [raster.label for raster in rasters]
        if label is not None and label not in labels:
            raise click.UsageError(f"{source} has no raster {label!r}; there are {labels}")
        raster = rasters[labels.index(label) if label is not None else 0]
        bands, height, width = raster.shape
        with progress_bar(bands * height * width, "export", "sample") as progress:
            write_cog(
                raster,
                target,
                compression=compression,
                resampling=resampling,
                threads=threads,
                overwrite=overwrite,
                progress=progress,
            )
    click.echo(f"{target}: COG, {human_size(Path(target).stat().st_size)}")
