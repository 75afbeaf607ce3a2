"""Tiles: exact round trips in every dtype, mode choice, and refusal of damaged bytes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.errors import ChecksumError, EocodecError, FormatError, InputError, TruncatedError
from eocodec.payload import (
    CONSTANT,
    DTYPES,
    PREDICTIVE,
    RVQ,
    build_payload,
    parse_head,
    pixel_crc32c,
)
from eocodec.tile import EncodeSettings, decode_tile, encode_tile, verify_tile

LOSSLESS = EncodeSettings(lossless=True)


def random_bits(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape)) * dtype.itemsize
    return rng.integers(0, 256, count, np.uint8).view(dtype).reshape(shape)


def smooth(dtype: str, shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    bands = np.arange(shape[0])[:, None, None]
    return (60 + 20 * np.sin(x / 9 + bands) + y / 4 + rng.normal(0, 2, shape)).astype(dtype)


def assert_same_bits(got: npt.NDArray[Any], want: npt.NDArray[Any]) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 21), st.integers(1, 21)),
    seed=st.integers(0, 1000),
)
def test_arbitrary_bits_come_back_exactly(
    dtype: np.dtype[Any], shape: tuple[int, int, int], seed: int
) -> None:
    pixels = random_bits(dtype, shape, seed)
    assert_same_bits(decode_tile(encode_tile(pixels, LOSSLESS)), pixels)


@pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
def test_smooth_tile_of_every_dtype_comes_back_and_shrinks(dtype: str) -> None:
    pixels = smooth(dtype, (3, 50, 61))
    if np.dtype(dtype).kind == "f":
        pixels = np.round(pixels, 1).astype(dtype)
    payload = encode_tile(pixels, LOSSLESS)
    assert_same_bits(decode_tile(payload), pixels)
    assert len(payload) < 0.9 * pixels.nbytes
    verify_tile(payload)


def test_big_endian_input_decodes_to_native_values() -> None:
    pixels = smooth("uint16", (2, 9, 9))
    got = decode_tile(encode_tile(pixels.astype(">u2"), LOSSLESS))
    assert_same_bits(got, pixels)


def test_one_value_per_band_is_a_constant_tile_of_few_bytes() -> None:
    pixels = np.broadcast_to(np.array([7, 9, 11], np.uint16)[:, None, None], (3, 512, 512))
    payload = encode_tile(pixels)
    assert parse_head(payload).mode == CONSTANT
    assert len(payload) < 45
    assert_same_bits(decode_tile(payload), pixels.copy())


@pytest.mark.parametrize("fill", [np.nan, -9999.0])
def test_all_invalid_tile_is_tiny(fill: float) -> None:
    pixels = np.full((10, 512, 512), fill, np.float32)
    payload = encode_tile(pixels, EncodeSettings(nodata=-9999.0))
    assert len(payload) < 40
    assert_same_bits(decode_tile(payload), pixels)


def test_constant_tile_with_holes_keeps_nan_and_nodata_apart() -> None:
    pixels = np.full((2, 64, 64), 5, np.float32)
    pixels[0, 3:9, 4:20] = np.nan
    pixels[1, 40:, 7] = -1
    payload = encode_tile(pixels, EncodeSettings(nodata=-1))
    assert parse_head(payload).mode == CONSTANT
    assert len(payload) < 130
    assert_same_bits(decode_tile(payload), pixels)


def test_lossless_keeps_infinities_negative_zero_and_nan_payloads() -> None:
    pixels = smooth("float32", (2, 20, 20))
    flat = pixels.reshape(-1)
    flat[:5] = [np.inf, -np.inf, -0.0, 0.0, np.nan]
    flat.view(np.uint32)[6] = 0x7FC01234
    assert_same_bits(decode_tile(encode_tile(pixels, LOSSLESS)), pixels)


def test_tiny_lossy_tile_falls_to_predictive() -> None:
    pixels = smooth("uint16", (10, 4, 4))
    payload = encode_tile(pixels, EncodeSettings(layers=4))
    assert parse_head(payload).mode == PREDICTIVE
    assert_same_bits(decode_tile(payload), pixels)


def test_infinities_of_a_learned_tile_stay_exact() -> None:
    pixels = smooth("float32", (10, 32, 32))
    pixels[0, 0, 0], pixels[3, 9, 4:7] = np.inf, -np.inf
    payload = encode_tile(pixels, EncodeSettings(layers=4))
    assert parse_head(payload).mode == RVQ
    infinite = np.isinf(pixels)
    decoded = decode_tile(payload)
    assert (decoded[infinite] == pixels[infinite]).all()
    assert np.isfinite(decoded[~infinite]).all()


def test_layers_above_the_available_decode_all() -> None:
    pixels = smooth("uint16", (2, 20, 20))
    assert_same_bits(decode_tile(encode_tile(pixels, LOSSLESS), layers=9), pixels)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((4, 4), np.uint8), "bands, rows, columns"),
        (np.zeros((1, 0, 4), np.uint8), "samples"),
        (np.zeros((1, 4, 4), np.complex64), "complex64"),
        (np.zeros((5000, 1, 1), np.uint8), "bands"),
    ],
)
def test_what_no_tile_can_hold_is_an_input_error(pixels: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        encode_tile(pixels)


def test_wrong_pixel_crc_is_a_checksum_error() -> None:
    payload = build_payload(CONSTANT, "u1", (1, 2, 2), [b"\x05"], None, 1234)
    with pytest.raises(ChecksumError, match="pixel"):
        decode_tile(payload)
    with pytest.raises(ChecksumError, match="pixel"):
        verify_tile(payload)


def test_verify_refuses_bytes_after_the_end() -> None:
    payload = encode_tile(smooth("uint8", (1, 9, 9)), LOSSLESS)
    with pytest.raises(FormatError, match="3 bytes after"):
        verify_tile(payload + b"abc")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
def test_truncated_tile_is_a_truncated_error(part: float) -> None:
    payload = encode_tile(smooth("uint16", (2, 30, 30)), LOSSLESS)
    with pytest.raises(TruncatedError):
        decode_tile(payload[: int(part * len(payload))])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(data: st.DataObject) -> None:
    pixels = smooth("float32", (2, 16, 17)).round(1)
    pixels[0, 2:5, 3:9] = np.nan
    payload = bytearray(encode_tile(pixels, LOSSLESS))
    position = data.draw(st.integers(0, len(payload) * 8 - 1))
    payload[position // 8] ^= 1 << position % 8
    with pytest.raises(EocodecError):
        decode_tile(payload)


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(noise: bytes) -> None:
    with pytest.raises(EocodecError):
        decode_tile(noise)


def test_lossless_holes_are_exact_and_cost_less_than_their_samples() -> None:
    pixels = smooth("uint16", (4, 96, 96)) + np.uint16(1000)
    hollow = pixels.copy()
    y, x = np.mgrid[:96, :96]
    hollow[:, (y - 40) ** 2 + (x - 50) ** 2 < 900] = 0
    payload = encode_tile(hollow, EncodeSettings(lossless=True, nodata=0))
    assert_same_bits(decode_tile(payload), hollow)
    assert len(payload) < 0.8 * len(encode_tile(pixels, LOSSLESS))
    assert len(payload) < len(encode_tile(hollow, LOSSLESS))


def test_scattered_nodata_needs_no_mask() -> None:
    pixels = np.random.default_rng(0).integers(0, 3, (1, 64, 64), np.uint8)
    payload = encode_tile(pixels, EncodeSettings(lossless=True, nodata=0))
    assert parse_head(payload).mask is None
    assert_same_bits(decode_tile(payload), pixels)


class ScaleByTen:
    """Stands in for the learned mode: layer 1 holds multiples of ten, layer 2 the remainder."""

    @staticmethod
    def rvq_applies(pixels: npt.NDArray[Any], settings: EncodeSettings) -> bool:
        return len(pixels) == 10

    @staticmethod
    def encode_rvq(
        pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None, settings: EncodeSettings
    ) -> tuple[list[bytes], npt.NDArray[Any]]:
        known = pixels if invalid is None else np.where(invalid, 7, pixels)
        tens, ones = np.divmod(known.astype(np.int64), 10)
        return [tens.tobytes(), ones.tobytes()], known.astype(np.int64).astype(pixels.dtype)

    @staticmethod
    def decode_rvq(
        bodies: list[memoryview], shape: tuple[int, int, int], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        out = 10 * np.frombuffer(bodies[0], np.int64)
        if len(bodies) > 1:
            out = out + np.frombuffer(bodies[1], np.int64)
        return out.reshape(shape).astype(dtype)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eocodec.rvq", ScaleByTen)  # type: ignore[arg-type]


@pytest.mark.usefixtures("learned")
def test_learned_tile_keeps_invalid_samples_exact_at_every_layer() -> None:
    pixels = smooth("float32", (10, 24, 24)).round()
    pixels[:, 3:9, 4:7] = np.nan
    pixels[2, 20:, :] = -9999
    payload = encode_tile(pixels, EncodeSettings(nodata=-9999, layers=2))
    head = parse_head(payload)
    assert (head.mode, len(head.layer_sizes)) == (RVQ, 2)
    assert head.pixel_crc == pixel_crc32c(decode_tile(payload))
    assert_same_bits(decode_tile(payload), pixels)
    coarse = decode_tile(payload[: head.layer_ends[0]], layers=1)
    invalid = np.isnan(pixels) | (pixels == -9999)
    assert coarse[invalid].tobytes() == pixels[invalid].tobytes()
    assert (coarse[~invalid] == pixels[~invalid] // 10 * 10).all()
    verify_tile(payload)


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("hole", [True, False])
def test_valid_samples_never_decode_to_nodata(dtype: str, hole: bool) -> None:
    pixels = smooth(dtype, (10, 24, 24)).round()
    nodata = float(pixels[3, 5, 5] // 10 * 10)
    pixels[pixels == nodata] += 1
    if hole:
        pixels[0, 0, 0] = nodata
    payload = encode_tile(pixels, EncodeSettings(nodata=nodata, layers=2))
    assert parse_head(payload).mode == RVQ
    coarse = decode_tile(payload, layers=1)
    assert np.array_equal(coarse == nodata, pixels == nodata)
    assert (pixels[~(pixels == nodata)] // 10 * 10 == nodata).any()


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_valid_samples_never_decode_to_any_special_value(dtype: str) -> None:
    pixels = smooth(dtype, (10, 24, 24)).round()
    nodata, *special = (60, 61, 70, 80)
    pixels[np.isin(pixels, (60, 61, 70, 80))] += 2
    pixels[0, 0, :3] = 60, 61, 80
    missing = np.isin(pixels, (60, 61, 70, 80))
    payload = encode_tile(pixels, EncodeSettings(nodata=nodata, special=tuple(special), layers=2))
    assert parse_head(payload).mode == RVQ
    coarse = decode_tile(payload, layers=1)
    assert np.array_equal(np.isin(coarse, (60, 61, 70, 80)), missing)
    assert np.array_equal(coarse[missing], pixels[missing])


@pytest.mark.parametrize("dtype", ["int16", "uint8", "int64", "float32", "float64"])
def test_special_values_are_kept_within_a_bound(dtype: str) -> None:
    pixels = smooth(dtype, (2, 40, 40)).round()
    special = (55, 56, 60, 100, 127)
    pixels[np.isin(pixels, special)] += 2
    pixels[0, :5, :9] = np.resize(special[:3], (5, 9))
    missing = np.isin(pixels, special)
    settings = EncodeSettings(max_error=6, special=special)
    payload = encode_tile(pixels, settings)
    decoded = decode_tile(payload)
    assert len(payload) < 0.6 * len(encode_tile(pixels, LOSSLESS))
    assert np.array_equal(np.isin(decoded, special), missing)
    assert np.array_equal(decoded[missing], pixels[missing])
    assert np.abs(decoded.astype(float) - pixels.astype(float)).max() <= 6


def test_more_special_values_than_a_mask_holds_are_refused() -> None:
    with pytest.raises(InputError, match="at most 15"):
        EncodeSettings(nodata=0, special=tuple(range(16)))
    assert EncodeSettings(nodata=0, special=tuple(range(15))).invalid_values[0] == 0


def test_bit_patterns_that_leave_no_room_to_reserve_cost_the_bound() -> None:
    pixels = smooth("float32", (1, 40, 40))
    pixels.view(np.uint32)[0, 0, :12] = 0x7FC00000 + np.arange(12)
    settings = EncodeSettings(max_error=6, special=(1, 2, 3, 4))
    assert_same_bits(decode_tile(encode_tile(pixels, settings)), pixels)
    decoded = decode_tile(encode_tile(pixels, EncodeSettings(max_error=6, special=(1, 2, 3))))
    assert not np.array_equal(decoded, pixels, equal_nan=True)


@pytest.mark.usefixtures("learned")
def test_repetitive_tile_takes_the_smaller_lossless_mode() -> None:
    pixels = np.full((10, 64, 64), 5, np.uint16)
    pixels[:, 30:, 12:] = 9
    payload = encode_tile(pixels)
    assert parse_head(payload).mode == PREDICTIVE
    assert_same_bits(decode_tile(payload), pixels)


@pytest.mark.usefixtures("learned")
def test_tile_that_the_model_does_not_fit_is_predictive() -> None:
    pixels = smooth("uint16", (3, 24, 24))
    assert parse_head(encode_tile(pixels)).mode == PREDICTIVE
