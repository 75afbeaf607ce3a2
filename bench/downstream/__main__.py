"""What features are worth and what compression does to classification: one HTML report of a labelled folder.

python -m bench.downstream EuroSAT --out downstream-out
"""

from __future__ import annotations

from pathlib import Path

import click
from tqdm import tqdm

from bench.downstream.features import STATISTICS, Extractor, band_statistics, extractor_of
from bench.downstream.folders import LAYOUTS, Layout, open_folder
from bench.downstream.patches import SPLITS, LabelledPatches
from bench.downstream.scratch import ScratchConfig
from bench.downstream.sections import Study, effect_sections, label_section
from bench.downstream.tables import write_tables
from bench.report import write_report
from eocodec.codec_models import find_card
from eocodec.errors import EocodecError
from eocodec.transforms.interface import TokenTransform
from eocodec.transforms.registry import find_transform, transform_names

_QUICK = {"seeds": 1, "coded": 24, "steps": 4}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default="downstream-out", show_default=True)
@click.option("--layout", type=click.Choice(LAYOUTS), help="Detected unless given.")
@click.option("--classes", type=click.Choice(["19", "43"]), default="19", help="Of BigEarthNet.")
@click.option(
    "--lists",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the lists of splits and of patches to leave out; FOLDER by default.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--network-seeds", type=click.IntRange(min=1), help="Fewer for the network.")
@click.option(
    "--patches", type=click.IntRange(min=2), help="Code at most so many of the test split."
)
@click.option("--transform", "names", multiple=True, help="Features to probe; all by default.")
@click.option("--quick", is_flag=True, help="One seed, few steps and patches: a try, no figures.")
def main(
    folder: Path,
    out: Path,
    layout: Layout | None,
    classes: str,
    lists: Path | None,
    seeds: int,
    network_seeds: int | None,
    patches: int | None,
    names: tuple[str, ...],
    *,
    quick: bool,
) -> None:
    """Report on the labelled patches of FOLDER, in the layout of BigEarthNet or EuroSAT."""
    config = ScratchConfig()
    if quick:
        seeds, network_seeds, patches = _QUICK["seeds"], None, _QUICK["coded"]
        config = ScratchConfig(epochs=0, least_steps=_QUICK["steps"])
    try:
        found = open_folder(folder, layout, lists, classes=int(classes))
        extractors, frozen = _extractors(names or transform_names())
        out.mkdir(parents=True, exist_ok=True)
        study = Study(found, extractors, frozen, config, out)
        with tqdm(desc="labels", unit="classifier", disable=None) as bar:
            sections = [label_section(study, seeds, network_seeds or seeds, bar.update)]
        with tqdm(desc="compression", unit="patch", disable=None) as bar:
            sections += effect_sections(study, patches, bar.update)
    except EocodecError as error:
        raise click.ClickException(str(error)) from error
    tables = [table for section in sections for table in section.tables]
    for table in tables:
        click.echo(table.markdown() + "\n")
    write_tables(tables, out / "tables.md")
    report = out / "report.html"
    write_report(
        report, f"eocodec: downstream tasks on {found.name}", _introduction(found), sections
    )
    click.echo(f"report: {report}")


def _extractors(names: tuple[str, ...]) -> tuple[dict[str, Extractor], list[str]]:
    """Return the extractors by name, and the names of those that see decoded pixels."""
    extractors: dict[str, Extractor] = {STATISTICS: band_statistics}
    frozen = [STATISTICS]
    for name in names:
        transform = find_transform(name)
        extractors[name] = extractor_of(transform)
        if not isinstance(transform, TokenTransform):
            frozen.append(name)
    return extractors, frozen


def _introduction(found: LabelledPatches) -> list[str]:
    card = find_card()
    counts = ", ".join(f"{len(found.splits[split])} in {split}" for split in SPLITS)
    return [
        f"{found.name}: {len(found.names)} patches with {len(found.classes)} labels, {counts}. "
        + " ".join(found.notes),
        f"Codec model {card.name}, {card.id[:16]}: {card.layers} layers, of which {card.default_layers} by default.",
        "Models are trained on the originals of train; the strength of a probe's regularisation and the best state of "
        "a network are chosen on val; all figures are of test. Every label is a binary decision with a sigmoid, also "
        "where a patch has one label only; top-1 accuracy then takes the label with the largest logit.",
    ]


if __name__ == "__main__":
    main()
