#!/usr/bin/env bash
# zarr-python hands the codec after a numcodecs filter another array than it announces.
#
# Guess:    the ArraySpec that a Zarr v3 codec is given says shape and type of the chunk that it is given.
# Happens:  after numcodecs.fixedscaleoffset and numcodecs.delta the chunk is flat, (24,), while the spec
#           says (4, 6); after numcodecs.bitround it is int32, after numcodecs.quantize with astype float64,
#           while the spec says float32. The built-in bytes codec does not notice.
# Versions: zarr 3.1.6 with numcodecs 0.16.6; zarr 3.4.2 passes the array on in the same way (read, not run)
# Output:   fixedscaleoffset: array (24,) int16, spec (4, 6) int16
#           delta: array (24,) float32, spec (4, 6) float32
#           bitround: array (4, 6) int32, spec (4, 6) float32
#           quantize: array (4, 6) float64, spec (4, 6) float32
#           transpose: array (6, 4) float32, spec (6, 4) float32
# Matters:  an image or field codec as serializer sees no rows and columns any more, or codes float patterns
#           as integers; it must reshape to the spec and check the type, or refuse the filter.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 zarr==3.1.6 numcodecs==0.16.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
from dataclasses import dataclass

import numpy as np
import zarr
from zarr.abc.codec import ArrayBytesCodec
from zarr.codecs import TransposeCodec
from zarr.codecs import numcodecs as filters
from zarr.registry import register_codec

seen = []


@dataclass(frozen=True)
class Witness(ArrayBytesCodec):
    is_fixed_size = True

    @classmethod
    def from_dict(cls, data):
        return cls()

    def to_dict(self):
        return {"name": "witness", "configuration": {}}

    def compute_encoded_size(self, input_byte_length, chunk_spec):
        return input_byte_length

    async def _encode_single(self, chunk, spec):
        a = chunk.as_numpy_array()
        seen.append((a.shape, a.dtype.name, spec.shape, spec.dtype.to_native_dtype().name))
        return spec.prototype.buffer.from_bytes(a.tobytes())


register_codec("witness", Witness)
a = np.arange(24, dtype="f4").reshape(4, 6)
expected = {
    "fixedscaleoffset": (filters.FixedScaleOffset(offset=0, scale=10, dtype="f4", astype="i2"),
                         ((24,), "int16", (4, 6), "int16")),
    "delta": (filters.Delta(dtype="f4"), ((24,), "float32", (4, 6), "float32")),
    "bitround": (filters.BitRound(keepbits=8), ((4, 6), "int32", (4, 6), "float32")),
    "quantize": (filters.Quantize(digits=2, dtype="f4", astype="f8"), ((4, 6), "float64", (4, 6), "float32")),
    "transpose": (TransposeCodec(order=(1, 0)), ((6, 4), "float32", (6, 4), "float32")),
}
for name, (codec, want) in expected.items():
    seen.clear()
    z = zarr.create_array({}, shape=a.shape, chunks=a.shape, dtype=a.dtype, filters=[codec],
                          serializer=Witness(), compressors=None)
    z[:] = a
    print(f"{name}: array {seen[0][0]} {seen[0][1]}, spec {seen[0][2]} {seen[0][3]}")
    assert seen == [want]
PY
