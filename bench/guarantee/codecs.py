"""Codecs without loss, and within a largest error: those that keep one, and a quantiser before the others.

All take stacks (C, H, W) of uint16. What is float inside may err by 0.49 more than the bound, which rounding to
integers takes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import numpy.typing as npt

from bench.guarantee.likeness import alike, to_bands, to_planes
from bench.peers.base import PerBand, Stack, join, split
from bench.peers.bounded import JpegLs, Lerc, Sz3
from eocodec import EncodeSettings, decode_tile, encode_tile

_TILE = 512
_ZARR_CHUNK = 1830
"""Rows and columns of a chunk in ESA's Zarr products (EOPF) of Sentinel-2, 10 m."""
_ROUNDED = 0.49
_BOUND_BYTES = 2
OURS = "eocodec"
QUANTISED = "quantiser + eocodec"
"""Ours without loss, after the quantiser of the peers: what the bounded mode itself is worth."""

Decoded = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class BoundedCodec:
    """A codec and the largest error that it must keep.

    Attributes
    ----------
    name : str
        What tables call it, with bounds and without.
    encode : callable
        Takes a stack (C, H, W) of uint16 and the bound, returns bytes.
    decode : callable
        Takes the bytes and the shape, returns the array.
    """

    name: str
    encode: Callable[[Stack, int], bytes]
    decode: Callable[[bytes, Shape], Decoded]


