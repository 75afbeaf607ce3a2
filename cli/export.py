"""`eocodec export`."""

from __future__ import annotations

from pathlib import Path

import click

from eocodec.cli.output import human_size, refuse_existing, refuse_url
from eocodec.cli.progress import progress_bar


@click.command("export")
@click.argument("source", metavar="FILE.eoc")
@click.argument("target", metavar="OUTPUT.tif")
@click.option("--layers", type=click.IntRange(min=1), help="Layers to decode.")
@click.option(
    "--array", "label", help="Which raster, in a file with several; the first by default."
)
@click.option(
    "--compression",
    type=click.Choice(["deflate", "zstd", "lzw", "none"]),
    default="deflate",
    show_default=True,
)
@click.option(
    "--resampling",
    type=click.Choice(["average", "nearest", "bilinear", "cubic", "mode"]),
    default="average",
    show_default=True,
    help="How the overviews are made.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads.")
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
    refuse_existing(Path(target), overwrite)
    with eocodec.open(source) as reader:
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
