"""Labelled patches of a folder: multi-hot labels and splits at hand, pixels read when asked for."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from eocodec.errors import InputError

Stack = npt.NDArray[np.uint16]
Labels = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

SPLITS = ("train", "val", "test")
_TRAIN, _VAL = 0.6, 0.8
_CACHE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class LabelledPatches:
    """Patches with labels, in three splits.

    Attributes
    ----------
    name : str
        What reports call the set.
    classes : tuple of str
        Names of the K labels.
    names : tuple of str
        Names of the N patches.
    labels : ndarray of bool (N, K)
        Which labels each patch has.
    splits : dict of str to ndarray of int
        Positions of the patches of train, val and test.
    read : callable
        Takes a name, returns the stack (10, H, W) in the order of `eocodec.bands.MODEL_BANDS`.
    notes : tuple of str
        Sentences about where splits come from and what was left out.
    """

    name: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: Labels
    splits: Mapping[str, Indices]
    read: Callable[[str], Stack]
    notes: tuple[str, ...] = ()
    _cache: dict[int, Stack] = field(default_factory=dict, repr=False, compare=False)

    def pixels(self, indices: Iterable[int]) -> Stack:
        """Read patches (n, 10, H, W); the first 4 GiB stay in memory.

        Raises
        ------
        InputError
            When a patch has another size than the others.
        """
        stacks = [self._stack(int(index)) for index in indices]
        shapes = {stack.shape for stack in stacks}
        if len(shapes) > 1:
            raise InputError(f"{self.name}: patches of several sizes: {sorted(shapes)}")
        return np.stack(stacks)

    def _stack(self, index: int) -> Stack:
        stack = self._cache.get(index)
        if stack is None:
            stack = self.read(self.names[index])
            if (len(self._cache) + 1) * stack.nbytes <= _CACHE_BYTES:
                self._cache[index] = stack
        return stack


def multi_hot(labels: Sequence[Iterable[str]], classes: Sequence[str]) -> Labels:
    """Return (N, K), true where a patch has the label.

    Raises
    ------
    InputError
        When a label is none of the classes.
    """
    position = {name: index for index, name in enumerate(classes)}
    hot = np.zeros((len(labels), len(classes)), np.bool_)
    for row, names in zip(hot, labels, strict=True):
        for name in names:
            if name not in position:
                raise InputError(f"unknown label {name!r}")
            row[position[name]] = True
    return hot


def find_lists(folder: Path) -> dict[str, Path]:
    """Find the files that list the patches of each split, as train.csv or eurosat-train.txt.

    Raises
    ------
    InputError
        When some splits have a list and others none, or one has two.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.csv")) + sorted(folder.glob("*.txt")):
        split = path.stem.replace("_", "-").split("-")[-1]
        if split in found:
            raise InputError(f"{found[split].name} and {path.name} both list the split {split}")
        if split in SPLITS:
            found[split] = path
    if found and set(found) != set(SPLITS):
        missing = ", ".join(set(SPLITS) - set(found))
        raise InputError(f"{folder}: no list for the split {missing}")
    return found


def read_list(path: Path) -> list[str]:
    """Return the first column of a list, without suffixes of image files."""
    rows = (line.split(",")[0].strip() for line in path.read_text().splitlines())
    return [Path(row).stem if Path(row).suffix in (".tif", ".jpg") else row for row in rows if row]


def listed_splits(names: Sequence[str], lists: Mapping[str, Path]) -> dict[str, Indices]:
    """Return the positions of the patches of each list, in its order; those that are absent are left out.

    Raises
    ------
    InputError
        When no patch of a list is there, or a patch is in two lists.
    """
    position = {name: index for index, name in enumerate(names)}
    splits, seen = {}, dict[int, str]()
    for split in SPLITS:
        listed = dict.fromkeys(read_list(lists[split]))
        indices = [position[name] for name in listed if name in position]
        if not indices:
            raise InputError(f"{lists[split]}: none of its patches is in the folder")
        for index in indices:
            if seen.setdefault(index, split) != split:
                raise InputError(f"{names[index]} is in the lists of {seen[index]} and {split}")
        splits[split] = np.array(indices, np.intp)
    return splits


def hashed_splits(names: Sequence[str], kinds: Sequence[str] | None = None) -> dict[str, Indices]:
    """Return 60, 20 and 20 % of the patches of every kind, in the order of the SHA-256 of their names."""
    groups: dict[str, list[int]] = {}
    for index, kind in enumerate(kinds or [""] * len(names)):
        groups.setdefault(kind, []).append(index)
    splits: dict[str, list[int]] = {split: [] for split in SPLITS}
    for group in groups.values():
        ordered = sorted(group, key=lambda index: hashlib.sha256(names[index].encode()).digest())
        train, val = (round(share * len(ordered)) for share in (_TRAIN, _VAL))
        for split, part in zip(SPLITS, np.split(np.array(ordered), [train, val]), strict=True):
            splits[split] += part.tolist()
    return {split: np.array(sorted(indices), np.intp) for split, indices in splits.items()}


def read_tiff(path: Path, bands: Sequence[int] | None = None) -> npt.NDArray[Any]:
    """Read bands, counted from 1, of a GeoTIFF; (C, H, W).

    Raises
    ------
    InputError
        When the file cannot be read or lacks a band.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                pixels: npt.NDArray[Any] = source.read(bands)
        except (rasterio.RasterioIOError, IndexError) as error:
            raise InputError(f"{path}: {error}") from None
    if pixels.dtype != np.uint16:
        raise InputError(f"{path}: DN of uint16 are needed, not {pixels.dtype.name}")
    return pixels
