"""`eocodec models`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from eocodec.cli.command import Command
from eocodec.extras import needs


@click.command(
    "models",
    cls=Command,
    examples=(
        ("models", "names, bands, qualities and sizes"),
        ("models --onnx graphs --model s2-rvq", "the decoder's networks"),
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--onnx",
    "onnx_folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the decoder's networks of --model as ONNX graphs into this folder.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Name or id of the model that --onnx writes; by default s2-rvq.",
)
def command(as_json: bool, onnx_folder: Path | None, model: str | None) -> None:
    """List the installed models; `eocodec compress --model` takes a name or id."""
    from eocodec.codec_models import DEFAULT_MODEL, list_feature_models, list_models

    if onnx_folder is not None:
        _write_onnx(model, onnx_folder)
        return
    cards = list_models()
    features = list_feature_models()
    if as_json:
        contents = [*map(asdict, cards), *map(asdict, features)]
        click.echo(json.dumps(contents, indent=2, default=str))
        return
    if not cards:
        click.echo("no models are installed; --lossless works without one")
    for card in cards:
        size = card.weights.stat().st_size / 1e6
        marks = " (default)" if card.name == DEFAULT_MODEL else ""
        click.echo(f"{card.name}{marks}: {card.description}")
        click.echo(f"  id       {card.id}")
        bands = ", ".join(card.bands) if card.ndim == 2 else "any number of levels"
        click.echo(f"  bands    {bands}")
        click.echo(
            f"  quality  1 to {card.layers}, {card.default_layers} by default; "
            f"the first {card.token_layers} layers are tokens"
        )
        click.echo(f"  weights  {size:.2f} MB, {card.licence}")
    for feature in features:
        size = feature.weights.stat().st_size / 1e6
        click.echo(f"{feature.name} (features): {feature.description}")
        click.echo(f"  id       {feature.id}")
        click.echo(f"  bands    {', '.join(feature.bands)}")
        click.echo(
            f"  windows  {feature.side} x {feature.side} pixels to {feature.features} values"
        )
        click.echo(f"  weights  {size:.2f} MB, {feature.licence}")


def _write_onnx(name: str | None, folder: Path) -> None:
    with needs("onnx", "--onnx"):
        from eocodec.onnx_export import export_onnx
    from eocodec.model import load_model

    for path in export_onnx(load_model(name), folder):
        click.echo(path)
