"""Side information of the planes of a predictive layer: to integers and back.

SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eocodec.errors import FormatError
from eocodec.integers import IntegerReader
from eocodec.interlace import (
    MAX_REFERENCES,
    MAX_WEIGHT,
    PASSES,
    SCALE_WEIGHTS,
    PassParameters,
    Shape,
    level_shapes,
    phase_shape,
)
from eocodec.planes import NARROW_TOP, Plane, checked_plane, key_bits

# Kinds of pass parameters: (spatial weights, spectral weights sent, all context weights sent);
# as many again when copies are on.
_KINDS = ((0, False, False), (0, True, False), (7, True, True), (11, True, True))


@dataclass(frozen=True)
class PlaneSide:
    """Side information of one plane, in coding order."""

    index: int
    plane: Plane
    references: tuple[int, ...]
    base: int
    passes: dict[tuple[int, Shape], PassParameters]


def side_integers(side: PlaneSide, shape: Shape) -> list[int]:
    """Return the integers that describe one plane of `shape` (H, W)."""
    gaps = side.plane.gaps
    out = [side.index, side.plane.low, side.plane.top, int(gaps is not None)]
    if gaps is not None:
        out += [int(gap) - 1 for gap in gaps]
    if not side.plane.top:
        return out
    out += [side.base, len(side.references), *side.references]
    for key in _pass_keys(shape):
        parameters = side.passes[key]
        kind = 3 if len(parameters.spatial) == _KINDS[3][0] else 2 if parameters.spatial else 0
        if kind == 0 and any(parameters.spectral):
            kind = 1
        out.append(kind + len(_KINDS) * parameters.copies)
        out += parameters.spatial
        out += parameters.spectral if _KINDS[kind][1] else ()
        out += parameters.scales if _KINDS[kind][2] else parameters.scales[:1]
    return out


def _pass_keys(shape: Shape) -> list[tuple[int, Shape]]:
    """Return (level, phase) of every pass with samples, in coding order."""
    shapes = level_shapes(*shape)
    return [
        (level, phase)
        for level in range(len(shapes) - 2, -1, -1)
        for phase in PASSES
        if 0 not in phase_shape(shapes[level], phase)
    ]


def parse_plane(
    side: IntegerReader,
    earlier: list[PlaneSide],
    number: int,
    shape: Shape,
    dtype: np.dtype[Any],
    wide: bool,
) -> PlaneSide:
    """Return the next plane of `number` in all, after `earlier`; raises `FormatError`."""
    index = side.take(0, number - 1)
    if any(plane.index == index for plane in earlier):
        raise FormatError(f"predictive layer codes plane {index} twice")
    low = side.take(0, (1 << 32) - 1)
    top = side.take(0, (1 << 32) - 1 if wide else NARROW_TOP)
    gaps = None
    if side.take(0, 1):
        gaps = np.array(side.take_many(top), np.int64) + 1
    plane = checked_plane(low, top, gaps, key_bits(dtype))
    if not top:
        return PlaneSide(index, plane, (), 0, {})
    base = side.take(0, top)
    references = tuple(side.take_many(side.take(0, MAX_REFERENCES)))
    known = {plane.index for plane in earlier if plane.plane.top}
    if len(set(references)) < len(references) or not known.issuperset(references):
        raise FormatError("predictive layer refers to a plane that is constant or not decoded yet")
    passes = {}
    for key in _pass_keys(shape):
        copies, kind = divmod(side.take(0, 2 * len(_KINDS) - 1), len(_KINDS))
        spatial_count, has_spectral, has_scales = _KINDS[kind]
        spatial = side.take_many(spatial_count)
        spectral = side.take_many(len(references)) if has_spectral else [0] * len(references)
        scales = [side.take(0, 1 << 30)]
        scales += side.take_many(SCALE_WEIGHTS - 1) if has_scales else [0] * (SCALE_WEIGHTS - 1)
        if max(map(abs, [*spatial, *spectral, *scales[1:]])) > MAX_WEIGHT:
            raise FormatError("predictive layer has a weight out of range")
        passes[key] = PassParameters(tuple(spatial), tuple(spectral), tuple(scales), bool(copies))
    return PlaneSide(index, plane, references, base, passes)
