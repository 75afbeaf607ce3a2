"""Compress and decompress a real Sentinel-2 GeoTIFF on the command line; table, picture and features.

python bench/demo.py [tile.tif] [folder]
"""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from eocodec.formats.picture import save_png, side_by_side
from eocodec.formats.raster import without_georeference_warning
from eocodec.metrics import Comparison, compare
from eocodec.payload import crc32c

SAMPLE = Path(__file__).parents[1] / "tests" / "data" / "s2_berlin.tif"
RED_GREEN_BLUE = ("B04", "B03", "B02")


def main() -> None:
    """Run the demo."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("demo-out")
    folder.mkdir(parents=True, exist_ok=True)
    container = folder / f"{source.stem}.eoc"
    restored = folder / f"{source.stem}.tif"
    eocodec("compress", source, "-o", container, "--overwrite")
    eocodec("info", container)
    eocodec("decompress", container, "-o", restored, "--overwrite")

    names, original = read(source)
    _, decoded = read(restored)
    size = container.stat().st_size
    jpeg, jpeg_size, quality = jpeg_of_size(original, size)
    ours, theirs = compare(original, decoded), compare(original, jpeg)

    pixels = original[0].size
    print(f"\noriginal GeoTIFF     {source.stat().st_size:>10} bytes")
    print(f"raw samples          {original.nbytes:>10} bytes, {original.dtype}")
    print(f"eocodec file         {size:>10} bytes, everything counted")
    print(f"per-band 8-bit JPEG  {jpeg_size:>10} bytes, quality {quality}")
    print(f"ratio to raw         {original.nbytes / size:>10.1f}")
    print(f"bpp, all bands       {8 * size / pixels:>10.3f}")
    print(f"bpppb, per band      {8 * size / original.size:>10.4f}\n")
    print(table(names, ours, theirs))

    picture = folder / f"{source.stem}.png"
    wanted = [names.index(name) for name in RED_GREEN_BLUE]
    panels = [
        ("original", original[wanted]),
        (f"eocodec, {size} bytes, RMSE {ours.total_rmse:.1f} DN", decoded[wanted]),
        (f"JPEG, {jpeg_size} bytes, RMSE {theirs.total_rmse:.1f} DN", jpeg[wanted]),
    ]
    save_png(side_by_side(panels, difference=False), picture)
    print(f"\nside by side: {picture}\n")

    features = folder / f"{source.stem}.features.npy"
    eocodec("features", container, "-o", features, "--overwrite")
    print(features_line(np.load(features)["features"]))


def eocodec(*args: str | Path) -> None:
    """Run one command of the command line, showing it."""
    words = ["eocodec", *map(str, args)]
    print("$", shlex.join(words), flush=True)
    subprocess.run([Path(sys.executable).with_name(words[0]), *words[1:]], check=True)


def read(path: Path) -> tuple[list[str], NDArray[Any]]:
    """Return band names and samples, (bands, rows, columns)."""
    with without_georeference_warning(), rasterio.open(path) as source:
        return [str(name) for name in source.descriptions], source.read()


def jpeg_of_size(stack: NDArray[Any], size: int) -> tuple[NDArray[Any], int, int]:
    """Code every band as 8-bit JPEG, scaled from its own range, all at one quality.

    Returns the decoded stack, the bytes and the quality: the best whose bytes stay within `size`,
    or the worst there is.
    """
    low = stack.min(axis=(1, 2), keepdims=True).astype(np.float64)
    span = np.maximum(stack.max(axis=(1, 2), keepdims=True) - low, 1)
    eight_bits = np.rint((stack - low) / span * 255).astype(np.uint8)
    worst, best = 1, 95
    while worst < best:
        middle = (worst + best + 1) // 2
        if sum(map(len, encode_jpegs(eight_bits, middle))) <= size:
            worst = middle
        else:
            best = middle - 1
    files = encode_jpegs(eight_bits, worst)
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    samples = np.rint(decoded / 255 * span + low).astype(stack.dtype)
    # Both ends of the scale of a band take 2 bytes each.
    return samples, sum(map(len, files)) + 4 * len(files), worst


def encode_jpegs(bands: NDArray[np.uint8], quality: int) -> list[bytes]:
    """Return one JPEG file a band."""
    files = []
    for band in bands:
        buffer = io.BytesIO()
        Image.fromarray(band).save(buffer, "JPEG", quality=quality, optimize=True)
        files.append(buffer.getvalue())
    return files


def table(names: list[str], ours: Comparison, theirs: Comparison) -> str:
    """Return RMSE in DN and PSNR (peak 10000) of each band, eocodec's next to JPEG's."""
    lines = ["            eocodec             JPEG", "band       RMSE    PSNR      RMSE    PSNR"]
    rows = zip(
        [*names, "all bands"],
        [*ours.rmse, ours.total_rmse],
        [*ours.psnr, ours.total_psnr],
        [*theirs.rmse, theirs.total_rmse],
        [*theirs.psnr, theirs.total_psnr],
        strict=True,
    )
    lines += [f"{n:<9} {a:>5.1f}  {b:>6.2f}     {c:>5.1f}  {d:>6.2f}" for n, a, b, c, d in rows]
    lines.append("RMSE in DN (reflectance x 10000), PSNR in dB for a peak of 10000")
    lines.append(
        f"mean spectral angle: {ours.spectral_angle:.3f} and {theirs.spectral_angle:.3f} degrees"
    )
    return "\n".join(lines)


def features_line(values: NDArray[np.float32]) -> str:
    """Return the first features of the first patch of (rows, columns, D), and a checksum of all."""
    first = " ".join(f"{value:.4f}" for value in values[0, 0, :6])
    return f"patch (0, 0): {first} …; CRC-32C of all features {crc32c(values.tobytes()):08x}"


if __name__ == "__main__":
    main()
