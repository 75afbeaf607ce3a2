"""`eocodec train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from eocodec.cli.command import AT_LEAST_ONE, Command
from eocodec.extras import needs


@click.command(
    "train",
    cls=Command,
    sections={
        "Input and output": ("data", "out", "pretrained", "export_to"),
        "Training": ("steps", "device", "threads"),
    },
    examples=(
        ("train s2-rvq --data scenes --out runs/s2 --export runs/s2/model", ""),
        ("train d34-reference --data scenes --out runs/d34 --device cuda", ""),
        ("train ssl-s2 --data scenes --out runs/ssl --export runs/ssl/model", ""),
    ),
)
@click.argument("config")
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of scenes with an index.json (splits train and val).",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the run: checkpoint, log.csv, log.png. One that has a checkpoint is resumed.",
)
@click.option(
    "--steps",
    type=AT_LEAST_ONE,
    metavar="N",
    help="Optimiser steps to train for; by default those of CONFIG.",
)
@click.option("--device", default="cpu", metavar="DEVICE", help="cpu or cuda.")
@click.option(
    "--threads", type=AT_LEAST_ONE, metavar="N", help="Processor threads; by default all."
)
@click.option(
    "--pretrained",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Start a feature network from a classifier's weights with torchvision's names (ImageNet).",
)
@click.option(
    "--export",
    "export_to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
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
    """Train the networks of CONFIG (a codec, or features), a TOML file or the name of a shipped configuration."""
    with needs("train", "training"):
        import torch

        from eocodec.training.config import load_config, read_table
        from eocodec.training.loop import Trainer
        from eocodec.training.ssl.config import simclr_config
        from eocodec.training.ssl.loop import SimclrTrainer

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
