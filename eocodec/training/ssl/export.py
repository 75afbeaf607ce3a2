"""Write a trained feature network: weights of eight bits and the card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from eocodec.bands import MODEL_BANDS
from eocodec.transforms.resnet import ResNet

DESCRIPTION = "SimCLR features of Sentinel-2 windows of ten bands at 10 m"
LICENCE = "Apache-2.0"


def quantise_filters(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round filters [O, I, h, w] to int8, with the float32 scale (O,) that gives each its largest weight."""
    scale = weight.abs().amax((1, 2, 3)).clamp(min=1e-12) / 127
    return torch.round(weight / scale[:, None, None, None]).to(torch.int8), scale


def export_features(
    network: ResNet, mean: Tensor, deviation: Tensor, side: int, folder: Path, training: str
) -> str:
    """Write ``weights.safetensors`` and ``card.json``; returns the id, the SHA-256 of the weights.

    Parameters
    ----------
    network : ResNet
    mean, deviation : Tensor
        Of the ten bands, in DN.
    side : int
        Pixels of the windows it was trained on.
    folder : Path
    training : str
        How it was trained, for the card.
    """
    tensors = {"mean": mean.flatten(), "deviation": deviation.flatten()}
    for name, value in network.state_dict().items():
        if value.ndim == 4:
            tensors[name], tensors[f"{name}.scale"] = quantise_filters(value)
        elif value.is_floating_point():
            tensors[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.safetensors"
    metadata = {"network": json.dumps(asdict(network.config))}
    save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, path, metadata)
    path.chmod(0o644)
    card = {
        "id": hashlib.sha256(path.read_bytes()).hexdigest(),
        "kind": "features",
        "bands": list(MODEL_BANDS),
        "features": network.config.pyramid,
        "side": side,
        "description": DESCRIPTION,
        "licence": LICENCE,
        "training": training,
    }
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return str(card["id"])
