"""The parsers that take untrusted bytes, each as a function that returns unless something is wrong.

Wrong is any exception but eocodec's own, among them `MemoryError` and `TooSlowError` of `limits`, and
samples that contradict one another. Declared arrays are capped, so that what a run may cost does not
depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

import eocodec
from eocodec import EncodeSettings, EocodecError, decode_tile, encode_tile, verify_tile
from eocodec.formats.chunks import decode_tiles, tile_ranges
from eocodec.formats.eoc import ArrayReader
from eocodec.formats.eoc_raster import rasters_of
from eocodec.model import load_model
from eocodec.payload import parse_head
from tests.fuzz.limits import bounded

MAX_SAMPLES = 1 << 12
"""Larger arrays and tiles are opened, not decoded."""


def warm_up() -> None:
    """Load the model and what is imported on first use, before memory is bounded."""
    load_model(None)
    tile = np.arange(512, dtype="u2").reshape(2, 16, 16) ** 2 % 1000
    decode_tile(encode_tile(tile, EncodeSettings(max_error=2)))


def read_container(data: bytes) -> None:
    """Open, describe, read and validate a container."""
    with bounded():
        try:
            with eocodec.open(data) as reader:
                reader.info()
                rasters_of(reader)
                if sum(math.prod(header.shape) for header in reader.arrays) > MAX_SAMPLES:
                    return
                for header in reader.arrays:
                    _read_array(reader.array(header.name))
                reader.validate(threads=1)
        except EocodecError:
            pass


def _read_array(array: ArrayReader) -> None:
    whole = array.read(threads=1)
    assert (whole.shape, whole.dtype) == (array.shape, array.dtype)
    part = array[..., 1:3, 1:]
    assert part.tobytes() == whole[..., 1:3, 1:].tobytes()
    if array.layers > 1:
        array.read(layers=1, threads=1)
    if any(band.native_factor == 2 for band in array.bands):
        array.read_native()


def decode_payload(data: bytes) -> None:
    """Decode and verify the payload of a tile, whole and at its first layer."""
    with bounded():
        try:
            head = parse_head(data)
            if math.prod(head.shape) > MAX_SAMPLES:
                return
            pixels = decode_tile(data)
            assert (pixels.shape, pixels.dtype) == (head.shape, head.dtype.newbyteorder("="))
            if len(head.layer_sizes) > 1:
                decode_tile(data, 1)
            if head.pixel_crc is None:
                verify_tile(data)
        except EocodecError:
            pass


def decode_chunk(data: bytes) -> None:
    """Decode a chunk of Zarr, HDF5 or numcodecs: one tile payload, or a stack of them."""
    with bounded():
        try:
            ranges = tile_ranges(data, len(data))
            heads = [parse_head(data[slice(*span)]) for span in ranges]
            if sum(math.prod(head.shape) for head in heads) > MAX_SAMPLES:
                return
            tiles = decode_tiles(data)
            assert tiles.shape == (len(ranges), *heads[0].shape)
        except EocodecError:
            pass


TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": read_container,
    "payload": decode_payload,
    "chunk": decode_chunk,
}
