"""The linear probe: a logistic regression for each label on frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from bench.downstream.features import Features
from bench.downstream.patches import Labels

Logits = npt.NDArray[np.float64]

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the squared weights in the objective; the one with the least cross-entropy on val is taken."""
_ITERATIONS = 300


@dataclass(frozen=True)
class Scaling:
    """Features to mean 0 and deviation 1.

    Attributes
    ----------
    mean, deviation : ndarray of float32 (D,)
        Of the features of the whole training split, which needs no labels.
    """

    mean: Features
    deviation: Features

    @classmethod
    def of(cls, features: Features) -> Scaling:
        """Measure features (N, D); features that do not vary stay 0."""
        deviation = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(deviation > 0, deviation, np.inf))

    def apply(self, features: Features) -> Features:
        """Return scaled features (N, D)."""
        return (features - self.mean) / self.deviation


@dataclass(frozen=True)
class Probe:
    """A linear layer on scaled features.

    Attributes
    ----------
    scaling : Scaling
        Applied first.
    weights : ndarray (D, K)
    bias : ndarray (K,)
    strength : float
        The chosen entry of `STRENGTHS`.
    """

    scaling: Scaling
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    strength: float

    def logits(self, features: Features) -> Logits:
        """Return the logit of every label, (N, K)."""
        return self.scaling.apply(features) @ self.weights + self.bias


def fit_probe(
    scaling: Scaling, train: tuple[Features, Labels], val: tuple[Features, Labels]
) -> Probe:
    """Fit probes of all strengths to features (n, D) and labels (n, K), and take the best on val."""
    inputs = scaling.apply(train[0]).astype(np.float64)
    probes = [Probe(scaling, *_fit(inputs, train[1], s), s) for s in STRENGTHS]
    return min(probes, key=lambda probe: float(cross_entropy(probe.logits(val[0]), val[1]).mean()))


def cross_entropy(logits: Logits, labels: Labels) -> npt.NDArray[np.float64]:
    """Binary cross-entropy of each patch in nats, mean over its labels: (N,)."""
    losses: npt.NDArray[np.float64] = np.logaddexp(0, np.where(labels, -logits, logits)).mean(
        axis=1
    )
    return losses


def _fit(
    inputs: npt.NDArray[np.float64], labels: Labels, strength: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Minimise the mean cross-entropy with L-BFGS; the bias is not regularised."""
    count, size = inputs.shape
    kinds = labels.shape[1]

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights, bias = flat[:-kinds].reshape(size, kinds), flat[-kinds:]
        logits = inputs @ weights + bias
        slope = (expit(logits) - labels) / count
        loss = np.logaddexp(0, np.where(labels, -logits, logits)).sum() / count
        gradient = np.concatenate(
            [(inputs.T @ slope + strength * weights).ravel(), slope.sum(axis=0)]
        )
        return float(loss + strength / 2 * (weights**2).sum()), gradient

    start = np.zeros((size + 1) * kinds)
    flat = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}
    ).x
    return flat[:-kinds].reshape(size, kinds), flat[-kinds:]
