"""Latents of training crops: what tables and context networks are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from eocodec.integer_networks import ScaleNetwork
from eocodec.networks import RVQVAE
from eocodec.refinement import RATIO, UNITS_PER_STAGE
from eocodec.training.data import Sampler

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

UNIT_LOG2 = float(np.log2(RATIO) / UNITS_PER_STAGE)
"""One unit of an integer log-scale, in log2."""


@dataclass(frozen=True)
class LatentSample:
    """Latents of one crop: residual to the tokens' mean, integer log-scales, token indices."""

    residual: FloatArray
    log_scale: IntArray
    indices: IntArray


@torch.no_grad()
def collect_latents(
    networks: RVQVAE, scale: ScaleNetwork, sampler: Sampler, sizes: list[tuple[int, int]], seed: int
) -> list[LatentSample]:
    """Draw crops, (number, side) each, and run them through the transforms."""
    samples = []
    rng = np.random.default_rng(seed)
    for number, size in sizes:
        for _ in tqdm(range(number), desc=f"latents {size}", disable=None):
            coefficients = torch.from_numpy(sampler.draw(1, size, rng))
            latents = networks.analysis(coefficients)
            vectors = networks.token_encoder(latents)
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, totals = networks.quantizer.quantise(flat)
            mean = networks.mean(totals[-1].T.reshape(1, -1, *vectors.shape[2:]))
            index = indices.numpy().astype(np.int32).reshape(-1, *vectors.shape[2:])
            samples.append(LatentSample((latents - mean)[0].numpy(), scale(index), index))
    return samples
