"""Side information of the planes of a predictive layer: to integers and back.

SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError
from eocodec.integers import IntegerReader
from eocodec.interlace import (
    PASSES,
    Shape,
    level_shapes,
    phase_shape,
)
from eocodec.planes import NARROW_TOP, Plane, checked_plane, key_bits
from eocodec.predictive_parameters import (
    KINDS,
    MAX_REFERENCES,
    MAX_SHIFT,
    MAX_WEIGHT,
    SCALE_WEIGHTS,
    SCALES,
    PassParameters,
)

OFFSET, RANKS, GRID, LEARNED, SMOOTH_RANKS = range(5)
_MAX_SMOOTH = 1 << 30


@dataclass(frozen=True)
class PlaneSide:
    """Side information of one plane, in coding order.

    References from the number of planes on are the learned planes. A plane of None is not coded: its
    samples are those of the learned layers. Pattern k > 0 is the k-th of copies, 0 is none.
    """

    index: int
    plane: Plane | None
    references: tuple[int, ...]
    pattern: int
    base: int
    passes: dict[tuple[int, Shape], PassParameters]

    @property
    def coded(self) -> bool:
        """Whether the plane has samples of its own, which others may refer to."""
        return self.plane is not None and self.plane.top > 0


def side_integers(side: PlaneSide, shape: Shape) -> list[int]:
    """Return the integers that describe one plane of `shape` (H, W)."""
    plane = side.plane
    if plane is None:
        return [side.index, LEARNED]
    form = OFFSET if plane.grid is None else GRID
    gaps = np.zeros(0, np.int64) if plane.gaps is None else plane.gaps - 1
    if gaps.size:
        changes = np.diff(gaps, prepend=0)
        smooth = np.abs(changes).max() < _MAX_SMOOTH and _bits(2 * changes) < _bits(2 * gaps)
        form, gaps = (SMOOTH_RANKS, changes) if smooth else (RANKS, gaps)
    out = [side.index, form, plane.low, plane.top, plane.near, *map(int, gaps)]
    for value in plane.grid or ():
        out += divmod(int.from_bytes(struct.pack("<d", value), "little"), 1 << 32)
    if not plane.top:
        return out
    out += [side.base, side.pattern, len(side.references), *side.references]
    constant = 0
    for key in _pass_keys(shape):
        parameters = side.passes[key]
        kind, shift = KINDS[parameters.kind], parameters.shift
        out.append(parameters.kind)
        weights = parameters.spatial + parameters.spectral
        if weights:
            out += [shift, *(weight >> shift for weight in weights)]
        scales = parameters.scales if kind.scales else parameters.scales[:1]
        indices = [int(np.searchsorted(SCALES, scale)) for scale in scales]
        out += [indices[0] - constant, *indices[1:]]
        constant = indices[0]
    return out


def _bits(values: npt.NDArray[np.int64]) -> float:
    return float(np.log2(np.abs(values) + 1.0).sum())


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
    earlier: dict[int, PlaneSide],
    number: int,
    shape: Shape,
    dtype: np.dtype[Any],
    wide: bool,
    learned: bool,
    patterns: int,
) -> PlaneSide:
    """Return the next plane of `number` in all, after `earlier`; raises `FormatError`.

    `learned` tells whether there are learned planes to refer to; there are `patterns` of copies.
    """
    index = side.take(0, number - 1)
    if index in earlier:
        raise FormatError(f"predictive layer codes plane {index} twice")
    plane = _parse_map(side, dtype, wide)
    if plane is None and not learned:
        raise FormatError("predictive layer leaves a plane to learned layers that it does not have")
    if plane is None or not plane.top:
        return PlaneSide(index, plane, (), 0, 0, {})
    base = side.take(0, plane.top)
    pattern = side.take(0, patterns)
    references = tuple(side.take_many(side.take(0, MAX_REFERENCES)))
    known = {other for other in references if other in earlier and earlier[other].coded}
    known |= {number + index} if learned else set()
    if len(set(references)) < len(references) or not known.issuperset(references):
        raise FormatError("predictive layer refers to a plane that is constant or not decoded yet")
    passes = {}
    constant = 0
    for key in _pass_keys(shape):
        number_of_kind = side.take(0, len(KINDS) - 1)
        kind = KINDS[number_of_kind]
        count = kind.spatial + kind.details * len(references)
        shift = side.take(0, MAX_SHIFT) if count else 0
        weights = tuple(weight << shift for weight in side.take_many(count))
        if max(map(abs, weights), default=0) > MAX_WEIGHT:
            raise FormatError("predictive layer has a weight out of range")
        constant += side.take(-constant, len(SCALES) - 1 - constant)
        terms = SCALE_WEIGHTS - 1 if kind.scales else 0
        scales = [int(SCALES[constant])]
        scales += [int(SCALES[side.take(0, len(SCALES) - 1)]) for _ in range(terms)]
        scales += [0] * (SCALE_WEIGHTS - len(scales))
        spatial, spectral = weights[: kind.spatial], weights[kind.spatial :]
        passes[key] = PassParameters(number_of_kind, shift, spatial, spectral, tuple(scales))
    return PlaneSide(index, plane, references, pattern, base, passes)


def _parse_map(side: IntegerReader, dtype: np.dtype[Any], wide: bool) -> Plane | None:
    """Return how values map to samples; None for a plane that the learned layers hold."""
    form = side.take(OFFSET, SMOOTH_RANKS)
    if form == LEARNED:
        return None
    low = side.take(0, (1 << 32) - 1)
    top = side.take(0, (1 << 32) - 1 if wide else NARROW_TOP)
    near = side.take(0, top)
    gaps = None
    if form in (RANKS, SMOOTH_RANKS):
        gaps = np.array(side.take_many(top), np.int64)
        gaps = (np.cumsum(gaps) if form == SMOOTH_RANKS else gaps) + 1
    if form != GRID:
        plane = checked_plane(low, top, gaps, key_bits(dtype))
        return replace(plane, near=near)
    words = [side.take(0, (1 << 32) - 1) for _ in range(4)]
    start, step = (
        struct.unpack("<d", (high << 32 | word).to_bytes(8, "little"))[0]
        for high, word in (words[:2], words[2:])
    )
    end = start + step * top
    if dtype.kind != "f" or not (
        step > 0
        and abs(start) <= float(np.finfo(dtype).max)
        and abs(end) <= float(np.finfo(dtype).max)
    ):
        raise FormatError("predictive layer declares a grid outside its dtype")
    return Plane(low, top, grid=(start, step), near=near)
