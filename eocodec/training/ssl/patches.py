"""Training windows and labelled patches of a folder of scenes (see :mod:`eocodec.training.data`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from eocodec.training.data import Scene, stack_native

NO_LABEL = 255


class Windows:
    """Windows of scenes in a random order that depends on the seed and the number of the batch only.

    An epoch visits every cell of a grid over each scene once, at a position shifted at random by less than a
    cell. Scenes smaller than a window are left out.

    Parameters
    ----------
    scenes : list of Scene
    side : int
        Pixels of a window's side, and of a cell's.
    seed : int
    """

    def __init__(self, scenes: list[Scene], side: int, seed: int) -> None:
        self.side = side
        self.seed = seed
        self.stacks = [s.pixels for s in scenes if min(s.pixels.shape[1:]) >= side]
        cells = []
        for number, stack in enumerate(self.stacks):
            height, width = stack.shape[1:]
            rows, columns = np.mgrid[: height - side + 1 : side, : width - side + 1 : side]
            cells.append(
                np.stack([np.full(rows.size, number), rows.ravel(), columns.ravel()], axis=1)
            )
        self.cells = np.concatenate(cells)

    def __len__(self) -> int:
        """Windows of an epoch."""
        return len(self.cells)

    def batch(self, number: int, count: int) -> npt.NDArray[np.float32]:
        """Cut batch ``number``: ``count`` windows (count, 10, side, side) in DN."""
        position = number * count
        windows: list[npt.NDArray[np.uint16]] = []
        while len(windows) < count:
            epoch, start = divmod(position, len(self))
            cells = self.epoch(epoch)[start : start + count - len(windows)]
            windows += [self._cut(*cell) for cell in cells]
            position += len(cells)
        return np.stack(windows).astype(np.float32)

    def epoch(self, number: int) -> npt.NDArray[np.int64]:
        """Scene, top and left (len(self), 3) of the windows of an epoch, in order."""
        rng = np.random.default_rng((self.seed, number))
        cells = self.cells[rng.permutation(len(self))].astype(np.int64)
        limits = np.array([stack.shape[1:] for stack in self.stacks])[cells[:, 0]] - self.side
        cells[:, 1:] += rng.integers(0, self.side, (len(self), 2))
        cells[:, 1:] = np.minimum(cells[:, 1:], limits)
        return cells

    def _cut(self, scene: int, top: int, left: int) -> npt.NDArray[np.uint16]:
        return self.stacks[scene][:, top : top + self.side, left : left + self.side]


@dataclass(frozen=True)
class LabelledPatches:
    """Patches with labels, for evaluation only.

    Attributes
    ----------
    pixels : uint16 array (N, 10, H, W)
        In DN.
    labels : float32 array (N, L)
        1 where a label applies.
    classes : tuple of str
        Names of the L labels.
    """

    pixels: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.float32]
    classes: tuple[str, ...]


def load_labelled(folder: Path, split: str) -> LabelledPatches | None:
    """Load the labelled patches of a split's first HDF5 file, None where there are none.

    The file has ``b10`` and ``b20`` or ``stack``, and ``label`` or ``pseudo_label`` with an attribute
    ``classes``: a class number a patch (255 is none; such patches are left out), or a row (L,) of 0 and 1.
    """
    index = json.loads((folder / "index.json").read_text())
    for entry in index["scenes"]:
        path = folder / entry["files"][0]
        if entry["split"] != split or path.suffix != ".h5":
            continue
        with h5py.File(path) as file:
            name = next((n for n in ("label", "pseudo_label") if n in file), None)
            if name is None:
                continue
            classes = tuple(str(label) for label in file[name].attrs["classes"])
            labels = file[name][:]
            pixels = (
                file["stack"][:]
                if "stack" in file
                else stack_native(file["b10"][:], file["b20"][:])
            )
        if labels.ndim == 1:
            known = labels != NO_LABEL
            pixels = pixels[known]
            labels = labels[known, None] == np.arange(len(classes))
        return LabelledPatches(pixels, labels.astype(np.float32), classes)
    return None
