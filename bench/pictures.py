"""Visual comparisons as in D3.4, figures 9 to 12: crops at equal rate and at equal error, and error maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bench.curves import worker_pool
from bench.matching import Coded, at_error, at_size, code
from bench.peers import JPEG, JPEG2000_KLT, JPEGXL_KLT, OURS, Stack, named
from bench.scenes import middle_crop
from eocodec.bands import MODEL_BANDS

SHOWN_RMSE = (70.0, 35.0)
"""Errors of eocodec in DN at which crops are shown."""
PEERS = (JPEG, JPEG2000_KLT, JPEGXL_KLT)
_COMPOSITES = {"true colour": ("B04", "B03", "B02"), "false colour": ("B08", "B04", "B03")}
_CODED = 384
_SHOWN = 144
_PANEL = 2.7


@dataclass(frozen=True)
class Comparison:
    """One codec next to eocodec at a given error of eocodec.

    Attributes
    ----------
    ours : Coded
        eocodec's.
    equal_rate, equal_error : list of Coded
        The peers' at its size, and at its error.
    """

    ours: Coded
    equal_rate: list[Coded]
    equal_error: list[Coded]


def compare_crop(stack: Stack, rmse: float) -> Comparison:
    """Code a crop with eocodec at an error in DN, and with its peers at that size and error."""
    ours = code(named(OURS), stack, rmse)
    peers = [named(name) for name in PEERS]
    return Comparison(
        ours,
        [at_size(peer, stack, len(ours.data)) for peer in peers],
        [at_error(peer, stack, ours.rmse) for peer in peers],
    )


def draw_comparisons(
    scene: str, stack: Stack, folder: Path, *, errors: tuple[float, ...], workers: int
) -> list[tuple[str, Path]]:
    """Write a picture at equal rate and one at equal error for each error of eocodec.

    Returns
    -------
    list of (str, Path)
        Title and PNG file of each picture.
    """
    crop = middle_crop(stack, _CODED)
    with worker_pool(workers) as pool:
        compared = list(pool.map(partial(compare_crop, crop), errors))
    pictures = []
    for wanted, found in zip(errors, compared, strict=True):
        for kind, peers in (("rate", found.equal_rate), ("error", found.equal_error)):
            path = folder / f"crop-{scene}-{wanted:.0f}-equal-{kind}.png"
            _draw(crop, [found.ours, *peers], path)
            title = f"{scene}, equal {kind}, eocodec at {found.ours.rmse:.0f} DN"
            pictures.append((title, path))
    return pictures


def _draw(stack: Stack, coded: list[Coded], path: Path) -> None:
    columns, rows = 1 + len(coded), len(_COMPOSITES) + 1
    figure = Figure(figsize=(_PANEL * columns, _PANEL * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    original = middle_crop(stack, _SHOWN).astype(np.float64)
    decoded = [middle_crop(one.decoded, _SHOWN).astype(np.float64) for one in coded]
    titles = ["original"] + [
        f"{one.name}\n{one.bpppb:.3f} bpppb, RMSE {one.rmse:.1f} DN" for one in coded
    ]
    for row, (composite, names) in enumerate(_COMPOSITES.items()):
        bands = [MODEL_BANDS.index(name) for name in names]
        low, high = np.percentile(original[bands], (1, 99), axis=(1, 2), keepdims=True)
        for column, pixels in enumerate([original, *decoded]):
            stretched = np.clip((pixels[bands] - low) / np.maximum(high - low, 1), 0, 1)
            axes[row, column].imshow(stretched.transpose(1, 2, 0), interpolation="nearest")
            if row == 0:
                axes[row, column].set_title(titles[column], fontsize="small")
        axes[row, 0].set_ylabel(composite)
    errors = [np.sqrt(np.mean(np.square(pixels - original), axis=0)) for pixels in decoded]
    _draw_errors(figure, axes[-1], errors)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=75)


def _draw_errors(figure: Figure, axes: Any, errors: list[npt.NDArray[np.float64]]) -> None:
    axes[0].axis("off")
    swing = float(np.percentile(errors, 99.5))
    for one, error in zip(axes[1:], errors, strict=True):
        image = one.imshow(error, vmin=0, vmax=swing, cmap="magma", interpolation="nearest")
    figure.colorbar(image, ax=list(axes[1:]), label="RMSE of a pixel, DN", shrink=0.8)
