"""What a GeoTIFF says about its pixels, from rasterio to an array header and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.rpc import RPC

from eocodec.errors import FormatError, InputError
from eocodec.formats.eoc.header import ArrayHeader, Band, Gcp
from eocodec.formats.eoc.metadata import nodata_number
from eocodec.formats.tiff_nodata import check_writable, nodata_of_bands

# Namespaces that GDAL derives from the file itself, or that other fields carry.
_DERIVED_NAMESPACES = frozenset(
    {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "COLOR_PROFILE"}
)
_AREA_OR_POINT = "AREA_OR_POINT"
_COLORMAP = "colormap"
_COLOURS = frozenset(colour.name for colour in ColorInterp)


def dataset_fields(source: DatasetReader) -> dict[str, Any]:
    """Return the keywords of `array_header` that describe `source` as a whole.

    Parameters
    ----------
    source : rasterio.DatasetReader
        An open raster.

    Returns
    -------
    dict
        crs, transform, gcps, gcps_crs, rpcs, area_or_point, nodata and tags.

    Raises
    ------
    InputError
        If its bands have different nodata values.
    """
    points, points_crs = source.gcps
    tags = _tags(source, 0)
    area_or_point = tags.get("", {}).pop(_AREA_OR_POINT, None)
    transform = None if source.transform == Affine.identity() else tuple(source.transform)[:6]
    return {
        "crs": source.crs,
        "transform": transform,
        "gcps": tuple(
            Gcp(row=p.row, col=p.col, x=p.x, y=p.y, z=p.z or 0.0, id=p.id or "", info=p.info or "")
            for p in points
        ),
        "gcps_crs": points_crs if points else None,
        "rpcs": source.rpcs.to_gdal() if source.rpcs is not None else None,
        "area_or_point": area_or_point.lower() if area_or_point else None,
        "nodata": common_nodata(source),
        "tags": {space: values for space, values in tags.items() if values},
    }


def common_nodata(source: DatasetReader) -> int | float | None:
    """Return the nodata value of all bands of `source`; `InputError` where no GeoTIFF can have it.

    It is as GDAL has it, whether or not the samples can hold it.
    """
    values = nodata_of_bands(source)
    if len(set(map(str, values))) > 1:
        raise InputError(
            f"{source.name}: the bands have different nodata values {values}; a GeoTIFF has one, "
            "split the file by bands"
        )
    dtype = np.dtype(source.dtypes[0])
    check_writable(values[0], dtype, source.name)
    return nodata_number(values[0], dtype)


def dataset_bands(source: DatasetReader, names: Sequence[str | None]) -> tuple[Band, ...]:
    """Describe every band of `source`; `names` are the short names recognised, or None."""
    return tuple(
        Band(
            name=name,
            description=source.descriptions[index],
            scale=_unless(source.scales[index], 1.0),
            offset=_unless(source.offsets[index], 0.0),
            unit=source.units[index] or None,
            colour=_colour(source, index),
            mask_flags=tuple(flag.name for flag in source.mask_flag_enums[index]),
            position=index,
            tags={space: values for space, values in _tags(source, index + 1).items() if values},
            extra=_colormap(source, index),
        )
        for index, name in enumerate(names)
    )


def has_dataset_mask(source: DatasetReader) -> bool:
    """Tell whether `source` has a mask of its own, besides nodata and alpha.

    Raises
    ------
    InputError
        If its bands have masks of their own, which a GeoTIFF cannot hold.
    """
    flags = [set(flags) for flags in source.mask_flag_enums]
    if any(not flag for flag in flags):
        raise InputError(f"{source.name}: masks that differ between bands cannot be kept")
    return flags[0] == {MaskFlags.per_dataset}


def not_kept(source: DatasetReader) -> tuple[str, ...]:
    """Return what a raster holds that no container keeps, in words."""
    spaces = {
        space
        for band in range(source.count + 1)
        for space in source.tag_namespaces(band)
        if space.startswith("xml:")
    }
    lost = [f"metadata in XML ({', '.join(sorted(spaces))})"] if spaces else []
    if source.tags(ns="COLOR_PROFILE"):
        lost.append("the colour profile")
    if any(source.overviews(band) for band in source.indexes):
        lost.append("overviews (`eocodec export` makes new ones)")
    return tuple(lost)


def write_metadata(target: DatasetWriter, header: ArrayHeader, bands: Sequence[Band]) -> None:
    """Give `target`, created with the right CRS and nodata, everything else that is known.

    Parameters
    ----------
    target : rasterio.DatasetWriter
        A GeoTIFF opened for writing.
    header : ArrayHeader
        What is known of the raster as a whole.
    bands : sequence of Band
        What is known of each of its bands, in their order in `target`.
    """
    if header.gcps:
        points = [
            GroundControlPoint(
                row=p.row, col=p.col, x=p.x, y=p.y, z=p.z, id=p.id or None, info=p.info or None
            )
            for p in header.gcps
        ]
        target.gcps = (points, to_crs(header.gcps_crs))
    if header.rpcs:
        target.rpcs = RPC.from_gdal(dict(header.rpcs))
    if header.area_or_point:
        target.update_tags(**{_AREA_OR_POINT: header.area_or_point.capitalize()})
    _write_tags(target, 0, header.tags)
    if any(band.colour for band in bands):
        names = [band.colour if band.colour in _COLOURS else "undefined" for band in bands]
        target.colorinterp = [ColorInterp[name] for name in names]
    target.scales = [1.0 if band.scale is None else band.scale for band in bands]
    target.offsets = [0.0 if band.offset is None else band.offset for band in bands]
    for index, band in enumerate(bands, 1):
        text = band.description or (band.name if band.position is None else None)
        if text:
            target.set_band_description(index, text)
        if band.unit:
            target.set_band_unit(index, band.unit)
        _write_tags(target, index, band.tags)
        if _COLORMAP in band.extra:
            _write_colormap(target, index, band.extra[_COLORMAP])


def to_crs(text: str | None) -> CRS | None:
    """Parse the CRS text of a header.

    Raises
    ------
    InputError
        If PROJ does not understand it.
    """
    if not text:
        return None
    try:
        return CRS.from_string(text)
    except RasterioError as error:
        raise InputError(f"the CRS of the file is not understood: {error}") from error


def _tags(source: DatasetReader, band: int) -> dict[str, dict[str, str]]:
    spaces = {"": dict(source.tags(band))}
    for space in source.tag_namespaces(band):
        if space not in _DERIVED_NAMESPACES and not space.startswith("xml:"):
            spaces[space] = dict(source.tags(band, ns=space))
    return spaces


def _write_tags(target: DatasetWriter, band: int, tags: Mapping[str, Mapping[str, str]]) -> None:
    for space, values in tags.items():
        target.update_tags(band, ns=space or None, **values)


def _unless(value: float, default: float) -> float | None:
    return None if value == default else value


def _colour(source: DatasetReader, index: int) -> str | None:
    colour = source.colorinterp[index]
    return None if colour is ColorInterp.undefined else str(colour.name)


def _colormap(source: DatasetReader, index: int) -> dict[str, Any]:
    if source.colorinterp[index] is not ColorInterp.palette:
        return {}
    colormap = source.colormap(index + 1)
    return {_COLORMAP: [list(colormap[i]) for i in sorted(colormap)]}


def _write_colormap(target: DatasetWriter, band: int, entries: Any) -> None:
    try:
        target.write_colormap(band, {i: tuple(map(int, e)) for i, e in enumerate(entries)})
    except (TypeError, ValueError) as error:
        raise FormatError(f"the colour table of band {band} is damaged: {error}") from error
