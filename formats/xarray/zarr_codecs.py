"""Codecs that a variable was opened with, as the other format of Zarr has them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numcodecs
import zarr.codecs
from numcodecs.abc import Codec as NumcodecsCodec
from zarr.abc.codec import ArrayArrayCodec
from zarr.abc.codec import Codec as ZarrCodec
from zarr.errors import ZarrUserWarning

_CODEC_KEYS = ("compressor", "compressors", "filters", "serializer")
_OF_ZARR_3 = ("shards", "fill_value")
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
_PREFIX = "numcodecs."
_SCALING = ("fixedscaleoffset", "astype")
_SCALING_OF_ZARR_3 = ("scale_offset", "cast_value")


def codecs_of(encoding: Mapping[Any, Any], *keys: str) -> list[Any]:
    """Return the codecs that an encoding names."""
    found: list[Any] = []
    for key in keys or _CODEC_KEYS:
        named = encoding.get(key)
        several = isinstance(named, Iterable) and not isinstance(named, (str, Mapping))
        found += list(named) if several else [named]  # type: ignore[arg-type]
    return [codec for codec in found if isinstance(codec, (ZarrCodec, NumcodecsCodec))]


def is_foreign(encoding: Mapping[Any, Any], zarr_format: int) -> bool:
    """Whether `to_zarr` refuses an encoding in `zarr_format`, since it is of the other one."""
    wrong = NumcodecsCodec if zarr_format == 3 else ZarrCodec
    told = zarr_format == 2 and any(encoding.get(key) is not None for key in _OF_ZARR_3)
    return told or any(isinstance(codec, wrong) for codec in codecs_of(encoding))


def translated(encoding: Mapping[Any, Any], itemsize: int, zarr_format: int) -> dict[str, Any]:
    """Return compressors in `zarr_format`; none where xarray's default has to do.

    Filters are left out: what they made of the samples is not needed to keep the values.

    Parameters
    ----------
    encoding : mapping
        Of the variable as it was opened.
    itemsize : int
        Bytes of its samples.
    zarr_format : int
        2 or 3.
    """
    codecs = codecs_of(encoding, "compressor", "compressors")
    made = [_compressor(codec, itemsize, zarr_format) for codec in codecs]
    if not made or None in made or (zarr_format == 2 and len(made) > 1):
        return {}
    return {"compressors": made[0] if zarr_format == 2 else tuple(made)}


def scale_filters(encoding: Mapping[Any, Any], zarr_format: int) -> tuple[Any, ...] | None:
    """Return the filters that scale samples and change their type, in `zarr_format`.

    Others are left out, as they lose nothing that these samples still have. None where the format has no
    such filters.
    """
    kept: list[Any] = []
    for codec in codecs_of(encoding, "filters"):
        name = _name(codec)
        if name.removeprefix(_PREFIX) in _SCALING:
            kept.append(_filter(codec, zarr_format))
        elif name in _SCALING_OF_ZARR_3:
            if zarr_format == 2:
                return None
            kept.append(codec)
    return tuple(kept)


def _name(codec: Any) -> str:
    if isinstance(codec, NumcodecsCodec):
        return f"{_PREFIX}{codec.codec_id}"
    return str(codec.to_dict()["name"])


def _filter(codec: Any, zarr_format: int) -> Any:
    if isinstance(codec, ArrayArrayCodec):
        if zarr_format == 3:
            return codec
        return numcodecs.get_codec(dict(codec.codec_config))  # type: ignore[attr-defined]
    if zarr_format == 2:
        return codec
    config = dict(codec.get_config())
    made = {
        "fixedscaleoffset": zarr.codecs.numcodecs.FixedScaleOffset,
        "astype": zarr.codecs.numcodecs.AsType,
    }[config.pop("id")]
    with warnings.catch_warnings():
        # That such filters are none of the specification, whoever opens the array is told.
        warnings.simplefilter("ignore", ZarrUserWarning)
        return made(**config)


def _compressor(codec: Any, itemsize: int, zarr_format: int) -> Any:
    """Return a compressor in `zarr_format`, or None."""
    if isinstance(codec, NumcodecsCodec) == (zarr_format == 2):
        return codec
    if zarr_format == 3:
        config = codec.get_config()
        if config["id"] == "blosc":
            shuffle = config["shuffle"]
            # -1 leaves the choice to the samples.
            name: Any = _SHUFFLES[shuffle if shuffle >= 0 else 2 if itemsize == 1 else 1]
            return zarr.codecs.BloscCodec(
                cname=config["cname"],
                clevel=config["clevel"],
                shuffle=name,
                blocksize=config["blocksize"],
                typesize=itemsize,
            )
        if config["id"] == "zstd":
            return zarr.codecs.ZstdCodec(level=config["level"], checksum=config["checksum"])
        return zarr.codecs.GzipCodec(level=config["level"]) if config["id"] == "gzip" else None
    said = codec.to_dict()
    config = said.get("configuration", {})
    if said["name"] == "blosc":
        shuffle = _SHUFFLES.index(config["shuffle"])
        return numcodecs.Blosc(config["cname"], config["clevel"], shuffle, config["blocksize"])
    if said["name"] == "zstd":
        return numcodecs.Zstd(config["level"], config["checksum"])
    return numcodecs.GZip(config["level"]) if said["name"] == "gzip" else None
