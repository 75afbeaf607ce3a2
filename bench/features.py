"""What the shipped features keep of decoded scenes, and what they tell of labelled patches: the model card's figures.

python -m bench.features ../shared/data/s2 --split test
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch

from bench.downstream.features import Features, band_statistics, extractor_of
from bench.downstream.frozen import cosine_similarity
from bench.downstream.patches import Stack
from bench.downstream.probe import Scaling, fit_probe
from bench.tables import Table
from eocodec import EncodeSettings, decode_tile, encode_tile
from eocodec.codec_models import find_card
from eocodec.training.data import load_scenes
from eocodec.training.ssl.bank import label_distance, neighbour_labels
from eocodec.training.ssl.loop import NEIGHBOURS
from eocodec.training.ssl.patches import LabelledPatches, load_labelled
from eocodec.transforms import find_transform
from eocodec.transforms.simclr import SimclrFeatures

_TILE = 512


def windows(stack: Stack, side: int) -> Stack:
    """Cut a stack (10, H, W) to whole windows (N, 10, side, side)."""
    bands, height, width = stack.shape
    rows, columns = height // side, width // side
    grid = stack[:, : rows * side, : columns * side].reshape(bands, rows, side, columns, side)
    return grid.transpose(1, 3, 0, 2, 4).reshape(-1, bands, side, side)


def similarity_table(folder: Path, split: str, features: SimclrFeatures) -> Table:
    """Cosines of the features of decoded and original windows, at every number of layers.

    Scenes are coded in tiles of 512 x 512 pixels or what is left of them, all windows count alike.
    """
    card = find_card()
    errors: dict[int, list[float]] = {layers: [] for layers in range(1, card.layers + 1)}
    decoded: dict[int, list[Features]] = {layers: [] for layers in errors}
    originals = []
    for scene in load_scenes(folder, split):
        if "/" in scene.name:  # a patch
            continue
        height, width = scene.pixels.shape[1:]
        for top in range(0, height - features.side + 1, _TILE):
            for left in range(0, width - features.side + 1, _TILE):
                tile = np.ascontiguousarray(scene.pixels[:, top : top + _TILE, left : left + _TILE])
                originals.append(features(windows(tile, features.side)))
                payload = encode_tile(tile, EncodeSettings(layers=card.layers))
                for layers, cosines in decoded.items():
                    pixels = decode_tile(payload, layers)
                    errors[layers].append(float(np.square(pixels - tile.astype(float)).mean()))
                    cosines.append(features(windows(pixels, features.side)))
    before = np.concatenate(originals)
    between = cosine_similarity(before, np.roll(before, len(before) // 2, axis=0))
    rows = []
    for layers, parts in decoded.items():
        cosines = cosine_similarity(np.concatenate(parts), before)
        figures = (cosines.mean(), np.quantile(cosines, 0.05), cosines.min())
        name = f"{layers} (default)" if layers == card.default_layers else str(layers)
        rmse = np.sqrt(np.mean(errors[layers]))
        rows.append([name, f"{rmse:.1f}", *(f"{figure:.4f}" for figure in figures)])
    return Table(
        f"Features of decoded and original windows, {split} scenes",
        ["layers", "RMSE [DN]", "mean cosine", "5 %", "least"],
        rows,
        f"{len(before)} windows; two different windows have a mean cosine of {between.mean():.3f}.",
    )


def label_table(folder: Path, split: str, features: SimclrFeatures) -> Table:
    """Accuracy of the feature bank and of a linear probe on labelled patches of the split.

    The bank and the probe know the labels of train; the probe's regularisation is chosen on val.
    """
    patches = {name: _labelled(folder, name) for name in ("train", "val", split)}
    wanted = patches[split].labels
    rows = []
    tokens = extractor_of(find_transform("tokens"))
    extractors = {"ssl-s2": features, "tokens": tokens, "band statistics": band_statistics}
    for name, extract in extractors.items():
        found = {part: extract(p.pixels) for part, p in patches.items()}
        scaling = Scaling.of(found["train"])
        bank = found if name == "ssl-s2" else {k: scaling.apply(v) for k, v in found.items()}
        foretold = neighbour_labels(
            torch.as_tensor(bank["train"]),
            torch.as_tensor(patches["train"].labels),
            torch.as_tensor(bank[split]),
            neighbours=NEIGHBOURS,
        )
        probe = fit_probe(
            scaling, *((found[part], patches[part].labels > 0) for part in ("train", "val"))
        )
        distance = label_distance(torch.as_tensor(wanted), foretold).item()
        answers = (foretold.numpy(), probe.logits(found[split]))
        hits = [(answer.argmax(1) == wanted.argmax(1)).mean() for answer in answers]
        rows.append(
            [name, str(found[split].shape[1]), f"{distance:.3f}", *(f"{h:.3f}" for h in hits)]
        )
    return Table(
        f"Labelled patches, {split}",
        ["features", "values", "bank distance", "bank accuracy", "probe accuracy"],
        rows,
        f"{len(wanted)} patches, {len(patches['train'].labels)} of train with labels.",
    )


def _labelled(folder: Path, split: str) -> LabelledPatches:
    patches = load_labelled(folder, split)
    if patches is None:
        raise click.ClickException(f"{folder} has no labelled patches of split {split!r}")
    return patches


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", type=click.Choice(["val", "test"]), default="val", show_default=True)
def main(folder: Path, split: str) -> None:
    """Print the figures of the shipped features on the scenes and labelled patches of FOLDER."""
    features = SimclrFeatures()
    for table in (similarity_table(folder, split, features), label_table(folder, split, features)):
        click.echo(table.markdown() + "\n")


if __name__ == "__main__":
    main()
