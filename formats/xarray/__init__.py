"""xarray: encodings for Zarr, the engine `eocodec`, and writing containers.

::

    ds.to_zarr("scene.zarr", encoding=eocodec.xarray.encoding(ds, max_error=10))
    ds.eoc.to_eoc("scene.eoc", quality=5)
    xr.open_dataset("scene.eoc", engine="eocodec", chunks={})

Importing this registers the accessor `eoc`; the engine is found without.
"""

from eocodec.xarray.accessor import EocAccessor
from eocodec.xarray.backend import EocBackend
from eocodec.xarray.encoding import encoding

__all__ = ["EocAccessor", "EocBackend", "encoding"]
