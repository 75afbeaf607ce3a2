"""Configuration of a self-supervised run: a TOML file, read into frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from eocodec.training.config import parse_table
from eocodec.training.ssl.augment import AugmentationConfig
from eocodec.transforms.resnet import ResNetConfig


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Projection head: ``hidden`` and ``outputs`` units; ``temperature`` of the NT-Xent loss."""

    hidden: int = 128
    outputs: int = 64
    temperature: float = 0.07


@dataclass(frozen=True, kw_only=True)
class LarsConfig:
    """LARS with a linear warm-up and one cosine decay to zero over ``steps``, without restarts.

    ``trust`` multiplies every layer's ratio of norms. A checkpoint is written every ``validate_every`` steps.
    """

    steps: int
    learning_rate: float = 0.3
    warmup: int = 50
    momentum: float = 0.9
    weight_decay: float = 1e-4
    trust: float = 1e-3
    seed: int = 1
    validate_every: int = 100


@dataclass(frozen=True, kw_only=True)
class BatchesConfig:
    """``accumulate`` batches of ``size`` windows make a step; views have a side of ``side`` pixels."""

    size: int = 128
    accumulate: int = 8
    side: int = 64


@dataclass(frozen=True, kw_only=True)
class SimclrConfig:
    """One run."""

    name: str
    optimiser: LarsConfig
    network: ResNetConfig = field(default_factory=ResNetConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    batches: BatchesConfig = field(default_factory=BatchesConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


def simclr_config(table: dict[str, Any]) -> SimclrConfig:
    """Build the configuration of a parsed TOML file.

    Raises
    ------
    InputError
        A key that does not exist, or no number of steps.
    """
    return SimclrConfig(
        name=str(table["name"]),
        optimiser=parse_table(LarsConfig, table.get("optimiser", {})),
        network=parse_table(ResNetConfig, table.get("network", {})),
        head=parse_table(HeadConfig, table.get("head", {})),
        batches=parse_table(BatchesConfig, table.get("batches", {})),
        augmentation=parse_table(AugmentationConfig, table.get("augmentation", {})),
    )
