"""Tables of the comparison on fields."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from bench.bd_rate import bytes_at
from bench.fields.codecs import BOUNDS
from bench.fields.data import Field
from bench.fields.information import Informed
from bench.fields.points import FieldPoint, Points
from bench.fields.speed import SPEED_BOUND, Speeds
from bench.tables import Table, speed_cell

_FLOAT_BITS = 32
_NONE = "-"
_SMALLEST_GRID = 8

Measured = dict[str, Points]
"""Points of every codec, by its name."""


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean; NaN of none."""
    logs = [math.log(value) for value in values]
    return math.exp(np.mean(logs)) if logs else math.nan


def mean_over_variables(values: dict[str, float], variables: dict[str, str]) -> float:
    """Geometric mean over variables of the geometric means of their fields.

    Parameters
    ----------
    values : dict
        A positive value a field.
    variables : dict
        The variable of each field.
    """
    grouped: dict[str, list[float]] = {}
    for field, value in values.items():
        grouped.setdefault(variables[field], []).append(value)
    return geometric_mean(geometric_mean(own) for own in grouped.values())


def size_ratios(ours: Points, theirs: Points, relative: float) -> dict[str, float]:
    """Bytes of one codec over those of another at a bound, on the fields where both have it."""
    return {
        name: points[relative].bytes / theirs[name][relative].bytes
        for name, points in ours.items()
        if relative in points and relative in theirs.get(name, {})
    }


def rmse_ratios(ours: Points, theirs: Points, relative: float) -> dict[str, float]:
    """Bytes of one codec at a bound over those of another at the same RMSE, where its curve reaches it."""
    found = {}
    for name, points in ours.items():
        if relative not in points or not theirs.get(name):
            continue
        size = bytes_at(list(theirs[name].values()), points[relative].rmse)
        if math.isfinite(size):
            found[name] = points[relative].bytes / size
    return found


def ratio_table(
    measured: Measured,
    ours: str,
    variables: dict[str, str],
    bounded: Sequence[str],
    speeds: Speeds | None = None,
) -> Table:
    """Bytes of `ours` against each codec that keeps bounds, at equal largest error; speeds where given."""
    table = _compare(
        measured,
        ours,
        variables,
        bounded,
        size_ratios,
        f"Bytes of {ours} against each codec at one largest error (relative to a field's range)",
    )
    if not speeds:
        return table
    cells = {name: speed_cell(*speed) for name, speed in speeds.items()}
    rows = [[*row, cells.get(row[0], _NONE)] for row in table.rows]
    rows.insert(0, [ours, *(_NONE for _ in BOUNDS), cells.get(ours, _NONE)])
    note = (
        f" MB/s: float32 values encoded / decoded a second of one core at {_scientific(SPEED_BOUND)} of the range, in "
        "the layout in which the codec is smallest, on the fields of many values; - not timed."
    )
    return Table(table.title, [*table.head, "MB/s"], rows, table.note + note)


def grid_tables(
    measured: Measured, ours: str, fields: Sequence[Field], bounded: Sequence[str]
) -> list[Table]:
    """The same bytes on grids and on columns of few points apart, where there are both."""
    small = [field for field in fields if min(field.values.shape[2:]) < _SMALLEST_GRID]
    large = [field for field in fields if field not in small]
    if not small or not large:
        return []
    tables = []
    for kind, own in (("grids", large), ("columns of few points", small)):
        names = {field.name: field.variable for field in own}
        part = {
            codec: {name: curve for name, curve in points.items() if name in names}
            for codec, points in measured.items()
        }
        table = ratio_table(part, ours, names, bounded)
        title = f"The same on the {len(own)} {kind}"
        tables.append(Table(title, table.head, table.rows))
    return tables


def rmse_table(measured: Measured, ours: str, variables: dict[str, str]) -> Table:
    """Bytes of `ours` at each bound against each codec at the same RMSE."""
    return _compare(
        measured,
        ours,
        variables,
        list(measured),
        rmse_ratios,
        f"Bytes of {ours} against each codec at the RMSE that {ours} has at each bound",
    )


def _compare(
    measured: Measured,
    ours: str,
    variables: dict[str, str],
    names: Sequence[str],
    ratios: Callable[[Points, Points, float], dict[str, float]],
    title: str,
) -> Table:
    rows = []
    for name in names:
        if name == ours:
            continue
        cells = []
        for relative in BOUNDS:
            found = ratios(measured[ours], measured[name], relative)
            fewer = sum(ratio < 1 for ratio in found.values())
            cells.append(
                f"{_percent(geometric_mean(found.values()))} / "
                f"{_percent(mean_over_variables(found, variables))} ({fewer} of {len(found)})"
                if found
                else _NONE
            )
        rows.append([name, *cells])
    note = (
        "Geometric mean over fields / over variables (each the geometric mean of its fields); in brackets "
        "the fields with fewer bytes, of those that both codecs can code."
    )
    return Table(title, ["codec", *map(_scientific, BOUNDS)], rows, note)


def rate_table(measured: Measured, packed: dict[str, float], bounded: Sequence[str]) -> Table:
    """Bits a value, and how much smaller than single precision and than the packed source."""
    rows = []
    for name in bounded:
        cells = []
        for relative in BOUNDS:
            bits = {f: p[relative].bits for f, p in measured[name].items() if relative in p}
            if not bits:
                cells.append(_NONE)
                continue
            smaller = geometric_mean(packed[field] / value for field, value in bits.items())
            mean = geometric_mean(bits.values())
            cells.append(f"{mean:.3f} ({_FLOAT_BITS / mean:.1f}, {smaller:.1f})")
        rows.append([name, *cells])
    return Table(
        "Bits a value (ratio to 32-bit floats, ratio to the packed source)",
        ["codec", *map(_scientific, BOUNDS)],
        rows,
        "Geometric means over the fields that the codec can code.",
    )


