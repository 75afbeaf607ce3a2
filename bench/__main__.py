"""Rate-distortion, speed, seams and error bounds on the scenes of a split: tables, CSV, plots and one HTML report.

python -m bench ../shared/data/s2 --split test --out bench-out
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import click
from tqdm import tqdm

from bench.curves import OWN_MODULES, Curves, compute_curves
from bench.guarantee.measure import BOUNDS, ROUNDS, measure_bounds, read_rasters
from bench.guarantee.tables import all_tables
from bench.peers import DECISIVE, OURS, Peer, Stack, all_peers
from bench.pictures import SHOWN_RMSE, draw_comparisons
from bench.plots import plot_qualities, plot_scenes
from bench.report import (
    BOUNDS_MARK,
    SEAMS_MARK,
    SPEED_MARK,
    TABLES_MARK,
    Section,
    update_readme,
    write_report,
)
from bench.scenes import read_scenes
from bench.seams import seam_ratios, seam_table
from bench.speed import Speed, busy_speeds, measure_scenes, picked, speed_scenes, speed_table
from bench.tables import (
    Table,
    error_table,
    rate_differences,
    scene_table,
    summary_table,
    write_csv,
)
from eocodec.codec_models import find_card

_PICTURED_SCENES = 2


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True, help="Scenes to use.")
@click.option("--out", type=click.Path(path_type=Path), default="bench-out", show_default=True)
@click.option("--quick", is_flag=True, help="A crop of two scenes and the codecs that matter most.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; the cores by default.")
@click.option("--codec", "codecs", multiple=True, help="Compare this codec only; repeatable.")
@click.option(
    "--curves-only",
    is_flag=True,
    help="Leave out speed, seams, error bounds and pictures of crops.",
)
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables between the marks of this Markdown file.",
)
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the learned codecs trained here; without it they are left out.",
)
def main(
    data: Path,
    split: str,
    out: Path,
    *,
    quick: bool,
    workers: int | None,
    codecs: tuple[str, ...],
    curves_only: bool,
    readme: Path | None,
    checkpoints: Path | None,
) -> None:
    """Compare all codecs on the scenes of DATA."""
    peers = all_peers(checkpoints)
    unknown = set(codecs) - {peer.name for peer in peers}
    if unknown:
        known = ", ".join(peer.name for peer in peers)
        raise click.UsageError(f"no codec is named {', '.join(unknown)}; there are {known}")
    chosen = (OURS, *codecs) if codecs else DECISIVE if quick else [peer.name for peer in peers]
    peers = tuple(peer for peer in peers if peer.name in chosen)
    scenes = read_scenes(data, split, quick=quick)
    workers = workers or len(os.sched_getaffinity(0))
    out.mkdir(parents=True, exist_ok=True)
    total = sum(stack.size for stack in scenes.values()) * len(peers)
    with tqdm(total=total, desc="curves", unit="sample", unit_scale=True, disable=None) as bar:
        curves = compute_curves(
            scenes,
            peers,
            workers=workers,
            folder=out / "curves",
            checkpoints=checkpoints,
            progress=bar.update,
        )
    write_csv(curves, out / f"rate-distortion-{split}.csv")
    found = {} if curves_only else _speeds(scenes, peers, quick=quick)
    sections = {TABLES_MARK: _rates(curves, found, out, split)}
    if found:
        sections[SPEED_MARK] = Section("Speed", [speed_table(picked(found))])
        sections[SEAMS_MARK] = _seams(scenes)
        sections[BOUNDS_MARK] = _bounds(data, split, quick=quick)
    for mark, section in sections.items():
        for table in section.tables:
            click.echo(table.markdown() + "\n")
        if readme is not None:
            update_readme(readme, section.tables, mark)
    shown = list(sections.values())
    if not curves_only:
        shown.append(_crops(scenes, out, workers, quick=quick))
    report = out / f"report-{split}.html"
    write_report(report, f"eocodec: the bench on split {split}", _introduction(scenes), shown)
    click.echo(f"report: {report}")


def _introduction(scenes: dict[str, Stack]) -> list[str]:
    sizes = ", ".join(f"{name} ({s.shape[1]} x {s.shape[2]})" for name, s in scenes.items())
    card = find_card()
    return [
        f"Model {card.name}, {card.id[:16]}. imagecodecs {version('imagecodecs')}, PyAV {version('av')}.",
        f"Scenes, ten bands at 10 m, uint16: {sizes}.",
        "Every byte needed to decode is counted; eocodec is run through its commands, GeoTIFF to .eoc and back. "
        "RMSE over all bands in DN (reflectance x 10000), RMS in percent is RMSE / 100, PSNR for a peak of 10000, "
        "bpppb is bits per pixel and band, bpp bits per pixel with all bands counted.",
        "+ KLT: the codec on the file's own Karhunen-Loève components, one error weight for all of them. JPEG 2000 "
        "is OpenJPEG's 9/7, one codestream with a component a plane, cut at one rate-distortion slope; equal PSNR: "
        "one codestream a plane, all at one PSNR. JPEG XL e7 and e3: VarDCT at libjxl's effort 7 and 3, planes "
        "linear in the Y of XYB.",
    ]


def _rates(curves: Curves, found: dict[str, list[Speed]], out: Path, split: str) -> Section:
    differences = rate_differences(curves, OURS)
    tables: list[Table] = [
        summary_table(differences, OURS, busy_speeds(found)),
        scene_table(differences, OURS),
        error_table(curves, OURS),
    ]
    by_scene = out / f"rate-distortion-{split}.png"
    plot_scenes(curves, OURS, by_scene)
    pictures = [("RMSE against rate", by_scene)]
    for scene in list(curves)[:_PICTURED_SCENES]:
        path = out / f"qualities-{scene}.png"
        plot_qualities(curves, scene, OURS, path)
        pictures.append((f"All measures against rate on {scene}", path))
    return Section("Rate and distortion", tables, pictures)


def _speeds(
    scenes: dict[str, Stack], peers: tuple[Peer, ...], *, quick: bool
) -> dict[str, list[Speed]]:
    """Speeds on every scene, of all codecs of others on the busy one."""
    others = [peer for peer in peers if type(peer).__module__ not in OWN_MODULES]
    return measure_scenes(speed_scenes(scenes), others, rounds=1 if quick else ROUNDS)


def _bounds(data: Path, split: str, *, quick: bool) -> Section:
    rasters = read_rasters(data, split, quick=quick)
    bounds, rounds = ((0, 10), 1) if quick else (BOUNDS, ROUNDS)
    return Section(
        "Within an error bound",
        all_tables(list(rasters), measure_bounds(rasters, bounds, rounds=rounds)),
    )


def _seams(scenes: dict[str, Stack]) -> Section:
    ratios = {name: seam_ratios(stack) for name, stack in scenes.items()}
    return Section("Seams", [seam_table(ratios)])


def _crops(scenes: dict[str, Stack], out: Path, workers: int, *, quick: bool) -> Section:
    errors = SHOWN_RMSE[1:] if quick else SHOWN_RMSE
    shown = 1 if quick else _PICTURED_SCENES
    pictures = [
        picture
        for scene, stack in list(scenes.items())[:shown]
        for picture in draw_comparisons(scene, stack, out, errors=errors, workers=workers)
    ]
    return Section("Crops at equal rate and at equal error", pictures=pictures)


if __name__ == "__main__":
    main()
