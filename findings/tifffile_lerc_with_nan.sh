#!/usr/bin/env bash
# tifffile reads GDAL's LERC files wrong as soon as one sample is NaN.
#
# Guess:    COMPRESS=LERC without a tolerance is lossless, so tifffile gives the samples that GDAL gives.
# Happens:  NaN goes into LERC's validity mask, which tifffile does not look at: it returns 0. With bands
#           interleaved by pixel, one NaN in one band makes GDAL store the bands one after another inside
#           the block; tifffile reads them as interleaved, and nearly every sample of the block is
#           that of another place, without an error.
# Versions: tifffile 2026.3.3 and imagecodecs 2026.3.6 reading files of rasterio 1.4.4 (GDAL 3.10.3).
#           tifffile 2026.11.8 calls the decoder the same way (read, not run).
# Output:   2 bands, pixel, no NaN: GDAL exact, tifffile wrong in 0 of 8192 samples
#           2 bands, pixel, one NaN: GDAL exact, tifffile wrong in 8190 of 8192 samples
#           2 bands, band, no NaN: GDAL exact, tifffile wrong in 0 of 8192 samples
#           2 bands, band, one NaN: GDAL exact, tifffile wrong in 1 of 8192 samples (0.0 for NaN)
# Matters:  float rasters mark missing cells by NaN; a pipeline that reads with tifffile (as
#           scikit-image does) gets zeros or a scrambled block and no sign of it.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4 tifffile==2026.3.3 imagecodecs==2026.3.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

for interleave in ("pixel", "band"):
    for nan in (False, True):
        a = np.arange(2 * 64 * 64, dtype=np.float32).reshape(2, 64, 64)
        if nan:
            a[0, 2, 3] = np.nan
        with rasterio.open("t.tif", "w", driver="GTiff", height=64, width=64, count=2, dtype="float32",
                           compress="LERC", interleave=interleave, tiled=True, blockxsize=64, blockysize=64,
                           transform=from_origin(0, 1, 1, 1)) as f:
            f.write(a)
        with rasterio.open("t.tif") as f:
            assert np.array_equal(f.read(), a, equal_nan=True)
        t = tifffile.imread("t.tif")
        t = t if interleave == "band" else np.moveaxis(t, -1, 0)
        wrong = int((~((t == a) | (np.isnan(t) & np.isnan(a)))).sum())
        print(f"2 bands, {interleave}, {'one' if nan else 'no'} NaN: GDAL exact, tifffile wrong in {wrong} of {a.size} samples")
        if not nan:
            assert wrong == 0
        elif interleave == "band":
            assert wrong == 1 and t[0, 2, 3] == 0
        else:
            assert wrong > 8000
PY
