"""`eocodec compress`."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import click

from eocodec.cli.batch import IN_BATCH, batch_options, compress_batch
from eocodec.cli.command import AT_LEAST_ONE, POSITIVE, Command, Number, Whole
from eocodec.cli.compress_report import report_json, report_text
from eocodec.cli.inputs import check_names, check_sources
from eocodec.cli.output import (
    STDOUT,
    binary_stdout,
    check_output,
    is_folder,
    is_special,
    refuse_existing,
)
from eocodec.cli.progress import progress_bar

_QUALITIES = ("--quality", "--target-rmse", "--target-bpppb", "--ratio", "--lossless")
_BOUNDS = (
    "--max-error",
    "--max-relative-error",
    "--max-error-sqrt",
    "--max-range-error",
    "--keep-real-information",
)
_WITHOUT_BOUNDS = ("--target-bpppb", "--ratio", "--lossless")


def _bounds(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> float | dict[str, float] | None:
    """Return one bound for everything, or bounds of single bands or variables by name."""
    if value is None or "=" not in value:
        return None if value is None else _bound(param, value)
    bounds: dict[str, float] = {}
    for part in value.split(","):
        name, sign, bound = (text.strip() for text in part.rpartition("="))
        if not (sign and name) or name in bounds:
            raise click.BadParameter(
                f"{part!r} is not BAND=ERROR (or VARIABLE=ERROR), or has a name again"
            )
        bounds[name] = _bound(param, bound)
    return bounds


def _bound(param: click.Parameter, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number") from None
    if not (math.isfinite(number) and number >= 0):
        what = "a share" if param.name == "keep_real_information" else "a largest error"
        raise click.BadParameter(f"{what} is a finite number of at least 0, not {text}")
    if (param.name == "max_relative_error" and number >= 1) or (
        param.name != "max_error" and number > 1
    ):
        raise click.BadParameter(f"a share lies below 1, not at {text}")
    return number


@click.command(
    "compress",
    cls=Command,
    sections={
        "Input and output": ("output", "bands", "overwrite", "as_json"),
        "Quality and size (at most one)": (
            "quality",
            "target_rmse",
            "target_bpppb",
            "ratio",
            "lossless",
        ),
        "Error bounds (all that are given hold)": (
            "max_error",
            "max_relative_error",
            "max_error_sqrt",
        ),
        "Fields (netCDF, GRIB)": ("max_range_error", "keep_real_information"),
        "Many files": IN_BATCH,
        "Coding": ("model", "tile_size", "threads"),
    },
    examples=(
        ("compress tile.tif", "writes tile.eoc"),
        ("compress tile.tif small.eoc --target-rmse 40", "RMSE of 40 DN"),
        ("compress tile.tif --max-error B02=4,B11=10", "in DN, by band"),
        ("compress 10m.tif 20m.tif scene.eoc", "one place, one file"),
        ("compress cams.nc --max-error t=0.1,q=1e-6", "in units of fields"),
        ("compress --output-dir out --workers 8 *.tif", "a file for each"),
    ),
)
@click.argument("paths", nargs=-1, required=True, metavar="RASTER [RASTER_20M] [OUTPUT]")
@batch_options
@click.option(
    "-o",
    "--output",
    metavar="FILE.eoc",
    help="File or URL to write, a folder for RASTER.eoc in it, or - for standard output; by default "
    "RASTER.eoc beside it.",
)
@click.option(
    "-q",
    "--quality",
    type=Whole(min=1, told="1 to 7"),
    metavar="N",
    help="Layers of the learned model to write: each makes the file larger and the error smaller.",
)
@click.option(
    "--target-rmse",
    type=POSITIVE,
    metavar="RMSE",
    help="Largest root-mean-square error over all bands, in the unit of the samples: DN (reflectance x "
    "10000) of Sentinel-2.",
)
@click.option(
    "--target-bpppb",
    type=POSITIVE,
    metavar="BITS",
    help="Largest size, in bits per pixel and band.",
)
@click.option(
    "--ratio",
    type=POSITIVE,
    metavar="RATIO",
    help="Least ratio of the samples' bytes, uncompressed, to those of the file.",
)
@click.option("--lossless", is_flag=True, help="Keep every sample exactly; needs no model.")
@click.option(
    "--max-error",
    metavar="ERROR",
    callback=_bounds,
    help="Largest error of any valid sample, 0 or more, in DN or the unit of a field: 10, or by band "
    "B02=4,B11=10, or by variable t=0.1,q=1e-6.",
)
@click.option(
    "--max-relative-error",
    metavar="SHARE",
    callback=_bounds,
    help="Largest error of any valid sample as a share of it, 0 to below 1: 0.01 is 1 %; of fields also "
    "by variable.",
)
@click.option(
    "--max-error-sqrt",
    type=Number(min=0),
    metavar="FACTOR",
    help="Largest error of any valid sample, divided by its square root, as sensor noise grows.",
)
@click.option(
    "--max-range-error",
    metavar="SHARE",
    callback=_bounds,
    help="Largest error as a share of a variable's maximum - minimum, 0 to 1: 1e-3, or by variable.",
)
@click.option(
    "--keep-real-information",
    metavar="SHARE",
    callback=_bounds,
    help="Share of the bitwise real information to keep, 0 to 1: 0.99, as by default, or by "
    "variable.",
)
@click.option(
    "--bands",
    metavar="B02,B03,...",
    help="Names of the bands in the file, in order, where its descriptions do not tell; other for "
    "those that are none of the model's.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Model name or id, of those that `eocodec models` lists; by default the one for the data.",
)
@click.option(
    "--tile-size",
    type=Whole(16, 8192),
    default=512,
    metavar="N",
    help="Rows and columns of a tile, in pixels.",
)
@click.option(
    "--threads", type=AT_LEAST_ONE, metavar="N", help="Encoding threads; by default one a core."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    paths: tuple[str, ...], output: str | None, overwrite: bool, as_json: bool, **given: Any
) -> None:
    """Compress a GeoTIFF, any raster that GDAL reads, netCDF or GRIB into an .eoc file.

    RASTER is read window by window. With RASTER_20M, of half its rows and columns, the native
    10 m and 20 m bands of Sentinel-2 go into one file. OUTPUT ends in .eoc, or is a folder, or - for
    standard output; by default it is RASTER with the ending .eoc.

    Without --quality, a target or a bound: Sentinel-2 reflectances (bands and values recognised)
    are coded with the learned model at quality 4, floating-point fields of netCDF and GRIB keep 99 % of
    their real information, everything else is exact.

    The error bounds hold for every valid sample, together where several are given. Alone they
    give the smallest file that keeps them; with --quality or --target-rmse the layers asked for
    come first and what the bounds need after them.

    With --output-dir, --workers or --dask any number of rasters is compressed, X.tif to X.eoc
    each, X.10m.tif and X.20m.tif to one X.eoc. What an earlier run finished is kept;
    manifest.jsonl in the folder tells sizes, checksums and errors.
    """
    from eocodec.formats.compression import compress_file, total_samples

    batch = {name: given.pop(name) for name in IN_BATCH}
    options = _options(overwrite, given)
    if any(value is not None for value in batch.values()):
        if output is not None:
            raise click.UsageError("-o names one file; name the folder of a batch by --output-dir")
        check_names([path for path in paths if path != STDOUT])
        compress_batch(paths, options, as_json=as_json, **batch)
        return
    sources, destination = _sources_and_output(paths, output)
    if destination == STDOUT:
        target: Any = binary_stdout()
    else:
        target = destination
        check_output(destination, (".eoc",), "compressed files")
        refuse_existing(Path(destination), overwrite, "-o FILE.eoc")
    check_sources(sources)
    total = total_samples(sources, options)
    with progress_bar(total, "compress", "sample") as progress:
        report = compress_file(sources, target, options, progress)
    source_size = sum(os.stat(path).st_size for path in sources if os.path.exists(path))
    said = (sources, source_size, destination, report)
    text = json.dumps(report_json(*said), indent=2) if as_json else report_text(*said)
    click.echo(text, err=destination == STDOUT)
    for warning in report.warnings:
        click.echo(f"eocodec: warning: {warning}", err=True)


def _sources_and_output(paths: tuple[str, ...], output: str | None) -> tuple[list[str], str]:
    sources = list(paths)
    if len(sources) > 1 and _is_output(sources[-1]):
        positional = sources.pop()
        if output is not None:
            raise click.UsageError(f"two outputs are named: {positional} and -o {output}")
        output = positional
    if len(sources) > 2:
        raise click.UsageError(
            f"{len(sources)} rasters are named; pass one, or a 10 m and a 20 m file "
            "(an output ends in .eoc), or name a folder for many by --output-dir"
        )
    if sources[0] == STDOUT:
        raise click.UsageError("a GeoTIFF cannot be read from standard input; name a file")
    check_names(sources)
    if output is None:
        return sources, _default_output(sources)
    if is_folder(output):
        return sources, str(Path(output, Path(_default_output(sources)).name))
    return sources, output


def _is_output(path: str) -> bool:
    """Whether the last of several paths is where to write."""
    return (
        path == STDOUT or path.lower().endswith(".eoc") or is_folder(path) or is_special(Path(path))
    )


def _default_output(sources: list[str]) -> str:
    first = sources[0]
    elsewhere = "://" in first or first.startswith("/vsi")
    name = Path(first.rstrip("/").rsplit("/", 1)[-1] if elsewhere else first)
    stem = re.sub(r"[._-]10m$", "", name.stem) if len(sources) == 2 else name.stem
    if not name.name:
        raise click.UsageError(f"{first} tells no name for the output; name it with -o FILE.eoc")
    return str(name.with_name(f"{stem or name.stem}.eoc"))


def _key(option: str) -> str:
    return option[2:].replace("-", "_")


def _options(overwrite: bool, given: dict[str, Any]) -> Any:
    from eocodec.formats.geotiff import CompressOptions
    from eocodec.formats.quality import Target
    from eocodec.tile import EncodeSettings

    chosen = [name for name in _QUALITIES if given[_key(name)]]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other; pass one of them")
    bounds = [name for name in _BOUNDS if given[_key(name)] is not None]
    opposed = [name for name in _WITHOUT_BOUNDS if name in chosen]
    if bounds and opposed:
        raise click.UsageError(f"{bounds[0]} and {opposed[0]} exclude each other")
    target = None
    if given["target_rmse"]:
        target = Target(rmse=given["target_rmse"])
    elif given["target_bpppb"]:
        target = Target(bits_per_sample=given["target_bpppb"])
    bands = given["bands"]
    one, by_name = _one_or_by_name(given)
    return CompressOptions(
        settings=EncodeSettings(
            lossless=given["lossless"],
            model=given["model"],
            layers=given["quality"],
            max_error=one["max_error"],
            max_relative_error=one["max_relative_error"],
            max_error_sqrt=given["max_error_sqrt"],
        ),
        max_error=by_name["max_error"],
        max_relative_error=by_name["max_relative_error"],
        max_range_error=given["max_range_error"],
        keep_real_information=given["keep_real_information"],
        target=target,
        ratio=given["ratio"],
        bands=[name.strip() for name in bands.split(",")] if bands else None,
        tile_size=given["tile_size"],
        threads=given["threads"],
        overwrite=overwrite,
    )


def _one_or_by_name(
    given: dict[str, Any],
) -> tuple[dict[str, float | None], dict[str, dict[str, float] | None]]:
    """Return the bounds that are one for everything, and those by name."""
    keys = ("max_error", "max_relative_error")
    one = {key: None if isinstance(given[key], dict) else given[key] for key in keys}
    return one, {key: given[key] if isinstance(given[key], dict) else None for key in keys}
