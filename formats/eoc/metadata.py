"""What a container says about its arrays, as frozen dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eocodec.bounds import ErrorBounds, MaxError, bounds_for, check_bounds
from eocodec.errors import InputError
from eocodec.formats.eoc.grid import TileGrid
from eocodec.payload import MAX_TILE_SAMPLES, dtype_code

Tags = Mapping[str, Mapping[str, str]]
Extra = Mapping[str, Any]

RVQ2D = "eocodec.rvq2d-dev"
RVQ3D = "eocodec.rvq3d-dev"
PREDICTIVE = "eocodec.predictive-dev"

MAX_ARRAYS = 4096
MAX_AXES = 8
MAX_AXIS = 2**31 - 1
MAX_PLANES = 2**20
MAX_TILES = 2**24
MAX_DESCRIBED = 2**16
"""Bands and ground control points of one array, and of all arrays of a container together."""
MAX_NAME = 1024
_MAX_WHOLE = 2**64
DEFAULT_TILE_SIZE = 512


@dataclass(frozen=True, kw_only=True)
class Band:
    """What is known of one plane of an array; every field may be left out.

    Attributes
    ----------
    name : str or None
        Short name, such as "B8A".
    description : str or None
        Free text, as GDAL's band description.
    wavelength_nm : float or None
        Central wavelength in nanometres.
    scale, offset : float or None
        Physical value = sample * scale + offset.
    unit : str or None
        Unit of the physical value.
    colour : str or None
        GDAL colour interpretation, lower case ("red", "alpha", "palette").
    mask_flags : tuple of str
        GDAL mask flags ("per_dataset", "nodata", "alpha").
    position : int or None
        0-based band number in the file that the array came from.
    native_factor : int
        2 where the band was resampled from pixels twice as wide (20 m in a 10 m stack), else 1.
    tags : mapping of str to mapping of str to str
        Tags by namespace; "" is the default namespace.
    extra : mapping
        Anything else that JSON can hold, by name of the room that wrote it.
    """

    name: str | None = None
    description: str | None = None
    wavelength_nm: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    colour: str | None = None
    mask_flags: tuple[str, ...] = ()
    position: int | None = None
    native_factor: int = 1
    tags: Tags = field(default_factory=dict)
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gcp:
    """A ground control point: pixel (row, col) lies at (x, y, z) of `gcps_crs`."""

    row: float
    col: float
    x: float
    y: float
    z: float = 0.0
    id: str = ""
    info: str = ""


@dataclass(frozen=True, kw_only=True)
class ArrayHeader:
    """Everything a container says about one array but its tiles. `array_header` builds it.

    Attributes
    ----------
    shape : tuple of int
        2 to 8 axes; the last two are rows and columns, those before are planes.
    dtype : numpy.dtype
        An integer dtype of 8 to 64 bits, float32 or float64.
    name : str
        Unique in the container, at most 1024 characters.
    dims : tuple of str
        A name an axis.
    tile_size : tuple of int
        (planes, rows, columns) of a tile.
    bands : tuple of Band
        Empty, or one a plane.
    nodata : int, float or None
        Samples of this value are invalid.
    crs : str or None
        "EPSG:n", or WKT2.
    transform : tuple of 6 float or None
        (a, b, c, d, e, f): x = a * column + b * row + c, y = d * column + e * row + f, of pixel
        corners, as `affine.Affine`.
    gcps : tuple of Gcp
        Ground control points, in `gcps_crs`.
    gcps_crs : str or None
        As `crs`.
    rpcs : mapping or None
        Rational polynomial coefficients, GDAL's names.
    area_or_point : "area", "point" or None
        What a sample stands for.
    tags : mapping of str to mapping of str to str
        Dataset tags by namespace; "" is the default namespace.
    extra : mapping
        Anything else that JSON can hold, by name of the room that wrote it.
    codec : str
        Codec id; the writer sets it.
    model : str or None
        First 8 hexadecimal digits of the SHA-256 of the model's weights; the writer sets it.
    layers : int or None
        Layers that the encoder was asked for; the writer sets it.
    max_error : float, tuple of float or None, or None
        Promised bound of the error of every valid sample decoded at all layers, in the unit of the
        data (0: lossless), for all planes or one a plane; the writer sets it, as those below.
    max_relative_error : float or None
        The same as a share of the sample's magnitude.
    max_error_sqrt : float or None
        The same divided by the square root of the sample's magnitude.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str = "data"
    dims: tuple[str, ...]
    tile_size: tuple[int, int, int]
    bands: tuple[Band, ...] = ()
    nodata: int | float | None = None
    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    gcps: tuple[Gcp, ...] = ()
    gcps_crs: str | None = None
    rpcs: Mapping[str, Any] | None = None
    area_or_point: str | None = None
    tags: Tags = field(default_factory=dict)
    extra: Extra = field(default_factory=dict)
    codec: str = PREDICTIVE
    model: str | None = None
    layers: int | None = None
    max_error: MaxError | None = None
    max_relative_error: float | None = None
    max_error_sqrt: float | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME:
            raise InputError(
                f"an array has a name of {len(self.name)} characters; {MAX_NAME} are allowed"
            )
        where = f"array {self.name!r}"
        if not 2 <= len(self.shape) <= MAX_AXES:
            raise InputError(f"{where}: 2 to {MAX_AXES} axes are possible, not {len(self.shape)}")
        if not all(1 <= n <= MAX_AXIS for n in self.shape) or self.planes > MAX_PLANES:
            raise InputError(
                f"{where}: shape {self.shape} has an empty axis, one above {MAX_AXIS}, "
                f"or more than {MAX_PLANES} planes"
            )
        if len(self.dims) != len(self.shape) or len(set(self.dims)) != len(self.dims):
            raise InputError(f"{where}: dims {self.dims} must name each of {self.shape} once")
        dtype_code(self.dtype)
        if len(self.tile_size) != 3 or not all(1 <= n <= MAX_AXIS for n in self.tile_size):
            raise InputError(f"{where}: tile size {self.tile_size} is not three positive numbers")
        if math.prod(self.grid.tile_shape(0)) > MAX_TILE_SAMPLES:
            raise InputError(
                f"{where}: a tile of {self.tile_size} holds more than {MAX_TILE_SAMPLES} samples; "
                "pass a smaller tile_size"
            )
        if self.grid.tiles > MAX_TILES:
            raise InputError(
                f"{where}: {self.shape} in tiles of {self.tile_size} is {self.grid.tiles} tiles, "
                f"more than {MAX_TILES}; pass a larger tile_size"
            )
        if max(len(self.bands), len(self.gcps)) > MAX_DESCRIBED:
            raise InputError(
                f"{where}: at most {MAX_DESCRIBED} bands and ground control points can be described"
            )
        if self.bands and len(self.bands) != self.planes:
            raise InputError(
                f"{where}: {len(self.bands)} bands described, the array has {self.planes}"
            )
        if any(band.native_factor not in (1, 2) for band in self.bands):
            raise InputError(f"{where}: native_factor must be 1 or 2")
        if self.transform is not None and len(self.transform) != 6:
            raise InputError(f"{where}: transform needs six numbers, not {len(self.transform)}")
        if self.area_or_point not in (None, "area", "point"):
            raise InputError(f'{where}: area_or_point must be "area" or "point"')
        check_bounds(self.max_error, self.max_relative_error, self.max_error_sqrt)
        if isinstance(self.max_error, tuple) and len(self.max_error) != self.planes:
            raise InputError(
                f"{where}: max_error has {len(self.max_error)} bounds, the array {self.planes} planes"
            )

    @property
    def planes(self) -> int:
        """Product of the axes before rows and columns (1 for a 2-D array)."""
        return math.prod(self.shape[:-2])

    @property
    def grid(self) -> TileGrid:
        """The cut into tiles."""
        return TileGrid((self.planes, self.shape[-2], self.shape[-1]), self.tile_size)

    def bounds(self, plane: int) -> ErrorBounds | None:
        """The error bounds promised for one plane, as those of a single band; None without any."""
        absolute = self.max_error
        if isinstance(absolute, tuple):
            absolute = absolute[plane]
        return bounds_for(1, absolute, self.max_relative_error, self.max_error_sqrt)

    @property
    def band_names(self) -> tuple[str, ...]:
        """Name of each plane, its description or its 1-based number where it has no name."""
        bands = self.bands or (Band(),) * min(self.planes, MAX_DESCRIBED)
        return tuple(b.name or b.description or str(i + 1) for i, b in enumerate(bands))

    def place(self, tile: int) -> str:
        """Name a tile and what it covers, for messages."""
        _, rows, columns = self.grid.box(tile)
        return (
            f"array {self.name!r}, tile {tile} "
            f"(rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop})"
        )


def nodata_number(value: int | float | None, dtype: np.dtype[Any]) -> int | float | None:
    """Return a nodata value as a header of an array of `dtype` holds it.

    A whole number stays an int, exact to 64 bits, where the array holds integers.

    Raises
    ------
    InputError
        If it is no number, or too large for a float.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"nodata {value!r} is no number") from error
    whole = dtype.kind in "iu" and number.is_integer() and abs(int(value)) < _MAX_WHOLE
    return int(value) if whole else number
