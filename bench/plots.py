"""Plots of the curves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.bd_rate import HIGHEST_RMSE, LOWEST_RMSE, hull
from bench.curves import Curves
from bench.measures import Point

_PANEL = (4.6, 3.4)
_COLUMNS = 3
_MARGIN = 1.4


@dataclass(frozen=True)
class Quantity:
    """A figure of a point, as an axis."""

    label: str
    value: Callable[[Point], float]
    logarithmic: bool = True


BPPPB = Quantity("bits per pixel and band", lambda p: p.bpppb)
RMSE = Quantity("RMSE [DN]", lambda p: p.rmse)
QUALITIES = (
    Quantity("RMS [% of reflectance 1]", lambda p: p.rms_percent),
    Quantity("PSNR [dB, peak 10000]", lambda p: p.psnr, logarithmic=False),
    Quantity("1 - MS-SSIM", lambda p: 1 - p.ms_ssim),
    Quantity("spectral angle [°]", lambda p: p.spectral_angle),
    Quantity("NDVI error", lambda p: p.ndvi_error),
)


def plot_scenes(curves: Curves, ours: str, path: Path) -> None:
    """Plot RMSE against rate, a panel a scene."""
    _plot(path, ours, [(scene, found, RMSE) for scene, found in curves.items()])


def plot_qualities(curves: Curves, scene: str, ours: str, path: Path) -> None:
    """Plot every measure of quality against rate on one scene."""
    _plot(path, ours, [(scene, curves[scene], quality) for quality in QUALITIES])


def _plot(
    path: Path, ours: str, panels: list[tuple[str, dict[str, list[Point]], Quantity]]
) -> None:
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 1.2), layout="constrained")
    peers = list(panels[0][1])
    colours = matplotlib.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for number, (title, found, quantity) in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, number)
        for index, peer in enumerate(peers):
            points = [p for p in hull(found[peer]) if _shown(p)]
            axes.plot(
                [BPPPB.value(p) for p in points],
                [quantity.value(p) for p in points],
                marker=".",
                label=peer,
                color="black" if peer == ours else colours[index % len(colours)],
                linewidth=2 if peer == ours else 1,
                linestyle="-" if index < len(colours) else "--",
            )
        axes.set(title=title, xlabel=BPPPB.label, ylabel=quantity.label, xscale="log")
        if quantity.logarithmic:
            axes.set_yscale("log")
        axes.grid(visible=True, which="both", alpha=0.25)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=80)


def _shown(point: Point) -> bool:
    return LOWEST_RMSE / _MARGIN <= point.rmse <= HIGHEST_RMSE * _MARGIN
