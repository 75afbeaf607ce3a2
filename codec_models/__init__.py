"""Shipped models: one folder each with ``weights.safetensors``, ``card.json`` and a readable ``README.md``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from eocodec.errors import ModelError

DEFAULT_MODEL = "s2-rvq"
FIELD_MODEL = "cams-rvq"
"""For fields of netCDF and GRIB files."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is for.

    Attributes
    ----------
    name : str
        Folder name.
    id : str
        SHA-256 of the weights file, 64 hexadecimal digits.
    description : str
        One line.
    bands : tuple of str
        Bands it was trained on, in order; none with ``ndim`` 3.
    ndim : int
        2: a tile is one block of bands; 3: it has any number of levels.
    layers, default_layers : int
        Layers it can write, and the default quality.
    token_layers : int
        How many of the layers are tokens.
    licence : str
        Licence of the weights.
    weights : Path
        The safetensors file.
    """

    name: str
    id: str
    description: str
    bands: tuple[str, ...]
    ndim: int
    layers: int
    default_layers: int
    token_layers: int
    licence: str
    weights: Path

    @classmethod
    def from_json(cls, folder: Path, data: dict[str, Any]) -> ModelCard:
        """Build a card from the content of ``card.json``."""
        return cls(
            name=folder.name,
            id=data["id"],
            description=data["description"],
            bands=tuple(data["bands"]),
            ndim=data.get("ndim", 2),
            layers=data["layers"],
            default_layers=data["default_layers"],
            token_layers=data["token_layers"],
            licence=data["licence"],
            weights=folder / "weights.safetensors",
        )


@dataclass(frozen=True)
class FeatureCard:
    """What a feature model, which makes no files, is for.

    Attributes
    ----------
    name, id, description, bands, licence, weights
        As :class:`ModelCard`.
    features : int
        Length of a feature vector.
    side : int
        Pixels of the windows it was trained on.
    """

    name: str
    id: str
    description: str
    bands: tuple[str, ...]
    features: int
    side: int
    licence: str
    weights: Path

    @classmethod
    def from_json(cls, folder: Path, data: dict[str, Any]) -> FeatureCard:
        """Build a card from the content of ``card.json``."""
        return cls(
            name=folder.name,
            id=data["id"],
            description=data["description"],
            bands=tuple(data["bands"]),
            features=data["features"],
            side=data["side"],
            licence=data["licence"],
            weights=folder / "weights.safetensors",
        )


def _read_cards(kind: str) -> list[tuple[Path, dict[str, Any]]]:
    """Folders and contents of the cards of a kind, by name."""
    root = Path(str(resources.files(__name__)))
    cards = [(path.parent, json.loads(path.read_text())) for path in root.glob("*/card.json")]
    return sorted((c for c in cards if c[1].get("kind", "codec") == kind), key=lambda c: c[0])


@cache
def list_models() -> tuple[ModelCard, ...]:
    """Return the cards of all shipped codec models, by name."""
    return tuple(ModelCard.from_json(*card) for card in _read_cards("codec"))


@cache
def list_feature_models() -> tuple[FeatureCard, ...]:
    """Return the cards of all shipped feature models, by name."""
    return tuple(FeatureCard.from_json(*card) for card in _read_cards("features"))


def find_card(name_or_id: str | None = None) -> ModelCard:
    """Find a model by name or by at least eight digits of its id; None is the default model.

    Raises
    ------
    ModelError
        No shipped model matches.
    """
    wanted = DEFAULT_MODEL if name_or_id is None else name_or_id
    for card in list_models():
        if _matches(card, wanted):
            return card
    known = ", ".join(f"{card.name} ({card.id[:8]})" for card in list_models()) or "none"
    raise ModelError(f"model {wanted!r} is not installed (installed: {known})")


def find_feature_card(name_or_id: str) -> FeatureCard:
    """Find a feature model by name or by at least eight digits of its id.

    Raises
    ------
    ModelError
        No shipped feature model matches.
    """
    for card in list_feature_models():
        if _matches(card, name_or_id):
            return card
    known = ", ".join(f"{card.name} ({card.id[:8]})" for card in list_feature_models()) or "none"
    raise ModelError(f"feature model {name_or_id!r} is not installed (installed: {known})")


def _matches(card: ModelCard | FeatureCard, name_or_id: str) -> bool:
    return name_or_id == card.name or (
        len(name_or_id) >= 8 and card.id.startswith(name_or_id.lower())
    )
