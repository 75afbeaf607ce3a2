"""`eocodec compare` of files of fields."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from eocodec.cli.output import bounds_text
from eocodec.cli.progress import progress_bar

if TYPE_CHECKING:
    from eocodec.formats.field_comparison import FieldComparison, FieldErrors


def are_fields(path: str) -> bool:
    """Whether a file is netCDF or GRIB, or a container of the variables of one."""
    import eocodec
    from eocodec.formats.compression import holds_fields
    from eocodec.formats.dataset_room import source_format

    if holds_fields(path):
        return True
    if not path.lower().endswith(".eoc"):
        return False
    with eocodec.open(path) as reader:
        return source_format(reader.arrays[0]) is not None


def compare_as_fields(reference: str, decoded: str, layers: int | None, as_json: bool) -> None:
    """Print the errors of every field; exit with 1 when a promised bound is not kept."""
    from eocodec.formats.field_comparison import compare_fields, open_either

    with (
        open_either(reference, layers) as (one, _),
        open_either(decoded, layers) as (other, headers),
        progress_bar(sum(v.size for v in one.data_vars.values()), "compare", "sample") as progress,
    ):
        result = compare_fields(one, other, headers, progress)
    click.echo(json.dumps(_as_json(result), indent=2) if as_json else _table(result))
    if any(field.beyond for field in result.fields):
        sys.exit(1)


def _table(result: FieldComparison) -> str:
    width = max(len("field"), *(len(field.name) for field in result.fields))
    lines = [
        f"{'field':<{width}}  {'RMSE':>10}  {'max error':>10}  {'of value':>9}  {'of range':>9}  "
        f"{'valid':>12}  unit"
    ]
    for field in result.fields:
        lines.append(
            f"{field.name:<{width}}  {field.rmse:>10.4g}  {field.max_error:>10.4g}  "
            f"{field.max_relative_error:>9.2g}  {_of_range(field):>9.2g}  {field.valid:>12}  "
            f"{field.units}"
        )
    for field in result.fields:
        if field.promise is not None:
            kept = f"NOT kept by {field.beyond} samples" if field.beyond else "kept"
            lines.append(
                f"promised max error of {field.name}: {bounds_text(*field.promise)}; {kept}"
            )
    mismatches = sum(field.invalid_mismatches for field in result.fields)
    lines.append(f"missing samples that differ: {mismatches}")
    lines.append(f"coordinates and attributes that differ: {', '.join(result.differing) or 'none'}")
    return "\n".join(lines)


def _of_range(field: FieldErrors) -> float:
    if field.max_error == 0:
        return 0.0
    return field.max_error / field.range if field.range else math.inf


def _as_json(result: FieldComparison) -> dict[str, Any]:
    fields = []
    for field in result.fields:
        said = {
            key: value if not isinstance(value, float) or math.isfinite(value) else None
            for key, value in asdict(field).items()
        }
        keys = ("max_error", "max_relative_error", "max_error_sqrt")
        said["promise"] = field.promise and dict(zip(keys, field.promise, strict=True))
        fields.append(said)
    return {"fields": fields, "differing": list(result.differing)}
