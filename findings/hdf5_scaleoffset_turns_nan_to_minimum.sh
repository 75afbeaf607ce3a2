#!/usr/bin/env bash
# HDF5's scale-offset filter turns NaN into the smallest value of the chunk.
#
# Guess:    a lossy filter for floats keeps NaN, or fails; at least where the fill value is NaN, for which
#           the filter has a code of its own.
# Happens:  NaN comes back as the least value of its chunk, with and without a NaN fill value. A number as
#           fill value (-9999) is kept.
# Versions: h5py 3.16.0 (HDF5 2.0.0)
# Output:   HDF5 2.0.0
#           fill None: [1.234, nan, 100.111, -3.3] -> [1.23, -3.3, 100.11, -3.3]
#           fill nan: [1.234, nan, 100.111, -3.3] -> [1.23, -3.3, 100.11, -3.3]
#           fill -9999.0: [1.234, -9999.0, 100.111, -3.3] -> [1.23, -9999.0, 100.11, -3.3]
# Matters:  swath gaps and land cells of float fields are NaN; they return as the coldest or driest cell.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 h5py==3.16.0
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import h5py
import numpy as np

print("HDF5", h5py.version.hdf5_version)
for fill in (None, np.nan, -9999.0):
    gap = -9999.0 if fill == -9999.0 else np.nan
    a = np.array([1.234, gap, 100.111, -3.3], np.float32)
    with h5py.File("t.h5", "w") as f:
        f.create_dataset("v", data=a, chunks=a.shape, scaleoffset=2, fillvalue=fill)
    with h5py.File("t.h5") as f:
        out = f["v"][:]
    print(f"fill {fill}: {[round(float(v), 3) for v in a]} -> {[round(float(v), 3) for v in out]}")
    assert np.allclose(out[[0, 2, 3]], a[[0, 2, 3]], atol=0.0051)
    assert out[1] == (-9999 if fill == -9999.0 else out.min()) and np.isfinite(out).all()
PY
