"""The tile grid: which tile covers which planes, rows and columns of an array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class TileGrid:
    """Cut of (planes, height, width) into tiles, numbered plane-major, then by row, by column.

    Tiles at the far edges are cut, not padded.
    """

    shape: tuple[int, int, int]
    tile: tuple[int, int, int]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of tiles along planes, rows and columns."""
        planes, height, width = (-(-n // t) for n, t in zip(self.shape, self.tile, strict=True))
        return planes, height, width

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        planes, rows, columns = self.counts
        return planes * rows * columns

    def box(self, number: int) -> Box:
        """Planes, rows and columns that tile `number` covers."""
        _, rows, columns = self.counts
        at = (number // (rows * columns), number // columns % rows, number % columns)
        plane, row, column = (
            slice(i * t, min((i + 1) * t, n))
            for i, t, n in zip(at, self.tile, self.shape, strict=True)
        )
        return plane, row, column

    def tile_shape(self, number: int) -> tuple[int, int, int]:
        """Shape (C, H, W) of tile `number`."""
        planes, rows, columns = (s.stop - s.start for s in self.box(number))
        return planes, rows, columns

    def touched(self, box: Box) -> Iterator[int]:
        """Numbers of the tiles that `box` intersects, ascending."""
        _, rows, columns = self.counts
        planes_of, rows_of, columns_of = (
            range(s.start // t, -(-s.stop // t)) if s.stop > s.start else range(0)
            for s, t in zip(box, self.tile, strict=True)
        )
        for plane in planes_of:
            for row in rows_of:
                for column in columns_of:
                    yield (plane * rows + row) * columns + column
