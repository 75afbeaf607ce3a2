"""`eocodec decompress`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from eocodec.cli.command import AT_LEAST_ONE, Command
from eocodec.cli.inputs import check_layers
from eocodec.cli.output import (
    RASTER_ENDINGS,
    STDOUT,
    check_output,
    is_folder,
    readable,
    refuse_existing,
    refuse_url,
)
from eocodec.cli.progress import progress_bar
from eocodec.extras import needs

if TYPE_CHECKING:
    from eocodec.formats.eoc_raster import EocRaster

_INSTEAD = "-o FILE"
_OF_FIELDS = (".nc", ".nc4", ".cdf", ".netcdf", ".zarr")


@click.command(
    "decompress",
    cls=Command,
    sections={
        "Input and output": ("output", "overwrite"),
        "What to decode": ("layers", "native", "threads"),
    },
    examples=(
        ("decompress tile.eoc", "writes tile.tif"),
        ("decompress tile.eoc -o preview.tif --layers 2", "a coarser image"),
        ("decompress scene.eoc --native", "two GeoTIFFs"),
        ("decompress cams.eoc -o cams.zarr", "Zarr instead of netCDF"),
    ),
)
@click.argument("source", metavar="FILE.eoc")
@click.argument("target", required=False, metavar="[OUTPUT]")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="File to write: GeoTIFF (.tif, rasters only), netCDF (.nc) or Zarr (.zarr); or a folder to write "
    "into. By default FILE.tif, or FILE.nc where the original was netCDF or GRIB.",
)
@click.option(
    "--layers",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Layers to decode, of those that `eocodec info` lists; by default all.",
)
@click.option(
    "--native", is_flag=True, help="Write 10 m and 20 m bands to two files, NAME.10m/.20m.tif."
)
@click.option(
    "--threads", type=AT_LEAST_ONE, metavar="N", help="Decoding threads; by default one a core."
)
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
        what = "fields of netCDF and GRIB" if told else "rasters"
        endings = (".nc", ".zarr") if told else (*RASTER_ENDINGS, ".nc", ".zarr")
        check_output(str(path), endings, what, _OF_FIELDS)
        check_layers(reader, layers, source)
        if told or path.suffix.lower() in _OF_FIELDS:
            if native:
                raise click.UsageError("--native is for rasters")
            refuse_existing(path, overwrite, _INSTEAD)
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
                refuse_existing(one, overwrite, _INSTEAD)
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
    with needs("fields", "writing netCDF or Zarr"):
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
    if output is not None and not is_folder(output):
        return Path(output.removeprefix("file://"))
    name = Path(source.rstrip("/").rsplit("/", 1)[-1] if "://" in source else source)
    if not name.name or source == STDOUT:
        raise click.UsageError(f"{source} tells no name for the output; name it with {_INSTEAD}")
    beside = name.with_suffix(suffix)
    return beside if output is None else Path(output, beside.name)


def _outputs(raster: EocRaster, path: Path, native: bool) -> tuple[Path, ...]:
    stem, suffix = path.stem, path.suffix or ".tif"
    if native and any(band.native_factor == 2 for band in raster.bands):
        return path.with_name(f"{stem}.10m{suffix}"), path.with_name(f"{stem}.20m{suffix}")
    if raster.label:
        label = "".join(c if c.isalnum() or c in "-_" else "_" for c in raster.label)
        return (path.with_name(f"{stem}.{label}{suffix}"),)
    return (path,)
