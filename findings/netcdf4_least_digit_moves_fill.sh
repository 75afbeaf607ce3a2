#!/usr/bin/env bash
# netCDF4-python's least_significant_digit rounds the fill value in the data, not in _FillValue.
#
# Guess:    missing cells stay missing under least_significant_digit, as under significant_digits.
# Happens:  plain arrays that hold the fill value (-99.9, -999.99, -9999.9) have it rounded with the rest
#           (-99.875), so they no longer equal _FillValue and read as valid data. A masked array is safe, and
#           so are fill values that are multiples of the step (-9999, 1e20).
# Versions: netCDF4 1.7.5.1.post1
# Output:   fill -99.9, least_significant_digit: -99.875 masked False
#           fill -999.99, least_significant_digit: -1000.0 masked False
#           fill -9999.0, least_significant_digit: -9999.0 masked True
#           fill -99.9, masked array, least_significant_digit: -99.9000015258789 masked True
#           fill -99.9, significant_digits: -99.9000015258789 masked True
# Matters:  station and profile data mark gaps by -99.9 or -999.9; after a lossy copy of the raw array every
#           gap is a measurement.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 netCDF4==1.7.5.1.post1
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import netCDF4
import numpy as np


def second(fill, masked=False, **loss):
    a = np.array([1.23, fill, 2.0], np.float32)
    if masked:
        a = np.ma.masked_equal(a, np.float32(fill))
    with netCDF4.Dataset("t.nc", "w") as n:
        n.createDimension("x", 3)
        v = n.createVariable("v", "f4", ("x",), zlib=True, fill_value=np.float32(fill), **loss)
        v[:] = a
    with netCDF4.Dataset("t.nc") as n:
        v = n["v"]
        assert v.getncattr("_FillValue") == np.float32(fill)
        hidden = bool(np.ma.getmaskarray(v[:])[1])
        v.set_auto_mask(False)
        print(f"fill {fill}, {'masked array, ' if masked else ''}{next(iter(loss))}: {v[1]} masked {hidden}")
        return v[1], hidden


assert second(-99.9, least_significant_digit=1) == (np.float32(-99.875), False)
assert second(-999.99, least_significant_digit=1) == (np.float32(-1000), False)
assert second(-9999.0, least_significant_digit=1) == (np.float32(-9999), True)
assert second(-99.9, masked=True, least_significant_digit=1)[1]
assert second(-99.9, significant_digits=2)[1]
PY
