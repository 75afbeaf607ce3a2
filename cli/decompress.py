"""`eocodec decompress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from eocodec.cli.output import STDOUT, readable, refuse_existing, refuse_url
from eocodec.cli.progress import progress_bar

if TYPE_CHECKING:
    from eocodec.formats.eoc_raster import EocRaster

_OF_FIELDS = (".nc", ".nc4", ".cdf", ".netcdf", ".zarr")


@click.command("decompress")
@click.argument("source", metavar="FILE.eoc")
@click.argument("target", required=False, metavar="[OUTPUT]")
@click.option(
    "-o",
    "--output",
    help="GeoTIFF, netCDF (.nc) or Zarr (.zarr) to write; by default FILE.tif, or FILE.nc where the "
    "original was netCDF or GRIB.",
)
@click.option(
    "--layers", type=click.IntRange(min=1), help="Layers to decode, of those the file has."
)
@click.option(
    "--native", is_flag=True, help="Write 10 m and 20 m bands to two files, NAME.10m/.20m.tif."
)
@click.option("--threads", type=click.IntRange(min=1), help="Decoding threads.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def command(
    source: str,
    target: str | None,
    output: str | None,
    layers: int | None,
    native: bool,
    threads: int | None,
    overwrite: bool,
) -> None:
    """Decompress an .eoc file (or - for standard input, or a URL) into a GeoTIFF, netCDF or Zarr.

    A file with rasters on several grids gives one GeoTIFF each, named NAME.LABEL.tif. netCDF is of
    the original's version (netCDF-4 of GRIB), with all its variables and attributes.
    """
    import eocodec
    from eocodec.formats.dataset_room import source_format
    from eocodec.formats.geotiff import rasters_of

    if target is not None and output is not None:
        raise click.UsageError(f"two outputs are named: {target} and -o {output}")
    output = target or output
    _check_names(source, output)
    file = readable(source)
    data = file if isinstance(file, str) else file.read()
    with eocodec.open(data) as reader:
        told = source_format(reader.arrays[0])
        path = _output(source, output, ".nc" if told else ".tif")
        if path.suffix.lower() in _OF_FIELDS:
            if native:
                raise click.UsageError("--native is for rasters")
            refuse_existing(path, overwrite)
            _write_fields(data, path, told, layers, overwrite)
            return
        rasters = rasters_of(reader, layers=layers, threads=threads, name=source)
        native_rasters = [
            raster for raster in rasters if any(band.native_factor == 2 for band in raster.bands)
        ]
        if native and not native_rasters and len(rasters) == 1:
            raise click.UsageError(f"{source} holds no bands that came from a 20 m file")
        plan = [(raster, _outputs(raster, path, native)) for raster in rasters]
        for _, outputs in plan:
            for one in outputs:
                refuse_existing(one, overwrite)
        for raster, outputs in plan:
            _write(raster, outputs, threads, overwrite)


def _write(
    raster: EocRaster, outputs: tuple[Path, ...], threads: int | None, overwrite: bool
) -> None:
    from eocodec.formats.geotiff import write_geotiff, write_native

    bands, height, width = raster.shape
    total = sum(
        height * width // (band.native_factor**2 if len(outputs) == 2 else 1)
        for band in raster.bands
    )
    with progress_bar(total, "decompress", "sample") as progress:
        if len(outputs) == 2:
            write_native(raster, *outputs, threads=threads, overwrite=overwrite, progress=progress)
        else:
            write_geotiff(raster, *outputs, threads=threads, overwrite=overwrite, progress=progress)
    shown = " and ".join(map(str, outputs))
    click.echo(f"{shown}: {bands} bands of {height} x {width} {raster.dtype}")


def _write_fields(
    data: str | bytes, path: Path, told: str | None, layers: int | None, overwrite: bool
) -> None:
    from eocodec.formats.fields import open_decoded, write_fields

    with open_decoded(data, layers=layers) as ds:
        total = sum(variable.size for variable in ds.variables.values())
        with progress_bar(total, "decompress", "sample") as progress:
            write_fields(ds, path, format=told, overwrite=overwrite, progress=progress)
        shown = ", ".join(f"{n} {dim}" for dim, n in ds.sizes.items())
        click.echo(f"{path}: {len(ds.variables)} variables; {shown}")


def _check_names(source: str, output: str | None) -> None:
    if output == STDOUT:
        raise click.UsageError("a raster cannot be written to standard output; name a file")
    if output is not None:
        refuse_url(output)
    if output is None and source == STDOUT:
        raise click.UsageError("name the file to write with -o when reading standard input")


def _output(source: str, output: str | None, suffix: str) -> Path:
    if output is not None:
        return Path(output)
    if "://" in source:
        return Path(source.rstrip("/").rsplit("/", 1)[-1]).with_suffix(suffix)
    return Path(source).with_suffix(suffix)


def _outputs(raster: EocRaster, path: Path, native: bool) -> tuple[Path, ...]:
    stem, suffix = path.stem, path.suffix or ".tif"
    if native and any(band.native_factor == 2 for band in raster.bands):
        return path.with_name(f"{stem}.10m{suffix}"), path.with_name(f"{stem}.20m{suffix}")
    if raster.label:
        label = "".join(c if c.isalnum() or c in "-_" else "_" for c in raster.label)
        return (path.with_name(f"{stem}.{label}{suffix}"),)
    return (path,)
