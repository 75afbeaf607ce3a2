"""Write the seeds of the corpus: ``python -m tests.fuzz.seeds``, after a change of bytes.

Small rasters of every kind of tile: constant, masked, predictive of every dtype, learned; one
container a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

import eocodec
from eocodec import EncodeSettings, encode_tile
from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import FIELD_MODEL
from eocodec.formats.chunks import encode_tiles

CORPUS = Path(__file__).parent / "corpus"
SAMPLE = CORPUS.parents[1] / "data" / "s2_chesapeake.tif"
LOSSLESS = EncodeSettings(lossless=True)

Pixels = npt.NDArray[Any]


def smooth(shape: tuple[int, ...], dtype: str, scale: float = 1.0) -> Pixels:
    """Return a random walk along rows, like an image."""
    steps = np.random.default_rng(7).normal(0, 3, shape)
    return (100 + scale * np.cumsum(steps, axis=-1)).astype(dtype)


def crop(bands: int, rows: int, columns: int) -> Pixels:
    """Return a corner of the Sentinel-2 sample."""
    with rasterio.open(SAMPLE) as dataset:
        pixels: Pixels = dataset.read()[:bands, 60 : 60 + rows, 30 : 30 + columns]
    return pixels


def payloads() -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of tile payloads."""
    yield "constant", encode_tile(np.full((2, 5, 3), 7, "int16"))
    yield "constant-bands", encode_tile(np.arange(3, dtype="f4")[:, None, None] + np.zeros((4, 5)))
    for name in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "u8", "i8"):
        yield f"predictive-{name}", encode_tile(smooth((2, 7, 9), name), LOSSLESS)
    yield "predictive-one", encode_tile(np.array([[[1, 2]]], "u2"), LOSSLESS)
    yield "predictive-wide", encode_tile(smooth((2, 8, 8), "i4", 1e6), LOSSLESS)
    yield "predictive-ranks", encode_tile(smooth((1, 20, 30), "i4") * 100_000, LOSSLESS)
    yield "predictive-repeats", encode_tile(crop(3, 8, 8).repeat(2, 1).repeat(2, 2), LOSSLESS)
    yield "predictive-sample", encode_tile(crop(4, 24, 20), LOSSLESS)
    holes = smooth((2, 12, 12), "f4")
    holes[:, 3:6, 2:9] = np.nan
    holes[0, 8, 8] = -9999
    yield "mask-float", encode_tile(holes, EncodeSettings(lossless=True, nodata=-9999))
    yield "constant-mask", encode_tile(np.where(holes == holes, 5, holes).astype("f4"))
    image = smooth((2, 24, 30), "u2")
    yield "bounded", encode_tile(image, EncodeSettings(max_error=3))
    yield "bounded-bands", encode_tile(image, EncodeSettings(max_error=(2, 9)))
    yield "bounded-relative", encode_tile(image, EncodeSettings(max_relative_error=0.05))
    yield "bounded-wide", encode_tile(smooth((1, 20, 20), "i4", 1e5), EncodeSettings(max_error=999))
    floats = smooth((1, 20, 20), "f4", 0.01)
    yield "bounded-float", encode_tile(floats, EncodeSettings(max_error=0.01))
    columns = smooth((24, 3, 2), "f4", 0.1)
    yield "bounded-columns", encode_tile(columns.repeat(2, 0), EncodeSettings(max_error=0.05))
    levels = smooth((9, 12, 11), "f4", 0.1)
    yield "bounded-levels", encode_tile(levels, EncodeSettings(max_error=1))
    yield "bounded-signed", encode_tile(levels - 100, EncodeSettings(max_relative_error=0.1))
    yield "bounded-sqrt", encode_tile(floats, EncodeSettings(max_error_sqrt=0.01))
    yield "guarantee", encode_tile(crop(3, 18, 20), EncodeSettings(layers=3, max_error=9))
    partly = EncodeSettings(layers=4, max_error=(5, None, 0))
    yield "guarantee-partly", encode_tile(crop(3, 16, 17), partly)
    yield "learned", encode_tile(crop(10, 20, 20))
    yield "learned-stages", encode_tile(crop(10, 20, 18), EncodeSettings(layers=6, step_scale=0.9))
    edges = crop(10, 17, 22)
    edges[:, :4, :6] = 0
    level, row, column = np.mgrid[:9, :17, :20]
    field = ((1 + np.sin(row / 5 + level) * np.cos(column / 6)) ** 4 * 2.0**level).astype("f4")
    yield "learned-levels", encode_tile(field, EncodeSettings(model=FIELD_MODEL, layers=4))
    yield "learned-nodata", encode_tile(edges, EncodeSettings(nodata=0, layers=4))


def containers() -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of containers."""
    small = smooth((2, 9, 12), "i2")
    two = {"a": small, "b": np.full((5, 4), 200, "uint8")}
    yield "two-arrays", eocodec.compress(two, settings=LOSSLESS, tile_size=8, crs="EPSG:4326")
    yield (
        "axes",
        eocodec.compress(smooth((2, 3, 4, 5), "u1"), settings=LOSSLESS, tile_size=(1, 4, 5)),
    )
    described = [
        eocodec.Band(
            name="B05", scale=1e-4, offset=-0.1, unit="reflectance", colour="red", position=1
        ),
        eocodec.Band(
            description="coarse", wavelength_nm=705.0, native_factor=2, mask_flags=("nodata",)
        ),
    ]
    yield (
        "described",
        eocodec.compress(
            small,
            settings=LOSSLESS,
            bands=described,
            nodata=0,
            transform=(10.0, 0.0, 6e5, 0.0, -10.0, 5.9e6),
            gcps=[eocodec.Gcp(row=0, col=0, x=1, y=2)],
            gcps_crs="EPSG:4326",
            rpcs={"LINE_OFF": "1"},
            area_or_point="point",
            tags={"a": "b"},
            extra={"geotiff": {"raster": "x"}},
        ),
    )
    asked = EncodeSettings(max_error=(3, None), max_relative_error=0.1, layers=3)
    yield "promises", eocodec.compress(crop(2, 18, 20), settings=asked)
    yield "learned", eocodec.compress(crop(10, 18, 20), bands=MODEL_BANDS, tile_size=16, nodata=0)


def chunks() -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of chunks."""
    image = smooth((3, 2, 9, 7), "u2")
    yield "stack", encode_tiles(image, LOSSLESS)
    yield "one", encode_tiles(image[:1], EncodeSettings(max_error=4))
    yield "learned", encode_tiles(crop(4, 18, 16).reshape(2, 2, 18, 16), EncodeSettings(layers=3))


def main() -> None:
    """Write every seed."""
    for target, seeds in (
        ("payload", payloads()),
        ("container", containers()),
        ("chunk", chunks()),
    ):
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds:
            (folder / f"seed-{name}").write_bytes(data)


if __name__ == "__main__":
    main()
