"""What two rasters say differently of themselves and of their bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rasterio.crs import CRS

from eocodec.errors import InputError
from eocodec.formats.eoc.crs import crs_text
from eocodec.formats.eoc.header import Band
from eocodec.formats.eoc_raster import EocRaster
from eocodec.formats.geotiff_metadata import to_crs
from eocodec.formats.raster import GeoTiff, Raster

_LONGEST = 60
# What GDAL says of a band of which nothing is known: of the first one gray.
_NO_COLOUR = (None, "undefined", "gray")


@dataclass(frozen=True)
class _Crs:
    """A CRS that equals others of the same meaning, whatever their text."""

    text: str | None

    @classmethod
    def of(cls, crs: Any) -> _Crs | None:
        return _Crs(crs_text(crs)) if crs else None

    def parsed(self) -> CRS | None:
        try:
            return to_crs(self.text)
        except InputError:
            return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Crs):
            return False
        if self.text == other.text:
            return True
        one = self.parsed()
        return one is not None and one == other.parsed()

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return str(self.text)


def raster_differences(reference: Raster, decoded: Raster) -> Iterator[str]:
    """Yield each thing that two rasters of one size say differently, with what both say.

    Compared are dtype, nodata, CRS, affine transform, ground control points, RPCs, what a pixel stands
    for, whether there is a dataset mask, tags of all namespaces, and of each band description, scale,
    offset, unit, colour and tags. Not compared is how a file is laid out: blocks, compression, overviews.
    """
    yield from (f"{what} {both}" for what, both in _apart(_said(reference), _said(decoded)))
    bands: dict[tuple[str, str], list[int]] = {}
    for number, (one, other) in enumerate(zip(reference.bands, decoded.bands, strict=False), 1):
        for found in _apart(_of_band(one), _of_band(other)):
            bands.setdefault(found, []).append(number)
    for (what, both), numbers in bands.items():
        yield f"{what} of {_numbers(numbers, len(reference.bands))} {both}"


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what differs and what both say; that nothing is said is None."""
    for what in dict.fromkeys([*one, *other]):
        left, right = one.get(what), other.get(what)
        if not (left == right or (left != left and right != right)):
            yield what, f"({_shown(left)}, {_shown(right)})"


def _numbers(numbers: Sequence[int], count: int) -> str:
    if len(numbers) == 1:
        return f"band {numbers[0]}"
    return "all bands" if len(numbers) == count else f"bands {', '.join(map(str, numbers))}"


def _said(raster: Raster) -> dict[str, Any]:
    """Return what a raster says, by what it is called; what it does not say is None or left out."""
    said: dict[str, Any] = {"dtype": str(raster.dtype), "nodata": _whole(raster.nodata)}
    if isinstance(raster, (GeoTiff, EocRaster)):
        fields = raster.fields if isinstance(raster, GeoTiff) else vars(raster.header)
        points = fields["gcps"]
        rpcs = fields["rpcs"]
        said |= {
            "CRS": _Crs.of(fields["crs"]),
            "transform": fields["transform"] and tuple(map(float, fields["transform"])),
            "ground control points": tuple(points) or None,
            "CRS of the ground control points": _Crs.of(fields["gcps_crs"]) if points else None,
            "RPCs": {key: str(value) for key, value in rpcs.items()} if rpcs else None,
            "what a pixel stands for": fields["area_or_point"] or "area",
            "dataset mask": raster.has_mask,
            **_tags(fields["tags"]),
        }
    return said


def _of_band(band: Band) -> dict[str, Any]:
    return {
        "description": band.description or None,
        "scale": 1.0 if band.scale is None else band.scale,
        "offset": band.offset or 0.0,
        "unit": band.unit or None,
        "colour": None if band.colour in _NO_COLOUR else band.colour,
        "colour table": band.extra.get("colormap"),
        **_tags(band.tags),
    }


def _tags(tags: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {
        f"tag {space}:{key}" if space else f"tag {key}": value
        for space, values in tags.items()
        for key, value in values.items()
    }


def _whole(value: float | None) -> float | None:
    """Return a whole number as an integer, as which containers keep it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
