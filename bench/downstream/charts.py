"""Plots of the downstream report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.downstream.effect import CATEGORIES, PairedTest
from bench.downstream.label_shares import Score, deviation
from bench.downstream.versions import Quality

_PANEL = (3.6, 2.7)
_COLUMNS = 4
_BINS = 20
_SHOWN = 0.95

Curve = Sequence[tuple[float, PairedTest]]


def plot_bars(scores: Sequence[Score], measures: Sequence[str], path: Path) -> None:
    """Plot every measure as bars by count of labels, with the deviation over seeds (D3.4, figure 4)."""
    methods, counts = _methods(scores), _counts(scores)

    def draw(axes: Axes, measure: str) -> None:
        height = 0.8 / len(methods)
        for number, method in enumerate(methods):
            means, deviations = _moments(scores, method, measure)
            places = np.arange(len(counts)) + number * height - 0.4 + height / 2
            axes.barh(places, means, height, xerr=deviations, label=method, error_kw={"lw": 0.8})
        axes.set(title=measure, xlim=(0, 1), yticks=range(len(counts)), yticklabels=counts)
        axes.invert_yaxis()

    _panels(measures, draw, path)


def plot_lines(scores: Sequence[Score], measures: Sequence[str], path: Path) -> None:
    """Plot every measure against the count of labels (D3.4, figure 5)."""

    def draw(axes: Axes, measure: str) -> None:
        for method in _methods(scores):
            means, deviations = _moments(scores, method, measure)
            axes.errorbar(_counts(scores), means, deviations, marker=".", capsize=2, label=method)
        axes.set(title=measure, xscale="log", xlabel="labelled patches", ylim=(0, 1))
        axes.grid(visible=True, alpha=0.25)

    _panels(measures, draw, path)


def plot_cross_entropy(curves: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Plot by how much compression raises the cross-entropy against rate: a panel a model, a curve a codec."""

    def draw(axes: Axes, model: str) -> None:
        for codec, points in curves[model].items():
            rates = [rate for rate, _ in points]
            changes = [test.difference for _, test in points]
            widths = [test.half_width for _, test in points]
            axes.errorbar(rates, changes, widths, marker=".", capsize=2, label=codec)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(title=model, xscale="log", xlabel="bits per pixel and band")
        axes.set_ylabel("cross-entropy, decoded - original")
        axes.grid(visible=True, alpha=0.25)

    _panels(list(curves), draw, path)


def plot_divergences(
    divergences: npt.NDArray[np.float64], classes: Sequence[str], path: Path
) -> None:
    """Plot a histogram of the divergences (N, K) of each label; the last bin is unbounded (D3.4, figure 13)."""

    def draw(axes: Axes, name: str) -> None:
        values = divergences[:, classes.index(name)]
        edge = float(np.quantile(values, _SHOWN)) or 1e-6
        counts, edges = np.histogram(np.minimum(values, edge), _BINS, (0, edge))
        axes.stairs(counts / len(values), edges, fill=True)
        axes.set(title=name[:36], xlabel="symmetric KL divergence", ylabel="share of patches")

    _panels(classes, draw, path)


def plot_contingencies(tables: Mapping[Quality, npt.NDArray[np.int64]], path: Path) -> None:
    """Draw the 4 x 4 counts of categories before and after, a panel a quality (D3.4, figure 14)."""
    named = {str(quality): table for quality, table in tables.items()}

    def draw(axes: Axes, name: str) -> None:
        table = named[name]
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(table):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
        ticks = range(len(CATEGORIES))
        axes.set(title=name, xticks=ticks, yticks=ticks, xlabel="decoded", ylabel="original")
        axes.set_xticklabels(CATEGORIES, fontsize=7)
        axes.set_yticklabels(CATEGORIES, fontsize=7)

    _panels(list(named), draw, path)


def _panels(names: Sequence[str], draw: Callable[[Axes, str], None], path: Path) -> None:
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    size = (_PANEL[0] * columns, _PANEL[1] * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    for number, name in enumerate(names, 1):
        draw(figure.add_subplot(rows, columns, number), name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=80)


def _methods(scores: Sequence[Score]) -> list[str]:
    return list(dict.fromkeys(score.method for score in scores))


def _counts(scores: Sequence[Score]) -> list[int]:
    return sorted({score.count for score in scores})


def _moments(scores: Sequence[Score], method: str, measure: str) -> tuple[list[float], list[float]]:
    """Mean and deviation over seeds at every count."""
    values = [
        [s.measures[measure] for s in scores if s.method == method and s.count == count]
        for count in _counts(scores)
    ]
    return [float(np.mean(v)) for v in values], [deviation(v) for v in values]
