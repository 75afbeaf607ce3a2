"""The `.eoc` container: several tiled arrays in one file, streamed out, read by ranges.

SPEC.md is the normative description of the bytes.
"""

from eocodec.formats.eoc.array_reader import ArrayReader, TileInfo
from eocodec.formats.eoc.header import array_header
from eocodec.formats.eoc.memory import compress, decompress
from eocodec.formats.eoc.metadata import ArrayHeader, Band, Gcp
from eocodec.formats.eoc.reader import Reader
from eocodec.formats.eoc.reader import open_reader as open
from eocodec.formats.eoc.writer import Writer, create

__all__ = [
    "ArrayHeader",
    "ArrayReader",
    "Band",
    "Gcp",
    "Reader",
    "TileInfo",
    "Writer",
    "array_header",
    "compress",
    "create",
    "decompress",
    "open",
]
