"""Training configurations: TOML files, read into frozen dataclasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from eocodec.errors import InputError
from eocodec.network_config import NetworkConfig
from eocodec.training.export import ExportSettings
from eocodec.training.hyperprior import HyperpriorConfig
from eocodec.training.objective import ObjectiveConfig
from eocodec.training.reference import ReferenceConfig

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """Adam with a linear warm-up and a cosine decay to a hundredth; ``ema`` averages the weights.

    ``cosine = false`` keeps the learning rate fixed, as D3.4. ``token_start`` is the step at which k-means
    starts the codebooks; before it, token vectors pass unquantised.
    """

    steps: int
    learning_rate: float = 4e-4
    warmup: int = 200
    cosine: bool = True
    token_start: int = 400
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 1
    validate_every: int = 250


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Batches in turn, as (number of crops, side in pixels)."""

    sizes: tuple[tuple[int, int], ...] = ((8, 128), (8, 128), (32, 64))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run; ``family`` is "rvq" (the shipped networks), "reference" (D3.4) or "hyperprior"."""

    name: str
    family: str
    optimiser: OptimiserConfig
    batches: BatchConfig = field(default_factory=BatchConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    reference: ReferenceConfig = field(default_factory=ReferenceConfig)
    hyperprior: HyperpriorConfig = field(default_factory=HyperpriorConfig)
    export: ExportSettings = field(default_factory=ExportSettings)


def shipped_configs() -> list[str]:
    """Names of the configurations that come with the package."""
    folder = resources.files("eocodec.training") / "configs"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def read_table(name_or_path: str) -> dict[str, Any]:
    """Read the TOML of a shipped configuration by name, or of a file by path; with its ``name`` and ``family``.

    Raises
    ------
    InputError
        No such file, or TOML that cannot be parsed.
    """
    path = Path(name_or_path)
    try:
        if path.suffix == ".toml":
            text = path.read_text()
        else:
            folder = resources.files("eocodec.training") / "configs"
            text = (folder / f"{name_or_path}.toml").read_text()
        data = tomllib.loads(text)
    except OSError:
        known = ", ".join(shipped_configs())
        raise InputError(f"no training configuration {name_or_path!r} (shipped: {known})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name_or_path}: {error}") from error
    return {"name": path.stem, "family": "rvq", **data}


def load_config(name_or_path: str) -> TrainingConfig:
    """Read the configuration of a codec by name of a shipped one, or by path.

    Raises
    ------
    InputError
        No such file, TOML that cannot be parsed, or a key that does not exist.
    """
    data = read_table(name_or_path)
    return TrainingConfig(
        name=str(data["name"]),
        family=str(data["family"]),
        optimiser=parse_table(OptimiserConfig, data.get("optimiser", {})),
        batches=parse_table(BatchConfig, data.get("batches", {})),
        network=parse_table(NetworkConfig, data.get("network", {})),
        objective=parse_table(ObjectiveConfig, data.get("objective", {})),
        reference=parse_table(ReferenceConfig, data.get("reference", {})),
        hyperprior=parse_table(HyperpriorConfig, data.get("hyperprior", {})),
        export=parse_table(ExportSettings, data.get("export", {})),
    )


def parse_table(kind: type[T], table: dict[str, Any]) -> T:
    """Build a dataclass from the keys of a TOML table.

    Raises
    ------
    InputError
        A key that the dataclass does not have, or one that it needs.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - known)
    if unknown:
        raise InputError(
            f"unknown training setting {', '.join(unknown)}; {kind.__name__} has {known}"
        )
    try:
        return kind(**{name: _frozen(value) for name, value in table.items()})
    except TypeError as error:
        raise InputError(str(error)) from error


def _frozen(value: Any) -> Any:
    """Return lists as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
