"""Fine-tuning of the synthesis as it will run: integer weights and activations, latents as the codec decodes them.

Rounding passes its gradient unchanged (straight-through estimator; Jacob et al. 2018, quantisation-aware training).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from eocodec.integer_networks import (
    FINER,
    INPUT_LEVELS,
    INPUT_LIMIT,
    RESTORED_LIMIT,
    RESTORED_UNIT,
    STREAM,
)
from eocodec.model import Model
from eocodec.networks import RVQVAE, Conv, Synthesis, branch_layers, linear_map, per_channel
from eocodec.refinement import stage_step
from eocodec.rvq import TOKEN_WEIGHT, choose_tokens, decode_refinement, encode_refinement
from eocodec.training.data import Sampler
from eocodec.training.fields import FieldSampler
from eocodec.training.quantisation import BranchUnits, weight_levels

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodedCrop:
    """Latents (L, …, h, w) of a crop as decoded after a stage of this step, and the coefficients that were coded."""

    latents: FloatArray
    step: float
    coefficients: FloatArray


BATCH = 4


@torch.no_grad()
def decoded_crops(
    model: Model,
    networks: RVQVAE,
    sampler: Sampler | FieldSampler,
    side: int,
    number: int,
    seed: int,
) -> list[DecodedCrop]:
    """Draw crops of so many pixels a side and code them as the codec does, each up to a stage drawn at random."""
    rng = np.random.default_rng(seed)
    crops = []
    for _ in tqdm(range(number), desc="decoded crops", disable=None):
        coefficients = sampler.draw(1, side, rng)
        latents = networks.analysis(torch.from_numpy(coefficients))
        vectors = networks.token_encoder(latents)[0].numpy()
        indices = choose_tokens(model, vectors, TOKEN_WEIGHT)
        mean = model.mean(indices)
        stages = int(rng.integers(1, len(model.stages) + 1))
        bodies, _ = encode_refinement(model, latents[0].numpy() - mean, indices, stages)
        decoded = mean + decode_refinement(model, indices, bodies)
        crops.append(DecodedCrop(decoded, stage_step(stages - 1), coefficients[0]))
    return crops


def _round(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def _integers(x: Tensor, unit: float, low: int, high: int) -> Tensor:
    """Round to multiples of the unit and clamp, as the integer network does."""
    return _round(x / unit).clamp(low, high) * unit


def _conv(layer: Conv, x: Tensor, limit: int) -> Tensor:
    weight = layer.weight
    peak = weight.detach().abs().flatten(1).amax(dim=1).clamp(min=1e-9)
    unit = per_channel(peak / weight_levels(weight.detach().numpy(), limit), weight.ndim - 1)
    convolve = F.conv2d if weight.ndim == 4 else F.conv3d
    return convolve(x, _round(weight / unit) * unit, layer.bias, padding=layer.padding)


def quantised_branch(branch: nn.Sequential, units: BranchUnits, x: Tensor) -> Tensor:
    """Run the branch of the synthesis on latents [B, L, …, h, w] in steps, with the rounding of its integer form."""
    enter, blocks, leave = branch_layers(branch)
    x = _integers(x, 1 / INPUT_LEVELS, -INPUT_LIMIT, INPUT_LIMIT)
    x = _integers(_conv(enter, x, INPUT_LIMIT), units.stream, 0, STREAM)
    for block, inner in zip(blocks, units.inner, strict=True):
        seen = _integers(x, FINER * units.stream, 0, STREAM)
        y = _integers(_conv(block.spatial, seen, STREAM // FINER + 1), inner, 0, 255)
        x = x + _integers(_conv(block.mix, y, 255), units.stream, -STREAM, STREAM)
        x = x.clamp(0, STREAM * units.stream)
    return _integers(_conv(leave, x, STREAM), RESTORED_UNIT, -RESTORED_LIMIT, RESTORED_LIMIT)


def tune_synthesis(
    synthesis: Synthesis,
    units: BranchUnits,
    crops: list[DecodedCrop],
    *,
    steps: int,
    rate: float,
    seed: int,
) -> None:
    """Fine-tune the synthesis in place on crops of one size; the mean error of every stage counts the same."""
    rng = np.random.default_rng(seed)
    stage_steps = sorted({crop.step for crop in crops})
    parameters = [p.requires_grad_(True) for p in synthesis.parameters()]
    optimiser = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    level = dict.fromkeys(stage_steps, 0.0)
    bar = tqdm(range(steps), desc="synthesis", disable=None)
    for number in bar:
        chosen = [crops[i] for i in rng.choice(len(crops), min(BATCH, len(crops)), replace=False)]
        latents = torch.from_numpy(np.stack([c.latents for c in chosen]))
        target = torch.from_numpy(np.stack([c.coefficients for c in chosen]))
        step = torch.tensor([c.step for c in chosen]).reshape(-1, *[1] * (latents.ndim - 1))
        restored = quantised_branch(synthesis.branch, units, latents / step)
        decoded = linear_map(synthesis.basis, latents + step * restored)
        errors = (decoded - target).square().flatten(1).mean(1)
        for crop, error in zip(chosen, errors.tolist(), strict=True):
            old = level[crop.step]
            level[crop.step] = error if old == 0 else old + 0.02 * (error - old)
        weight = torch.tensor([1 / level[c.step] for c in chosen])
        loss = (weight * errors).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if number % 100 == 0:
            bar.set_postfix({f"{s:.3g}": f"{v:.3g}" for s, v in level.items()})
    synthesis.requires_grad_(False)
