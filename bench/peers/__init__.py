"""Every codec of the comparison behind one small interface."""

from __future__ import annotations

from pathlib import Path

from bench.peers.base import Peer, PerBand, Stack
from bench.peers.eocodec_cli import Eocodec, EocodecLayers
from bench.peers.jpeg import Jpeg
from bench.peers.jpeg2000 import Htj2k, Jpeg2000, Jpeg2000EqualPsnr
from bench.peers.jpegxl import JpegXl, JpegXlModular
from bench.peers.karhunen_loeve import OverKlt

__all__ = ["DECISIVE", "OURS", "Peer", "Stack", "all_peers", "named"]

OURS = Eocodec().name
"""The codec that all others are compared with."""

_JPEG2000, _JPEGXL = Jpeg2000(), JpegXl(effort=7)

CLASSICAL: tuple[Peer, ...] = (
    Eocodec(),
    EocodecLayers(),
    Jpeg(),
    PerBand(_JPEG2000),
    OverKlt(_JPEG2000),
    OverKlt(Jpeg2000EqualPsnr()),
    PerBand(Htj2k()),
    OverKlt(Htj2k()),
    PerBand(_JPEGXL),
    OverKlt(_JPEGXL),
    OverKlt(JpegXl(effort=3)),
    OverKlt(JpegXlModular()),
)

DECISIVE = (
    OURS,
    Jpeg().name,
    PerBand(_JPEG2000).name,
    OverKlt(_JPEG2000).name,
    OverKlt(Jpeg2000EqualPsnr()).name,
    PerBand(_JPEGXL).name,
    OverKlt(_JPEGXL).name,
    OverKlt(JpegXl(effort=3)).name,
)
"""What a user would pick, and what releases are judged by."""


def all_peers(checkpoints: Path | None) -> tuple[Peer, ...]:
    """Return every codec; `checkpoints` is a folder of trained peers."""
    return CLASSICAL


def named(name: str, checkpoints: Path | None = None) -> Peer:
    """Return the codec of a name.

    Raises
    ------
    KeyError
        There is none.
    """
    return {peer.name: peer for peer in all_peers(checkpoints)}[name]
