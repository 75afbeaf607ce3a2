"""Multi-label classification metrics in torch, on the tensors' own device (EO4EU D3.4, section 2.2.3).

Every metric follows from the confusion counts of each label, which add up over batches. A quotient without
cases (precision of a label that is never predicted) is 0, as scikit-learn's ``zero_division=0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from eocodec.errors import InputError

Average = Literal["none", "macro", "micro"]


@dataclass(frozen=True)
class Confusion:
    """Counts of right and wrong predictions of each label.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative : int64 Tensor (L,)
    exact : int64 Tensor ()
        Samples whose labels are all right.
    """

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    true_negative: Tensor
    exact: Tensor

    @classmethod
    def of(cls, targets: Tensor, predictions: Tensor, *, threshold: float = 0.5) -> Confusion:
        """Count, for targets (N, L) of 0 and 1 and predictions (N, L).

        Predictions of a floating dtype are probabilities: a label is set from ``threshold`` on.

        Raises
        ------
        InputError
            The shapes differ or are not (N, L).
        """
        if targets.shape != predictions.shape or targets.ndim != 2:
            raise InputError(
                f"targets {tuple(targets.shape)} and predictions {tuple(predictions.shape)} "
                "must have the same shape (samples, labels)"
            )
        actual = targets.bool()
        floating = predictions.is_floating_point()
        predicted = predictions >= threshold if floating else predictions.bool()
        return cls(
            true_positive=(actual & predicted).sum(0),
            false_positive=(~actual & predicted).sum(0),
            false_negative=(actual & ~predicted).sum(0),
            true_negative=(~actual & ~predicted).sum(0),
            exact=(actual == predicted).all(1).sum(),
        )

    def __add__(self, other: Confusion) -> Confusion:
        """Counts of two batches together."""
        return Confusion(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
            self.exact + other.exact,
        )

    def metrics(self, *, average: Average = "macro", weights: Tensor | None = None) -> Metrics:
        """Compute the metrics, as :func:`multilabel_metrics`."""
        counts = [self.true_positive, self.false_positive, self.false_negative, self.true_negative]
        samples = torch.stack(counts).sum(0)[0]
        hamming = (counts[1] + counts[2]).sum() / (samples * len(counts[0]))
        zero_one = 1 - self.exact / samples
        if average == "micro":
            counts = [count.sum(0, keepdim=True) for count in counts]
        tp, fp, fn, tn = (count.double() for count in counts)
        recall = _quotient(tp, tp + fn)
        specificity = _quotient(tn, tn + fp)
        by_label = {
            "accuracy": _quotient(tp + tn, tp + fp + fn + tn),
            "precision": _quotient(tp, tp + fp),
            "recall": recall,
            "f1": _quotient(2 * tp, 2 * tp + fp + fn),
            "f2": _quotient(5 * tp, 5 * tp + fp + 4 * fn),
            "specificity": specificity,
            "balanced_accuracy": (recall + specificity) / 2,
        }
        if average == "macro":
            share = torch.ones_like(recall) if weights is None else weights.to(recall)
            share = share / share.sum()
            by_label = {name: (value * share).sum() for name, value in by_label.items()}
        elif average == "micro":
            by_label = {name: value[0] for name, value in by_label.items()}
        return Metrics(**by_label, hamming_loss=hamming.double(), zero_one_loss=zero_one.double())


@dataclass(frozen=True)
class Metrics:
    """Metrics in float64: tensors (L,) per label, () averaged.

    Attributes
    ----------
    accuracy, precision, recall, specificity : Tensor
        Share of right predictions; of set predictions that are right; of set labels that are found; of unset
        labels that are left unset.
    f1, f2 : Tensor
        Harmonic means of precision and recall, the recall with weight 1 and 2.
    balanced_accuracy : Tensor
        Mean of recall and specificity.
    hamming_loss, zero_one_loss : Tensor ()
        Share of wrong labels, and of samples with any wrong label; subset accuracy is 1 - ``zero_one_loss``.
    """

    accuracy: Tensor
    precision: Tensor
    recall: Tensor
    f1: Tensor
    f2: Tensor
    specificity: Tensor
    balanced_accuracy: Tensor
    hamming_loss: Tensor
    zero_one_loss: Tensor


def multilabel_metrics(
    targets: Tensor,
    predictions: Tensor,
    *,
    average: Average = "macro",
    weights: Tensor | None = None,
    threshold: float = 0.5,
) -> Metrics:
    """Compare predicted with actual labels.

    Parameters
    ----------
    targets : Tensor (N, L)
        Actual labels, 0 and 1 of any dtype.
    predictions : Tensor (N, L)
        Predicted labels; if floating, probabilities, set from ``threshold`` on.
    average : {"macro", "micro", "none"}
        Mean over labels, metrics of the counts of all labels together, or values per label.
    weights : Tensor (L,), optional
        Weights of the labels in the macro average.
    threshold : float
        Probability from which a label is set.

    Raises
    ------
    InputError
        The shapes differ or are not (N, L).
    """
    confusion = Confusion.of(targets, predictions, threshold=threshold)
    return confusion.metrics(average=average, weights=weights)


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator.clamp(min=1), 0.0)
