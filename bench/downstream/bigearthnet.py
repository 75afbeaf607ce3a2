"""BigEarthNet, Sentinel-2 patches (v1.0): a folder a patch, a GeoTIFF a band, labels in JSON.

Sumbul et al., "BigEarthNet: A Large-Scale Benchmark Archive for Remote Sensing Image Understanding", IGARSS 2019.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bench.downstream.nomenclature import CLASS_OF_LABEL, CLASSES_19, LABELS_43
from bench.downstream.patches import (
    LabelledPatches,
    Stack,
    find_lists,
    hashed_splits,
    listed_splits,
    multi_hot,
    read_list,
    read_tiff,
)
from eocodec.bands import MODEL_BANDS, band
from eocodec.errors import InputError
from eocodec.resample import upsample2

UNUSABLE_LISTS = ("patches_with_seasonal_snow.csv", "patches_with_cloud_and_shadow.csv")
_METADATA = "_labels_metadata.json"


def is_bigearthnet(folder: Path) -> bool:
    """Whether the folder holds a patch of this layout."""
    return next(_patch_folders(folder), None) is not None


def read_bigearthnet(
    folder: Path, lists: Path | None = None, *, classes: int = 19
) -> LabelledPatches:
    """Find the patches of a folder and their labels.

    Patches that are listed as covered by snow, cloud or cloud shadow are left out, with 19 classes also those that
    have none of them. The 20 m bands are doubled bilinearly to the 10 m grid (D3.4, section 2.2.2); 60 m bands are
    not read.

    Parameters
    ----------
    folder : Path
        Holds the folders of the patches, and where there are any the official ``train.csv``, ``val.csv`` and
        ``test.csv`` and the lists `UNUSABLE_LISTS`. Without lists patches are split by the hash of their names.
    lists : Path, optional
        Folder of the lists, where they are elsewhere.
    classes : int
        19 or 43.

    Raises
    ------
    InputError
        When there are no patches, a label is unknown, or the lists do not fit.
    """
    if classes not in (19, 43):
        raise InputError(f"BigEarthNet has 19 or 43 classes, not {classes}")
    lists = lists or folder
    unusable = {
        name
        for path in (lists / file for file in UNUSABLE_LISTS)
        if path.exists()
        for name in read_list(path)
    }
    names, labels, covered, without = list[str](), list[list[str]](), 0, 0
    for patch in sorted(_patch_folders(folder)):
        found = _labels(patch, classes)
        covered += patch.name in unusable
        without += patch.name not in unusable and not found
        if found and patch.name not in unusable:
            names.append(patch.name)
            labels.append(found)
    if not names:
        raise InputError(f"{folder}: no usable patches in the layout of BigEarthNet")
    official = find_lists(lists)
    splits = listed_splits(names, official) if official else hashed_splits(names)
    kinds = LABELS_43 if classes == 43 else CLASSES_19
    return LabelledPatches(
        name=f"BigEarthNet-{classes}",
        classes=kinds,
        names=tuple(names),
        labels=multi_hot(labels, kinds),
        splits=splits,
        read=lambda name: _read_stack(folder / name),
        notes=(
            f"{covered} patches covered by snow, cloud or cloud shadow and {without} without a label are left out.",
            "Splits: the lists in the folder."
            if official
            else "Splits: 60, 20 and 20 % by the hash of the names, for want of lists; neighbours may be split up.",
        ),
    )


def _patch_folders(folder: Path) -> filter[Path]:
    return filter(lambda path: (path / f"{path.name}{_METADATA}").is_file(), folder.iterdir())


def _labels(patch: Path, classes: int) -> list[str]:
    path = patch / f"{patch.name}{_METADATA}"
    try:
        labels: list[str] = json.loads(path.read_text())["labels"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not JSON with a list of labels") from None
    unknown = set(labels) - set(LABELS_43)
    if unknown:
        raise InputError(f"{path}: unknown label {', '.join(sorted(unknown))}")
    if classes == 43:
        return labels
    return [CLASS_OF_LABEL[label] for label in labels if label in CLASS_OF_LABEL]


def _read_stack(patch: Path) -> Stack:
    planes = []
    for name in MODEL_BANDS:
        plane = read_tiff(patch / f"{patch.name}_{name}.tif", [1])[0]
        if band(name).resolution_m == 20:
            plane = np.rint(upsample2(plane)).astype(np.uint16)
        planes.append(plane)
    if len({plane.shape for plane in planes}) > 1:
        raise InputError(f"{patch}: the 20 m bands have not half the size of the 10 m bands")
    return np.stack(planes)
