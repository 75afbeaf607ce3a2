"""SimCLR training: resumable, with gradient accumulation, mixed precision and the feature-bank evaluation."""

from __future__ import annotations

import math
import os
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

from eocodec.errors import InputError
from eocodec.training.data import load_scenes
from eocodec.training.loop import append_row, find_device
from eocodec.training.ssl.augment import augment
from eocodec.training.ssl.bank import label_distance, neighbour_labels
from eocodec.training.ssl.config import LarsConfig, SimclrConfig
from eocodec.training.ssl.export import export_features
from eocodec.training.ssl.lars import LARS
from eocodec.training.ssl.loss import ProjectionHead, nt_xent
from eocodec.training.ssl.patches import LabelledPatches, Windows, load_labelled
from eocodec.transforms.resnet import ResNet

NEIGHBOURS = 20
VALIDATION_BATCHES = 2
_CHUNK = 256


def learning_rate(config: LarsConfig, step: int) -> float:
    """Rate of a step: linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


class SimclrModel(nn.Module):
    """Network and projection head, from images in DN.

    Parameters
    ----------
    config : SimclrConfig
    mean, deviation : Tensor (10,)
        Of each band of the training data, in DN.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: SimclrConfig, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = ResNet(config.network)
        self.head = ProjectionHead(config.network.features, config.head)
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("deviation", deviation[:, None, None])

    def features(self, images: Tensor) -> Tensor:
        """Features of all scales [B, D] of images [B, 10, H, W], as they are exported."""
        return self.network.pyramid(self.normalise(images))

    def forward(self, images: Tensor) -> Tensor:
        """Projections [B, P] of the last stage's features of images [B, 10, H, W]."""
        projections: Tensor = self.head(self.network(self.normalise(images)))
        return projections

    def normalise(self, images: Tensor) -> Tensor:
        """Bands of mean 0 and deviation 1, channels last."""
        normalised = (images - self.mean) / self.deviation
        return normalised.to(memory_format=torch.channels_last)


