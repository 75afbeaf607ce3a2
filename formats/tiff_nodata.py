"""Nodata values that rasterio does not carry: of 64-bit integers, and outside the dtype of the samples.

rasterio passes nodata as a float, and hides or refuses a value that the dtype cannot hold; GDAL knows it.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile

from eocodec.errors import InputError
from eocodec.mask import as_dtype

_TAG = 42113  # GDAL_NODATA
_ASCII = 2
_EXACT_FLOAT = 2**53


def nodata_of_bands(source: DatasetReader) -> tuple[int | float | None, ...]:
    """Return the nodata value of each band of `source` as GDAL has it.

    Raises
    ------
    InputError
        If GDAL cannot describe the raster.
    """
    with np.errstate(over="ignore"):  # of a value beyond float32, which rasterio casts
        known: tuple[float | None, ...] = source.nodatavals
    wide = any(
        np.dtype(kind).itemsize == 8 and np.dtype(kind).kind in "iu" for kind in source.dtypes
    )
    if None not in known and not wide:
        return known
    # GDAL writes the values of a virtual raster as exactly as it has them.
    with MemoryFile(filename="nodata.vrt") as file:
        try:
            rasterio.shutil.copy(source, file.name, driver="VRT")
        except RasterioError as error:
            raise InputError(f"cannot read what {source.name} says of nodata: {error}") from error
        root = ElementTree.fromstring(file.read())
    return tuple(_number_in(band) for band in root.findall("VRTRasterBand"))


def _number_in(band: ElementTree.Element) -> int | float | None:
    text = band.findtext("NoDataValue")
    if text is None or band.findtext("HideNoDataValue", "0") not in ("0", "NO", "FALSE"):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def carried_by_rasterio(nodata: int | float | None, dtype: np.dtype[Any]) -> bool:
    """Tell whether rasterio writes `nodata` of samples of `dtype` as it is."""
    if nodata is None:
        return True
    if dtype.kind == "f":
        return not math.isfinite(nodata) or abs(nodata) <= float(np.finfo(dtype).max)
    return as_dtype(nodata, dtype) is not None and abs(nodata) <= _EXACT_FLOAT


def check_writable(nodata: int | float | None, dtype: np.dtype[Any], name: str) -> None:
    """Raise `InputError` where no GeoTIFF can say that samples of `dtype` have this nodata value.

    GDAL reads the tag of 64-bit integers as such an integer, whatever it says, and that of floats beyond
    their range as an infinity.
    """
    casting = dtype.kind == "f" or dtype.itemsize == 8
    if casting and nodata is not None and as_dtype(nodata, dtype) is None:
        raise InputError(
            f"{name}: a GeoTIFF of {dtype.name} cannot have the nodata value {nodata}, which marks no "
            "sample; take it off, or another one"
        )


def write_nodata_tag(path: Path, nodata: int | float) -> None:
    """Give the first image of a TIFF without nodata GDAL's tag for it.

    The directory of the image is written anew at the end of the file, with one entry more.
    """
    text = f"{nodata}".encode() + b"\0"
    with path.open("rb+") as file:
        mark = file.read(4)
        order = "<" if mark[:2] == b"II" else ">"
        big = struct.unpack(order + "H", mark[2:])[0] == 43
        count, entry, offset = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
        head = 8 if big else 4

        def read(kind: str) -> tuple[Any, ...]:
            return struct.unpack(order + kind, file.read(struct.calcsize(order + kind)))

        file.seek(head)
        file.seek(read(offset)[0])
        entries = [read(entry) for _ in range(read(count)[0])]
        following = read(offset)[0]
        end = file.seek(0, 2)
        end += end % 2
        inline = struct.calcsize(order + offset)
        value = text.ljust(inline, b"\0")
        if len(text) > inline:
            file.seek(end)
            file.write(text)
            value = struct.pack(order + offset, end)
            end += len(text) + len(text) % 2
        entries.append((_TAG, _ASCII, len(text), value))
        entries.sort(key=lambda item: item[0])
        file.seek(end)
        file.write(struct.pack(order + count, len(entries)))
        for item in entries:
            file.write(struct.pack(order + entry, *item))
        file.write(struct.pack(order + offset, following))
        file.seek(head)
        file.write(struct.pack(order + offset, end))
