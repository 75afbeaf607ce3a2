"""Rate-distortion of every peer on the scenes of a split: curves, bytes at equal error, CSV, plot, table.

python -m bench.rate_distortion ../shared/data/s2 --split test --out bench-out
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bench.peers import PEERS, Peer, Stack
from eocodec.training.data import load_scenes

Curve = npt.NDArray[np.float64]
"""Rows of (bytes, RMSE in DN), RMSE falling."""

RMSE_GRID = np.geomspace(30, 120, 25)
SHOWN_RMSE = (30, 45, 60, 90, 120)


def curve(peer: Peer, stack: Stack, lowest: float, highest: float) -> Curve:
    """Code a stack at the settings whose RMSE lies around [lowest, highest] DN."""
    points = []
    for setting in peer.settings:
        data = peer.encode(stack, setting)
        error = peer.decode(data, stack.shape).astype(np.float64) - stack
        points.append((len(data), float(np.sqrt(np.mean(error**2)))))
        if points[-1][1] < lowest * 0.8:
            break
    points = [p for p in points if p[1] < highest * 3]
    return pareto(points)


def pareto(points: list[tuple[int, float]]) -> Curve:
    """Keep the points that no other beats in both bytes and RMSE."""
    best: list[tuple[int, float]] = []
    for point in sorted(points):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return np.array(best, np.float64)


def bytes_at(points: Curve, rmse: Curve) -> Curve:
    """Bytes at an RMSE, linear between points in log bytes and log RMSE; NaN outside the curve."""
    order = np.argsort(points[:, 1])
    return np.exp(
        np.interp(
            np.log(rmse),
            np.log(points[order, 1]),
            np.log(points[order, 0]),
            left=np.nan,
            right=np.nan,
        )
    )


def relative_bytes(ours: Curve, theirs: Curve) -> float:
    """Bytes relative to a peer at equal RMSE, geometric mean where both curves reach."""
    ratio = np.log(bytes_at(ours, RMSE_GRID) / bytes_at(theirs, RMSE_GRID))
    return float(np.exp(np.nanmean(ratio))) if np.isfinite(ratio).any() else float("nan")


def mean_at(curves: dict[str, dict[str, Curve]], ours: str, theirs: str, rmse: float) -> float:
    """Bytes relative to a peer at one RMSE, geometric mean over the scenes whose curves reach it."""
    at = np.array([rmse], np.float64)
    ratios = [
        float(np.log(bytes_at(c[ours], at) / bytes_at(c[theirs], at))[0]) for c in curves.values()
    ]
    return float(np.exp(np.nanmean(ratios)))


def run(
    scenes: list[tuple[str, Stack]], peers: tuple[Peer, ...], show: Callable[[str], None]
) -> dict[str, dict[str, Curve]]:
    """Curves of all scenes and peers."""
    curves: dict[str, dict[str, Curve]] = {}
    for name, stack in tqdm(scenes, desc="scenes", disable=None):
        curves[name] = {
            peer.name: curve(peer, stack, RMSE_GRID[0], RMSE_GRID[-1]) for peer in peers
        }
        ours = curves[name][peers[-1].name]
        against = [relative_bytes(ours, curves[name][peer.name]) for peer in peers[:-1]]
        show(f"| {name} | " + " | ".join(f"{100 * ratio:.0f} %" for ratio in against) + " |")
    return curves


def plot(curves: dict[str, dict[str, Curve]], sizes: dict[str, int], path: Path) -> None:
    """Plot RMSE against bits per pixel and band, one panel a scene."""
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 3 * rows), layout="constrained")
    for i, (name, peers) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        for peer, points in peers.items():
            axes.plot(points[:, 0] * 8 / sizes[name], points[:, 1], ".-", label=peer)
        axes.set(title=name[:40], xlabel="bpppb", ylabel="RMSE [DN]", xscale="log", yscale="log")
        axes.legend(fontsize="x-small")
    figure.savefig(path, dpi=80)


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("bench-out"), show_default=True
)
@click.option("--quick", is_flag=True, help="Three scenes only.")
def main(data: Path, split: str, out: Path, *, quick: bool) -> None:
    """Bench all peers on the scenes of DATA."""
    scenes = [(s.name, s.pixels) for s in load_scenes(data, split) if "/" not in s.name]
    scenes = scenes[:3] if quick else scenes
    sizes = {name: stack.size for name, stack in scenes}
    out.mkdir(parents=True, exist_ok=True)
    click.echo("| scene | " + " | ".join(f"of {peer.name}" for peer in PEERS[:-1]) + " |")
    click.echo("|" + "---|" * len(PEERS))
    curves = run(scenes, PEERS, click.echo)
    ours = PEERS[-1].name
    means = []
    for peer in PEERS[:-1]:
        ratios = [relative_bytes(c[ours], c[peer.name]) for c in curves.values()]
        means.append(float(np.nanmean(ratios)))
    click.echo("| **mean** | " + " | ".join(f"**{100 * m:.1f} %**" for m in means) + " |")
    click.echo()
    click.echo("| RMSE | " + " | ".join(f"of {peer.name}" for peer in PEERS[:-1]) + " |")
    click.echo("|" + "---|" * len(PEERS))
    for rmse in SHOWN_RMSE:
        cells = [mean_at(curves, ours, peer.name, rmse) for peer in PEERS[:-1]]
        click.echo(f"| {rmse} DN | " + " | ".join(f"{100 * c:.0f} %" for c in cells) + " |")
    with (out / f"rate-distortion-{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scene", "peer", "bytes", "bpppb", "bpp", "rmse_dn"])
        for name, peers in curves.items():
            bands = dict(scenes)[name].shape[0]
            for peer_name, points in peers.items():
                for count, rmse in points:
                    rate = count * 8 / sizes[name]
                    writer.writerow(
                        [
                            name,
                            peer_name,
                            int(count),
                            f"{rate:.4f}",
                            f"{rate * bands:.3f}",
                            f"{rmse:.3f}",
                        ]
                    )
    plot(curves, sizes, out / f"rate-distortion-{split}.png")


if __name__ == "__main__":
    main()
