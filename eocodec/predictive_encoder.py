"""The encoder's work on the planes of a tile: maps, coding order, parameters and quantiser indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.bounds import ErrorBounds
from eocodec.grids import NARROW_TOP, SharedGrid, find_lattice, shared_grid
from eocodec.interlace import CodedPlane, Shape, known_plane
from eocodec.plane_analysis import analyse_band, shared_levels
from eocodec.plane_order import order_planes
from eocodec.planes import Plane, nearest_values, planes_per_band
from eocodec.pooling import PlaneParameters, Pool
from eocodec.predictive_copies import find_patterns, labels_of
from eocodec.predictive_levels import Allowed
from eocodec.predictive_parameters import Taper
from eocodec.predictive_planes import PlaneEncoder, walk
from eocodec.predictive_side import PlaneSide
from eocodec.residuals import ClassScheme, SortedPass

IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Attempt = tuple[list[PlaneSide], list[SortedPass], Taper]
Family = tuple[int, int]

_LARGE_TILE = 1 << 17
# Planes of fewer samples share parameters that are fitted to all of them, if there are so many.
_SMALL_PLANE = 1 << 14
_FEWEST_POOLED = 4
# Where this share of the quantiser indices is 0, coarse levels are tried with a finer quantiser.
_CALM = 0.85
_TAPER = Taper((14, 11, 8))
_LARGEST_TAPERED = 1 << 22


@dataclass
class TilePlanes:
    """The planes of a tile, ready to be coded.

    Attributes
    ----------
    planes : list of Plane or None
        Their maps; None for planes left to the learned layers.
    values : list of ndarray of int, (H, W)
        Their values.
    known : list of ndarray of int, (H, W)
        The learned planes, none without learned layers.
    per_band : int
        Planes a band.
    invalid : ndarray of bool, (C, H, W), or None
        Samples that need not be kept.
    scheme : ClassScheme
        Classes of the residuals.
    patterns : list of ndarray of bool, (2, H, W)
        Patterns of copies.
    pattern_of : list of int
        For each plane 1 + its pattern, or 0.
    """

    planes: list[Plane | None]
    values: list[IntArray]
    known: list[IntArray]
    per_band: int
    invalid: BoolArray | None
    scheme: ClassScheme
    patterns: list[BoolArray]
    pattern_of: list[int]

    @classmethod
    def analyse(
        cls,
        pixels: npt.NDArray[Any],
        invalid: BoolArray | None,
        bounds: ErrorBounds | None,
        learned: npt.NDArray[Any] | None,
    ) -> TilePlanes:
        """Return the planes of `pixels` (C, H, W); see `encode_predictive`."""
        per_band = planes_per_band(pixels.dtype)
        planes: list[Plane | None] = []
        values: list[IntArray] = []
        known: list[IntArray] = []
        grids = _shared_grids(pixels, invalid, bounds)
        levels = _shared_levels(pixels, invalid, bounds)
        for band in range(len(pixels)):
            valid = valid_samples(invalid, band)
            if learned is not None and bounds is not None and not bounds.bounded(band):
                planes += [None] * per_band
                values += [np.zeros(pixels.shape[1:], np.int64)] * per_band
                known += values[-per_band:]
                continue
            allowed = _allowed(bounds, band)
            found = analyse_band(pixels[band], valid, allowed, grids.get(band), levels)
            planes += [plane for plane, _ in found]
            values += [value.astype(_word(plane.top)) for plane, value in found]
            if learned is not None:
                known += nearest_values(learned[band], [plane for plane, _ in found])
        wide = any(plane is not None and plane.top > NARROW_TOP for plane in planes)
        work = _word(NARROW_TOP + 1 if wide else 0)
        values = [value.astype(work, copy=False) for value in values]
        known = [value.astype(work) for value in known]
        scheme = ClassScheme(2 if pixels.size * per_band >= _LARGE_TILE else 1, wide)
        patterns, pattern_of = find_patterns(values)
        return cls(planes, values, known, per_band, invalid, scheme, patterns, pattern_of)

    @property
    def shape(self) -> Shape:
        """Return (H, W)."""
        height, width = self.values[0].shape
        return height, width

    def attempts(self) -> Iterator[Attempt]:
        """Return ways to code the planes, the smallest of which is to be taken."""
        unknown = self.values
        if self.known:
            unknown = [value - guess for value, guess in zip(unknown, self.known, strict=True)]
        order = order_planes(unknown)
        small = self.values[0].size < _SMALL_PLANE and len(order) >= _FEWEST_POOLED
        pools: dict[Family, Pool] = {}
        attempt = self._code(order, {}, pools if small else None, Taper())
        yield attempt
        fitted = {family: pool.fit() for family, pool in pools.items()}
        if small:
            attempt = self._code(order, fitted, None, Taper())
            yield attempt
        if self._calm(attempt):
            yield self._code(order, fitted, None, _TAPER)

    def _calm(self, attempt: Attempt) -> bool:
        """Whether so many quantiser indices are 0 that a finer quantiser of coarse levels may pay."""
        if not any(plane is not None and plane.near for plane in self.planes):
            return False
        passes = attempt[1]
        zeros = sum(part.residuals.size - np.count_nonzero(part.residuals) for part in passes)
        number = sum(part.residuals.size for part in passes)
        return bool(number < _LARGEST_TAPERED and zeros > _CALM * number)

    def _code(
        self,
        order: list[tuple[int, tuple[int, ...]]],
        pooled: dict[Family, PlaneParameters],
        pools: dict[Family, Pool] | None,
        taper: Taper,
    ) -> Attempt:
        """Return side information and quantiser indices of the planes, in coding order."""
        work = self.values[0].dtype
        labels = [None, *(known_plane(labels_of(pattern)) for pattern in self.patterns)]
        coded: dict[int, CodedPlane] = {}
        sides: list[PlaneSide] = []
        passes: list[SortedPass] = []
        givers: dict[Family, tuple[int, PlaneParameters]] = {}
        last_use = {other: at for at, (_, others) in enumerate(order) for other in others}
        for position, (index, references) in enumerate(order):
            plane = self.planes[index]
            if plane is None:
                sides.append(PlaneSide(index, None, (), 0, 0, {}))
                continue
            shown = {number: coded[number] for number in references if number in coded}
            if self.known and plane.top:
                shown[len(self.planes) + index] = CodedPlane(known_plane(self.known[index]))
            family = len(shown), plane.near
            giver, shared = givers.get(family, (0, pooled.get(family, {})))
            pool = None
            if pools is not None:
                pool = pools.setdefault(family, Pool(len(order)))
            pattern = self.pattern_of[index]
            encoder = PlaneEncoder(
                [plane.top, *(self._top(number) for number in shown)],
                plane.near,
                self.values[index],
                valid_samples(self.invalid, index // self.per_band),
                self.scheme,
                shared,
                pool,
                taper=taper,
                forced=family in pooled and family not in givers,
            )
            if plane.top:
                kept = walk(
                    self.shape,
                    encoder.base,
                    list(shown.values()),
                    labels[pattern],
                    encoder.step,
                    work,
                )[0]
                if index in last_use:
                    coded[index] = kept
            for reference in references:
                if last_use[reference] == position:
                    coded.pop(reference, None)
            number = sum(side.coded for side in sides)
            donor = number - giver if family in givers and plane.top else 0
            base = encoder.base
            references = tuple(shown)
            sides.append(
                PlaneSide(index, plane, references, pattern, base, encoder.parameters, donor)
            )
            if plane.top and (family not in givers or family not in pooled):
                givers[family] = number, encoder.parameters
            passes += encoder.passes
        return sides, passes, taper

    def _top(self, number: int) -> int:
        plane = self.planes[number % len(self.planes)]
        return 0 if plane is None else plane.top


def valid_samples(invalid: BoolArray | None, band: int) -> BoolArray | None:
    """Return where samples of a band are valid, None where all are."""
    return None if invalid is None or not invalid[band].any() else ~invalid[band]


def _word(top: int) -> np.dtype[Any]:
    return np.dtype(np.int64 if top > NARROW_TOP else np.int32)


def _allowed(bounds: ErrorBounds | None, band: int) -> Allowed | None:
    """Return the function that tells how far samples of a band may be off; None keeps them exactly."""
    if bounds is None or bounds.exact or not bounds.bounded(band):
        return None
    return partial(bounds.allowed_in, band)


def _used(pixels: npt.NDArray[Any], invalid: BoolArray | None, bands: list[int]) -> list[IntArray]:
    """Return the valid samples of some bands, (N,) each."""
    used = []
    for band in bands:
        valid = valid_samples(invalid, band)
        used.append(pixels[band].ravel() if valid is None else pixels[band][valid])
    return used


def _shared_grids(
    pixels: npt.NDArray[Any], invalid: BoolArray | None, bounds: ErrorBounds | None
) -> dict[int, SharedGrid]:
    """Return for each band of floats the grid that it shares with others of its bound, if any."""
    if pixels.dtype.kind != "f":
        return {}
    if bounds is None or bounds.exact:
        lattice = find_lattice(np.concatenate(_used(pixels, invalid, list(range(len(pixels))))))
        return {} if lattice is None else dict.fromkeys(range(len(pixels)), SharedGrid(lattice, 0))
    if bounds.relative or bounds.sqrt:
        return {}
    found: dict[int, SharedGrid] = {}
    for error in set(bounds.absolute):
        if not error:
            continue
        bands = [band for band, other in enumerate(bounds.absolute) if other == error]
        grid = shared_grid(_used(pixels, invalid, bands), error)
        if grid is not None:
            found.update(dict.fromkeys(bands, grid))
    return found


def _shared_levels(
    pixels: npt.NDArray[Any], invalid: BoolArray | None, bounds: ErrorBounds | None
) -> Plane | None:
    """Return the geometric levels of all bands of floats with nothing but a relative bound, if any."""
    if pixels.dtype.kind != "f" or pixels.dtype.itemsize > 4:
        return None
    if (
        bounds is None
        or not bounds.relative
        or bounds.sqrt is not None
        or any(error is not None for error in bounds.absolute)
    ):
        return None
    used = np.concatenate(_used(pixels, invalid, list(range(len(pixels)))))
    return shared_levels(used, bounds.relative)
