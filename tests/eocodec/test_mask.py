"""Validity masks: what counts as invalid, exact labels and fills, smooth continuation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.errors import EocodecError, FormatError, LimitError
from eocodec.mask import (
    Mask,
    build_mask,
    decode_mask,
    empty_mask,
    encode_mask,
    fill_holes,
    find_invalid,
)


def blobs(shape: tuple[int, int], seed: int) -> npt.NDArray[np.bool_]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, bool)
    for _ in range(8):
        centre, radius = rng.uniform(0, 1, 2) * shape, rng.uniform(3, 40)
        out |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    return out


def masked(pixels: npt.NDArray[Any], nodata: float | None) -> Mask:
    invalid = find_invalid(pixels, nodata)
    assert invalid is not None
    mask = build_mask(pixels, invalid)
    assert mask is not None
    return mask


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint16", -1.0),
        ("uint16", 0.5),
        ("uint8", 256.0),
        ("int16", np.inf),
        ("uint8", np.nan),
        ("float32", np.nan),
        ("uint16", None),
    ],
)
def test_nodata_that_no_sample_can_hold_marks_nothing(dtype: str, nodata: float | None) -> None:
    assert find_invalid(np.arange(64, dtype=dtype).reshape(1, 8, 8), nodata) is None


def test_nan_and_nodata_are_both_invalid() -> None:
    pixels = np.array([[[1, np.nan, -9999, 2]]], np.float32)
    invalid = find_invalid(pixels, -9999)
    assert invalid is not None
    assert invalid.tolist() == [[[False, True, True, False]]]


def test_nodata_of_float64_matches_its_float32_rounding() -> None:
    pixels = np.array([[[0.1, 0.2]]], np.float32)
    assert find_invalid(pixels, 0.1).tolist() == [[[True, False]]]  # type: ignore[union-attr]


@settings(max_examples=80, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 30), st.integers(1, 30)),
    kinds=st.integers(1, 4),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_any_pattern_comes_back_exactly(
    shape: tuple[int, int, int], kinds: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, 1, shape).astype(np.float32)
    special = np.array([0x7FC00000, 0xFFC00001, 0xC61C3C00, 0x7F800001], np.uint32)
    holes = rng.random(shape) < share
    holes.flat[0] = True
    pixels.view(np.uint32)[holes] = rng.choice(special[:kinds], holes.sum())
    mask = masked(pixels, -9999)
    decoded = decode_mask(encode_mask(mask), shape, pixels.dtype)
    assert (decoded.invalid == holes).all()
    restored = decoded.restore(np.where(holes, np.float32(3), pixels))
    assert restored.tobytes() == pixels.tobytes()


def test_mask_shared_by_ten_bands_costs_as_one() -> None:
    pixels = np.random.default_rng(1).integers(1, 9, (10, 256, 256), np.uint16)
    pixels[:, blobs((256, 256), 3)] = 0
    ten = encode_mask(masked(pixels, 0))
    one = encode_mask(masked(pixels[:1], 0))
    assert len(ten) - len(one) <= 1
    assert len(one) < 700


def test_more_bit_patterns_than_labels_give_no_mask() -> None:
    pixels = np.zeros((1, 4, 8), np.float32)
    pixels.view(np.uint32)[0, :2] = 0x7FC00000 + np.arange(16).reshape(2, 8)
    assert build_mask(pixels, np.isnan(pixels)) is None


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_section_raises_or_decodes_to_a_mask(data: st.DataObject) -> None:
    pixels = np.ones((3, 40, 41), np.float32)
    pixels[0, blobs((40, 41), 1)] = np.nan
    pixels[1, blobs((40, 41), 2)] = -9999
    section = bytearray(encode_mask(masked(pixels, -9999)))
    cut = data.draw(st.integers(0, len(section) - 1))
    with pytest.raises(FormatError):
        decode_mask(section[:cut], pixels.shape, "f4")
    bit = data.draw(st.integers(0, 8 * len(section) - 1))
    section[bit // 8] ^= 1 << bit % 8
    try:
        mask = decode_mask(section, pixels.shape, "f4")
    except EocodecError:
        return
    assert mask.labels.shape == pixels.shape
    assert mask.labels.max() <= len(mask.fills)


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=80))
def test_arbitrary_bytes_raise_or_decode_to_a_mask(noise: bytes) -> None:
    try:
        mask = decode_mask(noise, (2, 9, 9), "u1")
    except EocodecError:
        return
    assert mask.labels.max() <= len(mask.fills)


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ("00 01 01 80", LimitError),
        ("10", LimitError),
        ("01 00 09 01 80", LimitError),
        ("01 00 02 00 05 01 80 01 81", FormatError),
        ("01 00 01 01 82", FormatError),
        ("01 00 01 00", FormatError),
        ("01 00 01 02 07 00", FormatError),
        ("01 00 01 01 81 00", FormatError),
    ],
)
def test_section_that_no_encoder_writes_is_refused(section: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_mask(bytes.fromhex(section), (2, 4, 4), "u1")


def test_deflate_bomb_is_refused() -> None:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\x00" + packer.compress(bytes(10**7)) + packer.flush()
    size = bytes([len(bomb) & 0x7F | 0x80, len(bomb) >> 7 & 0x7F | 0x80, len(bomb) >> 14])
    with pytest.raises(FormatError):
        decode_mask(b"\x01\x00\x01" + size + bomb, (1, 64, 64), "u1")


def test_fill_holes_keeps_valid_samples_and_continues_a_plane_smoothly() -> None:
    y, x = np.mgrid[:200, :171]
    plane = (100 + 0.5 * x + 0.25 * y).astype(np.float32)
    pixels = np.stack([plane, plane + 50])
    invalid = np.zeros(pixels.shape, bool)
    invalid[0] = blobs((200, 171), 7)
    damaged = np.where(invalid, np.float32(np.nan), pixels)
    filled = fill_holes(damaged, invalid)
    assert filled.dtype == np.float32
    assert (filled[~invalid] == pixels[~invalid]).all()
    assert np.abs(filled - pixels)[invalid].mean() < 8
    assert plane.min() <= filled[0].min()
    assert filled[0].max() <= plane.max()
    assert np.isnan(damaged[invalid]).all()


def test_fill_holes_of_a_band_without_valid_samples_is_zero() -> None:
    pixels = np.full((2, 5, 9), np.nan, np.float32)
    pixels[1] = 7
    invalid = np.isnan(pixels)
    assert fill_holes(pixels, invalid).tolist() == [[[0.0] * 9] * 5, [[7.0] * 9] * 5]


def test_fill_holes_without_holes_returns_the_pixels() -> None:
    pixels = np.ones((1, 3, 3), np.float32)
    assert fill_holes(pixels, None) is pixels


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_nodata_at_an_end_of_an_integer_dtype_matches_that_value_alone(dtype: str) -> None:
    limits = np.iinfo(dtype)
    ends = np.array([[[limits.min, limits.min + 1, limits.max - 1, limits.max]]], dtype)
    for number, nodata in ((0, limits.min), (3, limits.max)):
        invalid = find_invalid(ends, int(nodata))
        assert invalid is not None
        assert np.flatnonzero(invalid).tolist() == [number]


def test_several_values_are_invalid_together() -> None:
    pixels = np.array([[[1, 2, 3, 4, 5]]], np.uint8)
    invalid = find_invalid(pixels, 2, None, 5.0, 4.5, 300, -1)
    assert invalid is not None
    assert invalid.tolist() == [[[False, True, False, False, True]]]


def test_number_beyond_a_float_dtype_is_not_taken_for_infinity() -> None:
    pixels = np.array([[[1, np.inf]]], np.float32)
    assert find_invalid(pixels, 1e300, 10**400) is None
    invalid = find_invalid(pixels, np.inf)
    assert invalid is not None
    assert invalid.tolist() == [[[False, True]]]


def test_mask_reserves_what_it_can_hold_or_nothing() -> None:
    mask = empty_mask((1, 2, 2), np.dtype("uint8"))
    reserved = mask.reserve(1, None, 1.0, 7, 256, 0.5, np.nan)
    assert reserved is not None
    assert reserved.fills.tolist() == [1, 7]
    assert reserved.fills.dtype == np.uint8
    full = mask.reserve(*range(15))
    assert full is not None
    assert full.reserve(3, 300) is not None
    assert full.reserve(15) is None
