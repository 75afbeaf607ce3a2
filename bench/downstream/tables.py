"""Tables of the downstream report."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.downstream.effect import (
    CATEGORIES,
    PairedTest,
    compare_cross_entropy,
    contingency,
    symmetric_divergence,
)
from bench.downstream.frozen import Answers, CodedSplit
from bench.downstream.label_shares import MEASURES, TOP_1, Score, deviation, score
from bench.downstream.patches import Labels
from bench.downstream.versions import Quality
from bench.tables import Table
from eocodec.transforms.indices import FORMULAE


def label_table(scores: Sequence[Score], train: int) -> Table:
    """Return a row a method and count of labels: mean and deviation over seeds of every measure."""
    measures = [name for name in MEASURES if name in scores[0].measures]
    groups: dict[tuple[int, str], list[Score]] = {}
    for found in scores:
        groups.setdefault((found.count, found.method), []).append(found)
    rows = [
        [f"{method}, {count} ({100 * count / train:.3g} %)", str(len(group))]
        + [_moments([entry.measures[name] for entry in group]) for name in measures]
        for (count, method), group in sorted(groups.items(), key=lambda item: item[0][0])
    ]
    return Table(
        "Classifiers by labelled patches, on the test split",
        ["method, labels (share of train)", "runs", *measures],
        rows,
        "Mean and standard deviation over draws of the labelled patches (and starts of the network). Macro "
        "averages over labels; a label is set from a probability of one half on, so that timid models miss many.",
    )


def rate_table(coded: CodedSplit) -> Table:
    """Return rate, error and mean absolute errors of the indices at every quality."""
    rows = [
        [str(quality), f"{coded.bpppb(quality):.3f}", f"{coded.rmse(quality):.1f}"]
        + [f"{coded.indices[quality].mean(name):.4f}" for name in FORMULAE]
        for quality in sorted(coded.bytes, reverse=True)
    ]
    return Table(
        "Rate, error in DN, and mean absolute error of spectral indices",
        ["quality", "bpppb", "RMSE", *(name.upper() for name in FORMULAE)],
        rows,
        "bpppb: bits per pixel and band, with the head and side information of every patch, each a tile of its own. "
        "JPEG has the setting of the nearest rate; below its smallest file it stays there.",
    )


def bias_table(coded: CodedSplit) -> Table:
    """Return mean and root-mean-square errors of the indices at every quality."""
    rows = [
        [str(quality)]
        + [
            f"{coded.indices[quality].bias(name):+.4f}, {coded.indices[quality].rms(name):.4f}"
            for name in FORMULAE
        ]
        for quality in sorted(coded.bytes, reverse=True)
    ]
    return Table(
        "Spectral indices: mean and root-mean-square error",
        ["quality", *(name.upper() for name in FORMULAE)],
        rows,
    )


def effect_table(model: str, coded: CodedSplit, labels: Labels) -> Table:
    """Return cross-entropy with its paired test, divergence, changed categories and features at every quality."""
    answers = coded.answers[model]
    original = np.concatenate(answers.original)
    measures = score(labels, original)
    shown = TOP_1 if TOP_1 in measures else "F1"
    rows = []
    for quality in sorted(coded.bytes, reverse=True):
        decoded = np.concatenate(answers.decoded[quality])
        test = compare_cross_entropy(original, decoded, labels)
        divergence = symmetric_divergence(original, decoded)
        table = contingency(original, decoded)
        cosines = np.concatenate(answers.cosines[quality])
        rows.append(
            [
                str(quality),
                f"{coded.bpppb(quality):.3f}",
                f"{test.decoded:.4f}",
                f"{test.difference:+.4f} ± {test.half_width:.4f}",
                _p_value(test),
                f"{score(labels, decoded)[shown]:.3f}",
                f"{divergence.mean():.4f}",
                f"{np.quantile(divergence, 0.95):.4f}",
                f"{100 * (1 - np.trace(table) / table.sum()):.2f} %",
                f"{cosines.mean():.4f}",
                f"{np.quantile(cosines, 0.05):.4f}",
            ]
        )
    between = float(np.concatenate(answers.between).mean())
    return Table(
        f"{model}, frozen, on {len(labels)} patches of the test split",
        [
            "quality",
            "bpppb",
            "cross-entropy",
            "difference",
            "p",
            shown,
            "KL mean",
            "KL 95 %",
            "category changed",
            "cosine",
            "cosine 5 %",
        ],
        rows,
        f"Original: cross-entropy {_entropy(answers, labels):.4f} nats a label, {shown} "
        f"{measures[shown]:.3f}; features of different patches have a mean cosine of {between:.4f}. "
        "Difference: with its 95 % interval; p: paired "
        "t-test, two-sided, not corrected for the number of tests. KL: symmetric divergence of a label in nats.",
    )


def contingency_table(model: str, quality: Quality, answers: Answers) -> Table:
    """Return the 4 x 4 counts at a quality, all labels together."""
    table = contingency(np.concatenate(answers.original), np.concatenate(answers.decoded[quality]))
    rows = [[name, *map(str, row)] for name, row in zip(CATEGORIES, table, strict=True)]
    return Table(f"{model}: {quality}", ["original \\ decoded", *CATEGORIES], rows)


def write_scores(scores: Sequence[Score], path: Path) -> None:
    """Write a row a trained classifier as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "labelled", "seed", *scores[0].measures])
        for found in scores:
            values = (f"{value:.6f}" for value in found.measures.values())
            writer.writerow([found.method, found.count, found.seed, *values])


def write_tables(tables: Sequence[Table], path: Path) -> None:
    """Write tables as Markdown."""
    path.write_text("\n\n".join(table.markdown() for table in tables) + "\n")


def _entropy(answers: Answers, labels: Labels) -> float:
    original = np.concatenate(answers.original)
    return compare_cross_entropy(original, original, labels).original


def _moments(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {deviation(values):.3f}"


def _p_value(test: PairedTest) -> str:
    return "< 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"
