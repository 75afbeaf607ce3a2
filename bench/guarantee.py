"""Sizes of lossless and near-lossless files next to the codecs that bound errors, on native grids.

python -m bench.guarantee ../shared/data/s2 --split test

Rasters are the files of the scenes as they are: the four 10 m bands and the six 20 m bands apart, and stacks
that somebody resampled to one grid. Every codec decodes, and every sample is checked against the bound, which
is the same for all; codecs of floats may err by 0.49 more, which rounding to integers takes back.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import imagecodecs
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from bench.peers.base import PerBand, Stack, join, split
from bench.peers.bounded import JpegLs, Lerc, Sz3
from bench.tables import Table
from eocodec import EncodeSettings, decode_tile, encode_tile

_TILE = 512
_ROUNDED = 0.49
OURS = "eocodec"


@dataclass(frozen=True)
class BoundedCodec:
    """A codec and the largest error that it must keep.

    Attributes
    ----------
    name : str
        What tables call it.
    encode : callable
        Takes a stack (C, H, W) of uint16 and the bound, returns bytes.
    decode : callable
        Takes the bytes and the shape, returns the array.
    """

    name: str
    encode: Callable[[Stack, int], bytes]
    decode: Callable[[bytes, tuple[int, ...]], npt.NDArray[Any]]


@dataclass
class Sizes:
    """Bits per pixel and band at one bound: by codec, then by raster."""

    bound: int
    bpppb: dict[str, dict[str, float]] = field(default_factory=dict)

    def mean(self, codec: str, rasters: Sequence[str]) -> float:
        """Return the mean of a codec over rasters."""
        return float(np.mean([self.bpppb[codec][raster] for raster in rasters]))

    def difference(self, rasters: Sequence[str]) -> float:
        """Return by how many percent our mean over rasters exceeds the best other codec's."""
        means = {codec: self.mean(codec, rasters) for codec in self.bpppb}
        return 100 * (means.pop(OURS) / min(means.values()) - 1)


def read_rasters(folder: Path, split_name: str) -> dict[str, Stack]:
    """Read the GeoTIFFs of a split, each on its own grid."""
    index = json.loads((folder / "index.json").read_text())
    rasters: dict[str, Stack] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for scene in index["scenes"]:
            names = [str(name) for name in scene["files"] if str(name).endswith(".tif")]
            for name in names if scene["split"] == split_name else ():
                with rasterio.open(folder / name) as source:
                    rasters[name.removesuffix(".tif")] = source.read()
    return rasters


def _tiles(shape: tuple[int, ...]) -> list[tuple[slice, slice, slice]]:
    every = slice(None)
    return [
        (every, slice(top, top + _TILE), slice(left, left + _TILE))
        for top in range(0, shape[1], _TILE)
        for left in range(0, shape[2], _TILE)
    ]


def _encode_ours(stack: Stack, bound: int) -> bytes:
    settings = EncodeSettings(max_error=float(bound))
    return join([encode_tile(stack[window], settings) for window in _tiles(stack.shape)])


