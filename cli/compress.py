"""`eocodec compress`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from eocodec.cli.output import STDOUT, binary_stdout, human_size, refuse_existing
from eocodec.cli.progress import progress_bar

_POSITIVE = click.FloatRange(min=0, min_open=True)
_QUALITIES = ("--quality", "--target-rmse", "--target-bpppb", "--ratio", "--lossless")


@click.command("compress")
@click.argument("paths", nargs=-1, required=True, metavar="RASTER [RASTER_20M] [OUTPUT]")
@click.option("-o", "--output", help="File to write, or - for standard output.")
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(min=1),
    help="Layers to write, from 1 up to what the model has: more is better and larger.",
)
@click.option(
    "--target-rmse", type=_POSITIVE, help="Largest root-mean-square error over all bands, in DN."
)
@click.option("--target-bpppb", type=_POSITIVE, help="Largest size, in bits per pixel and band.")
@click.option("--ratio", type=_POSITIVE, help="Least ratio of raw samples to compressed bytes.")
@click.option("--lossless", is_flag=True, help="Keep every sample exactly; needs no model.")
@click.option(
    "--bands",
    metavar="B02,B03,...",
    help="Names of the bands in the file, in order, where its descriptions do not tell.",
)
@click.option("--model", help="Model name or id; see `eocodec models`.")
@click.option(
    "--tile-size",
    type=click.IntRange(16, 8192),
    default=512,
    show_default=True,
    help="Rows and columns of a tile.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Encoding threads.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(paths: tuple[str, ...], output: str | None, overwrite: bool, **given: Any) -> None:
    """Compress a GeoTIFF, or any raster that GDAL reads, into an .eoc file.

    RASTER is read window by window. With RASTER_20M, of half its rows and columns, the native
    10 m and 20 m bands of Sentinel-2 go into one file. OUTPUT ends in .eoc, or is - for
    standard output; by default it is RASTER with the ending .eoc.
    """
    from eocodec.formats.geotiff import compress_geotiff, total_samples

    sources, destination = _sources_and_output(paths, output)
    options = _options(overwrite, given)
    if destination == STDOUT:
        target: Any = binary_stdout()
    else:
        target = destination
        refuse_existing(Path(destination), overwrite)
    total = total_samples(sources, lossless=given["lossless"])
    with progress_bar(total, "compress", "sample") as progress:
        report = compress_geotiff(sources, target, options, progress)
    size = target.size if destination == STDOUT else os.stat(destination).st_size
    source_size = sum(os.stat(path).st_size for path in sources if os.path.exists(path))
    bits = 8 * size / report.pixels
    text = (
        f"{' + '.join(sources)} {human_size(source_size)} -> {destination} {human_size(size)}: "
        f"ratio {report.raw_bytes / size:.2f} to raw samples ({human_size(report.raw_bytes)}), "
        f"{bits:.4g} bpp, {8 * size / report.samples:.4g} bpppb"
    )
    if report.estimate is not None and given["target_rmse"]:
        text += f", RMSE about {report.estimate.rmse:.4g} DN"
    click.echo(text, err=destination == STDOUT)


def _sources_and_output(paths: tuple[str, ...], output: str | None) -> tuple[list[str], str]:
    sources = list(paths)
    if len(sources) > 1 and (sources[-1] == STDOUT or sources[-1].lower().endswith(".eoc")):
        positional = sources.pop()
        if output is not None:
            raise click.UsageError(f"two outputs are named: {positional} and -o {output}")
        output = positional
    if len(sources) > 2:
        raise click.UsageError(
            f"{len(sources)} rasters are named; pass one, or a 10 m and a 20 m file "
            "(an output ends in .eoc)"
        )
    if sources[0] == STDOUT:
        raise click.UsageError("a GeoTIFF cannot be read from standard input; name a file")
    return sources, output or _default_output(sources)


def _default_output(sources: list[str]) -> str:
    name = Path(sources[0])
    stem = re.sub(r"[._-]10m$", "", name.stem) if len(sources) == 2 else name.stem
    return str(name.with_name(f"{stem or name.stem}.eoc"))


def _options(overwrite: bool, given: dict[str, Any]) -> Any:
    from eocodec.formats.geotiff import CompressOptions
    from eocodec.formats.quality import Target
    from eocodec.tile import EncodeSettings

    chosen = [name for name in _QUALITIES if given[name[2:].replace("-", "_")]]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other; pass one of them")
    target = None
    if given["target_rmse"]:
        target = Target(rmse=given["target_rmse"])
    elif given["target_bpppb"]:
        target = Target(bits_per_sample=given["target_bpppb"])
    bands = given["bands"]
    return CompressOptions(
        settings=EncodeSettings(
            lossless=given["lossless"], model=given["model"], layers=given["quality"]
        ),
        target=target,
        ratio=given["ratio"],
        bands=[name.strip() for name in bands.split(",")] if bands else None,
        tile_size=given["tile_size"],
        threads=given["threads"],
        overwrite=overwrite,
    )
