"""`eocodec compare`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eocodec.cli.command import AT_LEAST_ONE, POSITIVE, Command
from eocodec.cli.compare_fields import check_layers, compare_as_fields, compared_as_fields
from eocodec.cli.output import bounds_text, refuse_existing
from eocodec.cli.progress import progress_bar

if TYPE_CHECKING:
    from eocodec.bounds import ErrorBounds
    from eocodec.formats.comparison import RasterComparison


@click.command(
    "compare",
    cls=Command,
    examples=(
        ("compare tile.tif tile.eoc", "errors, promises and metadata"),
        ("compare tile.tif tile.eoc --layers 2 --json", "of a prefix, for programs"),
        ("compare cams.nc cams.eoc", "each field, in its unit"),
    ),
)
@click.argument("reference", metavar="A")
@click.argument("decoded", metavar="B")
@click.option(
    "--layers",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Layers to decode of .eoc files, of those they have; all by default. A promised error bound "
    "is only checked at all layers.",
)
@click.option("--array", "label", metavar="NAME", help="Which raster of .eoc files with several.")
@click.option(
    "--peak",
    type=POSITIVE,
    metavar="PEAK",
    help="Peak of the PSNR, in the unit of the samples (of fields: of their values). By default "
    "reflectance 1 for Sentinel-2 bands (10000 in DN, 1 of floating-point samples, or by the scale of "
    "the file), 255 for 8 bits, else the range of A: of a raster as a whole, of each field. PSNRs of "
    "different peaks are not comparable.",
)
@click.option(
    "--png",
    metavar="FILE.png",
    help="Picture to write; by default B.compare.png in the current folder. None of fields.",
)
@click.option("--no-png", is_flag=True, help="Write no picture.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--overwrite", is_flag=True, help="Replace an existing picture.")
def command(
    reference: str,
    decoded: str,
    layers: int | None,
    label: str | None,
    peak: float | None,
    png: str | None,
    no_png: bool,
    as_json: bool,
    overwrite: bool,
) -> None:
    """Compare two rasters (GeoTIFF or .eoc) or files of fields (netCDF, GRIB or .eoc).

    Shows the errors of B against A, and of rasters a picture of both side by side. Only samples that
    are valid in A count. Where B is an .eoc file that promises error bounds, they are checked.

    \b
    Exit codes:
      0  B has the metadata and missing samples of A, and keeps what it promises
      1  it does not (each difference is named), or the files cannot be compared
      2  the command was called wrongly
    """
    if compared_as_fields(reference, decoded):
        if png is not None or label is not None:
            raise click.UsageError("--png and --array are for rasters")
        compare_as_fields(reference, decoded, layers, peak, as_json)
        return
    from eocodec.formats.comparison import compare_rasters, open_raster
    from eocodec.formats.eoc_raster import EocRaster
    from eocodec.formats.picture import save_png

    if png is not None and no_png:
        raise click.UsageError("--png and --no-png exclude each other")
    picture = None if no_png else _picture(decoded, png)
    if picture is not None:
        refuse_existing(picture, overwrite)
    with (
        open_raster(reference, layers=layers, label=label) as a,
        open_raster(decoded, layers=layers, label=label) as b,
        progress_bar(math.prod(a.shape), "compare", "sample") as progress,
    ):
        has = [
            (raster.name, max(array.layers for array in raster.arrays))
            for raster in (a, b)
            if isinstance(raster, EocRaster)
        ]
        check_layers(layers, has)
        result = compare_rasters(a, b, peak=peak, progress=progress)
    if picture is not None:
        save_png(result.picture, picture)
    if as_json:
        click.echo(json.dumps(_as_json(result), indent=2))
    else:
        click.echo(_table(result))
        if picture is not None:
            click.echo(f"picture: {picture}")
    if not result.kept:
        sys.exit(1)


def _picture(decoded: str, png: str | None) -> Path:
    """Return where the picture goes, which must be possible before anything is decoded."""
    name = decoded.rstrip("/").rsplit("/", 1)[-1]
    picture = Path(png or f"{Path(name).stem}.compare.png")
    if not picture.absolute().parent.is_dir():
        raise click.UsageError(f"--png {picture}: there is no folder {picture.parent}")
    if picture.is_dir():
        raise click.UsageError(f"--png {picture} is a folder; name a file")
    return picture


def _table(result: RasterComparison) -> str:
    figures = result.figures
    width = max(len("all bands"), *map(len, result.names))
    lines = [f"{'band':<{width}}  {'RMSE':>9}  {'PSNR dB':>8}  {'max error':>9}  {'valid':>12}"]
    rows = zip(
        (*result.names, "all bands"),
        (*figures.rmse, figures.total_rmse),
        (*figures.psnr, figures.total_psnr),
        (*figures.max_error, _largest(figures.max_error)),
        (*figures.valid_pixels, sum(figures.valid_pixels)),
        strict=True,
    )
    lines += [
        f"{name:<{width}}  {rmse:>9.3f}  {psnr:>8.2f}  {error:>9.6g}  {valid:>12}"
        for name, rmse, psnr, error, valid in rows
    ]
    if any(promise is not None for promise in result.promises):
        lines += _promises(result)
    if not math.isnan(figures.spectral_angle):
        lines.append(f"mean spectral angle: {figures.spectral_angle:.4f} degrees")
    lines.append(f"invalid samples that differ: {figures.invalid_mismatches}")
    lines.append(f"PSNR peak: {figures.peak:g} ({result.peak.chosen})")
    lines += [f"differs: {what}" for what in result.differing] or ["metadata that differ: none"]
    return "\n".join(lines)


def _largest(errors: Sequence[float]) -> float:
    """Return the largest error of bands that have valid samples, NaN without any."""
    return max((error for error in errors if not math.isnan(error)), default=math.nan)


def _promises(result: RasterComparison) -> list[str]:
    """Return a line for the bands of each promise, and whether it is kept."""
    bands: dict[ErrorBounds, list[int]] = {}
    for band, promise in enumerate(result.promises):
        if promise is not None:
            bands.setdefault(promise, []).append(band)
    lines = []
    for promise, numbers in bands.items():
        whole = len(numbers) == len(result.names)
        names = "all bands" if whole else ", ".join(result.names[number] for number in numbers)
        beyond = sum(result.beyond[number] for number in numbers)
        kept = f"NOT kept by {beyond} samples" if beyond else "kept"
        bound = bounds_text(promise.absolute[0], promise.relative, promise.sqrt)
        lines.append(f"promised max error of {names}: {bound}; {kept}")
    return lines


def _as_json(result: RasterComparison) -> dict[str, Any]:
    figures = result.figures
    per_band = zip(
        result.names,
        figures.rmse,
        figures.psnr,
        figures.max_error,
        figures.valid_pixels,
        result.promises,
        result.beyond,
        strict=True,
    )
    return {
        "bands": [
            {
                "name": name,
                "rmse": _finite(rmse),
                "psnr": _finite(psnr),
                "max_error": _finite(error),
                "valid": valid,
                "promised": promise
                and {
                    "max_error": promise.absolute[0],
                    "max_relative_error": promise.relative,
                    "max_error_sqrt": promise.sqrt,
                },
                "beyond_promise": beyond,
            }
            for name, rmse, psnr, error, valid, promise, beyond in per_band
        ],
        "rmse": _finite(figures.total_rmse),
        "psnr": _finite(figures.total_psnr),
        "spectral_angle_degrees": _finite(figures.spectral_angle),
        "invalid_mismatches": figures.invalid_mismatches,
        "psnr_peak": figures.peak,
        "psnr_peak_chosen": result.peak.chosen,
        "differing": list(result.differing),
    }


def _finite(value: float) -> float | None:
    """JSON has no infinity (the PSNR of equal bands) and no NaN (of bands without samples)."""
    return value if math.isfinite(value) else None
