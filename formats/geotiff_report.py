"""What the compression of a raster came to, for people: mode, size and errors of each array."""

from __future__ import annotations

import math

from eocodec.codec_models import find_card
from eocodec.formats.compress_options import CodedPart, CompressOptions, CompressReport
from eocodec.formats.eoc import Writer
from eocodec.formats.eoc.metadata import ArrayHeader
from eocodec.formats.geotiff_layout import Part
from eocodec.formats.geotiff_plan import Plan
from eocodec.tile import EncodeSettings

_WITHIN = 1.02
_FAR = 1.2


def coded_parts(plan: Plan, writer: Writer) -> tuple[CodedPart, ...]:
    """Return how each array of a plan was coded, once it is written."""
    return tuple(
        _coded(part, settings, writer)
        for part, settings in zip(plan.parts, plan.settings, strict=True)
    )


def _coded(part: Part, settings: EncodeSettings, writer: Writer) -> CodedPart:
    found = writer.distortion(part.header.name)
    assert found is not None
    (header,) = (header for header in writer.arrays if header.name == part.header.name)
    date = "" if part.group is None else part.group.date
    mode, detail = "exact", ""
    if found.learned:
        mode, detail = "learned", _quality(part, settings)
        if found.learned < found.tiles:
            detail += f"; {found.tiles - found.learned} of {found.tiles} tiles without the model"
    elif settings.bounded and found.max_error > 0:
        mode = "within a bound"
    if settings.bounded and mode != "exact":
        detail = ", ".join(filter(None, [detail, _bounds(header)]))
    samples = math.prod(header.shape)
    return CodedPart(
        name=_names(header) if not date else f"{date}: {_names(header)}",
        mode=mode,
        detail=detail,
        raw_bytes=samples * header.dtype.itemsize,
        size=writer.size_of(header.name),
        samples=samples,
        rmse=found.rmse,
        max_error=found.max_error,
        unit=_unit(part),
    )


def _quality(part: Part, settings: EncodeSettings) -> str:
    layers = settings.layers
    if layers is None:
        layers = find_card(settings.model).default_layers
    text = f"quality {layers}"
    if settings.step_scale != 1:
        text += f" with steps of {settings.step_scale:.3g}"
    if part.group is not None and not part.group.reflectance:
        text += ", by the spread of the samples"
    return text


def _bounds(header: ArrayHeader) -> str:
    absolute = header.max_error
    texts = []
    if isinstance(absolute, tuple):
        known = sorted({bound for bound in absolute if bound is not None})
        texts.append(f"max error {known[0]:g} to {known[-1]:g}, by band")
    elif absolute is not None:
        texts.append(f"max error {absolute:g}")
    if header.max_relative_error is not None:
        texts.append(f"max error {100 * header.max_relative_error:g} % of the sample")
    if header.max_error_sqrt is not None:
        texts.append(f"max error {header.max_error_sqrt:g} times the square root of the sample")
    return " and ".join(texts)


def _unit(part: Part) -> str:
    """Return the unit of the samples as they are stored."""
    if part.group is not None and part.group.reflectance:
        if part.group.unit == 1.0:
            return "DN"
        return "" if part.header.dtype.kind != "f" else "reflectance"
    bands = part.header.bands
    units = {band.unit for band in bands if band.scale is None and band.offset is None}
    return (units.pop() or "") if len(units) == 1 == len({band.unit for band in bands}) else ""


def _names(header: ArrayHeader) -> str:
    bands = header.bands
    if not bands:
        return header.name
    names = [band.name or band.description or str((band.position or 0) + 1) for band in bands]
    if any(band.name or band.description for band in bands):
        return ", ".join(names)
    positions = [(band.position or 0) + 1 for band in bands]
    if len(positions) == 1:
        return f"band {positions[0]}"
    if positions == list(range(positions[0], positions[-1] + 1)):
        return f"bands {positions[0]} to {positions[-1]}"
    return f"bands {', '.join(names)}"


def missed_targets(report: CompressReport, options: CompressOptions, plan: Plan) -> tuple[str, ...]:
    """Return warnings of targets that were not met, or by far."""
    warnings = []
    exact = all(part.mode == "exact" for part in report.parts)
    rmse = options.target.rmse if options.target else None
    worst = max((part.rmse or 0.0 for part in report.parts), default=0.0)
    if rmse is not None and worst > _WITHIN * rmse:
        warnings.append(f"an RMSE of {rmse:g} was asked for; it is {worst:.4g}")
    bits = options.target.bits_per_sample if options.target else None
    asked = options.ratio
    if bits is not None:
        asked = 8 * report.raw_bytes / report.samples / bits
    if asked is not None:
        got = report.raw_bytes / report.size
        if got < asked / _WITHIN:
            warnings.append(f"a ratio of {asked:.4g} was asked for; it is {got:.4g}")
        elif got > _FAR * asked and not exact:
            warnings.append(
                f"a ratio of {asked:.4g} was asked for; the finest quality of the model gives {got:.4g}: "
                "bound the error for less of it, or ask for lossless compression"
            )
    if options.settings.asks_for_layers and not any(p.mode == "learned" for p in report.parts):
        why = "; ".join(
            sorted({f"band {band + 1}: {reason}" for band, reason in plan.choice.flags.items()})
        )
        text = "quality was asked for, but every sample is kept exactly"
        warnings.append(f"{text} ({why})" if why else text)
    return tuple(warnings)
