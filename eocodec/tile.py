"""One tile, pixels to payload and back: picks the cheapest mode that meets the request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec import payload as wire
from eocodec.bounds import ErrorBounds
from eocodec.codec_models import find_card
from eocodec.cores import one_core_in_workers
from eocodec.distortion import Distortion
from eocodec.errors import ChecksumError, FormatError, InputError
from eocodec.mask import (
    MAX_FILLS,
    Mask,
    build_mask,
    decode_mask,
    empty_mask,
    encode_mask,
    find_invalid,
)
from eocodec.payload import Buffer, TileHead, build_payload, layer_bodies, parse_head, pixel_crc32c
from eocodec.predictive import decode_predictive, encode_predictive
from eocodec.settings import EncodeSettings as EncodeSettings
from eocodec.units import (
    looks_like_reflectance,
    natural_unit,
    reflectance_unit,
    undeclared_fills,
)

# Below this many valid samples a learned tile cannot repay its head; code it without loss.
_FEW_SAMPLES = 256
# Within bounds so loose that a sample takes fewer bits than this, learned layers may be the smaller.
_LOOSE_BITS = 0.5
# With this share of samples equal to the one before, the lossless mode is tried as well.
_REPETITIVE = 0.7
# A mask helps the lossless mode when it costs fewer bits than this per invalid sample.
_MASK_BITS = 2


def encode_tile(pixels: npt.NDArray[Any], settings: EncodeSettings | None = None) -> bytes:
    """Return the payload of one tile.

    Parameters
    ----------
    pixels : ndarray, (C, H, W)
        Any integer dtype of 8 to 64 bits, float32 or float64.
    settings : EncodeSettings, optional
        What to keep; by default every sample.

    Raises
    ------
    InputError
        When the array has another rank, no samples, too many, or a dtype the format lacks.
    """
    return encode_measured(pixels, settings)[0]


@one_core_in_workers
def encode_measured(
    pixels: npt.NDArray[Any], settings: EncodeSettings | None = None
) -> tuple[bytes, Distortion]:
    """Return the payload of one tile and the errors of what it decodes to; as `encode_tile`."""
    settings = settings or EncodeSettings()
    if settings.model is not None:
        find_card(settings.model)
    pixels = _checked(pixels)
    bounds = settings.bounds(len(pixels))
    if settings.only_reflectance:
        settings = _of_reflectances(pixels, settings)
    invalid = find_invalid(pixels, *settings.invalid_values)
    coded = _encode(pixels, invalid, settings, bounds)
    return coded.payload, Distortion.of(pixels, coded.decoded, invalid, learned=coded.learned)


def _of_reflectances(pixels: npt.NDArray[Any], settings: EncodeSettings) -> EncodeSettings:
    """Return the settings of a tile of reflectances, its unit and its undeclared fills among them."""
    unit = reflectance_unit(pixels.dtype) if settings.unit is None else settings.unit
    if unit is None:
        return settings
    known = [one for one in settings.invalid_values if one == one]
    fills = [one for one in undeclared_fills(pixels, unit) if one not in known]
    if len(known) + len(fills) > MAX_FILLS:
        fills = []
    return replace(settings, unit=unit, special=(*settings.special, *fills))


def _encode(
    pixels: npt.NDArray[Any],
    invalid: npt.NDArray[np.bool_] | None,
    settings: EncodeSettings,
    bounds: ErrorBounds | None,
) -> _Coded:
    values = _constant_values(pixels, None)
    if values is not None:
        return _assemble(wire.CONSTANT, pixels, [values], None)
    lossy = settings.asks_for_layers or (bounds is not None and not bounds.exact)
    if lossy and pixels.dtype.kind == "f":
        invalid = _with_infinities(pixels, invalid)
    mask = None if invalid is None else build_mask(pixels, invalid)
    if mask is not None:
        values = _constant_values(pixels, mask.invalid)
        if values is not None:
            return _assemble(wire.CONSTANT, pixels, [values], mask)
    if not lossy or (invalid is not None and mask is None) or _too_few(pixels, invalid):
        return _encode_lossless(pixels, mask)
    task = _Task(pixels, mask, settings)
    if not task.room_to_reserve:
        return _encode_lossless(pixels, mask)
    if bounds is None:
        return _encode_unbounded(task)
    learnable = _learnable(task) if settings.asks_for_layers else None
    if learnable is not None:
        return _encode_guaranteed(learnable, bounds) or _encode_lossless(pixels, mask)
    predictive = None if bounds.exact else _encode_bounded(task, bounds)
    if predictive is None:
        return _encode_lossless(pixels, mask)
    loose = 8 * len(predictive.payload) < _LOOSE_BITS * pixels.size
    learnable = _learnable(task) if loose and find_spec("torch") is not None else None
    if learnable is None:
        return predictive
    return min(predictive, _encode_guaranteed(learnable, bounds) or predictive, key=_size)


@dataclass(frozen=True)
class _Coded:
    """A payload, what it decodes to where that is not the original, and whether it holds learned layers."""

    payload: bytes
    decoded: npt.NDArray[Any] | None
    learned: bool


def _size(coded: _Coded) -> int:
    return len(coded.payload)


@dataclass(frozen=True)
class _Task:
    """A tile to encode: its pixels (C, H, W), the mask of those that are invalid, and what to keep."""

    pixels: npt.NDArray[Any]
    mask: Mask | None
    settings: EncodeSettings

    @property
    def invalid(self) -> npt.NDArray[np.bool_] | None:
        """Where samples are invalid, None where all are valid."""
        return None if self.mask is None else self.mask.invalid

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W)."""
        bands, height, width = self.pixels.shape
        return bands, height, width

    @property
    def room_to_reserve(self) -> bool:
        """Whether a mask has room for all values that no valid sample may decode to."""
        return self._reserved() is not None

    def lossy_mask(self) -> Mask | None:
        """Return the mask with nodata reserved, so that no valid sample decodes to it."""
        mask = self._reserved()
        return mask if mask is not None and len(mask.fills) else None

    def _reserved(self) -> Mask | None:
        mask = self.mask or empty_mask(self.shape, self.pixels.dtype)
        return mask.reserve(*self.settings.invalid_values)


