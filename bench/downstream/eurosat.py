"""EuroSAT with all 13 bands: a folder a class, a GeoTIFF a patch.

Helber et al., "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover Classification",
IEEE JSTARS 2019. Its files hold B01 to B12 in the order of their numbers, then B8A.
"""

from __future__ import annotations

from pathlib import Path

from bench.downstream.patches import (
    LabelledPatches,
    Stack,
    find_lists,
    hashed_splits,
    listed_splits,
    multi_hot,
    read_tiff,
)
from eocodec.bands import MODEL_BANDS
from eocodec.errors import InputError

FILE_BANDS = (*(f"B{number:02d}" for number in range(1, 13)), "B8A")
"""Bands of a file, in their order."""
FOLDER = "EuroSATallBands"
_POSITIONS = [FILE_BANDS.index(name) + 1 for name in MODEL_BANDS]


def is_eurosat(folder: Path) -> bool:
    """Whether the folder, or its folder EuroSATallBands, holds a patch of this layout."""
    return next(_files(folder), None) is not None


def read_eurosat(folder: Path, lists: Path | None = None) -> LabelledPatches:
    """Find the patches of a folder and their classes.

    Parameters
    ----------
    folder : Path
        Holds a folder a class, or ``EuroSATallBands`` that does; where there are any, also the lists of patches of
        each split, as ``train.txt`` or ``eurosat-train.txt``. EuroSAT has no official splits: without lists patches
        are split by the hash of their names.
    lists : Path, optional
        Folder of the lists, where they are elsewhere.

    Raises
    ------
    InputError
        When there are no patches, or the lists do not fit.
    """
    paths = {path.stem: path for path in sorted(_files(folder))}
    if not paths:
        raise InputError(f"{folder}: no patches in the layout of EuroSAT")
    names = tuple(paths)
    kinds = [path.parent.name for path in paths.values()]
    classes = tuple(sorted(set(kinds)))
    given = find_lists(lists or folder)
    return LabelledPatches(
        name="EuroSAT",
        classes=classes,
        names=names,
        labels=multi_hot([[kind] for kind in kinds], classes),
        splits=listed_splits(names, given) if given else hashed_splits(names, kinds),
        read=lambda name: _read_stack(paths[name]),
        notes=(
            "Splits: the lists in the folder."
            if given
            else "Splits: 60, 20 and 20 % of each class, by the hash of the names.",
        ),
    )


def _files(folder: Path) -> filter[Path]:
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    return filter(lambda path: path.stem.startswith(f"{path.parent.name}_"), root.glob("*/*.tif"))


def _read_stack(path: Path) -> Stack:
    return read_tiff(path, _POSITIONS)
