"""How a file is compressed, whatever its format, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eocodec.formats.eoc.header import DEFAULT_TILE_SIZE
from eocodec.formats.quality import Target
from eocodec.tile import EncodeSettings

_OF_FIELDS = ("max_relative_error", "max_range_error", "keep_real_information")


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """How a file is compressed.

    Attributes
    ----------
    settings : EncodeSettings
        Mode, model, quality and error bounds; `nodata` comes from the file.
    max_error : mapping of str to float or None
        Largest absolute error of single bands, by name, description or 1-based number, besides
        what `settings` bounds; of variables, by name, where the file holds fields. Bands of a learned
        stack that are not named get its quality.
    max_relative_error : mapping of str to float or None
        Largest error of single variables, as a share of the value. Fields only, as the next two.
    max_range_error : float, mapping of str to float or None
        Largest error as a share of the range (maximum - minimum) of a variable: of all, or by name.
    keep_real_information : float, mapping of str to float or None
        Share of the bitwise real information to keep: of all floating-point variables, or by name.
    target : Target or None
        An error or size to meet instead of the quality in `settings`.
    ratio : float or None
        A ratio of raw to compressed bytes to meet instead.
    bands : sequence of str or None
        Names of the bands in the file, where its band descriptions do not tell.
    tile_size : int
        Rows and columns of a tile.
    threads : int or None
        Encoding threads; None takes the cores of the process.
    overwrite : bool
        Replace an existing file.
    """

    settings: EncodeSettings = field(default_factory=EncodeSettings)
    max_error: Mapping[str, float] | None = None
    max_relative_error: Mapping[str, float] | None = None
    max_range_error: float | Mapping[str, float] | None = None
    keep_real_information: float | Mapping[str, float] | None = None
    target: Target | None = None
    ratio: float | None = None
    bands: Sequence[str] | None = None
    tile_size: int = DEFAULT_TILE_SIZE
    threads: int | None = None
    overwrite: bool = False

    @property
    def bounded(self) -> bool:
        """Whether an error is bounded."""
        return self.settings.bounded or bool(self.max_error)

    @property
    def of_fields(self) -> str:
        """Name of an option that only fields can have; "" without any."""
        given = (name for name in _OF_FIELDS if getattr(self, name) is not None)
        return next(given, "")


@dataclass(frozen=True)
class CodedPart:
    """How a variable, band or group of bands was coded, and what error that made.

    Attributes
    ----------
    name : str
        Name of the variable, or of the bands.
    mode : str
        "exact", "within a bound" or "learned".
    detail : str
        What was asked of it, such as "max error 0.1 K", "quality 4" or "99 % of the real information
        (7 mantissa bits: errors up to 0.391 % of a value)".
    raw_bytes : int
        Size of the samples, uncompressed.
    size : int or None
        Bytes of its tiles in the container; None where they are not counted.
    samples : int
        Samples, valid or not.
    rmse, max_error : float or None
        Root mean square and largest error of the valid samples, in `unit`; None where not measured.
    unit : str
        Unit of the errors, "" where none is known.
    """

    name: str
    mode: str
    detail: str
    raw_bytes: int
    size: int | None
    samples: int
    rmse: float | None
    max_error: float | None
    unit: str


@dataclass(frozen=True)
class CompressReport:
    """What a compression came to.

    Attributes
    ----------
    size : int
        Bytes of the container.
    raw_bytes : int
        Size of the samples, uncompressed.
    samples : int
        Samples of all bands or fields, each on its own grid.
    pixels : int or None
        Pixels of the 10 m grid (rows times columns) of a raster.
    parts : tuple of CodedPart
        How each variable or group of bands was coded.
    warnings : tuple of str
        What a user should know: a bound that made a field exact, what of the source is not kept.
    """

    size: int
    raw_bytes: int
    samples: int
    pixels: int | None = None
    parts: tuple[CodedPart, ...] = ()
    warnings: tuple[str, ...] = ()
