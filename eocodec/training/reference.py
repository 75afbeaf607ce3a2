"""The reference architecture of D3.4 section 2.3: the row to beat.

Figure 7: an optional stride-2 convolution, a core of two blocks of three sub-blocks of two convolutions each with
ReLU and layer normalisation (twelve convolutions), residual connections at every level, an optional stride-2
convolution; the decoder mirrors it with transposed convolutions. Residual vector quantisation with up to eight
codebooks of 10 000 codes (figure 6), the number of stages drawn a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eocodec.networks import ResidualVectorQuantizer
from eocodec.training.principal import start_from_blocks

VALIDATION_SIDE = 48
"""Validation looks at the inner pixels of a tile, this many a side: eight searches of 10 000 codes are slow."""


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """Sizes of D3.4; ``downscale`` is dsf (1, 2 or 4), ``unit`` the DN of one network unit."""

    bands: int = 10
    channels: int = 128
    downscale: int = 2
    stages: int = 8
    codebook_size: int = 10_000
    commitment: float = 0.25
    unit: float = 1000.0


class ChannelLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of [B, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class SubBlock(nn.Module):
    """Two 3x3 convolutions with ReLU and layer normalisation, and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            ChannelLayerNorm(channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            ChannelLayerNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        out: Tensor = x + self.layers(x)
        return out


class Block(nn.Module):
    """Three sub-blocks and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(SubBlock(channels) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same shape."""
        out: Tensor = x + self.layers(x)
        return out


class ReferenceQuantizer(ResidualVectorQuantizer):
    """Residual vector quantiser that 10 000 codes a stage do not make unbearably slow."""

    @staticmethod
    def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
        """Index of the nearest code of [K, dim] for each of [N, dim] vectors, in float32.

        In parts whose distances fit a processor's cache.
        """
        norms = codebook.square().sum(1)
        with torch.autocast(vectors.device.type, enabled=False):
            parts = [
                torch.addmm(norms, part, codebook.T, alpha=-2).argmin(1)
                for part in torch.split(vectors, 512)
            ]
        return torch.cat(parts)

    def kmeans(self, vectors: Tensor, iterations: int = 2) -> None:
        """Start each stage from two iterations only; the moving averages of training do the rest."""
        super().kmeans(vectors, iterations)


class ReferenceAutoencoder(nn.Module):
    """Encoder, residual vector quantiser and mirrored decoder of D3.4."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.config = config
        wide = config.channels
        first, last = (2 if config.downscale >= 2 else 1), (2 if config.downscale == 4 else 1)
        self.encoder = nn.Sequential(
            nn.Conv2d(config.bands, wide, 2 + first, stride=first, padding=1),
            Block(wide),
            Block(wide),
            nn.Conv2d(wide, wide, 2 + last, stride=last, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(wide, wide, 2 + last, stride=last, padding=1),
            Block(wide),
            Block(wide),
            nn.ConvTranspose2d(wide, config.bands, 2 + first, stride=first, padding=1),
        )
        self.quantizer = ReferenceQuantizer(config.stages, config.codebook_size, wide)

    @torch.no_grad()
    def start_from_pca(self, sample: Tensor) -> None:
        """Start as the principal components of the blocks of sample images [B, bands, H, W] and their inverse.

        D3.4 does not say how its weights start. Here the core starts as the identity (the last normalisation of every
        sub-block at zero), so that short training need not learn it.
        """
        values = sample
        convolutions = [m for m in self.encoder if isinstance(m, nn.Conv2d)]
        mirrors = [m for m in self.decoder if isinstance(m, nn.ConvTranspose2d)][::-1]
        for down, up in zip(convolutions, mirrors, strict=True):
            default = up.weight.clone()
            values = start_from_blocks(down, up, values)
        kept = values.shape[1]
        down.weight[kept:] = (
            0  # latents beyond the components start at zero, and the decoder reads them
        )
        up.weight[kept:] = default[kept:]
        for network in (self.encoder, self.decoder):
            for part in network.modules():
                if isinstance(part, SubBlock):
                    nn.init.zeros_(part.layers[-1].weight)  # type: ignore[arg-type]
        for layer in (convolutions[-1], mirrors[0]):
            layer.weight /= 4  # each of the two blocks doubles its input


class ReferenceObjective:
    """Mean squared error plus commitment, with a random number of codebooks a sample."""

    def __init__(self, model: ReferenceAutoencoder) -> None:
        self.model = model

    def encode_tokens(self, components: Tensor) -> Tensor:
        """Bands [B, bands, H, W] -> vectors [B, C, h, w]."""
        out: Tensor = self.model.encoder(components).float()
        return out

    def loss(self, pixels: Tensor, *, quantise_tokens: bool) -> dict[str, Tensor]:
        """Loss of a batch [B, bands, H, W]; updates the codebooks when tokens are quantised."""
        model, config = self.model, self.model.config
        vectors = model.encoder(pixels).float()
        commitment = vectors.new_zeros(())
        chosen = vectors
        if quantise_tokens:
            samples = len(vectors)
            flat = vectors.detach().movedim(1, -1).flatten(0, -2)
            indices, totals = model.quantizer.quantise(flat)
            count = torch.randint(0, config.stages, (samples,), device=pixels.device)
            picked = totals.reshape(config.stages, samples, -1, config.channels)[
                count, torch.arange(samples, device=pixels.device)
            ]
            picked = picked.reshape(samples, *vectors.shape[2:], -1).movedim(-1, 1)
            commitment = config.commitment * F.mse_loss(vectors, picked)
            chosen = vectors + (picked - vectors).detach()
            model.quantizer.update(flat, indices)
        error = F.mse_loss(model.decoder(chosen).float(), pixels)
        return {"loss": error + commitment, "mse": error.detach()}

    @torch.no_grad()
    def validate(self, tiles: list[Any], log2_steps: tuple[float, ...]) -> dict[str, float]:
        """RMSE in DN after each stage (mean over the inner pixels of tiles), and each codebook's entropy in bits."""
        model, config = self.model, self.model.config
        device = next(model.parameters()).device
        figures: dict[str, float] = {}
        counts = torch.zeros(config.stages, config.codebook_size, device=device)
        for tile in tiles:
            top, left = (max(n - VALIDATION_SIDE, 0) // 2 for n in tile.shape[1:])
            crop = tile[:, top : top + VALIDATION_SIDE, left : left + VALIDATION_SIDE]
            pixels = torch.as_tensor(crop, device=device)[None]
            vectors = model.encoder(pixels)
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, totals = model.quantizer.quantise(flat)
            for stage, total in enumerate(totals):
                counts[stage] += torch.bincount(indices[stage], minlength=config.codebook_size)
                decoded = model.decoder(total.reshape(1, *vectors.shape[2:], -1).movedim(-1, 1))
                rmse = (decoded - pixels).square().mean().sqrt().item() * config.unit
                name = f"rmse_stage{stage + 1}"
                figures[name] = figures.get(name, 0) + rmse / len(tiles)
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        for stage, bits in enumerate((-(share * share.clamp(min=1e-12).log2()).sum(1)).tolist()):
            figures[f"entropy_codebook{stage + 1}"] = bits
        return figures
