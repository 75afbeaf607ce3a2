"""Curves of RMSE against rate, a panel a field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.bd_rate import hull
from bench.fields.tables import Measured

_PANEL = (4.6, 3.2)
_COLUMNS = 3
_LONGEST_TITLE = 44


def plot_fields(measured: Measured, ours: str, fields: Sequence[str], path: Path) -> None:
    """Plot RMSE relative to the range against bits a value, of the fields that have points."""
    fields = [name for name in fields if any(points.get(name) for points in measured.values())]
    columns = min(_COLUMNS, len(fields))
    rows = -(-len(fields) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 1), layout="constrained")
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, field in enumerate(fields, 1):
        axes = figure.add_subplot(rows, columns, number)
        for index, (name, points) in enumerate(measured.items()):
            curve = hull(list(points.get(field, {}).values()))
            axes.plot(
                [point.bits for point in curve],
                [point.rmse for point in curve],
                marker=".",
                label=name,
                color="black" if name == ours else colours[index % len(colours)],
                linewidth=2 if name == ours else 1,
            )
        axes.set(
            title=field[:_LONGEST_TITLE],
            xlabel="bits a value",
            ylabel="RMSE / range",
            xscale="log",
            yscale="log",
        )
        axes.grid(visible=True, which="both", alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize="small")
    figure.savefig(path, dpi=80)
