"""Mutations of tile payloads whose checksums stay right, so that they reach what lies behind them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eocodec.errors import EocodecError
from eocodec.integers import pack_integers, unpack_integers
from eocodec.mask import Mask, encode_mask
from eocodec.payload import DTYPES, ByteReader, crc32c, put_varint

Mutate = Callable[[bytes], bytes]
"""Any change of some bytes, without regard to what they mean."""

MASKED, BINDING = 1, 2
_SHAPES = (0, 1, 2, 3, 5, 8, 16, 17, 64, 4096, 4097, 2**14, 2**27, 2**31, 2**35 - 1)
_INTEGERS = (0, 1, 2, 3, 4, 7, 8, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**32 - 1)


@dataclass
class Payload:
    """The fields of a payload's head and its layers, whatever they hold."""

    mode: int
    code: int
    shape: list[int]
    flags: int
    pixel_crc: int
    layers: list[bytes]
    mask: bytes

    @classmethod
    def parse(cls, data: bytes) -> Payload:
        """Take a payload apart without checking it; raises `EocodecError` where it is too short."""
        reader = ByteReader(data, "payload")
        mode, code = reader.u8(), reader.u8()
        shape = [reader.varint() for _ in range(3)]
        flags, pixel_crc, count = reader.u8(), reader.u32(), reader.u8()
        sizes = [reader.varint() for _ in range(count)]
        reader.take(4 * count)
        mask = bytes(reader.take(reader.varint())) if flags & MASKED else b""
        reader.take(4)
        layers = [bytes(reader.take(size)) for size in sizes]
        return cls(mode, code, shape, flags, pixel_crc, layers, mask)

    def build(self) -> bytes:
        """Return the payload, its checksums right but that of the pixels."""
        head = b"".join(
            [
                struct.pack("<BB", self.mode & 255, self.code & 255),
                *(put_varint(length) for length in self.shape),
                struct.pack("<BIB", self.flags & 255, self.pixel_crc, len(self.layers) & 255),
                *(put_varint(len(layer)) for layer in self.layers),
                *(struct.pack("<I", crc32c(layer)) for layer in self.layers),
                put_varint(len(self.mask)) + self.mask if self.flags & MASKED else b"",
            ]
        )
        return b"".join([head, struct.pack("<I", crc32c(head)), *self.layers])


def mutate_payload(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return a payload changed in one to three places, its checksums right."""
    try:
        payload = Payload.parse(data)
    except EocodecError:
        return mutate(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choices(_CHANGES, _WEIGHTS)[0](payload, chance, mutate)
    if chance.random() < 0.5:
        payload.flags &= ~BINDING
    return payload.build()


def _change_layer(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    if not payload.layers:
        return
    at = chance.randrange(len(payload.layers))
    size = len(payload.layers[at])
    changed = mutate(payload.layers[at])
    # Range-coded data comes in whole words: of another size, most of it is refused at once.
    payload.layers[at] = changed[:size].ljust(size, b"\0") if chance.random() < 0.8 else changed


def _cut_layer(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    if payload.layers:
        at = chance.randrange(len(payload.layers))
        layer = payload.layers[at]
        payload.layers[at] = layer[: chance.randrange(len(layer) + 1) & ~3] + bytes(
            4 * chance.randrange(4)
        )


def _change_number_of_layers(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    if payload.layers and chance.random() < 0.5:
        payload.layers.pop(chance.randrange(len(payload.layers)))
    else:
        payload.layers.append(payload.layers[-1] if payload.layers else b"")


def _change_side_integer(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    """Change one integer of the side information of a predictive layer."""
    if not payload.layers:
        return
    try:
        reader = ByteReader(payload.layers[0], "layer")
        scheme = bytes([reader.u8()])
        integers = unpack_integers(reader.take(reader.varint()), 1 << 16).tolist()
    except EocodecError:
        return
    if not integers:
        return
    at = chance.randrange(len(integers))
    if chance.random() < 0.5:
        integers[at] += chance.choice((-64, -8, -1, 1, 2, 8, 64))
    else:
        integers[at] = chance.choice((1, -1)) * chance.choice(_INTEGERS)
    packed = pack_integers(integers)
    rest = bytes(reader.view[reader.pos :])
    payload.layers[0] = scheme + put_varint(len(packed)) + packed + rest


def _change_shape(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    axis = chance.randrange(3)
    if chance.random() < 0.6:
        payload.shape[axis] = max(0, payload.shape[axis] + chance.choice((-2, -1, 1, 2, 9)))
    else:
        payload.shape[axis] = chance.choice(_SHAPES)


def _change_dtype(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    payload.code = chance.randrange(len(DTYPES) + 1)


def _change_mode(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    payload.mode = chance.randrange(5)


def _change_flags(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    payload.flags ^= 1 << chance.randrange(8)


def _change_mask(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    if payload.flags & MASKED:
        payload.mask = mutate(payload.mask)


def _new_mask(payload: Payload, chance: random.Random, mutate: Mutate) -> None:
    """Give the tile a valid mask, of its shape or nearly so."""
    shape = [min(max(length, 1), 40) for length in payload.shape]
    if chance.random() < 0.2:
        shape[chance.randrange(3)] += 1
    dtype = DTYPES[payload.code % len(DTYPES)]
    kinds = chance.choice((1, 1, 2, 15))
    numbers = np.random.default_rng(chance.getrandbits(32))
    labels = numbers.integers(0, kinds + 1, shape, np.uint8)
    labels *= (numbers.random(shape) < chance.choice((0, 0.1, 0.9, 1.0))).astype(np.uint8)
    fills = np.frombuffer(chance.randbytes(kinds * dtype.itemsize), dtype)
    payload.flags |= MASKED
    payload.mask = encode_mask(Mask(labels, fills))


_CHANGES = (
    _change_layer,
    _cut_layer,
    _change_number_of_layers,
    _change_side_integer,
    _change_shape,
    _change_dtype,
    _change_mode,
    _change_flags,
    _change_mask,
    _new_mask,
)
_WEIGHTS = (10, 2, 1, 10, 4, 2, 1, 1, 4, 2)
