#!/usr/bin/env bash
# HDF5's scale-offset filter for floats stores everything near the fill value as the fill value.
#
# Guess:    with two decimal digits each sample is rounded to the nearest 0.01 (error at most 0.005) and
#           only samples equal to the fill value are fill.
# Happens:  every sample nearer than 0.01 to the fill value becomes the fill value: the error is up to twice
#           the rounding, and the sample counts as missing. The fill value is 0 when none is given.
# Versions: h5py 3.16.0 (HDF5 2.0.0)
# Output:   fill None: [0.004, 0.006, 0.0099, 0.016, 5.0] -> [0.0, 0.0, 0.0, 0.016, 4.996]
#           fill -9999: [-9998.991, -9998.98, 0.016, 5.0] -> [-9999.0, -9998.98, 0.02, 5.0]
#           fill 0.5: [0.491, 0.509, 0.52, 5.0] -> [0.5, 0.5, 0.52, 5.0]
# Matters:  light rain of 0.006 to 0.0099 becomes 0, which is 'no rain'; a bound checked against half a
#           digit fails.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 h5py==3.16.0
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import h5py
import numpy as np


def decoded(samples, fill):
    a = np.array(samples, np.float64)
    with h5py.File("t.h5", "w") as f:
        f.create_dataset("v", data=a, chunks=a.shape, scaleoffset=2, fillvalue=fill)
    with h5py.File("t.h5") as f:
        out = f["v"][:]
    print(f"fill {fill}: {samples} -> {[round(float(v), 4) for v in out]}")
    return out


out = decoded([0.004, 0.006, 0.0099, 0.016, 5.0], None)
assert out[1] == out[2] == 0 and abs(out[3] - 0.016) < 0.0051
out = decoded([-9998.991, -9998.98, 0.016, 5.0], -9999)
assert out[0] == -9999 and abs(out[1] + 9998.98) < 0.0051
out = decoded([0.491, 0.509, 0.52, 5.0], 0.5)
assert out[0] == out[1] == 0.5 and abs(out[2] - 0.52) < 0.0051
PY
