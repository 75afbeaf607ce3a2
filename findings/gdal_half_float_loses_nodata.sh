#!/usr/bin/env bash
# NBITS=16 (half floats in a GeoTIFF) rounds the nodata samples, not the nodata tag.
#
# Guess:    GDAL keeps missing samples missing, or refuses a nodata that half floats cannot hold.
# Happens:  the samples are rounded to -9992 (1e20 becomes infinity, -999.9 becomes -999.5) while the
#           tag still says -9999: no sample is masked any more, without a warning. -32768 survives.
# Versions: rasterio 1.4.4 (GDAL 3.10.3). GDAL 3.12.2 (rasterio 1.5.2) rounds to -10000 and masks
#           none either.
# Output:   nodata -9999.0: tag -9999.0, sample -9992.0, masked 0 of 400
#           nodata 1e+20: tag 1e+20, sample inf, masked 0 of 400
#           nodata -999.9: tag -999.9, sample -999.5, masked 0 of 400
#           nodata -32768.0: tag -32768.0, sample -32768.0, masked 400 of 400
# Matters:  half floats are a usual way to halve elevation models and indices; -9999 is their usual nodata.
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

field = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
for nodata, kept in ((-9999.0, 0), (1e20, 0), (-999.9, 0), (-32768.0, 400)):
    a = field.copy()
    a[10:30, 10:30] = nodata
    with rasterio.open("t.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="float32",
                       nodata=nodata, nbits=16, transform=from_origin(0, 1, 1, 1)) as f:
        f.write(a, 1)
    with rasterio.open("t.tif") as f:
        sample, masked = f.read(1)[10, 10], int((f.read_masks(1) == 0).sum())
        print(f"nodata {nodata}: tag {f.nodata}, sample {sample}, masked {masked} of 400")
        assert np.float32(f.nodata) == np.float32(nodata) and masked == kept
        assert (sample == np.float32(nodata)) == bool(kept)
PY
