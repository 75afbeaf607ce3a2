"""GeoTIFF in and out: what other rooms may use of the modules `geotiff_*`."""

from eocodec.formats.compress_options import CompressOptions, CompressReport
from eocodec.formats.eoc_raster import EocRaster, rasters_of
from eocodec.formats.geotiff_in import compress_geotiff, total_samples
from eocodec.formats.geotiff_out import write_cog, write_geotiff, write_native
from eocodec.formats.raster import GeoTiff, Raster

__all__ = [
    "CompressOptions",
    "CompressReport",
    "EocRaster",
    "GeoTiff",
    "Raster",
    "compress_geotiff",
    "rasters_of",
    "total_samples",
    "write_cog",
    "write_geotiff",
    "write_native",
]
