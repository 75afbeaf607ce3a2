"""The RVQ-VAE that ships, over two or three axes: analysis and synthesis transforms, token quantiser, scale prediction.

The signal runs through the modules in this order (D3.4, section 2.3, with the lessons of its successors):

- ``analysis``: coefficients of a tile (:mod:`eocodec.spectral`) -> latents at 1/8 resolution, a linear map started
  from the principal components of training blocks: a working codec at step 0. What ships has the least-squares
  inverse of the synthesis in its place.
- :class:`TokenEncoder` and :class:`ResidualVectorQuantizer`: latents -> token indices at 1/16 resolution,
  one learned codebook a stage, a variable number of stages.
- :class:`TokenDecoder`: token vectors -> the mean and the log2 scale of every latent.
- Refinement stages (:mod:`eocodec.refinement`) code the latents around that mean, each with a third of the step before.
- ``synthesis``: the linear map back.

Everything on the decoder's path is made of convolutions, ReLU, clamps, additions and pixel shuffles.
Tensors are [B, C, h, w] float32, and [B, C, d, h, w] with ``ndim`` 3 (D3.4 2.3.2: 3-D convolutions in place of 2-D
ones), where tokens keep the blocks of levels apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eocodec.network_config import NetworkConfig


class Conv3d(nn.Conv3d):
    """A 3-D convolution of one or three taps an axis, run as a 2-D one over three shifted slices.

    2-D kernels are faster on processors, and torch 2.13's bfloat16 gradient of 3-D weights is wrong for a depth of 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, d, h, w] -> [B, outputs, d, h, w]."""
        depth = x.shape[2]
        weight = self.weight.transpose(1, 2).flatten(1, 2)
        reach = self.kernel_size[0] // 2
        padded = F.pad(x, (0, 0, 0, 0, reach, reach))
        near = [padded[:, :, shift : shift + depth] for shift in range(1 + 2 * reach)]
        slices = torch.cat(near, dim=1).transpose(1, 2).flatten(0, 1)
        slices = slices.contiguous(memory_format=torch.channels_last)
        out: Tensor = F.conv2d(slices, weight, self.bias, padding=reach)
        return out.reshape(len(x), depth, *out.shape[1:]).transpose(1, 2)


Conv = nn.Conv2d | Conv3d


def conv(inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, ndim: int = 2) -> Conv:
    """Build a convolution that keeps the size (divided by ``stride``)."""
    kind = nn.Conv2d if ndim == 2 else Conv3d
    return kind(inputs, outputs, kernel, stride=stride, padding=kernel // 2)


def zero_conv(inputs: int, outputs: int, *, ndim: int = 2) -> Conv:
    """Build a convolution of one tap that starts at zero."""
    layer = conv(inputs, outputs, ndim=ndim)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def per_channel(values: Tensor, ndim: int) -> Tensor:
    """Values [C] in a shape that multiplies tensors [B, C, …] of ``ndim`` axes after the channels."""
    return values.reshape(-1, *[1] * ndim)


class PixelUnshuffle(nn.Module):
    """Halve rows and columns, keep blocks of levels: [B, C, …, 2h, 2w] -> [B, 4 C, …, h, w]."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = F.pixel_unshuffle(x.flatten(2, -2), 2)
        return out.reshape(*out.shape[:2], *x.shape[2:-2], x.shape[-2] // 2, x.shape[-1] // 2)


def pixel_shuffle(x: Tensor) -> Tensor:
    """Undo :class:`PixelUnshuffle`."""
    out: Tensor = F.pixel_shuffle(x.flatten(2, -2), 2)
    return out.reshape(*out.shape[:2], *x.shape[2:-2], 2 * x.shape[-2], 2 * x.shape[-1])


class LinearTransform(nn.Module):
    """Multiplies the channels of [B, inputs, …, h, w] by its basis [outputs, inputs]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """See the class; in float32 also under autocast."""
        with torch.autocast(x.device.type, enabled=False):
            return (self.basis @ x.flatten(2)).reshape(len(x), len(self.basis), *x.shape[2:])


class TokenEncoder(nn.Module):
    """Latents [B, latents, …, h, w] -> token vectors [B, token_dim, …, h/2, w/2]."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, ndim = 2 * config.token_width, config.ndim
        self.layers = nn.Sequential(
            conv(config.latents, width, ndim=ndim),
            nn.ReLU(),
            PixelUnshuffle(),
            conv(4 * width, width, ndim=ndim),
            nn.ReLU(),
            conv(width, width, 3, ndim=ndim),
            nn.ReLU(),
            conv(width, config.token_dim, ndim=ndim),
        )

    def forward(self, latents: Tensor) -> Tensor:
        """See the class. Latents are companded: their range spans four orders of magnitude."""
        out: Tensor = self.layers(latents * torch.rsqrt(latents.abs() + 0.25)).float()
        return out


class TokenDecoder(nn.Module):
    """Token vectors [B, token_dim, …, h, w] -> a plane for every latent [B, latents, …, 2h, 2w].

    ``gain`` is a fixed factor a latent, so that latents of any range are learned alike.
    """

    gain: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, ndim = config.token_width, config.ndim
        self.register_buffer("gain", per_channel(torch.ones(config.latents), ndim))
        self.embed = conv(config.token_dim, width, ndim=ndim)
        self.spatial = conv(width, width, 3, ndim=ndim)
        self.expand = conv(width, 4 * width, ndim=ndim)
        self.project = conv(width, config.latents, ndim=ndim)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, vectors: Tensor) -> Tensor:
        """See the class."""
        x = F.relu(self.embed(vectors))
        x = F.relu(self.spatial(x))
        x = F.relu(pixel_shuffle(self.expand(x)))
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
        self.analysis = LinearTransform(config.samples, config.latents)
        self.synthesis = LinearTransform(config.latents, config.samples)
        self.token_encoder = TokenEncoder(config)
        self.quantizer = ResidualVectorQuantizer(
            config.token_stages, config.codebook_size, config.token_dim
        )
        self.mean = TokenDecoder(config)
        self.scale = TokenDecoder(config)

    @torch.no_grad()
    def start_from_pca(self, coefficients: Tensor) -> None:
        """Set the linear maps to the principal components of coefficients [B, samples, …, h, w].

        Every sample of the batch counts the same, whatever its contrast. The predictions of mean and scale
        start from the root mean square of each component.
        """
        ndim = self.config.ndim
        flat = coefficients.flatten(2).double()
        covariance = flat @ flat.transpose(1, 2)
        energy = covariance.diagonal(dim1=1, dim2=2).sum(1)
        covariance = covariance / energy[:, None, None].clamp(1e-9)
        _, vectors = torch.linalg.eigh(covariance.sum(0))
        basis = vectors.flip(1)[:, : self.config.latents].float()
        self.analysis.basis.copy_(basis.T)
        self.synthesis.basis.copy_(basis)
        projected = basis.T @ coefficients.flatten(2)
        spread = projected.square().mean((0, 2)).sqrt()
        self.mean.gain.copy_(per_channel(spread, ndim))
        self.scale.project.bias.copy_(spread.log2() - 1)  # type: ignore[union-attr]
