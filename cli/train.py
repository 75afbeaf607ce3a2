"""`eocodec train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click


@click.command("train")
@click.argument("config")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of scenes with an index.json (splits train and val).",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run: checkpoint, log.csv, log.png. One that has a checkpoint is resumed.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Train for this many steps.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads; all by default.")
@click.option(
    "--pretrained",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start a feature network from a classifier's weights with torchvision's names (ImageNet).",
)
@click.option(
    "--export",
    "export_to",
    type=click.Path(file_okay=False, path_type=Path),
    help="At the end, write the model (weights and card; of a codec its fitted tables) into this folder.",
)
def command(
    config: str,
    data: Path,
    out: Path,
    steps: int | None,
    device: str,
    threads: int | None,
    pretrained: Path | None,
    export_to: Path | None,
) -> None:
    """Train the networks of CONFIG (a codec, or features), a TOML file or the name of a shipped configuration.

    \b
    eocodec train s2-rvq --data scenes --out runs/s2 --export runs/s2/model
    eocodec train d34-reference --data scenes --out runs/d34 --device cuda
    eocodec train ssl-s2 --data scenes --out runs/ssl --export runs/ssl/model
    """
    try:
        import torch

        from eocodec.training.config import load_config, read_table
        from eocodec.training.loop import Trainer
        from eocodec.training.ssl.config import simclr_config
        from eocodec.training.ssl.loop import SimclrTrainer
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is not installed: pip install 'eocodec[train]'"
        ) from error

    if threads is not None:
        torch.set_num_threads(threads)
    trainer: Trainer | SimclrTrainer
    table = read_table(config)
    if table["family"] == "simclr":
        features = simclr_config(table)
        if steps is not None:
            features = replace(features, optimiser=replace(features.optimiser, steps=steps))
        trainer = SimclrTrainer(features, data, out, device, pretrained)
    elif pretrained is not None:
        raise click.UsageError("--pretrained starts feature networks (family simclr) only")
    else:
        codec = load_config(config)
        if steps is not None:
            codec = replace(codec, optimiser=replace(codec.optimiser, steps=steps))
        trainer = Trainer(codec, data, out, device)
    for name, value in trainer.run().items():
        click.echo(f"{name:16} {value:.4f}")
    if export_to is not None:
        click.echo(f"model {trainer.export(export_to)} written to {export_to}")
