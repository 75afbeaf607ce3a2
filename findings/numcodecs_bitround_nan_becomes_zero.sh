#!/usr/bin/env bash
# numcodecs BitRound makes -0.0 of some NaN.
#
# Guess:    rounding mantissa bits leaves NaN a NaN.
# Happens:  adding the half step to a NaN whose mantissa is all ones carries through exponent and sign:
#           0x7fffffff becomes -0.0, 0xffffffff 0.0. NumPy's own NaN (0x7fc00000) survives.
# Versions: numcodecs 0.16.6; 0.17.1 has the same code (read, not run: it needs a newer Python)
# Output:   keepbits 7: 0x7fffffff -> -0.0, 0xffffffff -> 0.0, 0x7fc00000 -> nan
#           keepbits 20: 0x7fffffff -> -0.0, 0xffffffff -> 0.0, 0x7fc00000 -> nan
#           float64, keepbits 10: 0x7fffffffffffffff -> -0.0
# Matters:  0x7fffffff is the NaN that CUDA arithmetic produces and 0xffffffff what memset(0xff) leaves; after
#           BitRound such a gap is a valid zero.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 numcodecs==0.16.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import numcodecs
import numpy as np


def rounded(bits, keep, unsigned):
    a = np.array(bits, unsigned).view(unsigned.replace("u", "f"))
    assert np.isnan(a).all()
    codec = numcodecs.BitRound(keepbits=keep)
    return codec.decode(codec.encode(a))


for keep in (7, 20):
    out = rounded([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], keep, "u4")
    print(f"keepbits {keep}: 0x7fffffff -> {out[0]}, 0xffffffff -> {out[1]}, 0x7fc00000 -> {out[2]}")
    assert out[0] == 0 and np.signbit(out[0]) and out[1] == 0 and not np.signbit(out[1]) and np.isnan(out[2])
out = rounded([0x7FFFFFFFFFFFFFFF], 10, "u8")
print(f"float64, keepbits 10: 0x7fffffffffffffff -> {out[0]}")
assert out[0] == 0 and np.signbit(out[0])
PY
