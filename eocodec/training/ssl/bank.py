"""The feature bank: how well the nearest neighbours' labels foretell an image's own (EO4EU D3.4, section 2.2.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def neighbour_labels(
    bank: Tensor, labels: Tensor, queries: Tensor, *, neighbours: int, leave_out: bool = False
) -> Tensor:
    """Average the labels of the most similar features of a bank, weighted by similarity.

    Parameters
    ----------
    bank : Tensor [M, D]
        Features whose labels are known.
    labels : float Tensor [M, L]
        Their labels, 0 or 1.
    queries : Tensor [N, D]
        Features to label.
    neighbours : int
        How many features of the bank vote, at most M.
    leave_out : bool
        The queries are the bank itself: none is its own neighbour.

    Returns
    -------
    float Tensor [N, L]
        Weighted averages, from 0 to 1. Neighbours whose cosine similarity is not positive have no weight.
    """
    similarity = functional.normalize(queries) @ functional.normalize(bank).T
    if leave_out:
        similarity.fill_diagonal_(-torch.inf)
    count = min(neighbours, len(bank) - leave_out)
    weights, nearest = similarity.topk(count)
    weights = weights.clamp(min=1e-12)
    weighted = (weights[:, :, None] * labels[nearest]).sum(1)
    return weighted / weights.sum(1, keepdim=True)


def label_distance(targets: Tensor, foretold: Tensor) -> Tensor:
    """Mean Euclidean distance () between labels [N, L] and the neighbours' weighted averages [N, L]."""
    distances: Tensor = torch.linalg.vector_norm(targets - foretold, dim=1)
    return distances.mean()
