"""Opening a labelled folder in either layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from bench.downstream.bigearthnet import is_bigearthnet, read_bigearthnet
from bench.downstream.eurosat import is_eurosat, read_eurosat
from bench.downstream.patches import LabelledPatches
from eocodec.errors import InputError

Layout = Literal["bigearthnet", "eurosat"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def detect_layout(folder: Path) -> Layout:
    """Tell the layout of a folder.

    Raises
    ------
    InputError
        When it has neither.
    """
    if is_bigearthnet(folder):
        return "bigearthnet"
    if is_eurosat(folder):
        return "eurosat"
    raise InputError(
        f"{folder}: neither BigEarthNet (<patch>/<patch>_labels_metadata.json) nor EuroSAT (<class>/<class>_<n>.tif)"
    )


def open_folder(
    folder: Path, layout: Layout | None = None, lists: Path | None = None, *, classes: int = 19
) -> LabelledPatches:
    """Open a labelled folder; its layout is detected unless given.

    Raises
    ------
    InputError
        When the folder has no patches, no known layout, or its lists do not fit.
    """
    if (layout or detect_layout(folder)) == "bigearthnet":
        return read_bigearthnet(folder, lists, classes=classes)
    return read_eurosat(folder, lists)
