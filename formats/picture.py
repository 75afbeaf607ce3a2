"""Pictures of rasters side by side, for people to judge a decoded raster by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from eocodec.errors import InputError

_GAP = 8
_CAPTION = 16
_DIFFERENCE_GREY = 128


def side_by_side(
    images: Sequence[tuple[str, NDArray[Any]]],
    *,
    invalid: NDArray[np.bool_] | None = None,
    difference: bool = True,
) -> Image.Image:
    """Draw images next to each other with one common stretch.

    Parameters
    ----------
    images : sequence of (str, ndarray (C, H, W))
        Caption and samples of each image, all of one shape; C is 3 (red, green, blue) or 1. The
        first one is the reference: its 2nd and 98th percentiles become black and white.
    invalid : ndarray of bool, (H, W), optional
        Pixels to leave out of the stretch, drawn black.
    difference : bool
        Add, for the last image, its difference from the first around middle grey, with the
        99.9th percentile of its size at full swing; the caption names that size.

    Returns
    -------
    PIL.Image.Image
        The picture, RGB.
    """
    reference = images[0][1].astype(np.float64)
    valid: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(reference), axis=0)
    if invalid is not None:
        valid &= ~invalid
    panels = []
    low, high = _stretch(reference, valid)
    for caption, samples in images:
        scaled = np.clip((samples.astype(np.float64) - low) / (high - low), 0, 1) * 255
        panels.append((caption, np.where(valid, np.nan_to_num(scaled), 0)))
    if difference and len(images) > 1:
        with np.errstate(invalid="ignore"):
            error = images[-1][1].astype(np.float64) - reference
        error = np.where(valid, np.nan_to_num(error), 0)
        swing = float(np.percentile(np.abs(error[:, valid]), 99.9)) if valid.any() else 0.0
        half = _DIFFERENCE_GREY - 1
        grey = _DIFFERENCE_GREY + np.clip(error / max(swing, 1e-9), -1, 1) * half
        panels.append((f"difference, full swing {swing:.4g}", grey))
    return _join(panels)


def save_png(image: Image.Image, path: str | Path) -> None:
    """Write `image` as PNG under `path`, completely or not at all.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        image.save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _stretch(reference: NDArray[np.float64], valid: NDArray[np.bool_]) -> tuple[Any, Any]:
    if not valid.any():
        return 0.0, 1.0
    low, high = np.percentile(reference[:, valid], (2, 98), axis=1)
    return low[:, None, None], np.maximum(high, low + 1e-9)[:, None, None]


def _join(panels: Sequence[tuple[str, NDArray[np.float64]]]) -> Image.Image:
    height, width = panels[0][1].shape[1:]
    step = width + _GAP
    canvas = Image.new("RGB", (step * len(panels) - _GAP, height + _CAPTION), "white")
    draw = ImageDraw.Draw(canvas)
    for index, (caption, samples) in enumerate(panels):
        rgb = np.broadcast_to(np.rint(samples), (3, height, width)).astype(np.uint8)
        image = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
        canvas.paste(image, (index * step, _CAPTION))
        draw.text((index * step + 2, 2), caption, fill="black")
    return canvas
