"""Compress and decompress a raster of full Sentinel-2 size: seconds, MB/s and peak memory.

python bench/large_raster.py ../shared/data/s2 [rows] [folder] [options of `eocodec compress`]

Without options it is the model's default quality. The raster is a mosaic of one real scene, mirrored at every seam.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import find_card
from eocodec.resample import upsample2

SIDE = 10980
SCENE = "T18SVG_20160112_west"
_BLOCK = 256


def main() -> None:
    """Run the benchmark."""
    scenes = Path(sys.argv[1])
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else SIDE
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path("bench-out")
    folder.mkdir(parents=True, exist_ok=True)
    source, container, restored = (folder / f"large{end}" for end in (".tif", ".eoc", ".out.tif"))
    if not source.exists():
        write_mosaic(scenes, source, rows)
    raw = 10 * rows * SIDE * 2
    options = sys.argv[4:] or ["--quality", str(find_card().default_layers)]
    commands: tuple[list[str | Path], ...] = (
        ["compress", source, "-o", container, "--overwrite", *options],
        ["decompress", container, "-o", restored, "--overwrite"],
    )
    for words in commands:
        seconds, peak = measured(words)
        figures = {
            "command": words[0],
            "seconds": round(seconds, 1),
            "MB/s of raw samples": round(raw / seconds / 1e6, 2),
            "peak resident MiB": round(peak),
        }
        print(json.dumps(figures), flush=True)


def measured(words: list[str | Path]) -> tuple[float, float]:
    """Run one command in a process of its own; return its seconds and peak resident MiB."""
    program = (
        "import resource, subprocess, sys\n"
        "status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(status)\n"
    )
    command = [Path(sys.executable).with_name("eocodec"), *words]
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", program, *command], stdout=subprocess.PIPE, check=True
    )
    seconds = time.perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, int(result.stdout) / unit


def write_mosaic(scenes: Path, path: Path, rows: int) -> None:
    """Write a ten-band mosaic of `rows` rows and full width."""
    with (
        rasterio.open(scenes / f"{SCENE}.10m.tif") as fine,
        rasterio.open(scenes / f"{SCENE}.20m.tif") as coarse,
    ):
        planes = dict(zip(fine.descriptions, fine.read(), strict=True))
        upsampled = np.rint(upsample2(coarse.read())).astype(np.uint16)
        planes.update(zip(coarse.descriptions, upsampled, strict=True))
        place = {"crs": fine.crs, "transform": fine.transform}
    scene = np.stack([planes[name] for name in MODEL_BANDS])
    columns = mirrored(0, SIDE, scene.shape[2])
    size = {"count": len(scene), "height": rows, "width": SIDE, "dtype": "uint16"}
    layout = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "compress": "deflate"}
    with rasterio.open(
        path, "w", driver="GTiff", predictor=2, interleave="band", **size, **layout, **place
    ) as target:
        target.descriptions = MODEL_BANDS
        for top in range(0, rows, _BLOCK):
            lines = mirrored(top, min(top + _BLOCK, rows), scene.shape[1])
            block = scene[:, lines][:, :, columns]
            target.write(block, window=Window(0, top, SIDE, len(lines)))


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Return positions in a scene of `size` for [start, stop), back and forth."""
    at = np.arange(start, stop)
    return np.where(at // size % 2 == 0, at % size, size - 1 - at % size)


if __name__ == "__main__":
    main()
