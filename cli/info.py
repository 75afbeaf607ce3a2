"""`eocodec info`."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import numpy as np

from eocodec.cli.command import Command
from eocodec.cli.output import bounds_text, human_size, readable
from eocodec.codec_models import list_models


@click.command(
    "info",
    cls=Command,
    examples=(
        ("info tile.eoc", "for people"),
        ("info https://host/tile.eoc --json", "for programs"),
    ),
)
@click.argument("source", metavar="FILE.eoc")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(source: str, as_json: bool) -> None:
    """Show what an .eoc file (- for standard input) holds; of the tiles only their index is read."""
    import eocodec
    from eocodec.formats.dataset_room import small_variables, source_format, unit_text

    with eocodec.open(readable(source)) as reader:
        info = reader.info()
        told, small = source_format(reader.arrays[0]), small_variables(reader.arrays[0])
        units = [unit_text(header) for header in reader.arrays]
    if told is not None:
        info |= {"source_format": told, "variables": small}
    info["raw_bytes"] = sum(_raw_bytes(array) for array in info["arrays"])
    info["arrays"] = [{**array, **_mode(array)} for array in info["arrays"]]
    if as_json:
        click.echo(json.dumps(info, indent=2, allow_nan=False, default=str))
        return
    click.echo(
        f"{source}: .eoc {info['version']}, {human_size(info['bytes'])}, "
        f"{human_size(info['overhead_bytes'])} of them header and index; "
        f"ratio {info['raw_bytes'] / info['bytes']:.2f} to raw samples ({human_size(info['raw_bytes'])})"
    )
    if told is not None:
        click.echo(f"fields of {told}; beside the arrays: {', '.join(small) or 'no variables'}")
    for array, unit in zip(info["arrays"], units, strict=True):
        click.echo("\n".join(_lines(array, unit)))


def _lines(array: dict[str, Any], unit: str) -> list[str]:
    shape = " x ".join(
        f"{size} {dim}" for size, dim in zip(array["shape"], array["dims"], strict=True)
    )
    rows = {
        "samples": f"{shape}, {array['dtype']}",
        "unit": unit,
        "bands": ", ".join(_band_names(array)),
        "crs": _shortened(array["crs"]),
        "transform": array["transform"] and ", ".join(f"{v:.10g}" for v in array["transform"]),
        "nodata": array["nodata"],
        "mode": _mode_text(array),
        "codec": array["codec"] + (f", model {array['model']}" if array["model"] else ""),
        "max error": _bounds(array),
        "tiles": f"{array['tiles']} of {' x '.join(map(str, array['tile_size']))}",
    }
    lines = [f"array {array['name']}"]
    lines += [f"  {name:<10} {value}" for name, value in rows.items() if value not in (None, "")]
    for layer in array["layers"]:
        lines.append(
            f"  {'layers':<10} {layer['layers']}: {human_size(layer['bytes'])}, "
            f"{layer['bits_per_sample']:.4g} bits a sample"
        )
    return lines


def _raw_bytes(array: dict[str, Any]) -> int:
    return int(math.prod(array["shape"]) * np.dtype(array["dtype"]).itemsize)


def _mode(array: dict[str, Any]) -> dict[str, Any]:
    """Return how an array is coded: mode, layers of the learned model, its name where it is installed."""
    bounds = (array["max_error"], array["max_relative_error"], array["max_error_sqrt"])
    bounded = any(bound is not None for bound in bounds)
    if not array["model"] or (bounded and len(array["layers"]) == 1):
        return {"mode": "lossless" if array["max_error"] == 0 else "bounded"}
    # The layer that keeps the bounds comes after those of the model; alone, it is the predictive mode.
    quality = len(array["layers"]) - bounded
    name = next((card.name for card in list_models() if card.id.startswith(array["model"])), None)
    return {"mode": "learned", "quality": quality, "model_name": name}


def _mode_text(array: dict[str, Any]) -> str:
    if array["mode"] == "lossless":
        return "lossless"
    if array["mode"] == "bounded":
        return "within error bounds"
    name = array["model_name"] or f"{array['model']}, which is not installed"
    then = ", then within error bounds" if _bounds(array) else ""
    return f"learned, quality {array['quality']} of model {name}{then}"


def _bounds(array: dict[str, Any]) -> str:
    absolute, others = array["max_error"], (array["max_relative_error"], array["max_error_sqrt"])
    if not isinstance(absolute, (list, tuple)):
        return bounds_text(absolute, *others)
    names = _band_names(array)
    if not names:
        known = [bound for bound in absolute if bound is not None]
        span = f"{min(known):g} to {max(known):g}, by level"
        return " and ".join(filter(None, [span, bounds_text(None, *others)]))
    each = [
        f"{name} {bounds_text(bound, None, None)}"
        for name, bound in zip(names, absolute, strict=True)
        if bound is not None
    ]
    return " and ".join(filter(None, [", ".join(each), bounds_text(None, *others)]))


def _band_names(array: dict[str, Any]) -> list[str]:
    """Return the names of bands; none where they are mere numbers of the levels of fields."""
    names: list[str] = array["bands"]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    return [] if names == numbers and array["dims"][:-2] != ["band"] else names


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= 72 else f"{text[:69]}..."