def _decode_ours(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    out = np.empty(shape, np.uint16)
    for window, part in zip(_tiles(shape), split(data), strict=True):
        out[window] = decode_tile(part)
    return out


def _encode_jpegxl(stack: Stack, _bound: int) -> bytes:
    return join(
        [imagecodecs.jpegxl_encode(band, effort=7, lossless=True, numthreads=1) for band in stack]
    )


def _decode_jpegxl(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.stack([imagecodecs.jpegxl_decode(part, numthreads=1) for part in split(data)])


def _encode_jpeg2000(stack: Stack, _bound: int) -> bytes:
    code: bytes = imagecodecs.jpeg2k_encode(
        stack, level=0, codecformat="j2k", reversible=True, planar=True, mct=False, numthreads=1
    )
    return code


def _decode_jpeg2000(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    out: npt.NDArray[Any] = imagecodecs.jpeg2k_decode(data, planar=True, numthreads=1)
    return out.reshape(shape)


def _over_differences(codec: BoundedCodec) -> BoundedCodec:
    """Return the codec applied to the first band and the differences of neighbouring bands."""

    def encode(stack: Stack, bound: int) -> bytes:
        differences = stack.astype(np.int32)
        differences[1:] -= stack[:-1]
        low = differences.min(axis=(1, 2))
        planes = (differences - low[:, None, None]).astype(np.uint16)
        return bytes(low.astype("<i4").tobytes()) + codec.encode(planes, bound)

    def decode(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        low = np.frombuffer(data, "<i4", shape[0])
        planes = codec.decode(data[low.nbytes :], shape) + low[:, None, None]
        return np.cumsum(planes, axis=0).astype(np.uint16)

    return BoundedCodec(f"{codec.name}, band differences", encode, decode)


def _encode_sperr(stack: Stack, bound: int) -> bytes:
    planes = stack.astype(np.float32)
    return join([imagecodecs.sperr_encode(plane, bound + _ROUNDED, "pwe") for plane in planes])


def _decode_sperr(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    parts = [
        imagecodecs.sperr_decode(part, shape=shape[1:], dtype=np.float32) for part in split(data)
    ]
    return np.rint(np.stack(parts))


def _encode_sz3(stack: Stack, bound: int) -> bytes:
    return _SZ3.encode(stack, bound + _ROUNDED)


def _decode_sz3(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.rint(_SZ3.decode(data, shape))


_JPEG_LS, _LERC, _SZ3 = JpegLs(), Lerc(), PerBand(Sz3())
_OURS = BoundedCodec(OURS, _encode_ours, _decode_ours)
_JPEG_LS_CODEC = BoundedCodec("JPEG-LS", _JPEG_LS.encode, _JPEG_LS.decode)
_JPEGXL = BoundedCodec("JPEG XL e7", _encode_jpegxl, _decode_jpegxl)
_JPEG2000 = BoundedCodec("JPEG 2000", _encode_jpeg2000, _decode_jpeg2000)

LOSSLESS = (
    _OURS,
    _JPEGXL,
    _over_differences(_JPEGXL),
    _JPEG_LS_CODEC,
    _over_differences(_JPEG_LS_CODEC),
    _JPEG2000,
    _over_differences(_JPEG2000),
)
NEAR_LOSSLESS = (
    _OURS,
    _JPEG_LS_CODEC,
    BoundedCodec("LERC", _LERC.encode, _LERC.decode),
    BoundedCodec("SZ3", _encode_sz3, _decode_sz3),
    BoundedCodec("SPERR", _encode_sperr, _decode_sperr),
)


def measure_sizes(
    rasters: dict[str, Stack], bound: int, only: str | None = None
) -> tuple[Sizes, list[str]]:
    """Encode every raster with every codec of a bound; return sizes and broken promises.

    Parameters
    ----------
    rasters : dict
        Stacks (C, H, W) of uint16 by name.
    bound : int
        Largest error in DN; 0 is lossless.
    only : str, optional
        Name of the only codec to run.
    """
    sizes, broken = Sizes(bound), []
    codecs = NEAR_LOSSLESS if bound else LOSSLESS
    for codec in codecs:
        if only is not None and codec.name != only:
            continue
        sizes.bpppb[codec.name] = {}
        for name, stack in rasters.items():
            data = codec.encode(stack, bound)
            error = np.abs(codec.decode(data, stack.shape) - stack.astype(np.float64)).max()
            if error > bound:
                broken.append(f"{codec.name} on {name}: error {error:g} at a bound of {bound}")
            sizes.bpppb[codec.name][name] = 8 * len(data) / stack.size
    return sizes, broken


def native(rasters: Sequence[str]) -> list[str]:
    """Return the rasters on grids that nobody resampled."""
    return [name for name in rasters if name.endswith((".10m", ".20m"))]


def mean_table(rasters: Sequence[str], sizes: list[Sizes]) -> Table:
    """Return a row a codec with its mean over rasters at every bound, a dash where it has none."""
    codecs = list(dict.fromkeys(codec for entry in sizes for codec in entry.bpppb))
    rows = [
        [codec]
        + [f"{entry.mean(codec, rasters):.3f}" if codec in entry.bpppb else "-" for entry in sizes]
        for codec in codecs
    ]
    rows.append(
        [f"{OURS} against the best", *(f"{entry.difference(rasters):+.1f} %" for entry in sizes)]
    )
    title = f"Bits per pixel and band within an error bound E (DN), mean of {len(rasters)} rasters"
    return Table(title, ["codec", *(f"E = {entry.bound}" for entry in sizes)], rows)


def raster_table(rasters: Sequence[str], sizes: list[Sizes]) -> Table:
    """Return a row a raster: our bits at every bound, and the difference to its best other codec."""
    rows = [
        [name]
        + [f"{entry.bpppb[OURS][name]:.3f} ({entry.difference([name]):+.1f} %)" for entry in sizes]
        for name in rasters
    ]
    title = f"{OURS}, bits per pixel and band, and the difference to the best other codec"
    return Table(title, ["raster", *(f"E = {entry.bound}" for entry in sizes)], rows)


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", "split_name", default="test", show_default=True, help="Scenes to use.")
@click.option("--bound", "bounds", type=click.IntRange(min=0), multiple=True, help="In DN.")
@click.option("--only", help="Measure this codec only.")
def main(data: Path, split_name: str, bounds: tuple[int, ...], only: str | None) -> None:
    """Print bits per pixel and band of all codecs on the native rasters of DATA."""
    rasters = read_rasters(data, split_name)
    measured = []
    for bound in bounds or (0, 2, 5, 10):
        sizes, broken = measure_sizes(rasters, bound, only)
        measured.append(sizes)
        for line in broken:
            print(f"BROKEN {line}", flush=True)
        for codec in sizes.bpppb:
            print(f"E = {bound}, {codec}: {sizes.mean(codec, list(rasters)):.3f}", flush=True)
    if only is None:
        for names in (native(list(rasters)), list(rasters)):
            print(mean_table(names, measured).markdown(), "\n")
        print(raster_table(list(rasters), measured).markdown())


if __name__ == "__main__":
    main()
