"""A patch at every quality of eocodec, and by JPEG at about the same rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.downstream.patches import Stack
from bench.peers.jpeg import Jpeg
from eocodec import EncodeSettings, decode_tile, encode_tile
from eocodec.codec_models import find_card
from eocodec.payload import parse_head

OURS = "eocodec"
JPEG = "JPEG"


@dataclass(frozen=True, order=True)
class Quality:
    """What patches are coded with.

    Attributes
    ----------
    codec : str
        `OURS` or `JPEG`.
    layers : int
        Layers of eocodec, or whose rate JPEG is to have.
    """

    codec: str
    layers: int

    def __str__(self) -> str:
        if self.codec == OURS:
            return f"{OURS}, {self.layers} layer{'s' if self.layers > 1 else ''}"
        return f"{self.codec} near the rate of {self.layers}"


@dataclass(frozen=True)
class Version:
    """A coded patch.

    Attributes
    ----------
    bytes : int
        All that decoding needs: head and side information of the tile as well.
    pixels : ndarray of uint16 (10, H, W)
        Decoded.
    """

    bytes: int
    pixels: Stack


def code_patch(stack: Stack) -> dict[Quality, Version]:
    """Return the patch (10, H, W) at every quality.

    The layers of eocodec are prefixes of one tile. JPEG has the setting whose size is nearest, in ratio; where its
    smallest file is larger than the tile, that one. A constant patch, which eocodec codes exactly, has one layer:
    all qualities are the same then.
    """
    payload = encode_tile(stack, EncodeSettings(layers=find_card().layers))
    ends = parse_head(payload).layer_ends
    jpegs = _jpegs(stack)
    versions: dict[Quality, Version] = {}
    for layers in range(1, find_card().layers + 1):
        size = ends[min(layers, len(ends)) - 1]
        ours = Version(size, decode_tile(payload[:size], layers=layers))
        nearest = min(jpegs, key=lambda data: abs(np.log(len(data) / size)))
        versions[Quality(OURS, layers)] = ours
        versions[Quality(JPEG, layers)] = Version(len(nearest), _decoded(nearest, stack.shape))
    return versions


def _jpegs(stack: Stack) -> list[bytes]:
    codec = Jpeg()
    return [codec.encode(stack, setting) for setting in codec.settings]


def _decoded(data: bytes, shape: tuple[int, ...]) -> Stack:
    return np.rint(Jpeg().decode(data, shape)).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)
