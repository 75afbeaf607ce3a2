"""Mutations of chunks, stacks of tile payloads, whose table stays right."""

from __future__ import annotations

import random
import struct

from eocodec.errors import EocodecError
from eocodec.formats.chunks import tile_ranges
from eocodec.payload import crc32c
from tests.fuzz.payloads import Mutate, mutate_payload

_STACK = 255


def stack(payloads: list[bytes]) -> bytes:
    """Return a chunk of payloads, its table right."""
    table = struct.pack(
        f"<BI{len(payloads)}I", _STACK, len(payloads), *(len(payload) for payload in payloads)
    )
    return table + struct.pack("<I", crc32c(table)) + b"".join(payloads)


def mutate_chunk(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return a chunk changed in one payload, in their number, or in its table."""
    try:
        payloads = [data[first:last] for first, last in tile_ranges(data, len(data))]
    except EocodecError:
        return mutate(data)
    at = chance.randrange(len(payloads))
    kind = chance.random()
    if kind < 0.6:
        payloads[at] = mutate_payload(payloads[at], chance, mutate)
    elif kind < 0.7:
        payloads.insert(at, chance.choice(payloads))
    elif kind < 0.8:
        payloads.pop(at)
    elif kind < 0.9:
        return _with_table(mutate(stack(payloads)))
    return stack(payloads) if len(payloads) != 1 or chance.random() < 0.2 else payloads[0]


def _with_table(data: bytes) -> bytes:
    """Return `data` with the checksum of its table right, where there is room for one."""
    if len(data) < 5 or data[0] != _STACK:
        return data
    end = 5 + 4 * struct.unpack_from("<I", data, 1)[0]
    if end + 4 > len(data):
        return data
    return data[:end] + struct.pack("<I", crc32c(data[:end])) + data[end + 4 :]
