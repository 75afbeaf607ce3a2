#!/usr/bin/env bash
# Nodata of int64 and uint64 GeoTIFFs: the text of the tag is cut at the first character that is no digit.
#
# Guess:    the text "1e3" means 1000, "nan" means no value at all (as it does for int32), and a
#           nodata of -2**63 given to rasterio comes back as -2**63.
# Happens:  for 64-bit integers GDAL takes the leading digits only: "1e3" and "1e30" are 1, "nan" and
#           "0.5" are 0. rasterio writes the tag of -2**63 as -9.2233720368547758e+18, so GDAL reads -9:
#           valid samples of -9 (or 0, or 1) become missing and the missing ones become valid.
# Versions: rasterio 1.4.4 (GDAL 3.10.3), tifffile 2026.3.3; GDAL 3.12.2 (rasterio 1.5.2) reads the
#           same tags the same way.
# Output:   rasterio 1.4.4 GDAL 3.10.3
#           written nodata -9223372036854775808, read -9.0, mask of [-2**63, -9, 5] [255   0 255]
#           (nodata, mask of [0, 1, 1000]):
#           '1e3': int32 (1000.0, [255, 255, 0]); int64 and uint64 (1.0, [255, 0, 255])
#           '1e30': int32 (None, [255, 255, 255]); int64 and uint64 (1.0, [255, 0, 255])
#           'nan': int32 (None, [255, 255, 255]); int64 and uint64 (0.0, [0, 255, 255])
#           '0.5': int32 (0.5, [0, 255, 255]); int64 and uint64 (0.0, [0, 255, 255])
# Matters:  identifiers, counts and time stamps are int64, and the lowest int64 is the usual missing
#           value (NaT, pandas). Zeros of a count vanish without any message.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 rasterio==1.4.4 tifffile==2026.3.3
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
low = -(2**63)
values = np.array([[low, -9, 5]], np.int64)
with rasterio.open("low.tif", "w", driver="GTiff", height=1, width=3, count=1, dtype="int64",
                   nodata=low, transform=from_origin(0, 1, 1, 1)) as f:
    f.write(values, 1)
with rasterio.open("low.tif") as f:
    assert np.array_equal(f.read(1), values)
    mask = f.read_masks(1).ravel()
    print(f"written nodata {low}, read {f.nodata}, mask of [-2**63, -9, 5] {mask}")
    assert f.nodata == -9 and mask.tolist() == [255, 0, 255]


def nodata(dtype, text):
    raw = text.encode() + b"\0"
    tifffile.imwrite("t.tif", np.array([[0, 1, 1000]], dtype), photometric="minisblack",
                     extratags=[(42113, 2, len(raw), raw, True)])
    with rasterio.open("t.tif") as f:
        return f.nodata, f.read_masks(1).ravel().tolist()


expected = {
    "1e3": ((1000.0, [255, 255, 0]), (1.0, [255, 0, 255])),
    "1e30": ((None, [255, 255, 255]), (1.0, [255, 0, 255])),
    "nan": ((None, [255, 255, 255]), (0.0, [0, 255, 255])),
    "0.5": ((0.5, [0, 255, 255]), (0.0, [0, 255, 255])),
}
for text, (narrow, wide) in expected.items():
    got = {dtype: nodata(dtype, text) for dtype in ("int32", "int64", "uint64")}
    print(f"{text!r}: {got}")
    assert got == {"int32": narrow, "int64": wide, "uint64": wide}
PY
