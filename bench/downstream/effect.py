"""How far a frozen model's answers change with compression (D3.4, section 2.3.6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import t, ttest_rel

from bench.downstream.patches import Labels
from bench.downstream.probe import Logits, cross_entropy

CATEGORIES = ("surely no", "maybe no", "maybe yes", "surely yes")
_BOUNDARIES = (0.25, 0.5, 0.75)
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedTest:
    """Cross-entropies of the same patches, decoded and original.

    Attributes
    ----------
    original, decoded : float
        Means over the patches, in nats a label.
    half_width : float
        The mean difference lies within this of the true one, with 95 % confidence.
    p_value : float
        Of Student's paired t-test, two-sided; 1 where no patch differs.
    """

    original: float
    decoded: float
    half_width: float
    p_value: float

    @property
    def difference(self) -> float:
        """Mean by which compression raises the cross-entropy."""
        return self.decoded - self.original


def compare_cross_entropy(original: Logits, decoded: Logits, labels: Labels) -> PairedTest:
    """Compare the cross-entropies of logits (N, K), one value a patch; at least two patches."""
    before, after = cross_entropy(original, labels), cross_entropy(decoded, labels)
    differences = after - before
    count = len(differences)
    error = float(differences.std(ddof=1)) / count**0.5
    return PairedTest(
        original=float(before.mean()),
        decoded=float(after.mean()),
        half_width=error * float(t.ppf((1 + _CONFIDENCE) / 2, count - 1)),
        p_value=float(ttest_rel(after, before).pvalue) if differences.any() else 1.0,
    )


def symmetric_divergence(original: Logits, decoded: Logits) -> npt.NDArray[np.float64]:
    """Kullback-Leibler divergence of every label's two Bernoulli distributions, both ways added up, in nats: (N, K)."""
    divergence: npt.NDArray[np.float64] = (expit(decoded) - expit(original)) * (decoded - original)
    return divergence


def contingency(original: Logits, decoded: Logits) -> npt.NDArray[np.int64]:
    """Count labels of patches by category before (rows) and after (columns): (4, 4).

    Categories are divided at probabilities of 25, 50 and 75 %; a boundary belongs to the upper one.
    """
    before, after = (np.digitize(expit(logits), _BOUNDARIES) for logits in (original, decoded))
    counts = np.zeros((len(CATEGORIES),) * 2, np.int64)
    np.add.at(counts, (before.ravel(), after.ravel()), 1)
    return counts
