"""The rate-distortion objective of the shipped model.

All rates are relative to the quantiser's step: a sample draws its own step, so that one set of weights serves
every quality (D3.4 2.3.1: the number of stages is drawn a sample; a refinement stage has a third of the step before).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from eocodec.networks import RVQVAE

DEAD_ZONE = 0.6
"""Rounding threshold in steps, close to what entropy-constrained assignment does at encoding."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the objective; steps are log2 of network units, drawn uniformly between the two."""

    distortion: float = 6.0
    commitment: float = 0.25
    token_distortion: float = 0.1
    log2_step_low: float = -3.0
    log2_step_high: float = 2.4
    all_stages: float = 0.6


def logistic_bits(residual: Tensor, step: Tensor, log2_scale: Tensor) -> Tensor:
    """Bits of residuals quantised with ``step`` under a zero-mean logistic of scale ``2**log2_scale``."""
    inverse = torch.exp2(-log2_scale)
    low = torch.sigmoid((-residual.abs() - step / 2) * inverse)
    high = torch.sigmoid((-residual.abs() + step / 2) * inverse)
    return -torch.log2((high - low).clamp(min=1e-7))


def dead_zone_round(units: Tensor) -> Tensor:
    """Round towards zero below ``DEAD_ZONE`` of the next integer."""
    return units.sign() * (units.abs() + (1 - DEAD_ZONE)).floor()


class Objective:
    """Computes the training loss and the validation figures of an :class:`RVQVAE`."""

    def __init__(self, model: RVQVAE, config: ObjectiveConfig) -> None:
        self.model = model
        self.config = config

    def encode_tokens(self, coefficients: Tensor) -> Tensor:
        """Coefficients [B, samples, …, h, w] -> token vectors [B, D, …, h/2, w/2]."""
        out: Tensor = self.model.token_encoder(self.model.analysis(coefficients))
        return out

    def tokens(
        self, latents: Tensor, *, quantise: bool, drop: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode and quantise tokens: the vectors with straight-through gradient, h, all indices."""
        quantizer = self.model.quantizer
        vectors = self.model.token_encoder(latents)
        if not quantise:
            return vectors, vectors, torch.zeros(quantizer.stages, 0, dtype=torch.long)
        flat = vectors.detach().movedim(1, -1).flatten(0, -2)
        indices, totals = quantizer.quantise(flat)
        samples = len(latents)
        count = torch.full((samples,), quantizer.stages, device=latents.device)
        if drop:
            some = torch.randint(1, quantizer.stages + 1, (samples,), device=latents.device)
            keep_all = torch.rand(samples, device=latents.device) < self.config.all_stages
            count = torch.where(keep_all, count, some)
        totals = totals.reshape(quantizer.stages, samples, -1, vectors.shape[1])
        chosen = totals[count - 1, torch.arange(samples, device=latents.device)]
        chosen = chosen.reshape(samples, *vectors.shape[2:], -1).movedim(-1, 1)
        return vectors + (chosen - vectors).detach(), vectors, indices

    def loss(self, coefficients: Tensor, *, quantise_tokens: bool) -> dict[str, Tensor]:
        """Loss of a batch [B, samples, …, h, w]; updates the codebooks when tokens are quantised."""
        config, model = self.config, self.model
        each = [1] * (coefficients.ndim - 1)
        log2_step = torch.empty(len(coefficients), *each, device=coefficients.device)
        step = torch.exp2(log2_step.uniform_(config.log2_step_low, config.log2_step_high))
        latents = model.analysis(coefficients)
        chosen, vectors, indices = self.tokens(latents, quantise=quantise_tokens, drop=True)
        mean = model.mean(chosen)
        log2_scale = model.scale(chosen).clamp(-8, 8)

        residual = latents - mean
        noisy = residual + (torch.rand_like(residual) - 0.5) * step
        pixels = coefficients[0, 0].numel() * model.config.block**2
        bits = logistic_bits(noisy, step, log2_scale).flatten(1).sum(1) / pixels
        hard = dead_zone_round(residual.detach() / step) * step
        decoded = model.synthesis(mean + residual + (hard - residual).detach())
        error = ((decoded - coefficients) ** 2).flatten(1).sum(1) / pixels
        distortion = error / step.flatten() ** 2

        weight = 1 / (bits.detach() + 0.5)
        loss = (weight * (bits + config.distortion * distortion)).mean()
        energy = (latents.detach() ** 2).flatten(1).sum(1) + 1e-3
        token_error = ((latents.detach() - mean) ** 2).flatten(1).sum(1) / energy
        loss = loss + config.token_distortion * token_error.mean()
        if quantise_tokens:
            loss = loss + config.commitment * F.mse_loss(vectors, chosen.detach())
            flat = vectors.detach().movedim(1, -1).flatten(0, -2)
            model.quantizer.update(flat, indices)
        return {
            "loss": loss,
            "bpp": bits.mean().detach(),
            "distortion": distortion.mean().detach(),
            "tokens": token_error.mean().detach(),
        }

    @torch.no_grad()
    def validate(self, tiles: list[Any], log2_steps: tuple[float, ...]) -> dict[str, float]:
        """Bits (estimated) and RMSE in DN at each step, mean over tiles [samples, …, h, w]; token entropies."""
        model, config = self.model, self.model.config
        figures: dict[str, float] = {}
        device = model.analysis.basis.device
        counts = torch.zeros(config.token_stages, config.codebook_size, device=device)
        for tile in tiles:
            coefficients = torch.as_tensor(tile, device=device)[None]
            pixels = coefficients[0, 0].numel() * config.block**2
            latents = model.analysis(coefficients)
            chosen, _, indices = self.tokens(latents, quantise=True, drop=False)
            for stage, index in enumerate(indices):
                counts[stage] += torch.bincount(index, minlength=config.codebook_size)
            mean, log2_scale = model.mean(chosen), model.scale(chosen).clamp(-8, 8)
            for value in log2_steps:
                step = torch.tensor(2.0**value, device=device)
                hard = dead_zone_round((latents - mean) / step) * step
                bits = logistic_bits(hard, step, log2_scale).sum() / pixels / config.bands
                error = (model.synthesis(mean + hard) - coefficients).square().mean().sqrt()
                name = f"{config.unit * 2**value:g}"
                figures[f"bpppb@{name}"] = figures.get(f"bpppb@{name}", 0) + bits.item() / len(
                    tiles
                )
                rmse = error.item() * config.unit / len(tiles)
                figures[f"rmse@{name}"] = figures.get(f"rmse@{name}", 0) + rmse
        share = counts / counts.sum(1, keepdim=True)
        entropy = -(share * share.clamp(min=1e-12).log2()).sum(1)
        for stage, bits in enumerate(entropy.tolist()):
            figures[f"entropy_token{stage + 1}"] = bits
        return figures
