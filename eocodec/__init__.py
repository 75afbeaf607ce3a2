"""Streaming learned compression of Earth-observation rasters.

::

    import eocodec

    data = eocodec.compress(array, settings=eocodec.EncodeSettings(lossless=True))
    array = eocodec.decompress(data)

    with eocodec.open("scene.eoc") as reader:
        window = reader[0, 256:512, 256:512]

Names are loaded on first use, so that importing the package costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eocodec.errors import (
        ChecksumError,
        EocodecError,
        FormatError,
        InputError,
        LimitError,
        MissingPackageError,
        ModelError,
        TruncatedError,
        UnsupportedError,
    )
    from eocodec.formats.eoc import (
        ArrayHeader,
        ArrayReader,
        Band,
        Gcp,
        Reader,
        TileInfo,
        Writer,
        array_header,
        compress,
        create,
        decompress,
        open,
    )
    from eocodec.tile import EncodeSettings, decode_tile, encode_tile, verify_tile

_HOMES = {
    "eocodec.errors": (
        "ChecksumError",
        "EocodecError",
        "FormatError",
        "InputError",
        "LimitError",
        "MissingPackageError",
        "ModelError",
        "TruncatedError",
        "UnsupportedError",
    ),
    "eocodec.formats.eoc": (
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
    ),
    "eocodec.tile": ("EncodeSettings", "decode_tile", "encode_tile", "verify_tile"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ArrayHeader",
    "ArrayReader",
    "Band",
    "ChecksumError",
    "EncodeSettings",
    "EocodecError",
    "FormatError",
    "Gcp",
    "InputError",
    "LimitError",
    "MissingPackageError",
    "ModelError",
    "Reader",
    "TileInfo",
    "TruncatedError",
    "UnsupportedError",
    "Writer",
    "array_header",
    "compress",
    "create",
    "decode_tile",
    "decompress",
    "encode_tile",
    "open",
    "verify_tile",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'eocodec' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
