"""The 2-D RVQ-VAE that ships: analysis and synthesis transforms, token quantiser, scale prediction.

The signal runs through the modules in this order (D3.4, section 2.3, with the lessons of its successors):

- :class:`Analysis`: coefficients of a tile (:mod:`eocodec.spectral`) -> latents at 1/8 resolution. A linear
  map, started from the principal components of training blocks, plus a convolutional branch whose
  output starts at zero: a working codec at step 0.
- :class:`TokenEncoder` and :class:`ResidualVectorQuantizer`: latents -> token indices at 1/16 resolution,
  one learned codebook a stage, a variable number of stages.
- :class:`TokenDecoder`: token vectors -> the mean and the log2 scale of every latent.
- Refinement stages (:mod:`eocodec.refinement`) code the latents around that mean, each with a third of the step before.
- :class:`Synthesis`: the mirrored linear map, plus a branch that restores what quantisation took, in
  units of the quantiser's step, so that one set of weights serves every stage.

Everything on the decoder's path is made of convolutions, ReLU, clamps, additions and pixel shuffles.
Tensors are [B, C, h, w] float32; ``step`` is [B, 1, 1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eocodec.network_config import NetworkConfig

SMALLEST_LEVEL = 0.05
"""Coefficients of a lower root mean square, in network units, are not raised to that of the others."""
RESTORE_CLAMP = 16.0
"""Latents enter the restoring branch in units of the step, clamped to plus or minus this."""


def conv(inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1) -> nn.Conv2d:
    """Build a convolution that keeps the size (divided by ``stride``)."""
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def zero_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Build a 1x1 convolution that starts at zero."""
    layer = conv(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def linear_map(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the channels of [B, inputs, h, w] by a matrix [outputs, inputs], in float32 also under autocast."""
    with torch.autocast(x.device.type, enabled=False):
        return (matrix @ x.flatten(2)).reshape(len(x), len(matrix), *x.shape[2:])


class ResidualBlock(nn.Module):
    """``x + conv1x1(relu(conv3x3(x)))``; the sum is passed through a ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = conv(width, width, 3)
        self.mix = conv(width, width)
        nn.init.normal_(self.mix.weight, std=0.2 / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same shape."""
        return F.relu(x + self.mix(F.relu(self.spatial(x))))


def branch(inputs: int, width: int, outputs: int, blocks: int) -> nn.Sequential:
    """Build a residual convolutional branch whose output starts at zero."""
    return nn.Sequential(
        conv(inputs, width),
        nn.ReLU(),
        *(ResidualBlock(width) for _ in range(blocks)),
        zero_conv(width, outputs),
    )


def branch_layers(
    network: nn.Sequential,
) -> tuple[nn.Conv2d, list[ResidualBlock], nn.Conv2d]:
    """First convolution, residual blocks and last convolution of what :func:`branch` built."""
    enter, _, *blocks, leave = network
    assert isinstance(enter, nn.Conv2d)
    assert isinstance(leave, nn.Conv2d)
    return enter, [block for block in blocks if isinstance(block, ResidualBlock)], leave


class Analysis(nn.Module):
    """Coefficients [B, samples, h, w] in network units -> latents [B, latents, h, w].

    ``gain`` is a fixed factor a coefficient, so that the branch sees those of any range alike.
    """

    gain: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(config.samples, 1, 1))
        self.basis = nn.Parameter(torch.zeros(config.latents, config.samples))
        self.branch = branch(config.samples, config.width, config.latents, config.blocks)

    def forward(self, coefficients: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = linear_map(self.basis, coefficients)
        out = out + self.branch(coefficients * self.gain).float()
        return out


class Synthesis(nn.Module):
    """Latents [B, latents, h, w] and the step they were quantised with -> coefficients [B, samples, h, w]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(config.samples, config.latents))
        self.branch = branch(config.latents, config.width, config.latents, config.blocks)

    def forward(self, latents: Tensor, step: Tensor | None) -> Tensor:
        """Synthesise; without a step (tokens only) the linear map alone is applied."""
        if step is not None:
            units = (latents / step).clamp(-RESTORE_CLAMP, RESTORE_CLAMP)
            latents = latents + step * self.branch(units).float()
        return linear_map(self.basis, latents)


class TokenEncoder(nn.Module):
    """Latents [B, latents, h, w] -> token vectors [B, token_dim, h/2, w/2]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = 2 * config.token_width
        self.layers = nn.Sequential(
            conv(config.latents, width),
            nn.ReLU(),
            nn.PixelUnshuffle(2),
            conv(4 * width, width),
            nn.ReLU(),
            conv(width, width, 3),
            nn.ReLU(),
            conv(width, config.token_dim),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """See the class. Latents are companded: their range spans four orders of magnitude."""
        out: Tensor = self.layers(latents * torch.rsqrt(latents.abs() + 0.25)).float()
        return out


class TokenDecoder(nn.Module):
    """Token vectors [B, token_dim, h, w] -> a plane for every latent [B, latents, 2h, 2w].

    ``gain`` is a fixed factor a latent, so that latents of any range are learned alike.
    """

    gain: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(config.latents, 1, 1))
        width = config.token_width
        self.embed = conv(config.token_dim, width)
        self.spatial = conv(width, width, 3)
        self.expand = conv(width, 4 * width)
        self.project = conv(width, config.latents)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, vectors: Tensor) -> Tensor:
        """See the class."""
        x = F.relu(self.embed(vectors))
        x = F.relu(self.spatial(x))
        x = F.relu(F.pixel_shuffle(self.expand(x), 2))
        out: Tensor = self.project(x).float() * self.gain
        return out


class ResidualVectorQuantizer(nn.Module):
    """Residual vector quantisation with exponential-moving-average codebooks.

    D3.4 section 2.3.1; codebook learning as VQ-VAE-2 (k-means start, moving averages), with revival of
    codes that the data has left. ``codebooks`` is [stages, size, dim].
    """

    codebooks: Tensor
    usage: Tensor
    sums: Tensor

    def __init__(self, stages: int, size: int, dim: int, *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("codebooks", torch.zeros(stages, size, dim))
        self.register_buffer("usage", torch.ones(stages, size))
        self.register_buffer("sums", torch.zeros(stages, size, dim))

    @property
    def stages(self) -> int:
        """Number of stages."""
        return self.codebooks.shape[0]

    @staticmethod
    def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
        """Index of the nearest code of [K, dim] for each of [N, dim] vectors."""
        norms = (codebook**2).sum(1)
        parts = [(norms - 2 * part @ codebook.T).argmin(1) for part in torch.split(vectors, 8192)]
        return torch.cat(parts)

    @torch.no_grad()
    def kmeans(self, vectors: Tensor, iterations: int = 12) -> None:
        """Start the codebooks by k-means on sample vectors [N, dim], stage after stage."""
        residual = vectors
        for stage, codebook in enumerate(self.codebooks):
            size = len(codebook)
            codebook.copy_(residual[torch.randint(len(residual), (size,))])
            for _ in range(iterations):
                index = self.nearest(residual, codebook)
                counts = torch.bincount(index, minlength=size).float()
                sums = torch.zeros_like(codebook).index_add_(0, index, residual)
                filled = sums / counts.clamp(min=1)[:, None]
                spare = residual[torch.randint(len(residual), (size,))]
                codebook.copy_(torch.where(counts[:, None] > 0, filled, spare))
            self.usage[stage] = len(vectors) / size
            self.sums[stage] = codebook * self.usage[stage, :, None]
            residual = residual - codebook[self.nearest(residual, codebook)]

    def quantise(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors [N, dim] -> indices [stages, N] and the codes' sums after each stage [stages, N, dim]."""
        total = torch.zeros_like(vectors)
        indices, totals = [], []
        for codebook in self.codebooks:
            index = self.nearest(vectors - total, codebook)
            total = total + codebook[index]
            indices.append(index)
            totals.append(total)
        return torch.stack(indices), torch.stack(totals)

    @torch.no_grad()
    def update(self, vectors: Tensor, indices: Tensor) -> None:
        """Move the codebooks towards the vectors [N, dim] assigned to them; revive dead codes."""
        residual = vectors
        for stage, index in enumerate(indices):
            size = self.codebooks.shape[1]
            counts = torch.bincount(index, minlength=size).to(vectors)
            sums = torch.zeros_like(self.sums[stage]).index_add_(0, index, residual)
            assigned = self.codebooks[stage][index]
            self.usage[stage].lerp_(counts, 1 - self.decay)
            self.sums[stage].lerp_(sums, 1 - self.decay)
            dead = self.usage[stage] < 0.02 * len(vectors) / size
            fresh = residual[torch.randint(len(residual), (size,), device=residual.device)]
            mean = self.sums[stage] / self.usage[stage].clamp(min=1e-5)[:, None]
            self.codebooks[stage] = torch.where(dead[:, None], fresh, mean)
            revived = len(vectors) / size
            self.usage[stage] = torch.where(
                dead, torch.full_like(counts, revived), self.usage[stage]
            )
            self.sums[stage] = torch.where(dead[:, None], fresh * revived, self.sums[stage])
            residual = residual - assigned


class RVQVAE(nn.Module):
    """All networks of a model; see the module's docstring."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.analysis = Analysis(config)
        self.synthesis = Synthesis(config)
        self.token_encoder = TokenEncoder(config)
        self.quantizer = ResidualVectorQuantizer(
            config.token_stages, config.codebook_size, config.token_dim
        )
        self.mean = TokenDecoder(config)
        self.scale = TokenDecoder(config)

    @torch.no_grad()
    def start_from_pca(self, coefficients: Tensor) -> None:
        """Set the linear maps to the principal components of coefficients [B, samples, h, w].

        Every sample of the batch counts the same, whatever its contrast. The predictions of mean and scale
        start from the root mean square of each component.
        """
        flat = coefficients.flatten(2).double()
        covariance = flat @ flat.transpose(1, 2)
        covariance = covariance / covariance.diagonal(dim1=1, dim2=2).sum(1)[:, None, None].clamp(
            1e-9
        )
        _, vectors = torch.linalg.eigh(covariance.sum(0))
        basis = vectors.flip(1)[:, : self.config.latents].float()
        self.analysis.basis.copy_(basis.T)
        level = coefficients.square().mean((0, 2, 3)).sqrt()
        self.analysis.gain.copy_(1 / (level + SMALLEST_LEVEL)[:, None, None])
        self.synthesis.basis.copy_(basis)
        projected = F.conv2d(coefficients, basis.T[:, :, None, None])
        spread = projected.square().mean((0, 2, 3)).sqrt()
        self.mean.gain.copy_(spread[:, None, None])
        self.scale.project.bias.copy_(spread.log2() - 1)  # type: ignore[union-attr]
