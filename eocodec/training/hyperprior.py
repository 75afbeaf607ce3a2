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

from eocodec.training.principal import start_from_blocks

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
    downscale : int
        Pixels a latent's side, 8 or 16.
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
    downscale: int = 16
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
        self.root_gamma = nn.Parameter(torch.full((channels, channels), 1e-3))  # almost linear

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        gamma = self.root_gamma.square()[:, :, None, None]
        power = F.conv2d(x.square(), gamma, self.root_beta.square() + 1e-6)
        out: Tensor = x * (power.sqrt() if self.inverse else power.rsqrt())
        return out


def _down(channels: int, out: int, stride: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 5, stride=stride, padding=2)


def _up(channels: int, out: int, stride: int = 2) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, out, 5, stride=stride, padding=2, output_padding=stride - 1)


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
        last = config.downscale // 8
        self.analysis = nn.Sequential(
            _down(config.bands, wide),
            GDN(wide),
            _down(wide, wide),
            GDN(wide),
            _down(wide, wide),
            GDN(wide),
            _down(wide, latents, last),
        )
        self.synthesis = nn.Sequential(
            _up(latents, wide, last),
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
        worth = torch.logspace(
            math.log10(config.lambda_low), math.log10(config.lambda_high), config.levels
        )
        start = (
            0.5 * (worth / 6).log()[:, None]
        )  # the step that costs as much error as it saves bits
        self.log_gain = nn.Parameter(start.repeat(1, latents))
        self.log_inverse_gain = nn.Parameter(-start.repeat(1, latents))
        self.log_side_gain = nn.Parameter(torch.full((config.levels, wide), math.log(4)))
        self.log_side_inverse_gain = nn.Parameter(torch.full((config.levels, wide), -math.log(4)))

    def start_from_pca(self, sample: Tensor) -> None:
        """Start analysis and synthesis from principal components of sample images [B, bands, H, W].

        Level by level: the 2 x 2 blocks of a level's kept components give those of the next.
        """
        values = sample
        convolutions = [m for m in self.analysis if isinstance(m, nn.Conv2d)]
        mirrors = [m for m in self.synthesis if isinstance(m, nn.ConvTranspose2d)][::-1]
        for down, up in zip(convolutions, mirrors, strict=True):
            values = start_from_blocks(down, up, values)

    def latents(self, pixels: Tensor) -> Tensor:
        """Bands [B, bands, H, W] in network units -> latents [B, M, h, w]."""
        out: Tensor = self.analysis(pixels).float()
        return out

    def side(self, latents: Tensor, level: Tensor) -> Tensor:
        """Latents -> hyperprior's latents [B, N, h/4, w/4], ready to round, at levels [B]."""
        out: Tensor = self.hyper_analysis(latents).float() * gain(self.log_side_gain, level)
        return out

    def moments(self, side: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Rounded hyperprior's latents -> mean and standard deviation of the gained latents."""
        scaled = side * gain(self.log_side_inverse_gain, level)
        mean, raw = self.hyper_synthesis(scaled).float().chunk(2, dim=1)
        factor = gain(self.log_gain, level)
        return mean * factor, LOWEST_SCALE + F.softplus(raw) * factor

    def decoded(self, gained: Tensor, level: Tensor) -> Tensor:
        """Rounded gained latents -> bands [B, bands, H, W] in network units."""
        out: Tensor = self.synthesis(gained * gain(self.log_inverse_gain, level)).float()
        return out


def gain(log_gains: Tensor, level: Tensor) -> Tensor:
    """Gains [B, C, 1, 1] at fractional levels [B]: geometric between the trained ones."""
    return torch.exp(interpolate(log_gains, level))[:, :, None, None]


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

    Rates see uniform noise, the synthesis sees rounded latents (Minnen and Singh 2020). A sample counts with the
    logarithm of its cost, so that no level dominates: what Bjøntegaard rates average, too.
    """

    def __init__(self, model: Hyperprior) -> None:
        self.model = model

    def encode_tokens(self, components: Tensor) -> Tensor:
        """Bands [B, bands, H, W] -> latents [B, M, h, w]."""
        return self.model.latents(components)

    def loss(self, pixels: Tensor, *, quantise_tokens: bool) -> dict[str, Tensor]:
        """Loss of a batch [B, bands, H, W] (there are no tokens to quantise)."""
        config, model = self.model.config, self.model
        samples, _, height, width = pixels.shape
        level = torch.rand(samples, device=pixels.device) * (config.levels - 1)
        latents = self.encode_tokens(pixels)
        gained = latents * gain(model.log_gain, level)
        side = model.side(latents, level)
        noisy = side + torch.rand_like(side) - 0.5
        side_bits = -model.prior.probability(noisy.flatten(2), level).clamp(min=1e-9).log2()
        mean, scale = model.moments(rounded(side), level)
        residual = gained - mean
        bits = gaussian_bits(residual + torch.rand_like(residual) - 0.5, scale)
        bpp = (bits.sum((1, 2, 3)) + side_bits.sum((1, 2))) / (height * width)
        error = (model.decoded(mean + rounded(residual), level) - pixels).square()
        distortion = error.sum((1, 2, 3)) / (height * width)
        part = level / (config.levels - 1)
        worth = config.lambda_low * (config.lambda_high / config.lambda_low) ** part
        loss = torch.log2(bpp + worth * distortion + 0.05).mean()
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
            latents = model.latents(pixels)
            for number in range(config.levels):
                level = torch.full((1,), float(number), device=pixels.device)
                gained = latents * gain(model.log_gain, level)
                side = model.side(latents, level).round()
                mean, scale = model.moments(side, level)
                residual = (gained - mean).round()
                bits = gaussian_bits(residual, scale).sum()
                bits -= model.prior.probability(side.flatten(2), level).clamp(min=1e-9).log2().sum()
                error = model.decoded(mean + residual, level) - pixels
                rate = bits.item() / pixels.numel()
                rmse = error.square().mean().sqrt().item() * config.unit
                for name, value in ((f"bpppb@{number}", rate), (f"rmse@{number}", rmse)):
                    figures[name] = figures.get(name, 0) + value / len(tiles)
        return figures
