"""Which axes of a chunk are bands, rows and columns: the rule that folds chunks of any rank to tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError

Array = npt.NDArray[Any]


class Role(IntEnum):
    """What an axis is to the tiles of a chunk, in the order of the folded axes."""

    TILE = 0
    BAND = 1
    ROW = 2
    COLUMN = 3


_NAMES = {
    Role.ROW: "y lat latitude row rows northing nav_lat rlat projection_y_coordinate south_north",
    Role.COLUMN: (
        "x lon longitude col cols column columns easting nav_lon rlon projection_x_coordinate west_east"
    ),
    Role.BAND: (
        "band bands channel channels wavelength level levels lev ilev plev pressure pressure_level "
        "isobaricinhpa isobaric model_level hybrid hybrid_level height altitude depth z bottom_top "
        "heightaboveground depthbelowlandlayer generalverticallayer"
    ),
    Role.TILE: (
        "time t date datetime valid_time forecast_reference_time reference_time step lead_time "
        "forecast_period month season year number member realization ensemble sample batch"
    ),
}
_MOST_LAST_BANDS = 32
_LEAST_SIDE = 32
_ROLE_OF = {name: role for role, names in _NAMES.items() for name in names.split()}


@dataclass(frozen=True)
class ChunkAxes:
    """The role of each axis of a chunk, found by `chunk_axes`."""

    roles: tuple[Role, ...]

    @property
    def order(self) -> list[int]:
        """Axes in the order of the folded ones: tiles, bands, rows, columns."""
        return sorted(range(len(self.roles)), key=lambda axis: self.roles[axis])

    def extents(self, shape: Sequence[int]) -> tuple[int, int, int, int]:
        """Return (tiles, bands, rows, columns) of a chunk of `shape`."""
        tiles, bands, rows, columns = (
            math.prod(n for n, own in zip(shape, self.roles, strict=True) if own is role)
            for role in Role
        )
        return tiles, bands, rows, columns

    def fold(self, chunk: Array) -> Array:
        """Return `chunk` as (tiles, bands, rows, columns)."""
        return chunk.transpose(self.order).reshape(self.extents(chunk.shape))

    def unfold(self, tiles: Array, shape: Sequence[int]) -> Array:
        """Return (tiles, bands, rows, columns) as the chunk of `shape` that they were."""
        order = self.order
        return tiles.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def bands_last(shape: Sequence[int]) -> bool:
    """Whether the last axis of an array without names is bands: (..., rows, columns, bands).

    It is where it has at most 32 positions, and each of the two axes before at least 32 and four times as
    many.
    """
    if len(shape) < 3:
        return False
    rows, columns, bands = shape[-3:]
    least = max(_LEAST_SIDE, 4 * bands)
    return 1 <= bands <= _MOST_LAST_BANDS and min(rows, columns) >= least


def chunk_axes(
    ndim: int, dims: Sequence[str | None] | None = None, shape: Sequence[int] | None = None
) -> ChunkAxes:
    """Find the role of each axis.

    One axis is rows and one is columns, found by their names (y, lat, ...; x, lon, ...), else the last
    two. Axes named as bands or levels are the bands of a tile, together where there are several; axes
    named as times or members give a tile at each of their positions. Of axes that no name tells, or
    without names, the last is bands where no other is, the others give tiles. Without any names, a short
    last axis is bands and the two before it rows and columns (see `bands_last`).

    Parameters
    ----------
    ndim : int
        Rank of the chunk.
    dims : sequence of str or None, optional
        A name an axis; case does not matter.
    shape : sequence of int, optional
        Of the chunk; without it the last two axes of a chunk without names are rows and columns.

    Raises
    ------
    InputError
        When `dims` has another length.
    """
    if dims is not None and len(dims) != ndim:
        raise InputError(f"dims {list(dims)} name {len(dims)} axes; the array has {ndim}")
    if ndim < 2:
        return ChunkAxes((Role.COLUMN,) * ndim)
    if dims is None and shape is not None and bands_last(shape):
        return ChunkAxes((Role.TILE,) * (ndim - 3) + (Role.ROW, Role.COLUMN, Role.BAND))
    told = [_ROLE_OF.get((name or "").lower()) for name in dims or (None,) * ndim]
    if told.count(Role.ROW) != 1 or told.count(Role.COLUMN) != 1:
        told = [None if role in (Role.ROW, Role.COLUMN) else role for role in told]
        told[-2:] = [Role.ROW, Role.COLUMN]
    if Role.BAND not in told and None in told:
        told[max(axis for axis, role in enumerate(told) if role is None)] = Role.BAND
    return ChunkAxes(tuple(Role.TILE if role is None else role for role in told))
