#!/usr/bin/env bash
# rasterio hands out the nodata of a 64-bit integer band as a float.
#
# Guess:    dataset.nodata of an int64 band is the exact integer in the tag, and agrees with the mask.
# Happens:  nodata is a float: 2**63-1 and 2**64-1 in the tag give None (as if nothing were missing)
#           though the mask, made by GDAL from the exact integer, does mark them missing; and writing
#           nodata=2**53+1 puts 2**53 in the tag, so the neighbour 2**53 is masked and 2**53+1 is valid.
# Versions: rasterio 1.4.4 (GDAL 3.10.3), tifffile 2026.3.3
# Output:   tag 9223372036854775807: nodata None, flags nodata, mask [0, 255]
#           tag 18446744073709551615: nodata None, flags nodata, mask [0, 255]
#           nodata=9007199254740993 written: nodata 9007199254740992.0, mask of [2**53, 2**53+1] [0, 255]
# Matters:  code that asks 'is nodata None?' takes every sample as valid; code that compares with nodata
#           masks the wrong one. Only the mask (or the text of tag 42113) tells.
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
from rasterio.enums import MaskFlags
from rasterio.transform import from_origin

for dtype, top in (("int64", 2**63 - 1), ("uint64", 2**64 - 1)):
    raw = str(top).encode() + b"\0"
    tifffile.imwrite("top.tif", np.array([[top, 5]], dtype), photometric="minisblack",
                     extratags=[(42113, 2, len(raw), raw, True)])
    with rasterio.open("top.tif") as f:
        flags, mask = f.mask_flag_enums[0], f.read_masks(1).ravel().tolist()
        print(f"tag {top}: nodata {f.nodata}, flags {flags[0].name}, mask {mask}")
        assert f.nodata is None and f.nodatavals == (None,)
        assert flags == [MaskFlags.nodata] and mask == [0, 255]

odd = 2**53 + 1
with rasterio.open("odd.tif", "w", driver="GTiff", height=1, width=2, count=1, dtype="int64",
                   nodata=odd, transform=from_origin(0, 1, 1, 1)) as f:
    f.write(np.array([[odd - 1, odd]], np.int64), 1)
with rasterio.open("odd.tif") as f:
    assert f.read(1).ravel().tolist() == [odd - 1, odd]
    mask = f.read_masks(1).ravel().tolist()
    print(f"nodata={odd} written: nodata {f.nodata}, mask of [2**53, 2**53+1] {mask}")
    assert f.nodata == 2.0**53 and mask == [0, 255]
PY
