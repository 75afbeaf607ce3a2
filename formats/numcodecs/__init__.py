"""numcodecs: the codec `eocodec`, for Zarr v2 and whatever else takes numcodecs.

::

    zarr.create_array(store, data=stack, chunks=(10, 512, 512), zarr_format=2,
                      compressors=eocodec.numcodecs.Eocodec(quality=5))
"""

from eocodec.numcodecs.codec import Eocodec

__all__ = ["Eocodec"]