@one_core_in_workers
def decode_tile(buffer: Buffer, layers: int | None = None) -> npt.NDArray[Any]:
    """Decode a tile payload, or a prefix of one that holds the layers asked for.

    Parameters
    ----------
    buffer : bytes-like
        The payload; bytes after its last layer are ignored.
    layers : int or None
        How many layers to use; None, or more than there are, uses all.

    Returns
    -------
    ndarray, (C, H, W)
        In the tile's dtype, native byte order.

    Raises
    ------
    FormatError
        When the bytes are truncated, damaged or not a tile, or the pixels fail a binding CRC.
    UnsupportedError
        When they need a newer release.
    """
    head = parse_head(buffer)
    bodies = layer_bodies(buffer, head, layers)
    pixels = _decode_bodies(head, bodies)
    complete = len(bodies) == len(head.layer_sizes)
    if complete and head.pixel_crc is not None and pixel_crc32c(pixels) != head.pixel_crc:
        raise ChecksumError("decoded pixels do not match the tile's pixel CRC-32C")
    return pixels


def verify_tile(buffer: Buffer) -> None:
    """Check every CRC of a whole payload, the pixels' where it binds, and that nothing follows.

    Raises
    ------
    FormatError, UnsupportedError
        As `decode_tile`.
    """
    head = parse_head(buffer)
    if len(buffer) != head.layer_ends[-1]:
        layer_bodies(buffer, head)
        raise FormatError(f"tile has {len(buffer) - head.layer_ends[-1]} bytes after its end")
    if head.pixel_crc is not None:
        decode_tile(buffer)
    else:
        layer_bodies(buffer, head)
        if head.mask is not None:
            decode_mask(head.mask, head.shape, head.dtype)


