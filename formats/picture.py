"""Pictures of rasters side by side, for people to judge a decoded raster by eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from eocodec.errors import InputError

_MAX_PANEL = 768
_GAP = 8
_CAPTION = 16
_DIFFERENCE_GREY = 128


class Panels:
    """Every n-th pixel of two rasters, window by window, for a picture of moderate size.

    Parameters
    ----------
    bands : int
        3 (red, green, blue) or 1.
    height, width : int
        Size of the rasters.
    """

    def __init__(self, bands: int, height: int, width: int) -> None:
        self._step = step = -(-max(height, width) // _MAX_PANEL)
        shape = bands, -(-height // step), -(-width // step)
        self._images = [np.zeros(shape, np.float64) for _ in range(2)]
        self._invalid = np.zeros(shape[1:], bool)

    def add(
        self,
        rows: slice,
        columns: slice,
        left: NDArray[Any],
        right: NDArray[Any],
        invalid: NDArray[np.bool_],
    ) -> None:
        """Take what is shown of a window: (bands, rows, columns) of both, and where nothing is valid."""
        ys = np.arange(-(-rows.start // self._step), -(-rows.stop // self._step))
        xs = np.arange(-(-columns.start // self._step), -(-columns.stop // self._step))
        if not len(ys) or not len(xs):
            return
        place = np.ix_(ys, xs)
        taken = np.ix_(ys * self._step - rows.start, xs * self._step - columns.start)
        for image, pixels in zip(self._images, (left, right), strict=True):
            image[:, place[0], place[1]] = pixels[:, taken[0], taken[1]]
        self._invalid[place] = invalid[taken]

    def draw(self, captions: Sequence[str]) -> Image.Image:
        """Return the picture of both, and of their difference."""
        images = list(zip(captions, self._images, strict=True))
        return side_by_side(images, invalid=self._invalid)


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
    with np.errstate(over="ignore", invalid="ignore"):
        low, size = _stretch(reference, valid)
        for caption, samples in images:
            scaled = np.clip((samples.astype(np.float64) - low) / size, 0, 1) * 255
            panels.append((caption, np.where(valid, np.nan_to_num(scaled), 0)))
        if difference and len(images) > 1:
            error = images[-1][1].astype(np.float64) - reference
            error = np.where(valid, np.nan_to_num(error), 0)
            swing = float(np.percentile(np.abs(error[:, valid]), 99.9)) if valid.any() else 0.0
            half = _DIFFERENCE_GREY - 1
            grey = _DIFFERENCE_GREY + np.clip(error / (swing or 1.0), -1, 1) * half
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
    """Return what becomes black in each band, and how much more white is."""
    if not valid.any():
        return 0.0, 1.0
    low, high = np.percentile(reference[:, valid], (2, 98), axis=1)
    return low[:, None, None], np.where(high > low, high - low, 1.0)[:, None, None]


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
