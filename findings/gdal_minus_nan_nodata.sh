#!/usr/bin/env bash
# A GeoTIFF nodata tag of "-nan" means 0 to GDAL.
#
# Guess:    "-nan" is NaN, as "nan" is: C's printf writes a NaN whose sign bit is set as "-nan" (on x86
#           that is the NaN that 0.0/0.0 gives), and strtod reads it back as NaN.
# Happens:  GDAL reads it as 0 without a warning: all valid zeros are masked, the NaN samples are not.
# Versions: rasterio 1.4.4 (GDAL 3.10.3), tifffile 2026.3.3; GDAL 3.12.2 (rasterio 1.5.2) does the same.
# Output:   float32 tag 'nan': nodata nan, mask of [0, 1, nan] [255, 255, 0]
#           float32 tag '-nan': nodata 0.0, mask of [0, 1, nan] [0, 255, 255]
#           (float64 the same)
# Matters:  dry cells (0 mm), sea level or 0 degrees C become missing, and NaN enters means and sums.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4 tifffile==2026.3.3
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import math

import numpy as np
import rasterio
import tifffile

assert math.isnan(float("-nan"))
for dtype in ("float32", "float64"):
    for text in ("nan", "-nan"):
        raw = text.encode() + b"\0"
        tifffile.imwrite("t.tif", np.array([[0, 1, np.nan]], dtype), photometric="minisblack",
                         extratags=[(42113, 2, len(raw), raw, True)])
        with rasterio.open("t.tif") as f:
            mask = f.read_masks(1).ravel().tolist()
            print(f"{dtype} tag {text!r}: nodata {f.nodata}, mask of [0, 1, nan] {mask}")
            if text == "nan":
                assert math.isnan(f.nodata) and mask == [255, 255, 0]
            else:
                assert f.nodata == 0 and mask == [0, 255, 255]
PY
