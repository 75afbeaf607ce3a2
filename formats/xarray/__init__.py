"""xarray: encodings for Zarr, the engine `eocodec`, and writing containers.

::

    ds.to_zarr("scene.zarr", encoding=eocodec.xarray.encoding(ds, max_error=10))
    ds.eoc.to_eoc("scene.eoc", quality=5)
    xr.open_dataset("scene.eoc", engine="eocodec", chunks={})

Importing this registers the accessor `eoc`; the engine is found without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eocodec.extras import needs

with needs("xarray", "eocodec.xarray"):
    from eocodec.xarray.accessor import EocAccessor
    from eocodec.xarray.backend import EocBackend

if TYPE_CHECKING:
    from eocodec.xarray.zarr_encoding import encoding

__all__ = ["EocAccessor", "EocBackend", "encoding"]


def __getattr__(name: str) -> Any:
    if name != "encoding":
        raise AttributeError(f"module 'eocodec.xarray' has no attribute {name!r}")
    from eocodec.xarray.zarr_encoding import encoding

    return encoding
