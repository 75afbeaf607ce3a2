"""Tables of the comparison: Markdown and CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from bench.bd_rate import RateDifference, bytes_at, rate_difference
from bench.curves import Curves
from bench.measures import Point

SHOWN_RMSE = (20, 30, 45, 60, 90, 120)
"""Errors in DN at which bytes are compared."""

_DIGITS = {
    "bpppb": 4,
    "bpp": 3,
    "rmse": 3,
    "rms_percent": 4,
    "psnr": 3,
    "ms_ssim": 6,
    "spectral_angle": 4,
    "ndvi_error": 6,
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    title : str
        What it shows.
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.
    note : str
        Explanation below it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """Return the table in Markdown."""
        lines = [f"### {self.title}", "", _row(self.head)]
        lines.append(_row(["---", *["---:"] * (len(self.head) - 1)]))
        lines += map(_row, self.rows)
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def speed_cell(encoding: float, decoding: float) -> str:
    """Return MB a second of encoding and decoding, to two digits where they are below 10."""
    return " / ".join(
        f"{v:.0f}" if v >= 10 else f"{v:.1f}" if v >= 1 else f"{v:.2f}"
        for v in (encoding, decoding)
    )


Differences = dict[str, dict[str, RateDifference]]
"""Rate differences of the codec of interest against peers, by peer and scene."""


def rate_differences(curves: Curves, ours: str) -> Differences:
    """Compare `ours` with every other peer on every scene."""
    peers = [name for name in next(iter(curves.values())) if name != ours]
    return {
        peer: {scene: rate_difference(found[ours], found[peer]) for scene, found in curves.items()}
        for peer in peers
    }


def mean_percent(differences: dict[str, RateDifference]) -> float:
    """Mean over the scenes that can be compared; NaN if none can."""
    known = [d.percent for d in differences.values() if not math.isnan(d.percent)]
    return float(np.mean(known)) if known else float("nan")


def summary_table(
    differences: Differences, ours: str, speeds: Mapping[str, tuple[float, float]] | None = None
) -> Table:
    """Mean, best and worst scene against each peer, and its MB/s (encoding, decoding) where known."""
    speeds = speeds or {}
    cells = {name: speed_cell(*speed) for name, speed in speeds.items()}
    rows = [[ours, "", "", "", "", cells.get(ours, "-")]]
    for peer, scenes in differences.items():
        speed = cells.get(peer, "-")
        known = [d for d in scenes.values() if not math.isnan(d.percent)]
        if not known:
            rows.append([peer, "-", "-", "-", f"0 of {len(scenes)}", speed])
            continue
        ordered = sorted(d.percent for d in known)
        rows.append(
            [
                peer,
                _percent(mean_percent(scenes)) + ("*" if any(d.partial for d in known) else ""),
                _percent(ordered[0]),
                _percent(ordered[-1]),
                f"{len(known)} of {len(scenes)}",
                speed,
            ]
        )
    return Table(
        f"Bytes of {ours} against each codec (BD-rate)",
        ["codec", "mean", "best scene", "worst scene", "scenes", "MB/s"],
        rows,
        "Bjøntegaard rate difference over RMSE 20 to 120 DN; negative is fewer bytes. "
        "* some curve does not span all of it: compared over what both reach. MB/s: uint16 samples encoded / "
        f"decoded a second of one core at the size of {ours}'s default quality, or the nearest that the codec "
        "reaches, on the largest scene that is not mostly calm water.",
    )


def scene_table(differences: Differences, ours: str) -> Table:
    """Rate difference on each scene against each peer."""
    scenes = list(next(iter(differences.values())))
    rows = [
        [peer, *[_percent(found[s].percent) + "*" * found[s].partial for s in scenes]]
        for peer, found in differences.items()
    ]
    return Table(
        f"BD-rate of {ours} on each scene",
        ["codec", *scenes],
        rows,
        "* compared over the part of 20 to 120 DN that both curves reach; - no error in common.",
    )


def error_table(curves: Curves, ours: str) -> Table:
    """Bytes relative to each peer at single errors, geometric mean over the scenes that reach them."""
    peers = [name for name in next(iter(curves.values())) if name != ours]
    rows = []
    for peer in peers:
        cells = []
        for rmse in SHOWN_RMSE:
            ratios = [
                bytes_at(found[ours], rmse) / bytes_at(found[peer], rmse)
                for found in curves.values()
                if found[ours] and found[peer]
            ]
            known = [math.log(ratio) for ratio in ratios if math.isfinite(ratio)]
            cells.append(f"{100 * math.exp(np.mean(known)):.0f} %" if known else "-")
        rows.append([peer, *cells])
    return Table(
        f"Bytes of {ours} relative to each codec at one RMSE",
        ["codec", *[f"{rmse} DN" for rmse in SHOWN_RMSE]],
        rows,
        "Geometric mean over the scenes where both curves reach the error.",
    )


def write_csv(curves: Curves, path: Path) -> None:
    """Write every point of every curve."""
    names = [field.name for field in fields(Point)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", "codec", *names])
        for scene, found in curves.items():
            for peer, points in found.items():
                for point in points:
                    writer.writerow([scene, peer, *_cells(point)])


def _cells(point: Point) -> list[str]:
    return [
        f"{value:.{_DIGITS[name]}f}" if name in _DIGITS else str(value)
        for name, value in asdict(point).items()
    ]


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1f} %"
