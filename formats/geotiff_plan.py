"""What is asked of a raster, as arrays and the settings of their tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from eocodec.bands import MODEL_BANDS, look_alikes, match_bands, option_names, select_bands
from eocodec.codec_models import ModelCard, find_card
from eocodec.errors import InputError
from eocodec.formats.band_bounds import named_bounds
from eocodec.formats.band_choice import (
    SAMPLE_SIZE,
    BandChoice,
    Sample,
    choose_bands,
    find_flags,
    sampled_windows,
)
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.geotiff_layout import Coding, Layout, Part
from eocodec.formats.native import NativePair
from eocodec.formats.quality import Point, Target, choose_settings
from eocodec.formats.raster import GeoTiff, Raster
from eocodec.tile import EncodeSettings, encode_tile

EXACT = EncodeSettings(lossless=True)

_FIXED_BYTES = 800
_BYTES_A_TILE = 32
_BANDS_OF_PRODUCTS = (10, 12, 13)


@dataclass(frozen=True)
class Plan:
    """The arrays that rasters become, and how they are encoded.

    Attributes
    ----------
    parts : tuple of Part
    settings : tuple of EncodeSettings
        One a part.
    notes : tuple of str
        What a user should know.
    choice : BandChoice
        Of the bands of the files together.
    """

    parts: tuple[Part, ...]
    settings: tuple[EncodeSettings, ...]
    notes: tuple[str, ...]
    choice: BandChoice


def make_plan(files: Sequence[GeoTiff], options: CompressOptions) -> Plan:
    """Return what one raster, or a 10 m and a 20 m file, become.

    Raises
    ------
    InputError
        If the bands cannot be told apart, two files are no pair, or an option cannot be met.
    """
    card = _check(options)
    if options.bands is not None:
        named = [name or "other" for name in option_names(options.bands)]
        options = replace(options, bands=named)
    target = _target(files, options)
    asked = options.settings.asks_for_layers or target is not None
    choice = _choice(files, options, asked=asked)
    layout = Layout(options.bands, options.tile_size)
    notes = _notes(files, options, choice)
    if options.settings.lossless:
        return _exact_plan(layout, files, choice, notes)
    parts = tuple(layout.parts(files, choice, apart=options.bounded))
    if options.bounded and target and len({part.size for part in parts}) > 1:
        raise InputError("a target error for two files cannot be met together with error bounds")
    learned = [part for part in parts if part.coding is Coding.LEARNED]
    if target is not None and target.bits_per_sample is not None:
        budget = target.bits_per_sample * sum(math.prod(file.shape) for file in files)
        exact = _exact_plan(layout, files, choice, notes)
        if _bits_of_container(exact.parts) + sum(map(_exact_bits, exact.parts)) <= budget:
            # There is room for every sample as it is.
            return exact
        target = Target(bits_per_sample=_bits_left(parts, budget, target.bits_per_sample))
    found: dict[str, Point] = {}
    if target is not None:
        found = {part.header.name: _search(part, target, options, card) for part in learned}
    bounds_of = named_bounds([part.header for part in parts], options.max_error or {})
    settings = tuple(
        _part_settings(part, options, card, bounds, found.get(part.header.name), asked=asked)
        for part, bounds in zip(parts, bounds_of, strict=True)
    )
    return Plan(parts, settings, notes, choice)


def _exact_plan(
    layout: Layout, files: Sequence[GeoTiff], choice: BandChoice, notes: tuple[str, ...]
) -> Plan:
    """Return the plan that keeps every sample."""
    parts = tuple(layout.parts(files, replace(choice, groups=())))
    return Plan(parts, (EXACT,) * len(parts), notes, choice)


def _check(options: CompressOptions) -> ModelCard:
    """Check what no raster can have; return the card of the model."""
    if options.of_fields:
        raise InputError(f"{options.of_fields} is for fields (netCDF, GRIB), not for rasters")
    if options.bounded:
        if isinstance(options.settings.max_error, tuple):
            raise InputError("bound single bands of a raster by name, with the option max_error")
        if options.settings.lossless:
            raise InputError("lossless leaves no error to bound; ask for one of both")
        if options.ratio is not None or (options.target and options.target.bits_per_sample):
            raise InputError("error bounds settle the size; ask for a size or for bounds")
    card = find_card(options.settings.model)
    if card.ndim != 2:
        raise InputError(
            f"model {card.name} is for fields (netCDF, GRIB), not for rasters; leave the model out"
        )
    if (options.settings.layers or 0) > card.layers:
        raise InputError(
            f"quality {options.settings.layers} is not to be had: model {card.name} has "
            f"{card.layers} layers"
        )
    return card


def _target(files: Sequence[GeoTiff], options: CompressOptions) -> Target | None:
    if options.ratio is None:
        return options.target
    if not options.ratio > 0:
        raise InputError(f"a compression ratio must be above 0, not {options.ratio:g}")
    return Target(bits_per_sample=8 * files[0].dtype.itemsize / options.ratio)


def _choice(files: Sequence[GeoTiff], options: CompressOptions, *, asked: bool) -> BandChoice:
    """Return which bands are learned and which are flags; pixels are read only where that takes them."""
    names = options.bands
    raster: Raster = files[0] if len(files) == 1 else NativePair(*files)
    if names is not None:
        select_bands(None, names, raster.shape[0])
    if options.settings.lossless:
        return BandChoice()
    known = sum(band.name in MODEL_BANDS for band in raster.bands) > 1 or names is not None
    if not (asked or known or options.settings.bounded):
        return BandChoice()
    sample = Sample(raster, options.tile_size)
    flags = find_flags(raster, sample, names)
    return choose_bands(raster, sample, flags, files[0].fields["tags"], names, asked=asked)


def _notes(
    files: Sequence[GeoTiff], options: CompressOptions, choice: BandChoice
) -> tuple[str, ...]:
    """Return what a user should know of the choice of bands."""
    lost = tuple(f"{file.name}: not kept: {what}" for file in files for what in file.not_kept)
    bands = [band for file in files for band in file.bands]
    asked = options.settings.asks_for_layers or options.target or options.ratio
    if options.bands or options.bounded or options.settings.lossless:
        return lost + choice.notes
    descriptions = [band.description for band in bands]
    if not asked and len(bands) in _BANDS_OF_PRODUCTS and not any(descriptions):
        hint = (
            f"the {len(bands)} bands have no names, so they are kept exactly; if they are Sentinel-2's, name "
            "them by --bands for learned compression"
        )
        return (*lost, *choice.notes, hint)
    matches = match_bands(descriptions)
    alike = look_alikes(matches, descriptions) if set(matches.alike) & set(MODEL_BANDS) else None
    return (*lost, *choice.notes, *([alike] if alike else []))


def _search(part: Part, target: Target, options: CompressOptions, card: ModelCard) -> Point:
    assert part.group is not None
    settings = replace(
        options.settings,
        nodata=part.header.nodata,
        unit=part.group.unit,
        max_error=None,
        max_relative_error=None,
        max_error_sqrt=None,
    )
    return choose_settings(
        _sampled_tiles(part),
        target,
        replace(settings, layers=settings.layers or card.default_layers),
        most_layers=card.layers,
        least_layers=card.token_layers + 1,
        threads=options.threads,
    )


def _part_settings(
    part: Part,
    options: CompressOptions,
    card: ModelCard,
    named: Sequence[float | None],
    found: Point | None,
    *,
    asked: bool,
) -> EncodeSettings:
    """Return the settings of one array; `named` are the bounds of its single bands."""
    settings = options.settings
    assert not isinstance(settings.max_error, tuple)
    others = settings.max_relative_error is not None or settings.max_error_sqrt is not None
    if part.coding is not Coding.LEARNED:
        whole = settings.max_error if part.coding is Coding.BOUNDED else None
        others &= part.coding is Coding.BOUNDED
        absolute = [whole if bound is None else bound for bound in named]
        if not others:
            absolute = [0.0 if bound is None else bound for bound in absolute]
        if set(absolute) == {0.0}:
            return EXACT
        relative = settings if others else EXACT
        return replace(
            settings,
            max_error=tuple(absolute),
            max_relative_error=relative.max_relative_error,
            max_error_sqrt=relative.max_error_sqrt,
            layers=None,
            step_scale=1.0,
        )
    assert part.group is not None
    absolute = [settings.max_error if bound is None else bound for bound in named]
    if any(bound is not None for bound in named):
        settings = replace(settings, max_error=tuple(absolute))
    layers, scale = settings.layers, settings.step_scale
    if found is not None:
        layers, scale = found.settings.layers, found.settings.step_scale
    if layers is None and None in absolute and not others:
        # Bands without a bound get the default quality.
        layers = card.default_layers
    return replace(
        settings,
        layers=layers,
        step_scale=scale,
        unit=part.group.unit,
        only_reflectance=part.group.reflectance and not asked,
    )


def _bits_of_container(parts: Sequence[Part]) -> float:
    tiles = sum(part.header.grid.tiles for part in parts)
    return 8.0 * (_FIXED_BYTES + _BYTES_A_TILE * tiles)


def _exact_bits(part: Part) -> float:
    """Return about how many bits an array takes without loss."""
    _, height, width = part.header.grid.shape
    boxes = list(sampled_windows(height, width, min(part.header.tile_size[1], SAMPLE_SIZE)))
    sampled = [part.read(*boxes[number]) for number in {0, len(boxes) // 2, len(boxes) - 1}]
    exact = replace(EXACT, nodata=part.header.nodata)
    bits = 8 * sum(len(encode_tile(pixels, exact)) for pixels in sampled)
    return bits / sum(pixels.size for pixels in sampled) * math.prod(part.header.shape)


def _bits_left(parts: Sequence[Part], budget: float, asked: float) -> float:
    """Return the bits a sample that the learned arrays may take of those of the whole file."""
    learned = sum(math.prod(part.header.shape) for part in parts if part.coding is Coding.LEARNED)
    rest = sum(_exact_bits(part) for part in parts if part.coding is not Coding.LEARNED)
    left = budget - _bits_of_container(parts) - rest
    if learned and left > 0:
        return left / learned
    raise InputError(
        f"{asked:.4g} bits per pixel and band do not suffice for what is coded without loss (header, mask, "
        "flags, bands outside the model); ask for a larger size"
    )


def _sampled_tiles(part: Part) -> Iterator[NDArray[Any]]:
    _, height, width = part.header.grid.shape
    for window in sampled_windows(height, width, part.header.tile_size[1]):
        yield part.read(*window)