def quantised(codec: BoundedCodec, name: str = "") -> BoundedCodec:
    """Return a lossless codec of what a uniform quantiser of step 2 E + 1 gives.

    The reconstruction is the middle of the step: no integer is farther than E from it, and no larger
    step can promise that.
    """

    def encode(stack: Stack, bound: int) -> bytes:
        step = 2 * bound + 1
        steps = ((stack.astype(np.uint32) + bound) // step).astype(np.uint16)
        return bound.to_bytes(_BOUND_BYTES) + codec.encode(steps, 0)

    def decode(data: bytes, shape: Shape) -> Decoded:
        bound = int.from_bytes(data[:_BOUND_BYTES])
        return codec.decode(data[_BOUND_BYTES:], shape).astype(np.int64) * (2 * bound + 1)

    return BoundedCodec(name or codec.name, encode, decode)


def over_differences(codec: BoundedCodec) -> BoundedCodec:
    """Return a lossless codec of the first band and the differences of neighbouring bands."""

    def encode(stack: Stack, bound: int) -> bytes:
        differences = stack.astype(np.int32)
        differences[1:] -= stack[:-1]
        low = differences.min(axis=(1, 2))
        planes = (differences - low[:, None, None]).astype(np.uint16)
        return bytes(low.astype("<i4").tobytes()) + codec.encode(planes, bound)

    def decode(data: bytes, shape: Shape) -> Decoded:
        low = np.frombuffer(data, "<i4", shape[0])
        planes = codec.decode(data[low.nbytes :], shape) + low[:, None, None]
        return np.cumsum(planes, axis=0).astype(np.uint16)

    return BoundedCodec(codec.name, encode, decode)


def jpegxl(effort: int) -> BoundedCodec:
    """Return lossless JPEG XL of all bands in one codestream: the first grey, the others extra channels.

    Bands that are alike stand and are turned as `likeness` says: bands in their own order take 2 to 6 % more in the
    mean. imagecodecs passes extra channels of planar arrays only: of (H, W, C) with more than four bands it makes H
    frames.
    """

    def encode(stack: Stack, _bound: int) -> bytes:
        threes = alike(stack)
        planes = np.ascontiguousarray(to_planes(stack, threes))
        data = imagecodecs.jpegxl_encode(
            planes,
            effort=effort,
            lossless=True,
            planar=True,
            photometric="gray",
            usecontainer=False,
            numthreads=1,
        )
        return bytes([len(threes), *chain(*threes)]) + data

    def decode(data: bytes, shape: Shape) -> Decoded:
        end = 1 + 3 * data[0]
        threes = [(data[at], data[at + 1], data[at + 2]) for at in range(1, end, 3)]
        planes = imagecodecs.jpegxl_decode(data[end:], numthreads=1).reshape(shape)
        return to_bands(planes, threes)

    return BoundedCodec(f"JPEG XL e{effort}", encode, decode)


def _windows(shape: Shape, side: int) -> list[tuple[slice, slice, slice]]:
    every = slice(None)
    return [
        (every, slice(top, top + side), slice(left, left + side))
        for top in range(0, shape[1], side)
        for left in range(0, shape[2], side)
    ]


def _encode_tiles(stack: Stack, settings: EncodeSettings) -> bytes:
    return join([encode_tile(stack[window], settings) for window in _windows(stack.shape, _TILE)])


def _encode_lossless(stack: Stack, _bound: int) -> bytes:
    return _encode_tiles(stack, EncodeSettings(lossless=True))


def _encode_ours(stack: Stack, bound: int) -> bytes:
    settings = EncodeSettings(max_error=float(bound)) if bound else EncodeSettings(lossless=True)
    return _encode_tiles(stack, settings)


def _decode_ours(data: bytes, shape: Shape) -> Decoded:
    out = np.empty(shape, np.uint16)
    for window, part in zip(_windows(shape, _TILE), split(data), strict=True):
        out[window] = decode_tile(part)
    return out


def _encode_jpeg2000(stack: Stack, _bound: int) -> bytes:
    code = imagecodecs.jpeg2k_encode(
        stack, level=0, codecformat="j2k", reversible=True, planar=True, mct=False, numthreads=1
    )
    return bytes(code)


def _decode_jpeg2000(data: bytes, shape: Shape) -> Decoded:
    out: Decoded = imagecodecs.jpeg2k_decode(data, planar=True, numthreads=1)
    return out.reshape(shape)


def _encode_htj2k(stack: Stack, _bound: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(stack, reversible=True, resolutions=5, planar=True))


def _decode_htj2k(data: bytes, shape: Shape) -> Decoded:
    out: Decoded = imagecodecs.htj2k_decode(data, planar=True)
    return out.reshape(shape)


def _blosc() -> Any:
    return numcodecs.Blosc("zstd", 3, numcodecs.Blosc.BITSHUFFLE)


def _encode_blosc(stack: Stack, _bound: int) -> bytes:
    windows = _windows(stack.shape, _ZARR_CHUNK)
    chunks = [np.ascontiguousarray(band) for window in windows for band in stack[window]]
    return join([bytes(_blosc().encode(chunk)) for chunk in chunks])


def _decode_blosc(data: bytes, shape: Shape) -> Decoded:
    parts, out = iter(split(data)), np.empty(shape, np.uint16)
    for window in _windows(shape, _ZARR_CHUNK):
        for band in out[window]:
            band[...] = np.frombuffer(_blosc().decode(next(parts)), np.uint16).reshape(band.shape)
    return out


def _encode_sperr(stack: Stack, bound: int) -> bytes:
    planes = stack.astype(np.float32)
    return join([imagecodecs.sperr_encode(plane, bound + _ROUNDED, "pwe") for plane in planes])


def _decode_sperr(data: bytes, shape: Shape) -> Decoded:
    parts = [
        imagecodecs.sperr_decode(part, shape=shape[1:], dtype=np.float32) for part in split(data)
    ]
    planes: Decoded = np.stack(parts)
    return np.rint(planes)


def _encode_sz3(stack: Stack, bound: int) -> bytes:
    return _SZ3.encode(stack, bound + _ROUNDED)


def _decode_sz3(data: bytes, shape: Shape) -> Decoded:
    return np.rint(_SZ3.decode(data, shape))


_JPEG_LS, _LERC, _SZ3 = JpegLs(), Lerc(), PerBand(Sz3())
_JPEG_LS_CODEC = BoundedCodec("JPEG-LS", _JPEG_LS.encode, _JPEG_LS.decode)
_JPEGXL_E7, _JPEGXL_E3 = jpegxl(7), jpegxl(3)
_HTJ2K = over_differences(BoundedCodec("HTJ2K", _encode_htj2k, _decode_htj2k))
_BLOSC = BoundedCodec("Blosc Zstd-3, bitshuffle", _encode_blosc, _decode_blosc)
_OURS = BoundedCodec(OURS, _encode_ours, _decode_ours)

LOSSLESS = (
    _OURS,
    _JPEGXL_E7,
    _JPEGXL_E3,
    over_differences(_JPEG_LS_CODEC),
    over_differences(BoundedCodec("JPEG 2000", _encode_jpeg2000, _decode_jpeg2000)),
    _HTJ2K,
    _BLOSC,
)
BOUNDED = (
    _OURS,
    quantised(BoundedCodec(OURS, _encode_lossless, _decode_ours), QUANTISED),
    quantised(_JPEGXL_E7),
    quantised(_JPEGXL_E3),
    _JPEG_LS_CODEC,
    quantised(_HTJ2K),
    quantised(_BLOSC),
    BoundedCodec("SPERR", _encode_sperr, _decode_sperr),
    BoundedCodec("SZ3", _encode_sz3, _decode_sz3),
    BoundedCodec("LERC", _LERC.encode, _LERC.decode),
)


def codecs_at(bound: int) -> tuple[BoundedCodec, ...]:
    """Return the codecs to compare at a bound in DN; 0 is lossless."""
    return BOUNDED if bound else LOSSLESS
