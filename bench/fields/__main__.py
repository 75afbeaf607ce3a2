"""Sizes of atmospheric fields at equal errors: tables, CSV, plots and one HTML report.

python -m bench.fields ../shared/data/atmos --split test --out bench-out

What a codec made of a field is kept in the output folder, so that only eocodec runs again. Speeds are measured anew.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click
from tqdm import tqdm

from bench.fields.bit_rounding import BLOSC, ZSTD, BitRounding
from bench.fields.codecs import FieldCodec, Sperr, SperrPsnr, Sz3, Zfp
from bench.fields.data import Field, read_fields
from bench.fields.ebcc import Ebcc
from bench.fields.grib import Grib
from bench.fields.information import measure_information
from bench.fields.ours import OURS, Ours
from bench.fields.plots import plot_fields
from bench.fields.points import measure_codec
from bench.fields.quantised import QuantisedJpegXl
from bench.fields.speed import ROUNDS, Speeds, large_fields, measure_speeds
from bench.fields.tables import (
    Measured,
    conservation_table,
    field_table,
    grid_tables,
    information_table,
    rate_table,
    ratio_table,
    rmse_table,
    skipped_table,
    tolerance_table,
    write_csv,
)
from bench.report import FIELDS_MARK, Section, update_readme, write_report

CODECS: tuple[FieldCodec, ...] = (
    Ours(),
    QuantisedJpegXl(),
    Sz3(),
    Zfp(),
    Sperr(),
    SperrPsnr(),
    Ebcc(),
    Grib("GRIB simple", "grid_simple"),
    Grib("GRIB CCSDS", "grid_ccsds"),
    BitRounding("bit rounding + Zstd", ZSTD),
    BitRounding("bit rounding + Blosc", BLOSC),
)
_SLOW = ("EBCC (JPEG 2000)",)
"""Left out of quick runs and of speeds: it takes minutes to find what holds a bound."""


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Fields to use.")
@click.option("--out", type=click.Path(path_type=Path), default="bench-out", show_default=True)
@click.option("--quick", is_flag=True, help="A crop of two fields, without the slowest codec.")
@click.option("--codec", "codecs", multiple=True, help="Compare this codec only; repeatable.")
@click.option("--kept", is_flag=True, help="Run eocodec only; of others, what the folder has.")
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables of sizes between their marks in this Markdown file.",
)
def main(
    data: Path,
    split: str,
    out: Path,
    *,
    quick: bool,
    codecs: tuple[str, ...],
    kept: bool,
    readme: Path | None,
) -> None:
    """Compare all codecs on the fields of DATA."""
    unknown = set(codecs) - {codec.name for codec in CODECS}
    if unknown:
        known = ", ".join(codec.name for codec in CODECS)
        raise click.UsageError(f"no codec is named {', '.join(unknown)}; there are {known}")
    chosen = [
        codec
        for codec in CODECS
        if codec.name in (OURS, *codecs) or (not codecs and not (quick and codec.name in _SLOW))
    ]
    fields = read_fields(data, split, quick=quick)
    folder = out / f"fields-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    measured: Measured = {}
    for codec in chosen:
        shown = tqdm(fields, desc=codec.name, unit="field", disable=None)
        ours = codec.name == OURS
        points = measure_codec(codec, shown, folder, again=ours, kept=kept and not ours)
        if any(points.values()):
            measured[codec.name] = points
    timed = [c for c in chosen if c.bounded and c.name in measured and c.name not in _SLOW]
    speeds = measure_speeds(timed, large_fields(fields), rounds=1 if quick else ROUNDS)
    sections = _sections(chosen, measured, speeds, fields, folder)
    for section in sections[:-1]:
        for table in section.tables:
            click.echo(table.markdown() + "\n")
    if readme is not None:
        bounded, rmse = sections[:2]
        update_readme(readme, [*bounded.tables, *rmse.tables], FIELDS_MARK)
    write_csv(measured, {f.name: f.packed_bits for f in fields}, folder / "points.csv")
    report = folder / "report.html"
    write_report(
        report, f"eocodec: atmospheric fields of split {split}", _introduction(fields), sections
    )
    click.echo(f"report: {report}")


def _introduction(fields: list[Field]) -> list[str]:
    packages = ("pysz", "imagecodecs", "eccodes", "numcodecs", "numcodecs-wasm-ebcc")
    return [
        ", ".join(f"{name} {version(name)}" for name in packages) + ".",
        f"{len(fields)} fields [time, level, lat, lon] of "
        f"{len({field.variable for field in fields})} variables, float32.",
        "Bounds are relative to a field's range. Every codec truly holds the bound on every value, or its "
        "tolerance was tightened until it does; each takes the smallest of its layouts (SZ3: three predictors, all "
        "orders of the axes, in four dimensions or a time at a time; ZFP and SPERR: times, levels and small "
        "grids joined to axes). All bytes count but those of the shape; of GRIB only the sections of packing and "
        "data. Bounds below half a step of the packed source are left out.",
    ]


def _sections(
    chosen: list[FieldCodec],
    measured: Measured,
    speeds: Speeds,
    fields: list[Field],
    folder: Path,
) -> list[Section]:
    bounded = [codec.name for codec in chosen if codec.bounded and codec.name in measured]
    variables = {field.name: field.variable for field in fields}
    packed = {field.name: field.packed_bits for field in fields}
    informed, uninformed = measure_information(
        tqdm(fields, desc="real information", unit="field", disable=None), Ours()
    )
    curves = folder / "curves.png"
    plot_fields(measured, OURS, [field.name for field in fields], curves)
    return [
        Section(
            "Equal largest error",
            [
                ratio_table(measured, OURS, variables, bounded, speeds),
                *grid_tables(measured, OURS, fields, bounded),
                rate_table(measured, packed, bounded),
            ],
        ),
        Section(
            "Equal RMSE",
            [rmse_table(measured, OURS, variables)],
            [("RMSE against rate", curves)],
        ),
        Section("Real information", [information_table(informed, OURS, variables)]),
        Section("Tolerances", [tolerance_table(measured, bounded)]),
        Section("Conservation", [conservation_table(measured, bounded)]),
        Section(
            "Fields",
            [
                field_table(measured, OURS, fields, bounded),
                skipped_table(fields, uninformed),
            ],
        ),
    ]


if __name__ == "__main__":
    main()
