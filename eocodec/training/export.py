"""From a trained network to a shipped model: integer networks, learned tables, weights and card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file

from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import find_card
from eocodec.encoder import PART as ENCODER_PART
from eocodec.integer_networks import MEAN_LIMIT, SCALE_LIMIT, IntegerConv, per_channel
from eocodec.model import build_model
from eocodec.networks import RVQVAE
from eocodec.training.data import Sampler
from eocodec.training.fields import FieldSampler
from eocodec.training.latents import UNIT_LOG2, collect_latents
from eocodec.training.quantisation import (
    integer_linear_map,
    integer_token_network,
)
from eocodec.training.tables import FIRST_CLASS, fit_stages, fit_tokens

MEAN_LEVEL = 1 / 256
"""Integer unit of the predicted mean, relative to the gain of each latent."""


def _conv_tensors(name: str, layer: IntegerConv) -> dict[str, npt.NDArray[Any]]:
    return {
        f"{name}.weight": layer.weight,
        f"{name}.bias": layer.bias,
        f"{name}.multiplier": layer.multiplier,
    }


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Sizes of the fit (crops as number and side, refinement stages), and what the card says.

    Weights of the synthesis below ``least_weight`` become zero.
    """

    description: str = "Sentinel-2, up to ten bands at 10 m, reflectance x 10000"
    licence: str = "Apache-2.0"
    default_stages: int = 2

    crops: tuple[tuple[int, int], ...] = ((48, 256), (48, 128), (80, 64))
    stages: int = 5
    calibration_side: int = 128
    seed: int = 7
    least_weight: float = 0.0


def export_model(
    networks: RVQVAE,
    sampler: Sampler | FieldSampler,
    folder: Path,
    training: str,
    settings: ExportSettings,
) -> str:
    """Fit what follows the networks and write ``weights.safetensors`` and ``card.json``; returns the id.

    Parameters
    ----------
    networks : RVQVAE
        Trained (averaged) weights, on the CPU.
    training : str
        How the networks were trained, for the card.
    """
    networks = networks.eval().requires_grad_(False)
    for parameter in networks.parameters():
        parameter.data = parameter.data.half().float()
    basis = networks.synthesis.basis
    basis[basis.abs() < settings.least_weight] = 0
    networks.analysis.basis.copy_(torch.linalg.pinv(basis))
    codebooks = networks.quantizer.codebooks
    rng = np.random.default_rng(settings.seed)
    calibration = []
    with torch.no_grad():
        for _ in range(8):
            batch = torch.from_numpy(sampler.alike().draw(8, settings.calibration_side, rng))
            vectors = networks.token_encoder(networks.analysis(batch))
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, _ = networks.quantizer.quantise(flat)
            calibration.append(indices.reshape(-1, 8, *vectors.shape[2:]))
    calibrated = torch.cat(calibration, dim=1)
    scale = integer_token_network(networks.scale, codebooks, calibrated, UNIT_LOG2, SCALE_LIMIT)
    mean = integer_token_network(networks.mean, codebooks, calibrated, MEAN_LEVEL, MEAN_LIMIT)
    mean_unit = (networks.mean.gain.flatten() * MEAN_LEVEL).numpy().astype(np.float32)

    def predict(index: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        levels = mean(index)
        return levels * per_channel(mean_unit, levels.ndim)

    samples = collect_latents(
        networks, predict, scale, sampler, list(settings.crops), settings.seed + 1
    )
    smooth, tables, trellis = fit_stages(samples, settings.stages)
    tokens = fit_tokens(samples, codebooks)
    tensors: dict[str, npt.NDArray[Any]] = {"codebooks": codebooks.numpy()}
    for name, value in networks.state_dict().items():
        if name.startswith(ENCODER_PART):
            tensors[name] = value.half().numpy()
    tensors["mean.unit"] = mean_unit
    for name, network in (("mean", mean), ("scale", scale)):
        tensors[f"{name}.embedding"] = network.embedding
        for part in ("spatial", "expand", "project"):
            tensors |= _conv_tensors(f"{name}.{part}", getattr(network, part))
    tensors["smooth.channels"] = smooth.channels
    tensors["smooth.weight"] = smooth.weight
    tensors["smooth.offset"] = smooth.offset
    tensors["tables.counts"] = np.stack([t.counts for t in tables])
    tensors["tables.points"] = np.stack([t.points for t in tables])
    tensors["trellis.counts"] = np.stack([t.counts for t in trellis])
    tensors["trellis.points"] = np.stack([t.points for t in trellis])
    tensors["tokens.counts"] = tokens.counts
    tensors["tokens.cluster"] = tokens.cluster
    tensors["linear.weight"] = integer_linear_map(basis).weight
    metadata = {"network": json.dumps(asdict(networks.config)), "first_class": str(FIRST_CLASS)}
    build_model(find_card(), metadata, tensors)  # proves the integer networks exact
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.safetensors"
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    content = {
        "id": digest,
        "bands": list(MODEL_BANDS) if networks.config.ndim == 2 else [],
        "ndim": networks.config.ndim,
        "layers": networks.config.token_stages + settings.stages,
        "token_layers": networks.config.token_stages,
        "default_layers": networks.config.token_stages + settings.default_stages,
        "description": settings.description,
        "licence": settings.licence,
        "training": training,
    }
    (folder / "card.json").write_text(json.dumps(content, indent=2) + "\n")
    return digest
