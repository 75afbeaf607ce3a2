"""This codec, through its commands: GeoTIFF to ``.eoc`` and back, every byte of the file counted."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from bench.peers.base import RMSE_TARGETS, Stack
from eocodec.bands import MODEL_BANDS
from eocodec.cli.compress import command as compress
from eocodec.cli.decompress import command as decompress
from eocodec.codec_models import find_card
from eocodec.formats.raster import without_georeference_warning


@dataclass(frozen=True)
class Eocodec:
    """`eocodec compress --target-rmse`; settings are that RMSE in DN."""

    name: str = "eocodec"
    settings: tuple[float, ...] = RMSE_TARGETS
    threads: int = 1

    def encode(self, stack: Stack, setting: float) -> bytes:
        """Encode."""
        return encode_file(stack, "--target-rmse", str(setting), "--threads", str(self.threads))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        return decode_file(data, "--threads", str(self.threads)).reshape(shape)


@dataclass(frozen=True)
class EocodecLayers:
    """`eocodec compress --quality`; settings are the layers written."""

    name: str = "eocodec layers"
    threads: int = 1

    @property
    def settings(self) -> tuple[int, ...]:
        """Every number of layers that the shipped model has."""
        return tuple(range(1, find_card().layers + 1))

    def encode(self, stack: Stack, setting: int) -> bytes:
        """Encode."""
        return encode_file(stack, "--quality", str(setting), "--threads", str(self.threads))

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        return decode_file(data, "--threads", str(self.threads)).reshape(shape)


def encode_file(stack: Stack, *options: str) -> bytes:
    """Write a GeoTIFF, run `eocodec compress` on it and return the bytes of the ``.eoc`` file."""
    with tempfile.TemporaryDirectory() as folder:
        source, container = Path(folder, "stack.tif"), Path(folder, "stack.eoc")
        write_geotiff(stack, source)
        _run(compress, str(source), "-o", str(container), *options)
        return container.read_bytes()


def decode_file(data: bytes, *options: str) -> npt.NDArray[Any]:
    """Run `eocodec decompress` on the bytes of an ``.eoc`` file and read the GeoTIFF it writes."""
    with tempfile.TemporaryDirectory() as folder:
        container, restored = Path(folder, "stack.eoc"), Path(folder, "stack.tif")
        container.write_bytes(data)
        _run(decompress, str(container), "-o", str(restored), *options)
        with without_georeference_warning(), rasterio.open(restored) as source:
            pixels: npt.NDArray[Any] = source.read()
        return pixels


def write_geotiff(stack: Stack, path: Path) -> None:
    """Write a stack as a GeoTIFF whose bands have the names of the model's."""
    count, height, width = stack.shape
    size: dict[str, Any] = {"count": count, "height": height, "width": width}
    with (
        without_georeference_warning(),
        rasterio.open(path, "w", driver="GTiff", dtype=np.uint16, **size) as target,
    ):
        target.write(stack)
        target.descriptions = MODEL_BANDS[:count]


def _run(command: Any, *words: str) -> None:
    with without_georeference_warning(), contextlib.redirect_stdout(io.StringIO()):
        command.main(args=list(words), standalone_mode=False)
