#!/usr/bin/env bash
# ecCodes looks for NaN at the first grid point only; elsewhere NaN becomes the field's minimum.
#
# Guess:    codes_set_values refuses NaN wherever it stands, or counts it as missing when there is a bitmap.
# Happens:  NaN at point 0 raises an encoding error. At any other point it is packed without an error and
#           decodes to the smallest value of the field, with bitmapPresent=1 too (numberOfMissing is 0).
# Versions: eccodes 2.50.0 (2.42.0 the same), grid_simple, grid_ccsds and grid_jpeg, GRIB edition 2
# Output:   grid_simple, bitmap 0, NaN at 0: EncodingError
#           grid_simple, bitmap 0, NaN at 3: decodes to 260.503, minimum 260.503, missing 0
#           (the same for grid_ccsds, grid_jpeg, with and without a bitmap)
# Matters:  sea points of a soil field, or cells outside a regional model, return as the coldest or driest
#           cell; whoever writes GRIB has to replace NaN by missingValue first.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 eccodes==2.50.0
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import eccodes
import numpy as np


def packed(packing, bitmap, place):
    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib2")
    values = np.random.default_rng(0).normal(280, 5, eccodes.codes_get(handle, "numberOfDataPoints"))
    values[0] = 280
    values[place] = np.nan
    eccodes.codes_set(handle, "packingType", packing)
    eccodes.codes_set(handle, "bitsPerValue", 16)
    eccodes.codes_set(handle, "bitmapPresent", bitmap)
    eccodes.codes_set_values(handle, values)
    read = eccodes.codes_new_from_message(eccodes.codes_get_message(handle))
    assert eccodes.codes_get(read, "packingType") == packing
    return values, eccodes.codes_get_values(read), eccodes.codes_get(read, "numberOfMissing")


print("eccodes", eccodes.codes_get_api_version())
for packing in ("grid_simple", "grid_ccsds", "grid_jpeg"):
    for bitmap in (0, 1):
        try:
            packed(packing, bitmap, 0)
        except eccodes.CodesInternalError as e:
            print(f"{packing}, bitmap {bitmap}, NaN at 0: {type(e).__name__}")
        else:
            raise AssertionError("NaN at the first point was taken")
        values, out, missing = packed(packing, bitmap, 3)
        print(f"{packing}, bitmap {bitmap}, NaN at 3: decodes to {out[3]:.3f}, minimum {out.min():.3f}, missing {missing}")
        assert out[3] == out.min() and missing == 0 and abs(out[3] - np.nanmin(values)) < 0.01
        assert np.nanmax(np.abs(out - values)) < 0.01
PY