def _checked(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if pixels.ndim != 3:
        raise InputError(f"a tile is (bands, rows, columns), not {pixels.ndim}-dimensional")
    if pixels.size == 0 or pixels.size > wire.MAX_TILE_SAMPLES:
        raise InputError(
            f"a tile holds 1 to {wire.MAX_TILE_SAMPLES} samples, not {pixels.size}; "
            "choose a smaller tile size"
        )
    if len(pixels) > wire.MAX_TILE_BANDS:
        raise InputError(f"a tile holds at most {wire.MAX_TILE_BANDS} bands, not {len(pixels)}")
    wire.dtype_code(pixels.dtype)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def _constant_values(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None
) -> bytes | None:
    """Return one little-endian value a band when every band's valid samples are one value."""
    bits = pixels.view(f"u{pixels.dtype.itemsize}")
    values = np.zeros(len(bits), bits.dtype)
    for band, plane in enumerate(bits):
        valid = plane if invalid is None else plane[~invalid[band]]
        if valid.size == 0:
            continue
        values[band] = valid.flat[0]
        if not (valid == values[band]).all():
            return None
    if (values == values[0]).all():
        values = values[:1]
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _with_infinities(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_] | None:
    """Return `invalid` with the infinities, which no lossy mode can code."""
    infinite: npt.NDArray[np.bool_] = np.isinf(pixels)
    if not infinite.any():
        return invalid
    return infinite if invalid is None else invalid | infinite


def _too_few(pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None) -> bool:
    unusable = 0 if invalid is None else int(np.count_nonzero(invalid))
    return pixels.size - unusable < _FEW_SAMPLES


def _learnable(task: _Task) -> _Task | None:
    """Return the task with the unit of its quality known, or None where the learned mode cannot code it."""
    from eocodec.rvq import rvq_applies

    unit = _unit(task)
    if unit is None:
        return None
    task = replace(task, settings=replace(task.settings, unit=unit))
    valid = task.pixels if task.invalid is None else np.where(task.invalid, 0, task.pixels)
    return task if rvq_applies(valid, task.settings) else None


def _unit(task: _Task) -> float | None:
    """Return what one DN is in a tile; None where only reflectances are learned and it holds others."""
    settings, pixels = task.settings, task.pixels
    card = find_card(settings.model)
    if card.ndim == 3:
        return 1.0
    if settings.only_reflectance:
        unit = settings.unit
        samples = pixels.ravel() if task.invalid is None else pixels[~task.invalid]
        fits = unit is not None and looks_like_reflectance(samples, unit, whole=False)
        return unit if fits else None
    if settings.unit is not None:
        return settings.unit
    # A model that is named, or a tile of all its bands, says that they may be reflectances.
    told = settings.model is not None or len(pixels) == len(card.bands)
    return natural_unit(pixels, task.invalid, reflectances=told)


def _repetitive(pixels: npt.NDArray[Any]) -> bool:
    """Whether so many samples repeat their neighbour that the lossless mode may be the smaller."""
    rows = pixels[:, :: max(1, pixels.shape[1] // 64)]
    same = rows[:, :, 1:] == rows[:, :, :-1]
    return bool(np.count_nonzero(same) >= _REPETITIVE * same.size)


def _encode_lossless(pixels: npt.NDArray[Any], mask: Mask | None) -> _Coded:
    # A mask spares the invalid samples; where they are scattered it costs more than it saves.
    if mask is not None:
        count = int(np.count_nonzero(mask.labels))
        section = encode_mask(mask)
        if pixels.dtype.kind == "f" or 8 * len(section) < _MASK_BITS * count:
            body = encode_predictive(pixels, mask.invalid)
            return _assemble(wire.PREDICTIVE, pixels, [body], mask)
    return _assemble(wire.PREDICTIVE, pixels, [encode_predictive(pixels)], None)


def _encode_unbounded(task: _Task) -> _Coded:
    learnable = _learnable(task)
    if learnable is None:
        return _encode_lossless(task.pixels, task.mask)
    mask = task.lossy_mask()
    bodies, decoded = _learned_layers(learnable)
    learned = _assemble(wire.RVQ, _masked(decoded, mask), bodies, mask, lossy=True)
    if not _repetitive(task.pixels):
        return learned
    return min(learned, _encode_lossless(task.pixels, task.mask), key=_size)


def _learned_layers(task: _Task) -> tuple[list[bytes], npt.NDArray[Any]]:
    from eocodec.rvq import encode_rvq

    return encode_rvq(task.pixels, task.invalid, task.settings)


def _encode_bounded(task: _Task, bounds: ErrorBounds) -> _Coded | None:
    """Return a predictive tile within bounds, or None where its samples are not."""
    mask = task.lossy_mask()
    body = encode_predictive(task.pixels, task.invalid, _off_fills(task, mask, bounds))
    decoded = decode_predictive(body, task.pixels.dtype, task.shape, _invalid(mask))
    return _within(task, bounds, wire.PREDICTIVE, [body], mask, _masked(decoded, mask))


def _encode_guaranteed(task: _Task, bounds: ErrorBounds) -> _Coded | None:
    """Return a learned tile, with a guarantee layer where its samples are not within bounds without.

    None where they are not even with it.
    """
    mask = task.lossy_mask()
    bodies, learned = _learned_layers(task)
    plain = _within(task, bounds, wire.RVQ, bodies, mask, _masked(learned, mask))
    if plain is not None:
        return plain
    body = encode_predictive(task.pixels, task.invalid, _off_fills(task, mask, bounds), learned)
    decoded = decode_predictive(body, task.pixels.dtype, task.shape, _invalid(mask), learned)
    layers = [*bodies, body]
    return _within(task, bounds, wire.RVQ, layers, mask, _masked(decoded, mask), guaranteed=True)


def _off_fills(task: _Task, mask: Mask | None, bounds: ErrorBounds) -> ErrorBounds:
    """Return bounds that leave room to step off a fill that lies among the valid values."""
    if mask is None or bounds.exact:
        return bounds
    valid = task.pixels if task.invalid is None else task.pixels[~task.invalid]
    reach = max((value for value in bounds.absolute if value is not None), default=0)
    steps = mask.steps_off(valid.min(), valid.max(), reach)
    return bounds.less(steps, valid) if steps else bounds


def _within(
    task: _Task,
    bounds: ErrorBounds,
    mode: int,
    bodies: list[bytes],
    mask: Mask | None,
    decoded: npt.NDArray[Any],
    *,
    guaranteed: bool = False,
) -> _Coded | None:
    """Return the payload when the pixels that it decodes to are within bounds, None otherwise."""
    if not bounds.met(task.pixels, decoded, task.invalid):
        return None
    return _assemble(mode, decoded, bodies, mask, lossy=True, guaranteed=guaranteed)


def _assemble(
    mode: int,
    pixels: npt.NDArray[Any],
    bodies: list[bytes],
    mask: Mask | None,
    *,
    lossy: bool = False,
    guaranteed: bool = False,
) -> _Coded:
    """Build the payload of layers that decode to these pixels: the original ones, or others where `lossy`."""
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    section = None if mask is None else encode_mask(mask)
    crc = pixel_crc32c(pixels)
    payload = build_payload(mode, pixels.dtype, shape, bodies, section, crc, guaranteed)
    return _Coded(payload, pixels if lossy else None, mode == wire.RVQ)


def _decode_bodies(head: TileHead, bodies: list[memoryview]) -> npt.NDArray[Any]:
    dtype = head.dtype.newbyteorder("=")
    mask = None if head.mask is None else decode_mask(head.mask, head.shape, dtype)
    if head.mode == wire.CONSTANT:
        pixels = _decode_constant(bodies[0], head, dtype)
        return pixels if mask is None else mask.restore(pixels)
    invalid = _invalid(mask)
    if head.mode == wire.PREDICTIVE:
        pixels = decode_predictive(bodies[0], dtype, head.shape, invalid)
    else:
        from eocodec.rvq import decode_rvq

        complete = head.guaranteed and len(bodies) == len(head.layer_sizes)
        pixels = decode_rvq(bodies[:-1] if complete else bodies, head.shape, dtype)
        if complete:
            pixels = decode_predictive(bodies[-1], dtype, head.shape, invalid, pixels)
    return _masked(pixels, mask)


def _invalid(mask: Mask | None) -> npt.NDArray[np.bool_] | None:
    return None if mask is None else mask.invalid


def _masked(pixels: npt.NDArray[Any], mask: Mask | None) -> npt.NDArray[Any]:
    """Return decoded pixels with the fill values where they belong, and only there."""
    return pixels if mask is None else mask.restore(mask.keep_off_fills(pixels))


def _decode_constant(body: memoryview, head: TileHead, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    bands = head.shape[0]
    if len(body) not in (dtype.itemsize, bands * dtype.itemsize):
        raise FormatError(f"constant tile of {bands} bands holds {len(body)} bytes of values")
    values = np.frombuffer(body, head.dtype).astype(dtype)
    return np.broadcast_to(values[:, None, None], head.shape).copy()
