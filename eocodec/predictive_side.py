"""Side information of the planes of a predictive layer: to integers and back.

SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eocodec.errors import FormatError
from eocodec.integers import IntegerReader
from eocodec.interlace import (
    PASSES,
    Shape,
    level_shapes,
    phase_shape,
)
from eocodec.planes import Plane
from eocodec.predictive_maps import MapHistory, map_integers, parse_map
from eocodec.predictive_parameters import (
    KINDS,
    MAX_REFERENCES,
    MAX_SHIFT,
    MAX_WEIGHT,
    SCALE_WEIGHTS,
    SCALES,
    PassParameters,
)


@dataclass(frozen=True)
class PlaneSide:
    """Side information of one plane, in coding order.

    References from the number of planes on are the learned planes. A plane of None is not coded: its
    samples are those of the learned layers. Pattern k > 0 is the k-th of copies, 0 is none. Donor d > 0
    is the d-th coded plane back, whose parameters those passes share that are equal; 0 is none.
    """

    index: int
    plane: Plane | None
    references: tuple[int, ...]
    pattern: int
    base: int
    passes: dict[tuple[int, Shape], PassParameters]
    donor: int = 0

    @property
    def coded(self) -> bool:
        """Whether the plane has samples of its own, which others may refer to."""
        return self.plane is not None and self.plane.top > 0


@dataclass
class PlaneHistory:
    """What the side information of a plane may refer to of those before it, in coding order.

    Attributes
    ----------
    maps : MapHistory
        Maps of the planes.
    coded : list of PlaneSide
        Planes with samples of their own.
    last : int
        Number of the last plane, -1 before the first.
    """

    maps: MapHistory
    coded: list[PlaneSide] = field(default_factory=list)
    last: int = -1

    def add(self, side: PlaneSide) -> None:
        """Note one plane."""
        self.last = side.index
        self.maps.add(side.index, side.plane)
        if side.coded:
            self.coded.append(side)

    @property
    def base(self) -> int:
        """Return the base of the last coded plane, 0 before the first."""
        return self.coded[-1].base if self.coded else 0


def side_integers(side: PlaneSide, history: PlaneHistory, shape: Shape) -> list[int]:
    """Return the integers that describe one plane of `shape` (H, W), and note it."""
    out = [side.index - history.last - 1, *map_integers(side.index, side.plane, history.maps)]
    if side.coded:
        out += [side.base - history.base, side.pattern, len(side.references)]
        out += [side.index - other for other in side.references]
        out += [side.donor, *_pass_integers(side, history, shape)]
    history.add(side)
    return out


def _pass_integers(side: PlaneSide, history: PlaneHistory, shape: Shape) -> list[int]:
    """Return the parameters of the passes of a plane."""
    shared = history.coded[-side.donor].passes if side.donor else {}
    out: list[int] = []
    constant = 0
    for key in pass_keys(shape):
        parameters = side.passes[key]
        kind, shift = KINDS[parameters.kind], parameters.shift
        scales = parameters.scales if kind.scales else parameters.scales[:1]
        indices = [int(np.searchsorted(SCALES, scale)) for scale in scales]
        if parameters == shared.get(key):
            out.append(0)
        else:
            out.append(parameters.kind + (1 if shared else 0))
            weights = parameters.spatial + parameters.spectral
            if weights:
                out += [shift, *(weight >> shift for weight in weights)]
            out += [indices[0] - constant, *indices[1:]]
        constant = indices[0]
    return out


def pass_keys(shape: Shape) -> list[tuple[int, Shape]]:
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
    history: PlaneHistory,
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
    index = side.take(-history.last - 1, number - 2 - history.last) + history.last + 1
    if index in earlier:
        raise FormatError(f"predictive layer codes plane {index} twice")
    plane = parse_map(side, history.maps, index, dtype, wide)
    if plane is None and not learned:
        raise FormatError("predictive layer leaves a plane to learned layers that it does not have")
    if plane is None or not plane.top:
        return PlaneSide(index, plane, (), 0, 0, {})
    base = history.base + side.take(-history.base, plane.top - history.base)
    pattern = side.take(0, patterns)
    references = tuple(
        index - distance for distance in side.take_many(side.take(0, MAX_REFERENCES))
    )
    known = {other for other in references if other in earlier and earlier[other].coded}
    known |= {number + index} if learned else set()
    if len(set(references)) < len(references) or not known.issuperset(references):
        raise FormatError("predictive layer refers to a plane that is constant or not decoded yet")
    donor = side.take(0, len(history.coded))
    shared: dict[tuple[int, Shape], PassParameters] = {}
    if donor:
        giver = history.coded[-donor]
        if len(giver.references) != len(references):
            raise FormatError("predictive layer shares parameters among unlike planes")
        shared = giver.passes
    passes = {}
    constant = 0
    for key in pass_keys(shape):
        code = side.take(0, len(KINDS) - 1 + (1 if shared else 0))
        if shared and code == 0:
            passes[key] = shared[key]
        else:
            passes[key] = _parse_pass(side, code - (1 if shared else 0), constant, len(references))
        constant = int(np.searchsorted(SCALES, passes[key].scales[0]))
    return PlaneSide(index, plane, references, pattern, base, passes, donor)


def _parse_pass(side: IntegerReader, number: int, constant: int, references: int) -> PassParameters:
    """Return the parameters of a pass of kind `number`, after one whose s₀ has the index `constant`."""
    kind = KINDS[number]
    count = kind.spatial + kind.details * references
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
    return PassParameters(number, shift, spatial, spectral, tuple(scales))
