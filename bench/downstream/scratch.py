"""A residual network trained from the labels alone: what features must beat (D3.4, section 2.2.5)."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from bench.downstream.features import Features
from bench.downstream.patches import Indices, LabelledPatches, Stack
from bench.downstream.probe import Logits
from eocodec.transforms.resnet import ResNet, ResNetConfig

_BATCH = 32
_VALIDATIONS = 10


@dataclass(frozen=True)
class ScratchConfig:
    """How the network is trained.

    Attributes
    ----------
    network : ResNetConfig
        Its shape.
    epochs, least_steps : int
        It takes as many steps of 32 patches as the epochs hold, at least the second; D3.4 trains for 10 epochs.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises and falls once (OneCycle).
    """

    network: ResNetConfig = field(default_factory=lambda: ResNetConfig(depth=18, width=32))
    epochs: int = 10
    least_steps: int = 300
    learning_rate: float = 2e-3
    weight_decay: float = 0.05


class Classifier(nn.Module):
    """A residual network and a linear layer on bands of mean 0 and deviation 1."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ResNetConfig, classes: int) -> None:
        super().__init__()
        self.trunk = ResNet(config)
        self.head = nn.Linear(config.features, classes)
        self.register_buffer("mean", torch.zeros(config.channels, 1, 1))
        self.register_buffer("deviation", torch.ones(config.channels, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [B, K] of DN [B, C, H, W]."""
        logits: Tensor = self.head(self.trunk((pixels - self.mean) / self.deviation))
        return logits

    def features(self, pixels: Stack) -> Features:
        """Return features (N, D) of DN (N, C, H, W)."""
        self.eval()
        scaled = (_tensor(pixels) - self.mean) / self.deviation
        starts = range(0, len(scaled), _BATCH)
        with torch.inference_mode():
            return torch.cat([self.trunk(scaled[i : i + _BATCH]) for i in starts]).numpy()

    def classify(self, features: Features) -> Logits:
        """Return logits (N, K) of features (N, D)."""
        with torch.inference_mode():
            logits: Tensor = self.head(torch.from_numpy(features))
        return logits.double().numpy()


def train_classifier(
    patches: LabelledPatches, chosen: Indices, config: ScratchConfig, *, seed: int, folder: Path
) -> Classifier:
    """Train on the chosen patches; keep the state with the least cross-entropy on val.

    Flips and quarter turns are drawn anew at every step. The trained network is kept in the folder, and read from
    there when the same patches, settings and seed come again.
    """
    model = Classifier(config.network, len(patches.classes))
    path = folder / f"{_key(patches, chosen, config, seed)}.safetensors"
    if path.exists():
        model.load_state_dict(load_file(path))
        return model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Classifier(config.network, len(patches.classes))
        _train(model, patches, chosen, config, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model


def _train(
    model: Classifier,
    patches: LabelledPatches,
    chosen: Indices,
    config: ScratchConfig,
    rng: np.random.Generator,
) -> None:
    steps = max(config.least_steps, config.epochs * len(chosen) // _BATCH)
    _set_scale(model, patches, chosen)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, steps)
    best, state = float("inf"), model.state_dict()
    for step in range(steps):
        model.train()
        batch = rng.choice(chosen, min(_BATCH, len(chosen)), replace=False)
        pixels = _turned(_tensor(patches.pixels(batch)), rng)
        loss = F.binary_cross_entropy_with_logits(model(pixels), _targets(patches, batch))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if (step + 1) * _VALIDATIONS // steps > step * _VALIDATIONS // steps:
            found = _validate(model, patches)
            if found < best:
                best, state = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(state)


def _validate(model: Classifier, patches: LabelledPatches) -> float:
    """Mean cross-entropy on val."""
    val = patches.splits["val"]
    total = 0.0
    for start in range(0, len(val), _BATCH):
        batch = val[start : start + _BATCH]
        logits = torch.from_numpy(model.classify(model.features(patches.pixels(batch))))
        targets = _targets(patches, batch).double()
        total += F.binary_cross_entropy_with_logits(logits, targets).item() * len(batch)
    return total / len(val)


def _set_scale(model: Classifier, patches: LabelledPatches, chosen: Indices) -> None:
    """Measure the bands on at most 1024 of the patches."""
    pixels = _tensor(patches.pixels(chosen[:1024]))
    model.mean.copy_(pixels.mean((0, 2, 3))[:, None, None])
    model.deviation.copy_(pixels.std((0, 2, 3)).clamp(min=1)[:, None, None])


def _turned(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Flip and turn the batch as one."""
    turned = torch.rot90(pixels, int(rng.integers(4)), (2, 3))
    return turned.flip(3) if rng.integers(2) else turned


def _tensor(pixels: Stack) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32))


def _targets(patches: LabelledPatches, batch: Indices) -> Tensor:
    return torch.from_numpy(patches.labels[batch].astype(np.float32))


def _key(patches: LabelledPatches, chosen: Indices, config: ScratchConfig, seed: int) -> str:
    names = [patches.names[index] for split in (chosen, patches.splits["val"]) for index in split]
    text = repr((patches.name, patches.classes, names, config, seed))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
