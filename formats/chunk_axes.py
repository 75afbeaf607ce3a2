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

    def grouped(self) -> ChunkAxes:
        """Return the axes with neighbours of one role taken as one.

        Raises
        ------
        InputError
            When axes of one role are apart, so that the chunk's shape would be needed to unfold it.
        """
        roles = [
            role for i, role in enumerate(self.roles) if i == 0 or role is not self.roles[i - 1]
        ]
        if len(set(roles)) != len(roles):
            names = ", ".join(role.name.lower() for role in self.roles)
            raise InputError(f"axes of one kind must be neighbours, these are {names}: transpose")
        return ChunkAxes(tuple(roles))


def chunk_axes(ndim: int, dims: Sequence[str | None] | None = None) -> ChunkAxes:
    """Find the role of each axis.

    One axis is rows and one is columns, found by their names (y, lat, ...; x, lon, ...), else the last
    two. Axes named as bands or levels are the bands of a tile, together where there are several; axes
    named as times or members give a tile at each of their positions. Of axes that no name tells, or
    without names, the last is bands where no other is, the others give tiles.

    Parameters
    ----------
    ndim : int
        Rank of the chunk.
    dims : sequence of str or None, optional
        A name an axis; case does not matter.

    Raises
    ------
    InputError
        When `dims` has another length.
    """
    if dims is not None and len(dims) != ndim:
        raise InputError(f"dims {list(dims)} name {len(dims)} axes; the array has {ndim}")
    if ndim < 2:
        return ChunkAxes((Role.COLUMN,) * ndim)
    told = [_ROLE_OF.get((name or "").lower()) for name in dims or (None,) * ndim]
    if told.count(Role.ROW) != 1 or told.count(Role.COLUMN) != 1:
        told = [None if role in (Role.ROW, Role.COLUMN) else role for role in told]
        told[-2:] = [Role.ROW, Role.COLUMN]
    if Role.BAND not in told and None in told:
        told[max(axis for axis, role in enumerate(told) if role is None)] = Role.BAND
    return ChunkAxes(tuple(Role.TILE if role is None else role for role in told))
