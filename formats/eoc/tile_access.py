"""Payloads tied to the index and header of their container before anything of them is decoded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy.typing as npt

from eocodec.errors import EocodecError, FormatError
from eocodec.formats.eoc.index import ArrayIndex
from eocodec.formats.eoc.layout import record_leader
from eocodec.formats.eoc.metadata import PREDICTIVE, ArrayHeader
from eocodec.payload import RVQ, parse_head
from eocodec.tile import decode_tile, verify_tile

T = TypeVar("T")


class TileAccess:
    """Checks and decodes the tiles of one array of a container."""

    def __init__(self, name: str, number: int, header: ArrayHeader, index: ArrayIndex):
        self._name = name
        self._number = number
        self._header = header
        self._index = index

    def leader(self, number: int) -> bytes:
        """Return the bytes that precede the payload of a tile."""
        return record_leader(self._number, number, self._index[number].size)

    def decode(self, number: int, data: memoryview, layers: int | None) -> npt.NDArray[Any]:
        """Return the pixels (C, H, W) of a payload, or of a prefix that holds `layers`."""
        return self.call(partial(decode_tile, layers=layers), number, data)

    def call(self, function: Callable[[memoryview], T], number: int, data: memoryview) -> T:
        """Return what a function makes of a payload, or of a prefix; errors name the tile."""
        self.check_head(number, data)
        try:
            return function(data)
        except EocodecError as error:
            raise type(error)(f"{self.where(number)}: {error}") from error

    def verify(self, number: int, leader: bytes, data: memoryview) -> None:
        """Check a record, leader and payload, down to the decoded pixels where they bind."""
        if data[: len(leader)] != leader:
            raise FormatError(f"{self.where(number)}: the record leader contradicts the index")
        payload = data[len(leader) :]
        self.check_head(number, payload)
        try:
            verify_tile(payload)
        except EocodecError as error:
            raise type(error)(f"{self.where(number)}: {error}") from error

    def check_head(self, number: int, data: bytes | memoryview) -> None:
        """Tie a payload to index and header before anything of it is decoded."""
        entry = self._index[number]
        try:
            head = parse_head(data[: entry.head_size])
        except EocodecError as error:
            raise type(error)(f"{self.where(number)}: {error}") from error
        same = (
            head.size == entry.head_size
            and head.layer_sizes == entry.layer_sizes
            and bytes(data[head.size - 4 : head.size]) == entry.head_crc.to_bytes(4, "little")
        )
        if not same:
            raise FormatError(f"{self.where(number)}: it is not the tile that the index describes")
        wanted = self._header.grid.tile_shape(number)
        if head.shape != wanted or head.dtype.newbyteorder("=") != self._header.dtype:
            raise FormatError(
                f"{self.where(number)}: it holds {head.shape} of {head.dtype}, "
                f"the array needs {wanted} of {self._header.dtype}"
            )
        if head.mode == RVQ and self._header.codec == PREDICTIVE:
            raise FormatError(f"{self.where(number)}: {PREDICTIVE} has no learned tiles")

    def where(self, number: int) -> str:
        """Name a tile for messages."""
        return f"{self._name}: {self._header.place(number)}"
