"""Every codec of the comparison behind one small interface."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bench.peers.base import Peer, PerBand, Stack
from bench.peers.bounded import JpegLs, Lerc, Sperr, Sz3, Zfp
from bench.peers.eocodec_cli import Eocodec, EocodecLayers
from bench.peers.jpeg import Jpeg
from bench.peers.jpeg2000 import Htj2k, Jpeg2000, Jpeg2000EqualPsnr
from bench.peers.jpegxl import JpegXl, JpegXlModular
from bench.peers.karhunen_loeve import OverKlt
from bench.peers.video import X265, Avif

__all__ = ["DECISIVE", "JPEG", "JPEG2000_KLT", "JPEGXL_KLT", "OURS", "Peer", "Stack"]
__all__ += ["all_peers", "named"]

_JPEG2000, _JPEGXL = Jpeg2000(), JpegXl(effort=7)

OURS = Eocodec().name
"""The codec that all others are compared with."""
JPEG = Jpeg().name
JPEG2000_KLT = OverKlt(_JPEG2000).name
JPEGXL_KLT = OverKlt(_JPEGXL).name

_PEERS: tuple[Peer, ...] = (
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
    OverKlt(Avif()),
    OverKlt(X265()),
    JpegLs(),
    Lerc(),
    PerBand(Sz3()),
    PerBand(Zfp()),
    PerBand(Sperr()),
    OverKlt(Sperr()),
)

DECISIVE = (
    OURS,
    JPEG,
    PerBand(_JPEG2000).name,
    JPEG2000_KLT,
    OverKlt(Jpeg2000EqualPsnr()).name,
    PerBand(_JPEGXL).name,
    JPEGXL_KLT,
    OverKlt(JpegXl(effort=3)).name,
    OverKlt(X265()).name,
)
"""What a user would pick, and what releases are judged by."""


@cache
def all_peers(checkpoints: Path | None = None) -> tuple[Peer, ...]:
    """Return every codec, those trained here only if `checkpoints` names the folder of their weights."""
    if checkpoints is None:
        return _PEERS
    from bench.peers.trained import trained_peers

    return _PEERS + trained_peers(checkpoints)


def named(name: str, checkpoints: Path | None = None) -> Peer:
    """Return the codec of a name.

    Raises
    ------
    KeyError
        There is none.
    """
    return {peer.name: peer for peer in all_peers(checkpoints)}[name]
