"""Random views of images for contrastive training, batched in torch (EO4EU D3.4, section 2.2.4).

Flips and rotations by right angles, colour jitter of many bands, Gaussian blur, noise, a shift. No crop to another
size: it could cut away what a multi-label image is labelled for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Strength and probability of each augmentation.

    Attributes
    ----------
    brightness, contrast, band_gain : float
        Standard deviations of the logarithms of the factors: of the image, of its differences from each band's
        mean, and of every band by itself.
    jitter_probability : float
        Of the three together.
    blur : float
        Largest standard deviation of the Gaussian, in pixels.
    noise : float
        Largest standard deviation of white noise, in DN.
    blur_probability, noise_probability : float
    shift : int
        Largest distance of the two views along rows and columns, in pixels.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    band_gain: float = 0.1
    jitter_probability: float = 0.8
    blur: float = 1.5
    blur_probability: float = 0.5
    noise: float = 0.0
    noise_probability: float = 0.5
    shift: int = 0


def augment(images: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Draw a view of each image.

    Parameters
    ----------
    images : float32 Tensor [B, C, S + ``shift``, S + ``shift``]
        In DN; left as it is.
    config : AugmentationConfig
    generator : torch.Generator
        On the device of the images.

    Returns
    -------
    float32 Tensor [B, C, S, S]
    """
    views = turn(displace(images, config.shift, generator), generator)
    views = jitter(views, config, generator)
    blurred = _drawn(len(views), config.blur_probability, generator)
    if config.blur > 0 and len(blurred):
        deviations = config.blur * _uniform(len(blurred), generator).clamp(min=0.05)
        views[blurred] = blur(views[blurred], deviations)
    noisy = _drawn(len(views), config.noise_probability, generator)
    if config.noise > 0 and len(noisy):
        deviations = config.noise * _uniform(len(noisy), generator)
        shape = (len(noisy), *views.shape[1:])
        noise = torch.randn(shape, generator=generator, device=generator.device)
        views[noisy] += noise * deviations[:, None, None, None]
    return views


def displace(images: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Cut images [B, C, S + ``shift``, S + ``shift``] to [B, C, S, S], each at random."""
    side = images.shape[-1] - shift
    drawn = torch.randint(shift + 1, (len(images), 2), generator=generator, device=generator.device)
    cuts = [
        image[:, top : top + side, left : left + side]
        for image, (top, left) in zip(images, drawn.tolist(), strict=True)
    ]
    return torch.stack(cuts)


def turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each square image [B, C, S, S] by one of the four right angles, half of them mirrored."""
    views = torch.empty_like(images)
    drawn = torch.randint(8, (len(images),), generator=generator, device=generator.device)
    for symmetry in range(8):
        chosen = torch.nonzero(drawn == symmetry)[:, 0]
        turned = images[chosen].rot90(symmetry % 4, (2, 3))
        views[chosen] = turned.flip(3) if symmetry >= 4 else turned
    return views


def jitter(images: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and the gain of each band of some images [B, C, S, S]."""
    count, bands = images.shape[:2]

    def factors(deviation: float, width: int) -> Tensor:
        normal = torch.randn(count, width, generator=generator, device=generator.device)
        return torch.exp(deviation * normal.clamp(-2.5, 2.5))[:, :, None, None]

    gain = factors(config.brightness, 1) * factors(config.band_gain, bands)
    contrast = factors(config.contrast, 1)
    changed = _drawn(count, config.jitter_probability, generator)
    kept = torch.ones(count, 1, 1, 1, dtype=torch.bool, device=generator.device)
    kept[changed] = False
    gain, contrast = gain.masked_fill(kept, 1), contrast.masked_fill(kept, 1)
    mean = images.mean((2, 3), keepdim=True)
    return images * (gain * contrast) + mean * (gain * (1 - contrast))


def blur(images: Tensor, deviations: Tensor) -> Tensor:
    """Blur images [B, C, S, S] by Gaussians of standard deviations (B,) in pixels.

    The Gaussian is a matrix product along rows and along columns; its rows add up to one at the borders too.
    """
    positions = torch.arange(images.shape[-1], device=images.device)
    distances = (positions[:, None] - positions).square()
    kernels = torch.softmax(-distances / (2 * deviations[:, None, None].square()), -1)[:, None]
    return kernels @ images @ kernels.transpose(2, 3)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)


def _drawn(count: int, probability: float, generator: torch.Generator) -> Tensor:
    return torch.nonzero(_uniform(count, generator) < probability)[:, 0]
