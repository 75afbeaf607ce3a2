"""Sentinel-2 bands on their two native grids: 20 m bands brought to 10 m for coding, and back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.errors import InputError
from eocodec.formats.eoc.header import Band
from eocodec.formats.eoc.native import REPEATED, is_repeated
from eocodec.formats.raster import GeoTiff, Raster
from eocodec.resample import double_samples, halve_samples

# Coarse pixels read around a window: bilinear interpolation needs one; the influence of a sample
# on its least-squares inverse falls by about 3 a pixel, so that 16 leave nothing of it.
_UP_HALO = 1
_DOWN_HALO = 16


class NativePair:
    """The 10 m file and the 20 m file of one place, read as one raster at 10 m.

    Parameters
    ----------
    fine, coarse : GeoTiff
        Files on grids of 10 m and 20 m (any two of ratio 2) with one corner.
    repeated : collection of int
        Bands, counted from 0 in both files together, whose coarse samples are repeated instead of interpolated.

    Raises
    ------
    InputError
        If the files do not cover the same place, or differ in dtype or nodata.
    """

    def __init__(self, fine: GeoTiff, coarse: GeoTiff, *, repeated: Collection[int] = ()) -> None:
        _check_pair(fine, coarse)
        self._fine, self._coarse = fine, coarse
        count = fine.shape[0]
        self.name = f"{fine.name} + {coarse.name}"
        self.shape: tuple[int, int, int] = (count + coarse.shape[0], *fine.shape[1:])
        self.dtype: np.dtype[Any] = fine.dtype
        self.nodata: int | float | None = fine.nodata
        self.bands: tuple[Band, ...] = fine.bands + tuple(
            replace(
                band,
                position=count + index,
                native_factor=2,
                extra={**band.extra, **(REPEATED if count + index in repeated else {})},
            )
            for index, band in enumerate(coarse.bands)
        )

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the samples of a window at 10 m, (bands, rows, columns)."""
        count = self._fine.shape[0]
        wanted = list(range(self.shape[0]) if bands is None else bands)
        pixels = np.empty(
            (len(wanted), rows.stop - rows.start, columns.stop - columns.start), self.dtype
        )
        fine = [(at, band) for at, band in enumerate(wanted) if band < count]
        coarse = [(at, band - count) for at, band in enumerate(wanted) if band >= count]
        if fine:
            at, indexes = zip(*fine, strict=True)
            pixels[list(at)] = self._fine.read(rows, columns, indexes)
        for place, index in coarse:
            if is_repeated(self.bands[count + index]):
                pixels[place] = self._repeated(rows, columns, index)
        coarse = [one for one in coarse if not is_repeated(self.bands[count + one[1]])]
        if coarse:
            at, indexes = zip(*coarse, strict=True)
            pixels[list(at)] = self._upsampled(rows, columns, indexes)
        return pixels

    def _repeated(self, rows: slice, columns: slice, band: int) -> NDArray[Any]:
        high, wide = (slice(window.start // 2, -(-window.stop // 2)) for window in (rows, columns))
        coarse = self._coarse.read(high, wide, [band])[0]
        pixels: NDArray[Any] = coarse.repeat(2, axis=0).repeat(2, axis=1)
        top, left = rows.start % 2, columns.start % 2
        return pixels[top:, left:][: rows.stop - rows.start, : columns.stop - columns.start]

    def _upsampled(self, rows: slice, columns: slice, bands: Sequence[int]) -> NDArray[Any]:
        _, height, width = self._coarse.shape
        around = (_halo(rows, height, _UP_HALO), _halo(columns, width, _UP_HALO))
        pixels = self._coarse.read(*around, bands)
        cut = tuple(
            slice(window.start - 2 * outer.start, window.stop - 2 * outer.start)
            for window, outer in zip((rows, columns), around, strict=True)
        )
        return double_samples(pixels, self.nodata)[:, cut[0], cut[1]]


class NativeGrid:
    """The bands of a 10 m raster that came from 20 m pixels, on their own grid again.

    Parameters
    ----------
    raster : Raster
        A raster at 10 m.
    bands : sequence of int
        The bands to give back at 20 m, counted from 0.
    """

    def __init__(self, raster: Raster, bands: Sequence[int]) -> None:
        self._raster = raster
        self._indexes = list(bands)
        _, height, width = raster.shape
        self.name = raster.name
        size = len(self._indexes), -(-height // 2), -(-width // 2)
        self.shape: tuple[int, int, int] = size
        self.dtype: np.dtype[Any] = raster.dtype
        self.nodata: int | float | None = raster.nodata
        self.bands: tuple[Band, ...] = tuple(raster.bands[index] for index in self._indexes)

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """Return the samples of a window at 20 m, (bands, rows, columns)."""
        indexes = self._indexes if bands is None else [self._indexes[band] for band in bands]
        _, height, width = self._raster.shape
        outer = (
            _halo(slice(2 * rows.start, 2 * rows.stop), -(-height // 2), _DOWN_HALO),
            _halo(slice(2 * columns.start, 2 * columns.stop), -(-width // 2), _DOWN_HALO),
        )
        fine = [
            slice(2 * window.start, min(2 * window.stop, size))
            for window, size in zip(outer, (height, width), strict=True)
        ]
        pixels = self._raster.read(fine[0], fine[1], indexes)
        result = halve_samples(pixels, self.nodata)
        for at, index in enumerate(indexes):
            if is_repeated(self._raster.bands[index]):
                result[at] = pixels[at, ::2, ::2]
        top, left = rows.start - outer[0].start, columns.start - outer[1].start
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return result[:, top : top + height, left : left + width]


def doubled_transform(
    transform: Sequence[float],
) -> tuple[float, float, float, float, float, float]:
    """Return the affine transform (a, b, c, d, e, f) of pixels twice as wide and high."""
    a, b, c, d, e, f = transform
    return 2 * a, 2 * b, c, 2 * d, 2 * e, f


def _check_pair(fine: GeoTiff, coarse: GeoTiff) -> None:
    names = f"{fine.name} and {coarse.name}"
    expected = tuple(-(-size // 2) for size in fine.shape[1:])
    if coarse.shape[1:] != expected:
        raise InputError(
            f"{names} are no pair: the second must have half the rows and columns of the first "
            f"({expected[0]} x {expected[1]}), it has {coarse.shape[1]} x {coarse.shape[2]}"
        )
    for what in ("dtype", "nodata"):
        values = getattr(fine, what), getattr(coarse, what)
        if str(values[0]) != str(values[1]):
            raise InputError(f"{names} differ in {what} ({values[0]}, {values[1]})")
    if fine.fields["crs"] != coarse.fields["crs"]:
        raise InputError(f"{names} have different coordinate reference systems")
    if fine.has_mask or coarse.has_mask:
        raise InputError(f"{names}: dataset masks of a pair cannot be kept; use nodata")
    if fine.fields["gcps"] or coarse.fields["gcps"]:
        raise InputError(f"{names}: ground control points of a pair cannot be kept")
    transforms = fine.fields["transform"], coarse.fields["transform"]
    if None not in transforms:
        doubled = doubled_transform(transforms[0])
        if not np.allclose(doubled, transforms[1], rtol=1e-9, atol=1e-6 * abs(doubled[0])):
            raise InputError(f"{names} do not cover the same place: their transforms disagree")


def _halo(window: slice, size: int, halo: int) -> slice:
    """Return the coarse pixels beneath a fine window, and `halo` more on both sides."""
    return slice(max(window.start // 2 - halo, 0), min(-(-window.stop // 2) + halo, size))
