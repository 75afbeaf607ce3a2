"""Which codec id and promises an array gets, from the settings that its tiles are encoded with."""

from __future__ import annotations

import math
from dataclasses import replace

from eocodec.bands import MODEL_BANDS, plainly_sentinel2
from eocodec.codec_models import find_card
from eocodec.errors import InputError
from eocodec.formats.eoc.metadata import PREDICTIVE, RVQ2D, RVQ3D, ArrayHeader, nodata_number
from eocodec.tile import EncodeSettings
from eocodec.units import reflectance_unit


def with_coding(
    header: ArrayHeader, settings: EncodeSettings
) -> tuple[ArrayHeader, EncodeSettings]:
    """Return `header` with codec, model, layers and error bound, and `settings` with its nodata.

    Raises
    ------
    InputError
        When header and settings name different nodata values, or the settings have error bounds for
        another number of planes.
    ModelError
        When the model is not installed.
    """
    nodata = header.nodata
    asked = nodata_number(settings.nodata, header.dtype)
    if asked is None:
        settings = replace(settings, nodata=nodata)
    elif nodata is None:
        header = replace(header, nodata=asked)
    elif asked != nodata and not (math.isnan(nodata) and math.isnan(asked)):
        raise InputError(
            f"array {header.name!r} has nodata {nodata}, the settings have {settings.nodata}"
        )
    settings = with_default(header, settings)
    try:
        bounds = settings.bounds(header.planes)
    except InputError as error:
        raise InputError(f"array {header.name!r}: {error}") from error
    exact = set(bounds.absolute) == {0} if bounds else not settings.asks_for_layers
    card = None if exact else find_card(settings.model)
    bands = header.grid.tile_shape(0)[0]
    if card is None or (card.ndim == 2 and bands > len(card.bands)):
        header = replace(header, codec=PREDICTIVE, model=None, layers=None)
        # Without bounds, constant and predictive tiles are exact.
        return _with_promise(header, settings, exact=exact or bounds is None), settings
    layers = settings.layers
    if layers is None and bounds is None:
        layers = card.default_layers
    if layers is not None and not 1 <= layers <= card.layers:
        raise InputError(f"layers {layers} is outside 1 to {card.layers} of model {card.name}")
    codec = RVQ2D if card.ndim == 2 else RVQ3D
    header = replace(header, codec=codec, model=card.id[:8], layers=layers)
    return _with_promise(header, settings, exact=False), settings


def with_default(header: ArrayHeader, settings: EncodeSettings) -> EncodeSettings:
    """Return the settings of an array of which nothing may be asked.

    Arrays whose bands are plainly Sentinel-2's then get the default quality of the model, in the tiles that look
    like reflectances; all others are exact.
    """
    if settings.lossless or settings.asks_for_layers or settings.bounded:
        return settings
    bands = header.bands
    card = find_card(settings.model)
    unit = _common_unit(header)
    whole = header.grid.tile_shape(0)[0] == header.planes
    if card.ndim != 2 or unit is None or not whole:
        return settings
    names = [band.name if band.name in MODEL_BANDS else None for band in bands]
    told = [band.description or band.name for band in bands]
    if None in names or not plainly_sentinel2(names, told, header.tags):
        return settings
    return replace(settings, layers=card.default_layers, unit=unit, only_reflectance=True)


def _common_unit(header: ArrayHeader) -> float | None:
    """Return what one DN is in an array of reflectances, None where its bands or its type tell that it has none."""
    scales = {band.scale for band in header.bands}
    if len(scales) != 1 or header.planes != len(header.bands):
        return None
    return reflectance_unit(header.dtype, scales.pop())


def _with_promise(header: ArrayHeader, settings: EncodeSettings, *, exact: bool) -> ArrayHeader:
    """Return `header` with the error bounds of `settings`."""
    if exact:
        return replace(header, max_error=0.0, max_relative_error=None, max_error_sqrt=None)
    absolute = settings.max_error
    if isinstance(absolute, tuple) and len(set(absolute)) == 1:
        absolute = absolute[0]
    return replace(
        header,
        max_error=absolute,
        max_relative_error=settings.max_relative_error,
        max_error_sqrt=settings.max_error_sqrt,
    )


def tile_settings(header: ArrayHeader, settings: EncodeSettings, tile: int) -> EncodeSettings:
    """Return the settings of one tile: of bounds given for each plane, those of its own."""
    if not isinstance(settings.max_error, tuple):
        return settings
    planes = header.grid.box(tile)[0]
    return replace(settings, max_error=settings.max_error[planes])
