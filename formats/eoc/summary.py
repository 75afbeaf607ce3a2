"""A summary of an array from header and index alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from eocodec.formats.eoc.index import ArrayIndex
from eocodec.formats.eoc.metadata import ArrayHeader


def array_summary(header: ArrayHeader, index: ArrayIndex) -> dict[str, Any]:
    """Return shape, codec, georeference and the bytes of every layer prefix, as JSON can hold it.

    `bytes` counts payloads; `bits_per_sample` is their share of a sample of one plane (bpppb).
    """
    samples = int(np.prod(header.shape, dtype=float))
    ends = (int(index.head_sizes.sum()) + np.cumsum(index.layer_totals())).tolist()
    nodata = header.nodata
    finite = nodata is None or math.isfinite(nodata)
    return {
        "name": header.name,
        "shape": list(header.shape),
        "dims": list(header.dims),
        "dtype": header.dtype.name,
        "tile_size": list(header.tile_size),
        "tiles": len(index),
        "bands": list(header.band_names),
        "crs": header.crs,
        "transform": None if header.transform is None else list(header.transform),
        "nodata": nodata if finite else str(nodata),
        "codec": header.codec,
        "model": header.model,
        "max_error": header.max_error,
        "max_relative_error": header.max_relative_error,
        "max_error_sqrt": header.max_error_sqrt,
        "bytes": ends[-1],
        "layers": [
            {"layers": k + 1, "bytes": end, "bits_per_sample": 8 * end / samples}
            for k, end in enumerate(ends)
        ],
    }
