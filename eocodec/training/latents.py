"""Latents of training crops: what tables are fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from eocodec.integer_networks import TokenNetwork
from eocodec.networks import RVQVAE
from eocodec.refinement import RATIO, UNITS_PER_STAGE
from eocodec.training.data import Sampler
from eocodec.training.fields import FieldSampler

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

UNIT_LOG2 = float(np.log2(RATIO) / UNITS_PER_STAGE)
"""One unit of an integer log-scale, in log2."""


@dataclass(frozen=True)
class LatentSample:
    """Latents of one crop: residual to the tokens' mean, integer log-scales, token indices (stages, …, h/2, w/2)."""

    residual: FloatArray
    log_scale: IntArray
    indices: IntArray


@torch.no_grad()
def collect_latents(
    networks: RVQVAE,
    mean: Callable[[IntArray], FloatArray],
    scale: TokenNetwork,
    sampler: Sampler | FieldSampler,
    sizes: list[tuple[int, int]],
    seed: int,
) -> list[LatentSample]:
    """Draw crops, (number, side) each, and run them through the transforms.

    ``mean`` gives the predicted latents (L, …, 2h, 2w) of token indices (stages, …, h, w).
    """
    samples = []
    rng = np.random.default_rng(seed)
    for number, size in sizes:
        for _ in tqdm(range(number), desc=f"latents {size}", disable=None):
            coefficients = torch.from_numpy(sampler.draw(1, size, rng))
            latents = networks.analysis(coefficients)
            vectors = networks.token_encoder(latents)
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, _ = networks.quantizer.quantise(flat)
            index = indices.numpy().astype(np.int32).reshape(-1, *vectors.shape[2:])
            residual = latents[0].numpy() - mean(index)
            samples.append(LatentSample(residual, scale(index).astype(np.int32), index))
    return samples
