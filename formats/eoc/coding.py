"""Which codec id an array gets, from the settings that its tiles are encoded with."""

from __future__ import annotations

import math
from dataclasses import replace

from eocodec.codec_models import find_card
from eocodec.errors import InputError
from eocodec.formats.eoc.metadata import PREDICTIVE, RVQ2D, ArrayHeader
from eocodec.tile import EncodeSettings


def with_coding(
    header: ArrayHeader, settings: EncodeSettings
) -> tuple[ArrayHeader, EncodeSettings]:
    """Return `header` with codec, model, layers and error bound, and `settings` with its nodata.

    Raises
    ------
    InputError
        When header and settings name different nodata values.
    ModelError
        When the model is not installed.
    """
    nodata = None if header.nodata is None else float(header.nodata)
    if settings.nodata is None:
        settings = replace(settings, nodata=nodata)
    elif nodata is None:
        value = settings.nodata
        whole = header.dtype.kind in "iu" and float(value).is_integer()
        header = replace(header, nodata=int(value) if whole else value)
    elif settings.nodata != nodata and not (math.isnan(nodata) and math.isnan(settings.nodata)):
        raise InputError(
            f"array {header.name!r} has nodata {nodata}, the settings have {settings.nodata}"
        )
    card = None if settings.lossless else find_card(settings.model)
    if card is None or header.grid.tile_shape(0)[0] > len(card.bands):
        # Constant and predictive tiles are exact.
        header = replace(header, codec=PREDICTIVE, model=None, layers=None, max_error=0.0)
        return header, settings
    layers = card.default_layers if settings.layers is None else settings.layers
    if not 1 <= layers <= card.layers:
        raise InputError(f"layers {layers} is outside 1 to {card.layers} of model {card.name}")
    return replace(header, codec=RVQ2D, model=card.id, layers=layers, max_error=None), settings
