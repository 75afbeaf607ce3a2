"""Arrays to the bytes of a container and back, in memory."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.formats.chunk_axes import bands_last
from eocodec.formats.eoc.grid import Box
from eocodec.formats.eoc.header import array_header
from eocodec.formats.eoc.metadata import ArrayHeader
from eocodec.formats.eoc.reader import open_reader
from eocodec.formats.eoc.writer import Settings, create

Array = npt.NDArray[Any]


def compress(
    array: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]],
    *,
    settings: Settings = None,
    threads: int | None = None,
    **fields: Any,
) -> bytes:
    """Return the bytes of a container that holds `array`.

    Parameters
    ----------
    array : ndarray, or mapping of name to ndarray
        Two to eight axes each; the last two are rows and columns.
    settings, threads
        As `create`.
    **fields
        The keywords of `array_header` but shape and dtype; for a mapping, of every array.

    Raises
    ------
    InputError
        When the array or a keyword cannot be coded.

    Warns
    -----
    UserWarning
        When axes that are not named by `dims` look like rows, columns and bands.
    """
    name = fields.pop("name", "data")
    named = dict(array) if isinstance(array, Mapping) else {name: np.asarray(array)}
    for key, one in named.items():
        if fields.get("dims") is None and bands_last(one.shape):
            warnings.warn(
                f"array {key!r} of {one.shape} is coded as {one.shape[0]} planes; if its last axis is "
                "bands, pass array.transpose(2, 0, 1), else name the axes by dims",
                stacklevel=2,
            )
    headers = [
        array_header(shape=one.shape, dtype=one.dtype, name=key, **fields)
        for key, one in named.items()
    ]
    buffer = io.BytesIO()
    with create(buffer, arrays=headers, settings=settings, threads=threads) as writer:
        for header in headers:
            for box, pixels in _tiles_of(header, named[header.name]):
                writer.write(box, pixels, header.name)
    return buffer.getvalue()


def _tiles_of(
    header: ArrayHeader, array: npt.NDArray[Any]
) -> Iterator[tuple[Box, npt.NDArray[Any]]]:
    planes = array.reshape(header.grid.shape)
    for tile in range(header.grid.tiles):
        box = header.grid.box(tile)
        yield box, planes[box]


def decompress(
    buffer: bytes | bytearray | memoryview,
    layers: int | None = None,
    *,
    threads: int | None = None,
) -> Array | dict[str, Array]:
    """Decode the bytes of a container.

    Parameters
    ----------
    buffer : bytes-like
        A whole container, from `compress` or a file.
    layers : int, optional
        How many layers to use; all by default.
    threads : int, optional
        As `ArrayReader.read`.

    Returns
    -------
    ndarray, or dict of name to ndarray
        A dict where the container holds several arrays.

    Raises
    ------
    FormatError, UnsupportedError, ModelError
        When the bytes cannot be decoded.
    """
    with open_reader(buffer) as reader:
        if len(reader.arrays) == 1:
            return reader.read(layers=layers, threads=threads)
        return {
            header.name: reader.array(header.name).read(layers=layers, threads=threads)
            for header in reader.arrays
        }
