"""Multi-label metrics against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
import torch

from eocodec.errors import InputError
from eocodec.training.ssl.metrics import Confusion, Metrics, multilabel_metrics

BY_LABEL = ("accuracy", "precision", "recall", "f1", "f2", "specificity", "balanced_accuracy")


def scores(targets: np.ndarray, predictions: np.ndarray, average: str | None) -> dict[str, float]:
    """scikit-learn's figures, for an average that it takes."""
    arguments = {"average": average, "zero_division": 0}
    flipped = 1 - targets, 1 - predictions
    return {
        "precision": sklearn.metrics.precision_score(targets, predictions, **arguments),
        "recall": sklearn.metrics.recall_score(targets, predictions, **arguments),
        "f1": sklearn.metrics.f1_score(targets, predictions, **arguments),
        "f2": sklearn.metrics.fbeta_score(targets, predictions, beta=2, **arguments),
        "specificity": sklearn.metrics.recall_score(*flipped, **arguments),
    }


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions (60, 5); label 3 is never predicted, all have both values."""
    rng = np.random.default_rng(3)
    targets = (rng.random((60, 5)) < [0.5, 0.1, 0.9, 0.3, 0.2]).astype(np.int64)
    predictions = np.where(rng.random((60, 5)) < 0.2, 1 - targets, targets)
    predictions[:, 3] = 0
    return targets, predictions


def measured(labels: tuple[np.ndarray, np.ndarray], average: str) -> Metrics:
    targets, predictions = map(torch.as_tensor, labels)
    return multilabel_metrics(targets, predictions, average=average)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("average", "theirs"), [("none", None), ("macro", "macro"), ("micro", "micro")]
)
def test_metrics_are_those_of_scikit_learn(
    labels: tuple[np.ndarray, np.ndarray], average: str, theirs: str | None
) -> None:
    metrics = measured(labels, average)
    for name, value in scores(*labels, theirs).items():
        np.testing.assert_allclose(getattr(metrics, name).numpy(), value, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(metrics.hamming_loss, sklearn.metrics.hamming_loss(*labels))
    np.testing.assert_allclose(metrics.zero_one_loss, sklearn.metrics.zero_one_loss(*labels))


def test_accuracy_and_balanced_accuracy_of_each_label(
    labels: tuple[np.ndarray, np.ndarray],
) -> None:
    metrics = measured(labels, "none")
    columns = list(zip(labels[0].T, labels[1].T, strict=True))
    accuracy = [sklearn.metrics.accuracy_score(*column) for column in columns]
    balanced = [sklearn.metrics.balanced_accuracy_score(*column) for column in columns]
    np.testing.assert_allclose(metrics.accuracy, accuracy)
    np.testing.assert_allclose(metrics.balanced_accuracy, balanced)
    np.testing.assert_allclose(measured(labels, "macro").accuracy, np.mean(accuracy))


def test_weights_reweigh_the_labels(labels: tuple[np.ndarray, np.ndarray]) -> None:
    targets, predictions = map(torch.as_tensor, labels)
    weights = torch.tensor([4.0, 0.0, 1.0, 0.0, 0.0])
    by_label = measured(labels, "none").recall
    weighted = multilabel_metrics(targets, predictions, weights=weights).recall
    torch.testing.assert_close(weighted, 0.8 * by_label[0] + 0.2 * by_label[2])


def test_counts_of_batches_add_up(labels: tuple[np.ndarray, np.ndarray]) -> None:
    targets, predictions = map(torch.as_tensor, labels)
    total = Confusion.of(targets[:17], predictions[:17]) + Confusion.of(
        targets[17:], predictions[17:]
    )
    for name in (*BY_LABEL, "hamming_loss", "zero_one_loss"):
        assert getattr(total.metrics(), name) == getattr(measured(labels, "macro"), name), name


def test_probabilities_count_from_the_threshold_on() -> None:
    targets = torch.tensor([[1, 0], [1, 1]])
    probabilities = torch.tensor([[0.5, 0.6], [0.4, 0.9]])
    assert multilabel_metrics(targets, probabilities, average="none").recall.tolist() == [0.5, 1]
    low = multilabel_metrics(targets, probabilities, average="none", threshold=0.4)
    assert low.recall.tolist() == [1, 1]


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(4, 3\) and predictions \(4, 2\)"):
        multilabel_metrics(torch.zeros(4, 3), torch.zeros(4, 2))
