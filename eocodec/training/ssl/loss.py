"""The NT-Xent loss and the projection head of SimCLR (Chen et al., ICML 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from eocodec.training.ssl.config import HeadConfig


class ProjectionHead(nn.Sequential):
    """Features [B, D] to projections [B, ``outputs``]: linear, ReLU, linear."""

    def __init__(self, features: int, config: HeadConfig) -> None:
        super().__init__(
            nn.Linear(features, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.outputs),
        )


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised, temperature-scaled cross-entropy of two views of the same images.

    Each projection should be most similar (cosine) to the other view's among the 2B - 1 others.

    Parameters
    ----------
    first, second : Tensor [B, P]
        Projections; row i of both is image i.
    temperature : float

    Returns
    -------
    float32 Tensor ()
    """
    count = len(first)
    projections = functional.normalize(torch.cat([first, second]).float())
    similarity = projections @ projections.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    partners = torch.arange(2 * count, device=first.device).roll(count)
    return functional.cross_entropy(similarity, partners)
