"""`eocodec compare` of files of fields."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from eocodec.cli.output import bounds_text
from eocodec.cli.progress import progress_bar

if TYPE_CHECKING:
    from eocodec.formats.field_comparison import FieldComparison
    from eocodec.formats.field_errors import FieldErrors


def compared_as_fields(reference: str, decoded: str) -> bool:
    """Whether two files are compared as fields, rather than as rasters.

    Raises
    ------
    InputError
        When one can only be a raster and the other only fields.
    """
    from eocodec.errors import InputError

    kinds = {path: _kind(path) for path in (reference, decoded)}
    if "fields" not in kinds.values():
        return False
    for path, kind in kinds.items():
        if kind == "raster":
            other = decoded if path == reference else reference
            raise InputError(f"{path} is a raster and {other} holds fields; compare two of a kind")
    return True


def _kind(path: str) -> str:
    """Return "fields", "raster", or "either" for a container that may be taken for both."""
    import eocodec
    from eocodec.formats.compression import holds_fields
    from eocodec.formats.dataset_room import source_format

    if holds_fields(path):
        return "fields"
    if not path.lower().endswith(".eoc"):
        return "raster"
    with eocodec.open(path) as reader:
        known = source_format(reader.arrays[0]) is not None
        return "fields" if known or any(len(h.shape) > 3 for h in reader.arrays) else "either"


def check_layers(layers: int | None, held: Sequence[tuple[str, int]]) -> None:
    """Raise a usage error when no container, of names and numbers of layers, has so many layers."""
    if layers is None:
        return
    if not held:
        raise click.UsageError("--layers is for .eoc files; neither file is one")
    if layers > max(most for _, most in held):
        said = ", ".join(f"{name} has {most}" for name, most in dict.fromkeys(held))
        raise click.UsageError(f"--layers {layers} is more than there are: {said}")


def compare_as_fields(
    reference: str, decoded: str, layers: int | None, peak: float | None, as_json: bool
) -> None:
    """Print the errors of every field; exit with 1 when a promise is not kept or metadata differ."""
    from eocodec.formats.field_comparison import compare_fields, open_either

    with (
        open_either(reference, layers) as (one, of_one),
        open_either(decoded, layers) as (other, of_other),
        progress_bar(sum(v.size for v in one.data_vars.values()), "compare", "sample") as progress,
    ):
        has = [
            (name, held.most_layers)
            for name, held in ((reference, of_one), (decoded, of_other))
            if held.most_layers is not None
        ]
        check_layers(layers, has)
        result = compare_fields(
            one, other, of_other, reference_arrays=of_one, peak=peak, progress=progress
        )
    click.echo(json.dumps(_as_json(result), indent=2) if as_json else _table(result))
    if not result.kept:
        sys.exit(1)


def _table(result: FieldComparison) -> str:
    width = max(len("field"), *(len(field.name) for field in result.fields), 0)
    lines = [
        f"{'field':<{width}}  {'RMSE':>10}  {'PSNR dB':>8}  {'max error':>10}  {'of value':>9}  "
        f"{'of range':>9}  {'valid':>12}  unit"
    ]
    for field in result.fields:
        lines.append(
            f"{field.name:<{width}}  {field.rmse:>10.4g}  {field.psnr:>8.2f}  "
            f"{field.max_error:>10.4g}  {field.max_relative_error:>9.2g}  {_of_range(field):>9.2g}  "
            f"{field.valid:>12}  {field.units}"
        )
    for field in result.fields:
        if field.promise is not None:
            kept = f"NOT kept by {field.beyond} samples" if field.beyond else "kept"
            levels = " (the largest; each level has its own)" if field.by_level else ""
            lines.append(
                f"promised max error of {field.name}: {bounds_text(*field.promise)}{levels}; {kept}"
            )
    mismatches = sum(field.invalid_mismatches for field in result.fields)
    lines.append(f"missing samples that differ: {mismatches}")
    lines += _peaks(result)
    lines += [f"differs: {what}" for what in result.differing]
    if not result.differing:
        lines.append("coordinates, attributes and dimensions that differ: none")
    return "\n".join(lines)


def _peaks(result: FieldComparison) -> list[str]:
    """Return a line for the peaks of the fields, one number where it was given for all."""
    chosen = {(field.psnr_peak_chosen, field.psnr_peak) for field in result.fields}
    if len(chosen) == 1:
        ((how, peak),) = chosen
        return [f"PSNR peak: {peak:g} ({how})"]
    return ["PSNR peak: the range of each field"] if chosen else []


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
