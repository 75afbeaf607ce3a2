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
from eocodec.encoder import PARTS as ENCODER_PARTS
from eocodec.integer_networks import MEAN_LIMIT, SCALE_LIMIT, IntegerConv, per_channel
from eocodec.model import build_model
from eocodec.networks import RVQVAE, Synthesis
from eocodec.training.data import Sampler
from eocodec.training.fields import FieldSampler
from eocodec.training.latents import UNIT_LOG2, collect_latents, restoring_input
from eocodec.training.quantisation import (
    BranchUnits,
    calibrate_branch,
    integer_linear_map,
    integer_restoring_network,
    integer_token_network,
)
from eocodec.training.tables import FIRST_CLASS, fit_stages, fit_tokens
from eocodec.training.tuning import decoded_crops, tune_synthesis

MEAN_LEVEL = 1 / 256
"""Integer unit of the predicted mean, relative to the gain of each latent."""


def _conv_tensors(name: str, layer: IntegerConv) -> dict[str, npt.NDArray[Any]]:
    return {
        f"{name}.weight": layer.weight,
        f"{name}.bias": layer.bias,
        f"{name}.multiplier": layer.multiplier,
    }


def _synthesis_tensors(synthesis: Synthesis, units: BranchUnits) -> dict[str, npt.NDArray[Any]]:
    restoring = integer_restoring_network(synthesis.branch, units)
    tensors = {"linear.weight": integer_linear_map(synthesis.basis).weight}
    for part in ("enter", "leave"):
        tensors |= _conv_tensors(f"restoring.{part}", getattr(restoring, part))
    for number, block in enumerate(restoring.blocks):
        tensors |= _conv_tensors(f"restoring.{number}.spatial", block.spatial)
        tensors |= _conv_tensors(f"restoring.{number}.mix", block.mix)
    return tensors


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Sizes of the fit (crops as number and side, refinement stages, context network), and what the card says."""

    description: str = "Sentinel-2, up to ten bands at 10 m, reflectance x 10000"
    licence: str = "Apache-2.0"
    default_stages: int = 2

    crops: tuple[tuple[int, int], ...] = ((48, 256), (48, 128), (80, 64))
    stages: int = 5
    context_width: int = 96
    context_steps: int = 1500
    tuning_crops: int = 1200
    tuning_side: int = 128
    tuning_steps: int = 4000
    tuning_rate: float = 5e-5
    seed: int = 7


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
    codebooks = networks.quantizer.codebooks
    rng = np.random.default_rng(settings.seed)
    calibration = []
    with torch.no_grad():
        for _ in range(8):
            batch = torch.from_numpy(sampler.alike().draw(8, settings.tuning_side, rng))
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
    smooth, tables, context = fit_stages(
        samples, settings.stages, settings.context_width, settings.context_steps, settings.seed
    )
    tokens = fit_tokens(samples, codebooks)
    tensors: dict[str, npt.NDArray[Any]] = {"codebooks": codebooks.numpy()}
    for name, value in networks.state_dict().items():
        if name.startswith(ENCODER_PARTS):
            tensors[name] = value.half().numpy()
    tensors["mean.unit"] = mean_unit
    for name, network in (("mean", mean), ("scale", scale)):
        tensors[f"{name}.embedding"] = network.embedding
        for part in ("spatial", "expand", "project"):
            tensors |= _conv_tensors(f"{name}.{part}", getattr(network, part))
    for part in ("enter", "spatial", "leave"):
        tensors |= _conv_tensors(f"context.{part}", getattr(context, part))
    tensors["smooth.channels"] = smooth.channels
    tensors["smooth.weight"] = smooth.weight
    tensors["smooth.offset"] = smooth.offset
    tensors["tables.counts"] = np.stack([t.counts for t in tables])
    tensors["tables.points"] = np.stack([t.points for t in tables])
    tensors["tokens.counts"] = tokens.counts
    tensors["tokens.cluster"] = tokens.cluster
    metadata = {"network": json.dumps(asdict(networks.config)), "first_class": str(FIRST_CLASS)}

    synthesis = networks.synthesis
    inputs = restoring_input(samples, predict, settings.stages)
    units = calibrate_branch(synthesis.branch, inputs)
    start = tensors | _synthesis_tensors(synthesis, units)
    model = build_model(find_card(), metadata, start)
    crops = decoded_crops(
        model,
        networks,
        sampler.alike(),
        settings.tuning_side,
        settings.tuning_crops,
        settings.seed + 2,
    )
    tune_synthesis(
        synthesis,
        units,
        crops,
        steps=settings.tuning_steps,
        rate=settings.tuning_rate,
        seed=settings.seed + 3,
    )
    tensors |= _synthesis_tensors(synthesis, units)
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
