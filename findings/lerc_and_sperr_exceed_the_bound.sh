#!/usr/bin/env bash
# LERC and SPERR exceed their absolute error bound on float32 data.
#
# Guess:    'maximum error 0.005' holds for the decoded float32 samples: an encoder that promises a bound
#           checks it after rounding to the output type.
# Happens:  both bound the error before that last rounding. Pressures near 100000 Pa (steps of 0.0078 in
#           float32) with a bound of 0.005 come back one whole step off, 1.56 times the bound, though
#           exact samples were to be had; near 1000 hPa the bound 0.003 is passed by 1.7 %. ZFP keeps its
#           tolerance on the same data.
# Versions: imagecodecs 2026.3.6 (LERC 4.0.0, SPERR 0.8.4, ZFP 1.0.1)
# Output:   around 100000, bound 0.005: LERC 0.0078125, SPERR 0.0078125, ZFP 0.0
#           around 1013.25, bound 0.003: LERC 0.0030517578125, SPERR 0.0030517578125, ZFP 0.0006103515625
# Matters:  whoever passes the bound on (a product's specification, a test that asserts it) has to leave
#           half a float32 step of the largest sample, or verify and repair after decoding.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 imagecodecs==2026.3.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import imagecodecs
import numpy as np

y, x = np.indices((96, 96))
wave = np.sin(x / 9.0) * np.cos(y / 7.0) + np.random.default_rng(3).normal(size=(96, 96)) * 0.1
codecs = {
    "LERC": lambda a, e: imagecodecs.lerc_decode(imagecodecs.lerc_encode(a, level=e)),
    "SPERR": lambda a, e: imagecodecs.sperr_decode(imagecodecs.sperr_encode(a, e, mode="pwe")),
    "ZFP": lambda a, e: imagecodecs.zfp_decode(imagecodecs.zfp_encode(a, e, mode="a")),
}
for offset, scale, bound in ((100000, 1000, 0.005), (1013.25, 1000, 0.003)):
    a = (wave * scale + offset).astype(np.float32)
    if offset < 2000:
        a = np.clip(a, 700, 1100)
    error = {n: float(np.abs(f(a, bound).astype(np.float64) - a).max()) for n, f in codecs.items()}
    print(f"around {offset}, bound {bound}: " + ", ".join(f"{n} {e}" for n, e in error.items()))
    assert error["LERC"] > bound and error["SPERR"] > bound and error["ZFP"] <= bound
PY
