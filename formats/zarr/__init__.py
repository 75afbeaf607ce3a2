"""Zarr v3: the array-to-bytes codec `eocodec.tile`.

::

    zarr.create_array(store, data=stack, chunks=(10, 512, 512), compressors=None,
                      serializer=eocodec.zarr.TileSerializer(quality=5))
"""

from eocodec.zarr.serializer import TileSerializer

__all__ = ["TileSerializer"]
