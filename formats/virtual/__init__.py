"""Virtual Zarr: a container read as a Zarr store, where its bytes are.

::

    found = eocodec.virtual.references("s3://bucket/scene.eoc")  # as kerchunk writes them
    options = {"fo": found, "remote_options": {"asynchronous": True}}  # zarr reads so over HTTP and S3
    xr.open_dataset("reference://", engine="zarr", consolidated=False, storage_options=options)

    virtualizarr.open_virtual_dataset(url, registry=registry, parser=eocodec.virtual.EocParser())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eocodec.extras import needs
from eocodec.virtual.kerchunk import references

if TYPE_CHECKING:
    from eocodec.virtual.parser import EocParser

__all__ = ["EocParser", "references"]


def __getattr__(name: str) -> Any:
    if name != "EocParser":
        raise AttributeError(f"module 'eocodec.virtual' has no attribute {name!r}")
    with needs("virtual", "eocodec.virtual.EocParser"):
        from eocodec.virtual.parser import EocParser

    return EocParser
