#!/usr/bin/env bash
# netCDF's quantization changes infinity, differently in each mode.
#
# Guess:    bit rounding of a float touches its mantissa; NaN and infinities pass through.
# Happens:  NaN passes. GranularBitRound writes +inf as -0.0 and -inf as 0.0; BitGroom makes NaN of
#           infinities at odd places of the array and keeps those at even places; BitRound keeps all.
# Versions: netCDF4 1.7.5.1.post1 (netCDF-C 4.10.1), float32 and float64
# Output:   netCDF-C 4.10.1; written [inf, inf, -inf, -inf, nan]
#           BitGroom: [inf, nan, -inf, nan, nan]
#           BitRound: [inf, inf, -inf, -inf, nan]
#           GranularBitRound: [-0.0, -0.0, 0.0, 0.0, nan]
# Matters:  infinity is what log of 0, 10*log10 of an empty radar gate or a division by 0 leave; it turns
#           into a valid 0 (0 dB) or into a missing value by its place.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 netCDF4==1.7.5.1.post1
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import netCDF4
import numpy as np

inf = np.inf
written = [inf, inf, -inf, -inf, np.nan]
expected = {
    "BitGroom": [inf, np.nan, -inf, np.nan, np.nan],
    "BitRound": written,
    "GranularBitRound": [-0.0, -0.0, 0.0, 0.0, np.nan],
}
print(f"netCDF-C {netCDF4.__netcdf4libversion__.split()[0]}; written {written}")
for mode, want in expected.items():
    with netCDF4.Dataset(f"{mode}.nc", "w") as n:
        n.createDimension("x", 5)
        for kind in ("f4", "f8"):
            v = n.createVariable(kind, kind, ("x",), zlib=True, significant_digits=3, quantize_mode=mode)
            v.set_auto_mask(False)
            v[:] = written
    with netCDF4.Dataset(f"{mode}.nc") as n:
        n.set_auto_mask(False)
        print(f"{mode}: {[float(v) for v in n['f4'][:]]}")
        for kind in ("f4", "f8"):
            out = n[kind][:]
            assert np.array_equal(out, want, equal_nan=True)
            if mode == "GranularBitRound":
                assert np.signbit(out[:4]).tolist() == [True, True, False, False]
PY
