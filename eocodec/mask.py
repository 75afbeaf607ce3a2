"""The validity mask of a tile: which samples are invalid, and the exact bits that they hold.

Invalid samples (NaN, or equal to nodata) never pass through a model. The mask section of a payload
labels every sample: 0 is valid, k > 0 carries the k-th fill value. Bands that share a label plane
share its bytes. SPEC.md, "Mask section", is the normative description.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError, LimitError
from eocodec.payload import ByteReader, put_varint

MAX_FILLS = 15

_PLAIN = 0
_ROW_XOR = 1


@dataclass(frozen=True)
class Mask:
    """The invalid samples of a tile.

    Attributes
    ----------
    labels : ndarray of uint8, (C, H, W)
        0 where valid, k where the sample is `fills[k - 1]`. A fill that no sample has is reserved: no
        valid sample of a lossy tile decodes to it.
    fills : ndarray, (K,)
        Fill values in the tile's dtype, K at most `MAX_FILLS`.
    """

    labels: npt.NDArray[np.uint8]
    fills: npt.NDArray[Any]

    @property
    def invalid(self) -> npt.NDArray[np.bool_]:
        """Boolean (C, H, W), true where a sample is invalid."""
        invalid: npt.NDArray[np.bool_] = self.labels != 0
        return invalid

    def restore(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `pixels` (C, H, W) with every invalid sample set to its exact fill."""
        bits = f"u{pixels.dtype.itemsize}"
        table = np.concatenate([self.fills[:1], self.fills]).view(bits)
        out = np.where(self.labels != 0, table[self.labels], pixels.view(bits))
        return out.view(pixels.dtype)

    def reserve(self, *values: int | float | None) -> Mask | None:
        """Return this mask with `values` among its fills, those that the dtype can hold.

        None when they are more than `MAX_FILLS`: such a tile can only be coded without loss.
        """
        fills = self.fills
        for value in values:
            fill = None if value is None else as_dtype(value, fills.dtype)
            if fill is not None and fill == fill and fill not in fills:
                fills = np.append(fills, fill).astype(fills.dtype)
        return Mask(self.labels, fills) if len(fills) <= MAX_FILLS else None

    def keep_off_fills(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `pixels` with the valid ones that equal a fill moved to the next value that is none.

        A lossy decoder may land on nodata by chance; the sample would read as invalid.
        """
        return _moved_off(pixels, self.fills, self.labels == 0)

    def steps_off(self, low: Any, high: Any, reach: float) -> int:
        """Return by how many steps of the dtype `keep_off_fills` may move a sample away from its original.

        The originals lie from `low` to `high`, what they decode to not further from them than `reach`.
        """
        fills = np.unique(self.fills[np.isfinite(self.fills)])
        steps = 0
        for fill in fills:
            free = _next_free(fill, fills)
            away = low < fill if free > fill else high > fill
            if away and _value(low) - reach <= _value(fill) <= _value(high) + reach:
                between = (fills >= fill) & (fills < free) | (fills <= fill) & (fills > free)
                steps = max(steps, int(between.sum()))
        return steps


def empty_mask(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> Mask:
    """Return a mask without invalid samples and without fills, to reserve values in."""
    return Mask(np.zeros(shape, np.uint8), np.zeros(0, dtype))


def keep_off(
    pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_], *values: int | float | None
) -> npt.NDArray[Any]:
    """Return `pixels` with those that are `valid` but equal one of `values` moved to the next free one.

    So that no valid sample reads as nodata. The next free value is the closest one above that is none
    of `values`, or below where the dtype ends; NaN and infinities are left alone.
    """
    held = [as_dtype(value, pixels.dtype) for value in values if value is not None]
    fills = np.array([value for value in held if value is not None], pixels.dtype)
    return _moved_off(pixels, fills, valid)


def _moved_off(
    pixels: npt.NDArray[Any], fills: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    fills = np.unique(fills[np.isfinite(fills)])
    kept = pixels
    for fill in fills:
        hit = (pixels == fill) & valid
        if hit.any():
            kept = pixels.copy() if kept is pixels else kept
            kept[hit] = _next_free(fill, fills)
    return kept


def _value(sample: Any) -> int | float:
    """Return a sample as a Python number, whose arithmetic does not overflow."""
    number: int | float = sample.item()
    return number


def _next_free(fill: Any, fills: npt.NDArray[Any]) -> Any:
    """Return the value closest above `fill` that is in no fill, or below where there is none above."""
    for direction in (1, -1):
        value = fill
        while value in fills:
            if fills.dtype.kind == "f":
                with np.errstate(over="ignore", under="ignore"):
                    value = np.nextafter(value, fills.dtype.type(direction * np.inf))
            else:
                limits = np.iinfo(fills.dtype)
                if int(value) == (limits.max if direction > 0 else limits.min):
                    break
                value = fills.dtype.type(int(value) + direction)
        if value not in fills and np.isfinite(value):
            return value
    return fill


def find_invalid(
    pixels: npt.NDArray[Any], *values: int | float | None
) -> npt.NDArray[np.bool_] | None:
    """Return where `pixels` are NaN or equal one of `values`, or None when all are valid.

    Parameters
    ----------
    pixels : ndarray
        Any shape and numeric dtype.
    *values : int, float or None
        Nodata values in the units of `pixels`; one that the dtype cannot hold matches nothing.
    """
    invalid: npt.NDArray[np.bool_] | None = None
    if pixels.dtype.kind == "f":
        nan: npt.NDArray[np.bool_] = np.isnan(pixels)
        invalid = nan
    for value in values:
        held = None if value is None else as_dtype(value, pixels.dtype)
        if held is not None and held == held:
            same = pixels == held
            invalid = same if invalid is None else invalid | same
    if invalid is None or not invalid.any():
        return None
    return invalid


def as_dtype(value: int | float, dtype: np.dtype[Any]) -> Any:
    """Return `value` as a scalar of `dtype`: exact in integers, rounded in floats.

    None where the dtype cannot hold it: out of range, or fractional or NaN for integers.
    """
    if dtype.kind == "f":
        try:
            with np.errstate(over="ignore"):
                held = dtype.type(value)
        except OverflowError:
            return None
        return None if np.isinf(held) and value not in (math.inf, -math.inf) else held
    if isinstance(value, (float, np.floating)) and not float(value).is_integer():
        return None
    limits = np.iinfo(dtype)
    return dtype.type(int(value)) if limits.min <= int(value) <= limits.max else None


def build_mask(pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_]) -> Mask | None:
    """Label the invalid samples of `pixels` (both (C, H, W)) by the exact bits that they hold.

    Returns None when they hold more than `MAX_FILLS` different bit patterns (exotic NaN payloads):
    such a tile can only be coded without loss.
    """
    bits = np.ascontiguousarray(pixels).view(f"u{pixels.dtype.itemsize}")[invalid]
    fills, inverse = _unique(bits)
    if len(fills) > MAX_FILLS:
        return None
    labels = np.zeros(pixels.shape, np.uint8)
    labels[invalid] = inverse + 1
    return Mask(labels, fills.view(pixels.dtype))


def _unique(bits: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    if (bits == bits[0]).all():
        return bits[:1].copy(), np.zeros(len(bits), np.uint8)
    fills, inverse = np.unique(bits, return_inverse=True)
    return fills, inverse


def encode_mask(mask: Mask) -> bytes:
    """Return the mask section for `mask`."""
    planes: dict[bytes, int] = {}
    order: list[int] = []
    for plane in mask.labels:
        order.append(planes.setdefault(plane.tobytes(), len(planes)))
    fills = mask.fills.astype(mask.fills.dtype.newbyteorder("<")).tobytes()
    out = [bytes([len(mask.fills)]), fills, put_varint(len(planes))]
    if len(planes) > 1:
        out += [put_varint(index) for index in order]
    shape = mask.labels.shape[1:]
    for raw in planes:
        body = _encode_plane(np.frombuffer(raw, np.uint8).reshape(shape), len(mask.fills))
        out += [put_varint(len(body)), body]
    return b"".join(out)


def decode_mask(
    data: bytes | memoryview, shape: tuple[int, int, int], dtype: npt.DTypeLike
) -> Mask:
    """Decode a mask section of a tile of `shape` (C, H, W) and `dtype`.

    Raises
    ------
    FormatError
        When the bytes are not a mask section for such a tile.
    """
    dtype = np.dtype(dtype)
    bands, height, width = shape
    reader = ByteReader(data, "mask section")
    kinds = reader.u8()
    if not 1 <= kinds <= MAX_FILLS:
        raise LimitError(f"mask section declares {kinds} fill values")
    fills = np.frombuffer(reader.take(kinds * dtype.itemsize), dtype.newbyteorder("<"))
    count = reader.varint()
    if not 1 <= count <= bands:
        raise LimitError(f"mask section declares {count} planes for {bands} bands")
    order = [reader.varint() for _ in range(bands)] if count > 1 else [0] * bands
    if max(order) >= count:
        raise FormatError("mask section refers to a plane that it does not hold")
    planes = [
        _decode_plane(reader.take(reader.varint()), (height, width), kinds) for _ in range(count)
    ]
    if reader.pos != len(reader.view):
        raise FormatError("mask section has bytes after its end")
    labels = np.stack([planes[index] for index in order])
    return Mask(labels, fills.astype(dtype.newbyteorder("=")))


def _pack(labels: npt.NDArray[np.uint8], kinds: int) -> bytes:
    if kinds == 1:
        return np.packbits(labels, axis=-1).tobytes()
    return labels.tobytes()


def _encode_plane(labels: npt.NDArray[np.uint8], kinds: int) -> bytes:
    """Return filter byte and raw deflate of `labels` (H, W), the smaller of two row filters."""
    if labels.min() == labels.max():
        return bytes([0x80 | int(labels[0, 0])])
    above = labels.copy()
    above[1:] ^= labels[:-1]
    candidates = []
    for kind, filtered in ((_PLAIN, labels), (_ROW_XOR, above)):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = packer.compress(_pack(filtered, kinds)) + packer.flush()
        candidates.append(bytes([kind]) + body)
    return min(candidates, key=len)


def _decode_plane(body: memoryview, shape: tuple[int, int], kinds: int) -> npt.NDArray[np.uint8]:
    height, width = shape
    if not len(body):
        raise FormatError("mask plane is empty")
    kind = body[0]
    if kind & 0x80:
        if kind & 0x7F > kinds or len(body) != 1:
            raise FormatError("mask plane carries an unknown label")
        return np.full(shape, kind & 0x7F, np.uint8)
    if kind not in (_PLAIN, _ROW_XOR):
        raise FormatError(f"mask plane has unknown filter {kind}")
    row_bytes = (width + 7) // 8 if kinds == 1 else width
    raw = _inflate(body[1:], height * row_bytes)
    labels = np.frombuffer(raw, np.uint8).reshape(height, row_bytes)
    if kinds == 1:
        labels = np.unpackbits(labels, axis=-1, count=width)
    if kind == _ROW_XOR:
        labels = np.bitwise_xor.accumulate(labels, axis=0)
    if labels.max() > kinds:
        raise FormatError("mask plane carries an unknown label")
    return labels


def _inflate(body: memoryview, size: int) -> bytes:
    """Return exactly `size` bytes of a raw deflate stream that must end there."""
    unpacker = zlib.decompressobj(-15)
    try:
        raw = unpacker.decompress(body, size)
        raw += unpacker.decompress(unpacker.unconsumed_tail, 1) if not unpacker.eof else b""
    except zlib.error as error:
        raise FormatError(f"mask plane is damaged: {error}") from None
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        raise FormatError("mask plane does not hold one label a sample")
    return raw


def fill_holes(pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """Return `pixels` (C, H, W) of a float dtype with invalid samples replaced by a smooth continuation.

    A pyramid of normalised means: each hole takes the mean of the valid samples of the finest cell
    that has any. Used by the encoder only; a band without a valid sample becomes 0.
    """
    if invalid is None or not invalid.any():
        return pixels
    out: npt.NDArray[Any] = pixels.copy()
    for band in range(len(out)):
        hole = invalid[band]
        if hole.any():
            out[band] = _fill_plane(out[band], ~hole)
    return out


def _fill_plane(plane: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Fill one plane (H, W): means of 2x2 cells upward, bilinear-like interpolation downward."""
    weight = valid.astype(plane.dtype)
    value: npt.NDArray[Any] = np.where(valid, plane, plane.dtype.type(0))
    if valid.all() or min(plane.shape) == 0:
        return value
    if plane.shape == (1, 1):
        return value
    height, width = plane.shape
    pad = ((0, height % 2), (0, width % 2))
    total = _sum2(np.pad(value, pad))
    count = _sum2(np.pad(weight, pad))
    known = count > 0
    coarse = _fill_plane((total / np.maximum(count, 1)).astype(plane.dtype), known)
    fine = _smooth_double(coarse)[:height, :width]
    filled: npt.NDArray[Any] = np.where(valid, plane, fine)
    return filled


def _sum2(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    total: npt.NDArray[Any]
    total = plane[0::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 0::2] + plane[1::2, 1::2]
    return total


def _smooth_double(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Double (h, w) bilinearly with pixel centres aligned and edges replicated."""
    for axis in (0, 1):
        near = np.moveaxis(plane, axis, 0)
        before = np.concatenate([near[:1], near[:-1]])
        after = np.concatenate([near[1:], near[-1:]])
        out = np.empty((2 * len(near), near.shape[1]), near.dtype)
        out[0::2] = 0.75 * near + 0.25 * before
        out[1::2] = 0.75 * near + 0.25 * after
        plane = np.moveaxis(out, 0, axis)
    return plane
