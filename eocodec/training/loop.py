"""The training loop: resumable, with a progress bar, validation and a CSV/PNG log."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from eocodec.errors import InputError
from eocodec.networks import RVQVAE
from eocodec.training.config import TrainingConfig
from eocodec.training.data import Sampler, load_scenes
from eocodec.training.export import export_model
from eocodec.training.fields import FieldSampler, load_fields, validation_fields
from eocodec.training.hyperprior import Hyperprior, HyperpriorObjective
from eocodec.training.objective import Objective
from eocodec.training.reference import ReferenceAutoencoder, ReferenceObjective

VALIDATION_LOG2_STEPS = (-2.0, -1.0, 0.0, 1.0)


class Trainable(Protocol):
    """What the loop needs of an objective."""

    model: Any

    def encode_tokens(self, components: Tensor) -> Tensor:
        """Vectors [B, D, h, w] that the codebooks quantise."""

    def loss(self, components: Tensor, *, quantise_tokens: bool) -> dict[str, Tensor]:
        """Loss of a batch, under the key "loss"."""

    def validate(self, tiles: list[Any], log2_steps: tuple[float, ...]) -> dict[str, float]:
        """Figures on the validation tiles."""


def build(config: TrainingConfig) -> tuple[Trainable, float]:
    """Build the objective (with its model) of a configuration, and the DN of one network unit."""
    if config.family == "rvq":
        return Objective(RVQVAE(config.network), config.objective), config.network.unit
    if config.family == "reference":
        reference = ReferenceAutoencoder(config.reference)
        return ReferenceObjective(reference), config.reference.unit
    if config.family == "hyperprior":
        return HyperpriorObjective(Hyperprior(config.hyperprior)), config.hyperprior.unit
    raise InputError(f"unknown model family {config.family!r}: rvq, reference or hyperprior")


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Warm-up, then cosine decay to 1 % of the configured rate (or none)."""
    optimiser = config.optimiser
    warm = min(1.0, (step + 1) / optimiser.warmup)
    if not optimiser.cosine:
        return optimiser.learning_rate * warm
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / optimiser.steps)))
    return optimiser.learning_rate * warm * (0.01 + 0.99 * cosine)


