"""Intra frames of video codecs at 12 bits: HEVC (x265) and AV1 as AVIF (libaom)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import imagecodecs
import numpy as np

from bench.peers.base import IntegerScale, Planes, join, split

_BITS = 12


@dataclass(frozen=True)
class X265:
    """One HEVC stream (main 12 still, 4:0:0) with an intra frame a plane; settings are the QP.

    Tuned for squared error: no adaptive quantisation and no psycho-visual decisions.
    """

    name: str = "x265 12-bit"
    settings: tuple[int, ...] = tuple(range(51, 0, -5))
    preset: str = "slow"

    def encode(self, planes: Planes, setting: int) -> bytes:
        """Encode."""
        scale = IntegerScale.spread(planes, _BITS)
        codec = av.CodecContext.create("libx265", "w")
        codec.height, codec.width = planes.shape[1:]
        codec.pix_fmt = "gray12le"
        codec.time_base = Fraction(1)
        parameters = (
            f"qp={setting}:keyint=1:tune=psnr:aq-mode=0:psy-rd=0:psy-rdoq=0:info=0:"
            "repeat-headers=0:pools=none:frame-threads=1:log-level=none"
        )
        codec.options = {"preset": self.preset, "x265-params": parameters}
        packets = []
        for plane in scale.to_integers(planes):
            packets += codec.encode(av.VideoFrame.from_ndarray(plane, format="gray12le"))
        packets += codec.encode(None)
        return scale.to_bytes() + b"".join(bytes(packet) for packet in packets)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        codec = av.CodecContext.create("hevc", "r")
        codec.thread_count = 1
        packets = codec.parse(data[IntegerScale.SIZE :]) + codec.parse(b"")
        frames = [frame for packet in packets for frame in codec.decode(packet)]
        frames += codec.decode(None)
        integers = np.stack([frame.to_ndarray() for frame in frames])
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)


@dataclass(frozen=True)
class Avif:
    """One AVIF image a plane; settings are libavif's quality.

    imagecodecs codes monochrome AVIF without loss only, so a plane goes in as grey 4:2:0, whose chroma is flat.
    """

    name: str = "AVIF 12-bit"
    settings: tuple[int, ...] = (2, 8, 16, 26, 38, 50, 62, 73, 82, 89, 94, 97)
    speed: int = 6

    def encode(self, planes: Planes, setting: int) -> bytes:
        """Encode."""
        scale = IntegerScale.spread(planes, _BITS)
        return scale.to_bytes() + join(
            [
                imagecodecs.avif_encode(
                    np.repeat(plane[..., None], 3, axis=2),
                    level=setting,
                    speed=self.speed,
                    bitspersample=_BITS,
                    pixelformat="yuv420",
                    codec="aom",
                    numthreads=1,
                )
                for plane in scale.to_integers(planes)
            ]
        )

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        parts = split(data[IntegerScale.SIZE :])
        integers = np.stack([imagecodecs.avif_decode(part, numthreads=1)[..., 0] for part in parts])
        return IntegerScale.from_bytes(data).to_planes(integers).reshape(shape)
