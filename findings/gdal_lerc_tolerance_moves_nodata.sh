#!/usr/bin/env bash
# LERC with a tolerance moves the nodata samples of a GeoTIFF.
#
# Guess:    the nodata tag tells GDAL which samples are missing and LERC codes a validity mask, so
#           missing samples survive MAX_Z_ERROR. (DISCARD_LSB of the same driver does keep them.)
# Happens:  nodata samples are coded as values: 0 amid samples of both signs comes back as -0.46 or 0.31
#           and is valid data from then on. It escapes notice with nodata -9999, the lowest sample of
#           its block, which LERC keeps exact. Only NaN goes into LERC's mask.
# Versions: rasterio 1.4.4 (GDAL 3.10.3); GDAL 3.12.2 (rasterio 1.5.2) does the same.
# Output:   nodata 0.0: 400 missing before, 64 after LERC with MAX_Z_ERROR=0.5
#           nodata 9999.0: 400 missing before, 64 after LERC with MAX_Z_ERROR=0.5
#           nodata -9999.0: 400 missing before, 400 after LERC with MAX_Z_ERROR=0.5
#           nodata nan: 400 missing before, 400 after LERC with MAX_Z_ERROR=0.5
#           nodata 0.0: 400 missing before, 400 after DEFLATE with DISCARD_LSB=14
# Matters:  0 is the usual nodata of radar backscatter in dB and of clipped orthophotos: the frame around
#           the scene becomes data close to 0 and enters every statistic.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
from rasterio.transform import from_origin

field = (np.random.default_rng(0).normal(size=(64, 64)) * 6).astype(np.float32)


def missing(nodata, **options):
    a = field.copy()
    a[10:30, 10:30] = nodata
    with rasterio.open("t.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="float32",
                       nodata=nodata, transform=from_origin(0, 1, 1, 1), **options) as f:
        f.write(a, 1)
    with rasterio.open("t.tif") as f:
        assert f.nodata == nodata or (np.isnan(f.nodata) and np.isnan(nodata))
        left = int((f.read_masks(1) == 0).sum())
    rest = " with ".join([options["compress"], *(f"{k.upper()}={v}" for k, v in options.items() if k != "compress")])
    print(f"nodata {nodata}: 400 missing before, {left} after {rest}")
    return left


assert missing(0.0, compress="LERC", max_z_error=0.5) < 200
assert missing(9999.0, compress="LERC", max_z_error=0.5) < 200
assert missing(-9999.0, compress="LERC", max_z_error=0.5) == 400
assert missing(np.nan, compress="LERC", max_z_error=0.5) == 400
assert missing(0.0, compress="DEFLATE", discard_lsb=14) == 400
PY
