#!/usr/bin/env bash
# Reversible JPEG 2000 by imagecodecs (OpenJPEG) is exact up to 24 bits only, without an error above.
#
# Guess:    a 32-bit array coded with reversible=True comes back exact, or the encoder refuses the depth
#           (the standard allows 38 bits).
# Happens:  from 25 bits on noise comes back changed, by up to the whole range; no error in either direction.
#           High-throughput JPEG 2000 (OpenJPH) is exact for all 32 bits.
# Versions: imagecodecs 2026.3.6 (OpenJPEG 2.5.4, OpenJPH 0.26.3); uint32 and int32
# Output:   uint32 of 24 bits: JPEG 2000 wrong in 0 of 4096, HTJ2K in 0
#           uint32 of 25 bits: JPEG 2000 wrong in 505 of 4096, HTJ2K in 0
#           uint32 of 28 bits: JPEG 2000 wrong in 4091 of 4096, HTJ2K in 0
#           int32 of 28 bits: JPEG 2000 wrong in 4093 of 4096, HTJ2K in 0
# Matters:  classes, object numbers and packed dates of label rasters are 32-bit integers; no sample may
#           change, and a test on small numbers passes.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 imagecodecs==2026.3.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import imagecodecs
import numpy as np

rng = np.random.default_rng(0)
for dtype, bits in (("uint32", 16), ("uint32", 24), ("uint32", 25), ("uint32", 28), ("int32", 28)):
    a = rng.integers(0, 2**bits, (64, 64)).astype(dtype)
    old = imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(a, level=0, reversible=True))
    new = imagecodecs.htj2k_decode(imagecodecs.htj2k_encode(a))
    assert old.dtype == new.dtype == a.dtype and old.shape == new.shape == a.shape
    wrong, other = int((old != a).sum()), int((new != a).sum())
    print(f"{dtype} of {bits} bits: JPEG 2000 wrong in {wrong} of {a.size}, HTJ2K in {other}")
    assert other == 0 and (wrong == 0 if bits <= 24 else wrong > 0)
PY
