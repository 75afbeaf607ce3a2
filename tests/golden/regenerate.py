"""Write the golden files anew, after a change of bytes that CHANGELOG.md announces.

python tests/golden/regenerate.py
"""

from pathlib import Path

import numpy as np
import rasterio

import eocodec
from eocodec import EncodeSettings, decode_tile, encode_tile
from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import FIELD_MODEL

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "data" / "s2_chesapeake.tif"


def tiles() -> dict[str, tuple[np.ndarray, EncodeSettings]]:
    """Return the pixels and settings behind each golden tile."""
    with rasterio.open(SAMPLE) as dataset:
        crop = dataset.read()[:, 60:108, 30:94]
    holes = crop.copy()
    holes[:, 5:20, 8:30] = 0
    reflectance = (crop[:3, :20, :21] / np.float32(10000)).astype(np.float32)
    reflectance[1, 4:9, 7] = np.nan
    return {
        "constant": (np.full((3, 9, 7), 1234, np.int16), EncodeSettings()),
        "predictive-uint16": (crop, EncodeSettings(lossless=True)),
        "predictive-float32": (reflectance, EncodeSettings(lossless=True)),
        "near-uint16": (crop, EncodeSettings(max_error=5)),
        "near-bands-nodata": (holes[:3], EncodeSettings(nodata=0, max_error=(2, 0, 30))),
        "near-float32": (reflectance, EncodeSettings(max_error=0.001)),
        "relative-float32": (reflectance, EncodeSettings(max_relative_error=0.02)),
        "sqrt-uint16": (crop, EncodeSettings(max_error_sqrt=0.2)),
        "learned-uint16": (crop, EncodeSettings(layers=4)),
        "guaranteed-uint16": (crop, EncodeSettings(max_error=8, layers=3)),
        "guaranteed-lossless": (holes, EncodeSettings(nodata=0, lossless=True, layers=2)),
        "learned-nodata": (holes, EncodeSettings(nodata=0, layers=5, step_scale=0.8)),
        "learned-levels": (tracer(), EncodeSettings(model=FIELD_MODEL, layers=6)),
    }


def tracer() -> np.ndarray:
    """Return a positive, skewed field of 11 levels with a missing sample."""
    level, row, column = np.mgrid[:11, :24, :40]
    field = 1e-8 * (1 + np.sin(row / 5 + level / 3) * np.cos(column / 6)) ** 4 * 2.0**level
    field[3, 5, 6] = np.nan
    return field.astype(np.float32)


def main() -> None:
    """Write every golden file and what it decodes to."""
    expected = {}
    for name, (pixels, settings) in tiles().items():
        payload = encode_tile(pixels, settings)
        (HERE / f"{name}.tile").write_bytes(payload)
        expected[name] = decode_tile(payload)
    crop, settings = tiles()["learned-uint16"]
    container = eocodec.compress(
        crop, bands=MODEL_BANDS, tile_size=32, settings=settings, crs="EPSG:32618"
    )
    (HERE / "container.eoc").write_bytes(container)
    expected["container"] = np.asarray(eocodec.decompress(container))
    np.savez_compressed(HERE / "expected.npz", **expected)


if __name__ == "__main__":
    main()
