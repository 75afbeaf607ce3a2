#!/usr/bin/env bash
# Lossy WebP and JPEG XL throw the first three bands away where the fourth is 0.
#
# Guess:    a raster of four bands (blue, green, red, near infrared) is coded as four bands, or the call
#           fails; the loss of each is of the size that three bands have.
# Happens:  both take band 4 as opacity without being asked. Where it is 0 the others are not coded: they
#           come back constant, errors above 100 of 255, while band 4 itself is exact.
# Versions: rasterio 1.4.4 (GDAL 3.10.3, GeoTIFF COMPRESS=WEBP), imagecodecs 2026.3.6 (libjxl 0.11.2)
# Output:   WebP, level 90: greatest error in bands 1-3 where band 4 is 0: 127, elsewhere: 7
#           WebP, level 90, three bands only: 8
#           JPEG XL, distance 0.5: greatest error in bands 1-3 where band 4 is 0: 146, elsewhere: 3
#           JPEG XL, distance 0.5, three bands only: 3
# Matters:  near infrared is 0 over water and shadow in 8-bit products: the water of the visible bands is
#           gone, and no error measure of the infrared band shows it.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4 imagecodecs==2026.3.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import imagecodecs
import numpy as np
import rasterio
from rasterio.transform import from_origin

y, x = np.indices((64, 64))
bands = np.stack([x * 2 + 20, x + y + 10, 120 - x, np.where(y < 32, 0, 100)]).astype(np.uint8)


def webp(a):
    with rasterio.open("t.tif", "w", driver="GTiff", height=64, width=64, count=len(a), dtype="uint8",
                       compress="WEBP", webp_level=90, interleave="pixel", transform=from_origin(0, 1, 1, 1)) as f:
        f.write(a)
    with rasterio.open("t.tif") as f:
        return f.read()


def jpeg_xl(a):
    pixels = np.ascontiguousarray(np.moveaxis(a, 0, -1))
    return np.moveaxis(imagecodecs.jpegxl_decode(imagecodecs.jpegxl_encode(pixels, distance=0.5)), -1, 0)


for name, code in (("WebP, level 90", webp), ("JPEG XL, distance 0.5", jpeg_xl)):
    error = np.abs(code(bands).astype(int) - bands)
    under, elsewhere = error[:3, :32].max(), error[:3, 32:].max()
    three = np.abs(code(bands[:3]).astype(int) - bands[:3]).max()
    print(f"{name}: greatest error in bands 1-3 where band 4 is 0: {under}, elsewhere: {elsewhere}")
    print(f"{name}, three bands only: {three}")
    assert under > 100 and elsewhere < 20 and three < 20 and error[3].max() == 0
PY
