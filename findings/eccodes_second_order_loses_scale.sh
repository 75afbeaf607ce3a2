#!/usr/bin/env bash
# ecCodes: changing a GRIB 2 field to grid_second_order stores the packed integers as the values.
#
# Guess:    setting packingType repacks a message; the values stay within the packing's precision, as they do
#           for grid_ccsds, and for grid_second_order in GRIB 1.
# Happens:  reference value and scale factors become 0: 280.5 K decodes to about 20500, without an error. Setting
#           the values again on that handle gives a right field.
# Versions: eccodes 2.50.0 (2.42.0 the same)
# Output:   edition 1 to grid_second_order: greatest error 0.00049
#           edition 2 to grid_ccsds: greatest error 0.00049
#           edition 2 to grid_second_order: greatest error 35367.66982
#           edition 2 to grid_second_order, values set again: greatest error 0.00049
# Matters:  repacking is known as lossless, so the original is deleted before anyone decodes the copy.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 eccodes==2.50.0
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import eccodes
import numpy as np

print("eccodes", eccodes.codes_get_api_version())


def repacked(edition, packing):
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    values = np.random.default_rng(0).normal(280, 5, eccodes.codes_get(handle, "numberOfDataPoints"))
    eccodes.codes_set(handle, "bitsPerValue", 16)
    eccodes.codes_set_values(handle, values)
    eccodes.codes_set(handle, "packingType", packing)
    return handle, values


def error(handle, values):
    read = eccodes.codes_new_from_message(eccodes.codes_get_message(handle))
    return float(np.abs(eccodes.codes_get_values(read) - values).max())


for edition, packing in ((1, "grid_second_order"), (2, "grid_ccsds"), (2, "grid_second_order")):
    handle, values = repacked(edition, packing)
    assert eccodes.codes_get(handle, "packingType") == packing
    e = error(handle, values)
    print(f"edition {edition} to {packing}: greatest error {e:.5f}")
    if (edition, packing) == (2, "grid_second_order"):
        assert e > 1000
        assert eccodes.codes_get(handle, "referenceValue") == 0 and eccodes.codes_get(handle, "binaryScaleFactor") == 0
        eccodes.codes_set_values(handle, values)
        again = error(handle, values)
        print(f"edition {edition} to {packing}, values set again: greatest error {again:.5f}")
        assert again < 0.001
    else:
        assert e < 0.001
PY
