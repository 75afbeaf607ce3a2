"""References to the tiles of a container in the layout of kerchunk."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from eocodec.errors import InputError
from eocodec.extras import needs
from eocodec.formats.eoc.remote import is_url

_METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json")


def references(
    target: str | os.PathLike[str],
    *,
    url: str | None = None,
    zarr_format: int = 2,
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a container as references of kerchunk, version 1, which JSON can hold.

    fsspec's file system `reference` makes a Zarr store of them, whose chunks are the tiles in the
    container: nothing is copied, and only its header and index are read. Whoever reads the store needs
    eocodec installed.

    Parameters
    ----------
    target : path or fsspec URL
        The container.
    url : str, optional
        Where readers find it; by default `target`, a local one by its absolute path.
    zarr_format : int
        2, or 3 for the metadata of Zarr v3.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    dict
        With the keys `version` and `refs`.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    MissingPackageError
        xarray is not installed.
    FormatError, UnsupportedError
        It is no container, or tiles of it cannot be chunks of a Zarr array.
    """
    if zarr_format not in (2, 3):
        raise InputError(f"zarr_format is 2 or 3, not {zarr_format}")
    with needs("xarray", "reading a container as a Zarr store"):
        from eocodec.virtual.layout import zarr_layout
        from eocodec.xarray.reading import container_files
    path = os.fspath(target)
    if url is None:
        url = path if is_url(path) else str(Path(path.removeprefix("file://")).absolute())
    files = container_files(path, storage_options)
    try:
        layout = zarr_layout(files, zarr_format)
    finally:
        files.close()
    refs: dict[str, Any] = {key: _inline(key, value) for key, value in layout.small.items()}
    start, separator = ("c/", "/") if zarr_format == 3 else ("", ".")
    for array in layout.arrays:
        for at in np.ndindex(array.offsets.shape):
            key = f"{array.name}/{start}{separator.join(map(str, at))}"
            refs[key] = [url, int(array.offsets[at]), int(array.sizes[at])]
    return {"version": 1, "refs": refs}


def _inline(key: str, value: bytes) -> str:
    if key.rsplit("/", 1)[-1] in _METADATA:
        return json.dumps(json.loads(value), separators=(",", ":"))
    return f"base64:{base64.b64encode(value).decode()}"
