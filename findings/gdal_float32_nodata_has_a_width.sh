#!/usr/bin/env bash
# The nodata value of a float32 band masks its neighbours too.
#
# Guess:    a sample is missing when it equals the nodata value.
# Happens:  GDAL's mask of a float32 band takes samples within a few steps of float32 as equal, also when
#           the nodata is exact in float32. Where the sum of both overflows, anything is equal: with a
#           nodata of -3.4028235e38 the finite sample -1e32 is missing. rasterio's read(masked=True)
#           follows the mask, samples == nodata does not.
# Versions: rasterio 1.4.4 (GDAL 3.10.3); GDAL 3.12.2 (rasterio 1.5.2) masks the same neighbours of
#           -9999 and 1.
# Output:   nodata -9999.0: masked [-9999.0, -9999.001, -9999.002, -9999.003, -9999.004]
#           nodata 1.0: masked [1.0, 1.0000001, 1.0000002, 1.0000004, 1.0000005]
#           nodata -3.4028234663852886e+38: masked [-3.4028235e+38, -3e+38, -1e+32]
# Matters:  a tool that drops samples by equality and one that asks GDAL count different valid cells;
#           a lossless copy has to keep the mask as well as the tag.
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


def masked(nodata, samples):
    a = np.array([samples], np.float32)
    with rasterio.open("t.tif", "w", driver="GTiff", height=1, width=a.size, count=1, dtype="float32",
                       nodata=nodata, transform=from_origin(0, 1, 1, 1)) as f:
        f.write(a, 1)
    with rasterio.open("t.tif") as f:
        read, out = f.read(1), f.read_masks(1) == 0
        assert np.array_equal(read, a) and f.nodata == np.float32(nodata)
        assert np.array_equal(f.read(1, masked=True).mask, out)
    print(f"nodata {float(np.float32(nodata))}: masked {[float(str(v)) for v in read[out]]}")
    return out.ravel().tolist()


def steps(value, away, n):
    out = [np.float32(value)]
    for _ in range(n):
        out.append(np.nextafter(out[-1], np.float32(away)))
    return out


near = masked(-9999, steps(-9999, -np.inf, 12))
assert near[1] and near[2] and not near[-1], near
near = masked(1, steps(1, np.inf, 12))
assert near[1] and near[2] and not near[-1], near
low = float(np.finfo(np.float32).min)
assert masked(low, [low, -3e38, -1e32, -1e30, 0]) == [True, True, True, False, False]
PY
