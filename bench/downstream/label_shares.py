"""Classification with few labels: linear probes against a network from scratch (D3.4, figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.downstream.features import Features
from bench.downstream.patches import Indices, LabelledPatches, Labels
from bench.downstream.probe import Logits, Probe, Scaling, fit_probe
from eocodec.training.ssl.metrics import multilabel_metrics

TOP_1 = "top-1 accuracy"
SHARES = (0.001, 0.01, 0.1, 1.0)
_ABOUT = 1.5
MEASURES = (
    "recall",
    "subset accuracy",
    "balanced accuracy",
    "precision",
    "accuracy",
    "F2",
    "F1",
    TOP_1,
)
"""Of D3.4's figure 4, in its order, macro averages over labels; the last for patches of one label each."""


@dataclass(frozen=True)
class Score:
    """One classifier on the test split.

    Attributes
    ----------
    method : str
        Features or network.
    count : int
        Labelled patches that it was trained on.
    seed : int
        Seed of their choice, and of the network.
    measures : dict of str to float
        By the names of `MEASURES`.
    """

    method: str
    count: int
    seed: int
    measures: Mapping[str, float]


Method = Callable[[Indices, int], Logits]
"""Trains on patches of the train split, with a seed; returns logits of the test split (N, K)."""


def label_counts(patches: LabelledPatches) -> list[int]:
    """Return how many labelled patches the shares 0.1, 1, 10 and 100 % of the train split are.

    Shares of fewer patches than there are classes in it do not exist; one patch a class stands for them, where no
    other share is about as small.
    """
    train = patches.labels[patches.splits["train"]]
    least = int(train.any(axis=0).sum())
    counts = sorted({round(share * len(train)) for share in SHARES})
    existing = [count for count in counts if count >= least]
    missing = len(existing) < len(counts) and existing[0] > _ABOUT * least
    return [least, *existing] if missing else existing


def draw_order(patches: LabelledPatches, seed: int) -> Indices:
    """Return the train split in a random order that has every class early.

    The first patches are one for each class that those before it lack; any prefix holds the shorter ones.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(patches.splits["train"])
    first: list[int] = []
    missing = patches.labels[order].any(axis=0)
    for label in rng.permutation(np.flatnonzero(missing)):
        if missing[label]:
            index = int(order[patches.labels[order, label].argmax()])
            first.append(index)
            missing &= ~patches.labels[index]
    rest = order[~np.isin(order, first)]
    return np.concatenate([np.array(first, np.intp), rest])


def score(labels: Labels, logits: Logits) -> dict[str, float]:
    """Return the measures of logits (N, K) against labels; a label is set from a probability of one half on."""
    found = multilabel_metrics(torch.from_numpy(labels), torch.from_numpy(logits >= 0))
    values = (
        found.recall,
        1 - found.zero_one_loss,
        found.balanced_accuracy,
        found.precision,
        found.accuracy,
        found.f2,
        found.f1,
    )
    measures = dict(zip(MEASURES, (float(value) for value in values), strict=False))
    if (labels.sum(axis=1) == 1).all():
        measures[TOP_1] = float(labels[np.arange(len(labels)), logits.argmax(axis=1)].mean())
    return measures


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample; 0 of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def run_label_shares(
    patches: LabelledPatches,
    methods: Mapping[str, Method],
    seeds: Sequence[int],
    progress: Callable[[], object],
) -> list[Score]:
    """Train every method on every count of labels with every seed, and score it on the test split."""
    labels = patches.labels[patches.splits["test"]]
    scores = []
    for seed in seeds:
        order = draw_order(patches, seed)
        for count in label_counts(patches):
            for name, method in methods.items():
                measures = score(labels, method(order[:count], seed))
                scores.append(Score(name, count, seed, measures))
                progress()
    return scores


@dataclass(frozen=True)
class ProbeMethod:
    """A linear probe on features of all patches.

    Attributes
    ----------
    patches : LabelledPatches
    features : ndarray of float32 (N, D)
        One row for each of the patches; rows of no split are not used.
    """

    patches: LabelledPatches
    features: Features

    def fit(self, chosen: Indices) -> Probe:
        """Fit to the chosen patches."""
        splits, labels = self.patches.splits, self.patches.labels
        val = splits["val"]
        return fit_probe(
            Scaling.of(self.features[splits["train"]]),
            (self.features[chosen], labels[chosen]),
            (self.features[val], labels[val]),
        )

    def __call__(self, chosen: Indices, seed: int) -> Logits:
        """Fit to the chosen patches; return logits of the test split."""
        return self.fit(chosen).logits(self.features[self.patches.splits["test"]])