class Trainer:
    """One training run in a folder: ``checkpoint.pt``, ``log.csv``, ``log.png``.

    A folder with a checkpoint is resumed: weights, averages, optimiser, random state and batch number.
    """

    def __init__(self, config: TrainingConfig, data: Path, folder: Path, device: str) -> None:
        self.config = config
        self.folder = folder
        self.device = find_device(device)
        torch.manual_seed(config.optimiser.seed)
        self.objective, self.unit = build(config)
        fields = config.family == "rvq" and config.network.ndim == 3
        self.memory_format = torch.contiguous_format if fields else torch.channels_last
        self.model: nn.Module = self.objective.model.to(
            self.device, memory_format=self.memory_format
        )
        self.average = copy.deepcopy(self.model)
        self.optimiser = torch.optim.Adam(self.model.parameters(), config.optimiser.learning_rate)
        self.step = 0
        self.seconds = 0.0
        self.sampler: Sampler | FieldSampler
        if fields:
            self.sampler = FieldSampler(load_fields(data, "train"), config.network)
            self.tiles = validation_fields(load_fields(data, "val"), config.network)
        else:
            spectral = config.family == "rvq"
            self.sampler = Sampler(load_scenes(data, "train"), self.unit, spectral=spectral)
            validation = [s for s in load_scenes(data, "val") if "/" not in s.name]
            self.tiles = Sampler(validation, self.unit, spectral=spectral).whole()
        self.checkpoint = folder / "checkpoint.pt"
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.resume()

    def start(self) -> None:
        """Start the linear transforms from principal components."""
        side = max(size for _, size in self.config.batches.sizes)
        batches = self.sampler.alike().stream(((32, side),), self.config.optimiser.seed + 1)
        sample = torch.cat([torch.as_tensor(next(batches)) for _ in range(6)])
        self.objective.model.start_from_pca(sample.to(self.device))
        self.average.load_state_dict(self.model.state_dict())

    def start_codebooks(self) -> None:
        """Start the codebooks by k-means on the token vectors of a few batches."""
        batches = self.sampler.stream(self.config.batches.sizes, self.config.optimiser.seed + 2)
        vectors = []
        with torch.no_grad():
            for _ in range(48):
                batch = torch.as_tensor(next(batches), device=self.device)
                vectors.append(self.objective.encode_tokens(batch).movedim(1, -1).flatten(0, -2))
        sample = torch.cat(vectors)
        self.objective.model.quantizer.kmeans(sample[torch.randperm(len(sample))[:60_000]])

    def resume(self) -> None:
        """Load the folder's checkpoint."""
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise InputError(
                f"{self.checkpoint} belongs to another configuration: {error}"
            ) from error
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"].cpu())
        self.step = state["step"]
        self.seconds = state["seconds"]

    def save(self) -> None:
        """Write the checkpoint; a kill while writing leaves the previous one."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def update(self, batch: Tensor) -> dict[str, Tensor]:
        """Take one step on a batch."""
        settings = self.config.optimiser
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        with torch.autocast(self.device.type, torch.bfloat16):
            losses = self.objective.loss(batch, quantise_tokens=self.step >= settings.token_start)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimiser.step()
        decay = min(settings.ema, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            source = self.model.state_dict()
            for name, value in self.average.state_dict().items():
                if name.startswith("quantizer."):
                    value.copy_(source[name])
                else:
                    value.lerp_(source[name], 1 - decay)
        return losses

    def run(self, *, progress: bool = True, until: int | None = None) -> dict[str, float]:
        """Train to the configured number of steps, or pause at ``until``; return the last figures."""
        settings = self.config.optimiser
        end = settings.steps if until is None else min(until, settings.steps)
        if self.step == 0:
            self.start()
        figures: dict[str, float] = {}
        batches = self.sampler.stream(self.config.batches.sizes, settings.seed, self.step)
        bar = tqdm(total=settings.steps, initial=self.step, disable=not progress, unit="step")
        began = time.monotonic()
        while self.step < end:
            if self.step == settings.token_start:
                self.start_codebooks()
            batch = torch.as_tensor(next(batches)).to(self.device, memory_format=self.memory_format)
            losses = self.update(batch)
            self.step += 1
            bar.update()
            if self.step % settings.validate_every == 0 or self.step == end:
                self.seconds += time.monotonic() - began
                figures = self.validate({k: v.item() for k, v in losses.items()})
                self.save()
                bar.set_postfix({k: f"{v:.3g}" for k, v in list(figures.items())[:4]})
                began = time.monotonic()
        bar.close()
        batches.close()  # type: ignore[attr-defined]
        return figures

    def export(self, folder: Path) -> str:
        """Fit the tables to the averaged networks and write the model; returns its id.

        Raises
        ------
        InputError
            The networks are not of the shipped family.
        """
        networks = copy.deepcopy(self.average).cpu()
        if not isinstance(networks, RVQVAE):
            raise InputError("only models of the rvq family have a bitstream to export")
        steps = f"{self.config.name}, {self.step} steps, {self.seconds / 3600:.2f} h on {self.device.type}"
        return export_model(networks, self.sampler, folder, steps, self.config.export)

    def validate(self, losses: dict[str, float]) -> dict[str, float]:
        """Validate the averaged weights and append a row to the log."""
        trained = self.objective.model
        self.objective.model = self.average
        figures = self.objective.validate(self.tiles, VALIDATION_LOG2_STEPS)
        self.objective.model = trained
        row = {"step": self.step, "seconds": round(self.seconds, 1), **losses, **figures}
        plot(append_row(self.folder / "log.csv", row), self.folder / "log.png")
        return figures


def append_row(path: Path, row: dict[str, Any]) -> list[dict[str, Any]]:
    """Append a row to a CSV log, in place of rows of its step and later ones; return all rows."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [r for r in csv.DictReader(file) if int(r["step"]) < row["step"]]
    rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def find_device(name: str) -> torch.device:
    """Return a device that is there.

    Raises
    ------
    InputError
        It is not.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is available; use --device cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}: cpu or cuda") from error


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot rate, distortion and codebook entropy against the training step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    steps = [int(row["step"]) for row in rows]
    kinds = (("bpppb", "rate [bpppb]"), ("rmse", "RMSE [DN]"), ("entropy", "entropy [bit]"))
    for axes, (prefix, label) in zip(figure.subplots(1, 3), kinds, strict=True):
        for name in rows[-1]:
            if name.startswith(prefix):
                axes.plot(steps, [float(row[name]) for row in rows], label=name)
        axes.set(xlabel="step", ylabel=label, yscale="linear" if prefix == "entropy" else "log")
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=80)