class SimclrTrainer:
    """One training run in a folder: ``checkpoint.pt``, ``log.csv``, ``log.png``.

    Windows, their order and their augmentation depend on the seed and the step only, so a folder with a
    checkpoint goes on as if it had never stopped.

    Parameters
    ----------
    config : SimclrConfig
    data, folder : Path
        Scenes with an ``index.json``; the run.
    device : str
    pretrained : Path, optional
        State dict of a classifier with torchvision's names (.safetensors or torch's own file) to start from.
    """

    def __init__(
        self,
        config: SimclrConfig,
        data: Path,
        folder: Path,
        device: str,
        pretrained: Path | None = None,
    ) -> None:
        self.config = config
        self.folder = folder
        self.device = find_device(device)
        seed, side = config.optimiser.seed, config.batches.side + config.augmentation.shift
        self.windows = Windows(load_scenes(data, "train"), side, seed)
        self.validation = Windows(load_scenes(data, "val"), side, seed)
        self.labelled = [load_labelled(data, split) for split in ("train", "val")]
        sample = torch.as_tensor(self.windows.batch(0, 1024)).double()
        mean, deviation = sample.mean((0, 2, 3)), sample.std((0, 2, 3))
        torch.manual_seed(seed)
        self.model = SimclrModel(config, mean.float(), deviation.float())
        if pretrained is not None:
            self.model.network.load_pretrained(read_state(pretrained))
        self.model.to(  # type: ignore[call-overload]
            self.device, memory_format=torch.channels_last
        )
        settings = config.optimiser
        self.optimiser = LARS(
            self.model,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            trust=settings.trust,
        )
        self.step = 0
        self.seconds = 0.0
        self.checkpoint = folder / "checkpoint.pt"
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.resume()

    def resume(self) -> None:
        """Load the folder's checkpoint."""
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise InputError(f"{self.checkpoint} belongs to another configuration") from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self.seconds = state["seconds"]

    def save(self) -> None:
        """Write the checkpoint; a kill while writing leaves the previous one."""
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def contrastive_loss(self, windows: Windows, number: int) -> Tensor:
        """Loss of two views of batch ``number``."""
        images = torch.as_tensor(windows.batch(number, self.config.batches.size)).to(self.device)
        seed = np.random.SeedSequence((windows.seed, number)).generate_state(1)[0]
        generator = torch.Generator(self.device).manual_seed(int(seed))
        views = [augment(images, self.config.augmentation, generator) for _ in range(2)]
        with torch.autocast(self.device.type, torch.bfloat16):
            first, second = self.model(torch.cat(views)).chunk(2)
        return nt_xent(first, second, self.config.head.temperature)

    def update(self) -> float:
        """Take one step on the accumulated gradient of some batches; return their mean loss."""
        rate = learning_rate(self.config.optimiser, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        batches = self.config.batches.accumulate
        total = 0.0
        for number in range(self.step * batches, (self.step + 1) * batches):
            loss = self.contrastive_loss(self.windows, number) / batches
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self.optimiser.step()
        self.step += 1
        return total

    def run(self, *, progress: bool = True, until: int | None = None) -> dict[str, float]:
        """Train to the configured number of steps, or pause at ``until``; return the last figures."""
        settings = self.config.optimiser
        end = settings.steps if until is None else min(until, settings.steps)
        figures: dict[str, float] = {}
        losses = []
        self.model.train()
        bar = tqdm(total=settings.steps, initial=self.step, disable=not progress, unit="step")
        began = time.monotonic()
        while self.step < end:
            losses.append(self.update())
            bar.update()
            if self.step % settings.validate_every == 0 or self.step == end:
                self.seconds += time.monotonic() - began
                figures = {"loss": float(np.mean(losses)), **self.validate()}
                losses.clear()
                self.log(figures)
                self.save()
                bar.set_postfix({name: f"{value:.3g}" for name, value in figures.items()})
                began = time.monotonic()
        bar.close()
        return figures

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Contrastive loss of validation windows; feature-bank figures where patches are labelled."""
        self.model.eval()
        losses = [
            self.contrastive_loss(self.validation, number).item()
            for number in range(VALIDATION_BATCHES)
        ]
        figures = {"validation_loss": float(np.mean(losses))}
        train, val = self.labelled
        if train is not None and val is not None:
            bank, queries = (self.embed(patches) for patches in (train, val))
            known, wanted = (torch.as_tensor(p.labels, device=self.device) for p in (train, val))
            foretold = neighbour_labels(bank, known, queries, neighbours=NEIGHBOURS)
            figures["bank_distance"] = label_distance(wanted, foretold).item()
            hits = foretold.argmax(1) == wanted.argmax(1)
            figures["bank_accuracy"] = hits.double().mean().item()
        self.model.train()
        return figures

    def embed(self, patches: LabelledPatches) -> Tensor:
        """Features [N, D] of patches."""
        images = torch.as_tensor(patches.pixels.astype(np.float32))
        chunks = [self.model.features(c.to(self.device)) for c in torch.split(images, _CHUNK)]
        return torch.cat(chunks)

    def log(self, figures: dict[str, float]) -> None:
        """Append a row to the log and plot it."""
        row = {"step": self.step, "seconds": round(self.seconds, 1), **figures}
        rows = append_row(self.folder / "log.csv", row)
        figure = Figure(figsize=(12, 4), layout="constrained")
        steps = [int(row["step"]) for row in rows]
        for axes, prefix in zip(figure.subplots(1, 2), ("loss", "bank"), strict=True):
            for name in figures:
                if prefix in name:
                    axes.plot(steps, [float(row[name]) for row in rows], label=name)
            axes.set(xlabel="step", ylabel=prefix)
            if axes.lines:
                axes.legend(fontsize="small")
        figure.savefig(self.folder / "log.png", dpi=80)

    def export(self, folder: Path) -> str:
        """Write the model for :class:`eocodec.transforms.simclr.SimclrFeatures`; returns its id."""
        training = (
            f"{self.config.name}, {self.step} steps, "
            f"{self.seconds / 3600:.2f} h on {self.device.type}"
        )
        model, side = self.model, self.windows.side
        return export_features(model.network, model.mean, model.deviation, side, folder, training)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict of tensors: safetensors, or a file of torch.save.

    Raises
    ------
    InputError
        The file is neither.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} holds no state dict") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path} holds no state dict")
    return state