def field_table(
    measured: Measured, ours: str, fields: Sequence[Field], bounded: list[str]
) -> Table:
    """One row a field and bound: our bits, ratios, and the difference to each codec."""
    others = [name for name in bounded if name != ours]
    rows = []
    for field in fields:
        for relative, point in measured[ours][field.name].items():
            if relative not in BOUNDS:
                continue
            theirs = (measured[name].get(field.name, {}).get(relative) for name in others)
            rows.append(
                [
                    field.name,
                    "x".join(map(str, field.values.shape)),
                    f"{field.packed_bits:g}",
                    f"{field.noise:.1e}",
                    _scientific(relative),
                    f"{point.bits:.3f}",
                    f"{_FLOAT_BITS / point.bits:.1f}",
                    f"{field.packed_bits / point.bits:.1f}",
                    *(_percent(point.bytes / p.bytes) if p else _NONE for p in theirs),
                ]
            )
    head = ["field", "shape", "packed bits", "half step", "bound", ours, "of 32 bits", "of packed"]
    return Table(
        f"Bits a value of {ours} on each field, and bytes against each codec",
        [*head, *others],
        rows,
        "Packed bits: of the source, the fewest where its messages differ. Half step: half of the source's "
        "step relative to the field's range; bounds below it are left out.",
    )


def conservation_table(measured: Measured, names: Sequence[str]) -> Table:
    """Errors of level means relative to the bound, and of vertical gradients."""
    rows = []
    for name in names:
        cells = []
        for relative in BOUNDS:
            points = [p[relative] for p in measured[name].values() if relative in p]
            means = [p.mean_error / relative for p in points]
            gradients = [p.gradient_error for p in points if p.gradient_error > 0]
            cells.append(
                f"{100 * np.mean(means):.1f} %, {100 * geometric_mean(gradients):.2f} %"
                if points
                else _NONE
            )
        rows.append([name, *cells])
    return Table(
        "Conservation: error of the mean of a level, and of vertical gradients",
        ["codec", *map(_scientific, BOUNDS)],
        rows,
        "First the largest error of a level's mean relative to the bound, mean over fields; then the RMS "
        "error of the difference of neighbouring levels relative to the RMS of that difference, geometric "
        "mean over fields of several levels.",
    )


def tolerance_table(measured: Measured, bounded: Sequence[str]) -> Table:
    """How many codings needed a tolerance other than the bound."""
    rows = []
    for name in bounded:
        given = [p.tolerance for points in measured[name].values() for p in points.values()]
        tighter = [tolerance for tolerance in given if tolerance < 1]
        looser = [tolerance for tolerance in given if tolerance > 1]
        rows.append(
            [
                name,
                str(len(given)),
                f"{len(tighter)} (to {min(tighter):g})" if tighter else "0",
                f"{len(looser)} (to {max(looser):g})" if looser else "0",
            ]
        )
    return Table(
        "Tolerances that the codecs were given, so that the bound holds on every value",
        ["codec", "codings", "tighter than the bound", "looser"],
        rows,
        "Errors are checked in double precision on every value of what is decoded.",
    )


def information_table(found: Sequence[Informed], ours: str, variables: dict[str, str]) -> Table:
    """Our bytes against bit rounding at 99 % of the real information."""
    zstd = {entry.name: entry.ours / entry.zstd for entry in found}
    blosc = {entry.name: entry.ours / entry.blosc for entry in found}
    rows = [
        [
            entry.name,
            str(entry.kept_bits),
            f"{entry.max_relative_error:.2g}",
            str(entry.ours),
            str(entry.zstd),
            f"{1 / zstd[entry.name]:.2f}",
            str(entry.blosc),
            f"{1 / blosc[entry.name]:.2f}",
        ]
        for entry in found
    ]
    for title, mean in (
        ("mean over fields", lambda ratios: geometric_mean(ratios.values())),
        ("mean over variables", lambda ratios: mean_over_variables(ratios, variables)),
    ):
        rows.append([title, "", "", "", "", f"{1 / mean(zstd):.2f}", "", f"{1 / mean(blosc):.2f}"])
    head = ["field", "bits kept", "relative error", ours, "Zstd", "ratio", "Blosc", "ratio"]
    return Table(
        "Bytes at 99 % of the real information",
        head,
        rows,
        f"Bit rounding with Zstd and with Blosc (shuffle, Zstd), and {ours} within the largest relative "
        "error of the rounded values. Ratio: how many times fewer bytes.",
    )


def skipped_table(fields: Sequence[Field], informed: Sequence[str]) -> Table:
    """Bounds left out because they are below half a step of the source."""
    rows = [
        [f.name, _scientific(b), f"{f.noise:.1e}"] for f in fields for b in BOUNDS if b < f.noise
    ]
    rows += [[name, "99 % information", ""] for name in informed]
    return Table(
        "Left out: bounds below half a step of the source", ["field", "bound", "half step"], rows
    )


def write_csv(measured: Measured, packed: dict[str, float], path: Path) -> None:
    """Write every point of every codec."""
    names = [entry.name for entry in fields(FieldPoint)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["field", "codec", "bound", "float_ratio", "packed_ratio", *names])
        for codec, points in measured.items():
            for field, curve in points.items():
                for relative, point in curve.items():
                    ratios = (_FLOAT_BITS / point.bits, packed[field] / point.bits)
                    cells = [f"{relative:g}", *(f"{ratio:.4g}" for ratio in ratios)]
                    values = asdict(point).values()
                    shown = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
                    writer.writerow([field, codec, *cells, *shown])


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def _scientific(bound: float) -> str:
    mantissa, exponent = f"{bound:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"
