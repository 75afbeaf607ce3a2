"""A mean-scale hyperprior on raw bands, of TerraCodec-FP's size: the learned peer of the bench.

Transforms as Ballé et al. 2018 (four 5x5 convolutions of stride 2 with generalised divisive normalisation), entropy
model as Minnen et al. 2018 without its autoregressive part (a hyperprior at 1/64 gives mean and scale of every
latent), sizes as TerraCodec-FP (arXiv 2510.12670: 128 channels, 192 latents at 1/16). One network serves all
rates by gain vectors (Cui et al. 2021, "Asymmetric gained deep image compression").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 64
"""Both sides of an image must be multiples of this many pixels."""
LOWEST_SCALE = 0.11
"""Standard deviation below which a scale makes no difference to rounded values."""


@dataclass(frozen=True, kw_only=True)
class HyperpriorConfig:
    """Sizes and rates.

    Attributes
    ----------
    bands, width, latents : int
        Bands of the image, channels of the transforms, channels of the latents (N and M of TerraCodec).
    levels : int
        Trained rates; those between are interpolated.
    lambda_low, lambda_high : float
        Bits that a squared error of one unit² (summed over the bands of a pixel) is worth at the first and the
        last level; the levels lie geometrically between.
    unit : float
        DN of one network unit.
    """

    bands: int = 10
    width: int = 128
    latents: int = 192
    levels: int = 6
    lambda_low: float = 2.0
    lambda_high: float = 4000.0
    unit: float = 1000.0


class GDN(nn.Module):
    """Generalised divisive normalisation x / sqrt(β + γ x²), or its approximate inverse x · sqrt(β + γ x²)."""

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.root_beta = nn.Parameter(torch.ones(channels))
        self.root_gamma = nn.Parameter(0.01 + math.sqrt(0.1) * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        gamma = self.root_gamma.square()[:, :, None, None]
        power = F.conv2d(x.square(), gamma, self.root_beta.square() + 1e-6)
        out: Tensor = x * (power.sqrt() if self.inverse else power.rsqrt())
        return out


def _down(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 5, stride=2, padding=2)


def _up(channels: int, out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out, 5, stride=2, padding=2, output_padding=1)


class SidePrior(nn.Module):
    """Density of the hyperprior's latents: for every level and channel a mixture of logistics."""

    def __init__(self, levels: int, channels: int, components: int = 3) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(levels, channels, components))
        self.location = nn.Parameter(torch.linspace(-1, 1, components).repeat(levels, channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(levels, channels, components))

    def probability(self, values: Tensor, level: Tensor) -> Tensor:
        """Probability of the bins of width 1 about values [B, C, n] at the samples' levels [B]."""
        weight = interpolate(self.logits, level).softmax(-1)[:, :, None]
        location = interpolate(self.location, level)[:, :, None]
        inverse = torch.exp(-interpolate(self.log_scale, level))[:, :, None]
        distance = (values[..., None] - location).abs()
        high, low = (torch.sigmoid((side - distance) * inverse) for side in (0.5, -0.5))
        return (weight * (high - low)).sum(-1)


def interpolate(table: Tensor, level: Tensor) -> Tensor:
    """Rows of a table [levels, …] at fractional levels [B]."""
    low = level.floor().long().clamp(0, len(table) - 2)
    part = (level - low).reshape(-1, *(1 for _ in table.shape[1:]))
    return table[low] * (1 - part) + table[low + 1] * part


class Hyperprior(nn.Module):
    """Analysis and synthesis of image and hyperprior, with gains."""

    def __init__(self, config: HyperpriorConfig) -> None:
        super().__init__()
        self.config = config
        wide, latents = config.width, config.latents
        self.analysis = nn.Sequential(
            _down(config.bands, wide),
            GDN(wide),
            _down(wide, wide),
            GDN(wide),
            _down(wide, wide),
            GDN(wide),
            _down(wide, latents),
        )
        self.synthesis = nn.Sequential(
            _up(latents, wide),
            GDN(wide, inverse=True),
            _up(wide, wide),
            GDN(wide, inverse=True),
            _up(wide, wide),
            GDN(wide, inverse=True),
            _up(wide, config.bands),
        )
        self.hyper_analysis = nn.Sequential(
            nn.Conv2d(latents, wide, 3, padding=1),
            nn.LeakyReLU(),
            _down(wide, wide),
            nn.LeakyReLU(),
            _down(wide, wide),
        )
        self.hyper_synthesis = nn.Sequential(
            _up(wide, latents),
            nn.LeakyReLU(),
            _up(latents, latents * 3 // 2),
            nn.LeakyReLU(),
            nn.Conv2d(latents * 3 // 2, 2 * latents, 3, padding=1),
        )
        self.prior = SidePrior(config.levels, wide)
        ratio = math.log(config.lambda_high / config.lambda_low)
        start = torch.linspace(0, ratio / 2, config.levels)[:, None].repeat(1, latents)
        self.log_gain = nn.Parameter(start.clone())
        self.log_inverse_gain = nn.Parameter(-start)

    def gained(self, pixels: Tensor, level: Tensor) -> Tensor:
        """Bands [B, bands, H, W] in network units -> latents [B, M, H/16, W/16], ready to round, at levels [B]."""
        gain = torch.exp(interpolate(self.log_gain, level))[:, :, None, None]
        out: Tensor = self.analysis(pixels).float() * gain
        return out

    def side(self, gained: Tensor) -> Tensor:
        """Gained latents -> hyperprior's latents [B, N, H/64, W/64]."""
        out: Tensor = self.hyper_analysis(gained).float()
        return out

    def moments(self, side: Tensor) -> tuple[Tensor, Tensor]:
        """Rounded hyperprior's latents -> mean and standard deviation of the gained latents."""
        mean, raw = self.hyper_synthesis(side).float().chunk(2, dim=1)
        return mean, LOWEST_SCALE + F.softplus(raw)

    def decoded(self, gained: Tensor, level: Tensor) -> Tensor:
        """Rounded gained latents -> bands [B, bands, H, W] in network units."""
        gain = torch.exp(interpolate(self.log_inverse_gain, level))[:, :, None, None]
        out: Tensor = self.synthesis(gained * gain).float()
        return out


def rounded(values: Tensor) -> Tensor:
    """Round, with the gradient of the identity."""
    return values + (values.round() - values).detach()


def gaussian_bits(residual: Tensor, scale: Tensor) -> Tensor:
    """Bits of the bins of width 1 about residuals under zero-mean Gaussians of standard deviation ``scale``."""
    distance = residual.abs()
    high = torch.special.ndtr((0.5 - distance) / scale)
    low = torch.special.ndtr((-0.5 - distance) / scale)
    return -torch.log2((high - low).clamp(min=1e-9))


class HyperpriorObjective:
    """Rate plus λ times squared error, the level drawn a sample.

    Rates see uniform noise, the synthesis sees rounded latents (Minnen and Singh 2020). A sample's loss is weighted
    by the reciprocal of its rate, as the shipped model's objective does, so that no level dominates.
    """

    def __init__(self, model: Hyperprior) -> None:
        self.model = model

    def encode_tokens(self, components: Tensor) -> Tensor:
        """Bands [B, bands, H, W] -> latents of the last level."""
        last = self.model.config.levels - 1
        return self.model.gained(components, torch.full((len(components),), float(last)))

    def loss(self, pixels: Tensor, *, quantise_tokens: bool) -> dict[str, Tensor]:
        """Loss of a batch [B, bands, H, W] (there are no tokens to quantise)."""
        config, model = self.model.config, self.model
        samples, _, height, width = pixels.shape
        level = torch.rand(samples, device=pixels.device) * (config.levels - 1)
        gained = model.gained(pixels, level)
        side = model.side(gained)
        noisy = side + torch.rand_like(side) - 0.5
        side_bits = -model.prior.probability(noisy.flatten(2), level).clamp(min=1e-9).log2()
        mean, scale = model.moments(rounded(side))
        residual = gained - mean
        bits = gaussian_bits(residual + torch.rand_like(residual) - 0.5, scale)
        bpp = (bits.sum((1, 2, 3)) + side_bits.sum((1, 2))) / (height * width)
        error = (model.decoded(mean + rounded(residual), level) - pixels).square()
        distortion = error.sum((1, 2, 3)) / (height * width)
        part = level / (config.levels - 1)
        worth = config.lambda_low * (config.lambda_high / config.lambda_low) ** part
        loss = ((bpp + worth * distortion) / (bpp.detach() + 0.5)).mean()
        return {"loss": loss, "bpp": bpp.mean().detach(), "mse": error.mean().detach()}

    @torch.no_grad()
    def validate(self, tiles: list[Any], log2_steps: tuple[float, ...]) -> dict[str, float]:
        """Bits (estimated) and RMSE in DN at each level, mean over the tiles' inner 256 x 256 pixels."""
        config, model = self.model.config, self.model
        figures: dict[str, float] = {}
        for tile in tiles:
            top, left = (max(n - 256, 0) // 2 for n in tile.shape[1:])
            crop = tile[:, top : top + 256, left : left + 256]
            height, width = (n // BLOCK * BLOCK for n in crop.shape[1:])
            pixels = torch.as_tensor(crop[:, :height, :width], device=model.log_gain.device)[None]
            for number in range(config.levels):
                level = torch.full((1,), float(number), device=pixels.device)
                gained = model.gained(pixels, level)
                side = model.side(gained).round()
                mean, scale = model.moments(side)
                residual = (gained - mean).round()
                bits = gaussian_bits(residual, scale).sum()
                bits -= model.prior.probability(side.flatten(2), level).clamp(min=1e-9).log2().sum()
                error = model.decoded(mean + residual, level) - pixels
                rate = bits.item() / pixels.numel()
                rmse = error.square().mean().sqrt().item() * config.unit
                for name, value in ((f"bpppb@{number}", rate), (f"rmse@{number}", rmse)):
                    figures[name] = figures.get(name, 0) + value / len(tiles)
        return figures
