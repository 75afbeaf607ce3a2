"""The guarantee: bounds hold at every valid sample, in every mode, dtype and for every kind of bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eocodec.errors import ChecksumError, FormatError
from eocodec.payload import (
    CONSTANT,
    DTYPES,
    PREDICTIVE,
    RVQ,
    build_payload,
    layer_bodies,
    parse_head,
)
from eocodec.tile import EncodeSettings, decode_tile, encode_tile, verify_tile

BOUNDS = (0, 1, 2, 5, 10, 50)


def scene(dtype: Any, shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[Any]:
    """Return correlated, noisy bands that use the range of the dtype, with a saturated corner."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    y, x = np.mgrid[: shape[1], : shape[2]]
    ground = np.sin(x / 9) + np.cos(y / 7 + x / 30) + rng.normal(0, 0.1, shape[1:])
    bands = ground * np.linspace(0.5, 1.5, shape[0])[:, None, None] + rng.normal(0, 0.05, shape)
    top = 1e4 if dtype.kind == "f" else min(1e4, float(np.iinfo(dtype).max) / 3)
    middle = 0.0 if dtype.kind in "fi" else 1.2 * top
    pixels = (middle + bands * top / 4).astype(dtype)
    pixels[:, : shape[1] // 6, : shape[2] // 5] = pixels.max()
    return pixels


def assert_within(pixels: npt.NDArray[Any], settings: EncodeSettings) -> npt.NDArray[Any]:
    """Check the bound at every sample by plain arithmetic; return the decoded tile."""
    payload = encode_tile(pixels, settings)
    verify_tile(payload)
    decoded = decode_tile(payload)
    assert (decoded.dtype, decoded.shape) == (pixels.dtype, pixels.shape)
    same = (decoded == pixels) | (np.isnan(decoded) & np.isnan(pixels))
    if settings.nodata is not None:
        assert ((decoded == settings.nodata) == (pixels == settings.nodata)).all()
    wide = object if pixels.dtype.kind != "f" else np.float64
    for band in range(len(pixels)):
        x, other = pixels[band].astype(wide), decoded[band].astype(wide)
        with np.errstate(invalid="ignore"):
            error, size = np.abs(other - x), np.abs(x).astype(np.float64)
        bound = (
            settings.max_error[band]
            if isinstance(settings.max_error, tuple)
            else (settings.max_error)
        )
        fine = np.ones(x.shape, bool)
        if bound is not None:
            fine &= (error <= bound).astype(bool)
        if settings.max_relative_error is not None:
            fine &= (error <= settings.max_relative_error * size).astype(bool)
        if settings.max_error_sqrt is not None:
            fine &= (error <= settings.max_error_sqrt * np.sqrt(size)).astype(bool)
        assert (fine | same[band]).all()
    return decoded


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@settings(max_examples=12, deadline=None)
@given(
    bound=st.sampled_from(BOUNDS),
    shape=st.tuples(st.integers(1, 4), st.integers(16, 40), st.integers(16, 40)),
    seed=st.integers(0, 1000),
)
def test_an_absolute_bound_holds(
    dtype: np.dtype[Any], bound: int, shape: tuple[int, int, int], seed: int
) -> None:
    assert_within(scene(dtype, shape, seed), EncodeSettings(max_error=bound))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name)
@settings(max_examples=8, deadline=None)
@given(
    relative=st.sampled_from([None, 1e-6, 0.001, 0.02, 0.3]),
    sqrt=st.sampled_from([None, 0.05, 1.0]),
    absolute=st.sampled_from([None, 3.0]),
    seed=st.integers(0, 1000),
)
def test_bounds_that_follow_the_signal_hold(
    dtype: np.dtype[Any],
    relative: float | None,
    sqrt: float | None,
    absolute: float | None,
    seed: int,
) -> None:
    pixels = scene(dtype, (2, 30, 33), seed)
    pixels[:, 20, ::5] = 0
    bounds = {"max_relative_error": relative, "max_error_sqrt": sqrt, "max_error": absolute}
    if any(value is not None for value in bounds.values()):
        assert_within(pixels, EncodeSettings(**bounds))


@settings(max_examples=25, deadline=None)
@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]),
    bound=st.sampled_from(BOUNDS),
    nodata=st.sampled_from([None, 0, 100, 4000]),
    layers=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 1000),
)
@example(dtype="int16", bound=0, nodata=0, layers=1, seed=0)  # learned samples that land on nodata
def test_what_is_not_a_measurement_comes_back_exactly(
    dtype: str, bound: int, nodata: float | None, layers: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = scene(dtype, (3, 24, 28), seed)
    pixels[1] = 77
    holes = rng.random(pixels.shape[1:]) < 0.2
    if nodata is not None and (dtype != "uint8" or nodata < 256):
        pixels[0][holes] = nodata
    if pixels.dtype.kind == "f":
        pixels[2][rng.random(holes.shape) < 0.1] = np.nan
        pixels[2, 3, 4:6], pixels[0, 7, 7] = np.inf, -np.inf
    decoded = assert_within(pixels, EncodeSettings(max_error=bound, nodata=nodata, layers=layers))
    if pixels.dtype.kind == "f":
        assert (np.isnan(decoded) == np.isnan(pixels)).all()
        infinite = np.isinf(pixels)
        assert (decoded[infinite] == pixels[infinite]).all()


@pytest.mark.parametrize("layers", [None, 2])
def test_each_band_keeps_its_own_bound(layers: int | None) -> None:
    pixels = scene("uint16", (4, 48, 48))
    decoded = assert_within(pixels, EncodeSettings(max_error=(0, 2.5, None, 20), layers=layers))
    error = np.abs(decoded.astype(int) - pixels).max(axis=(1, 2))
    assert error[0] == 0
    assert 0 < error[1] <= 2
    assert 2 < error[3] <= 20


def test_a_looser_bound_costs_fewer_bytes() -> None:
    pixels = scene("uint16", (4, 96, 96))
    sizes = [len(encode_tile(pixels, EncodeSettings(max_error=bound))) for bound in BOUNDS]
    assert sizes == sorted(sizes, reverse=True)
    assert 8 * sizes[3] / pixels.size < 8 * sizes[0] / pixels.size - np.log2(11) + 0.3


def test_learned_layers_decode_without_the_guarantee() -> None:
    pixels = scene("uint16", (10, 64, 64))
    settings = EncodeSettings(max_error=4, layers=3)
    payload = encode_tile(pixels, settings)
    head = parse_head(payload)
    assert (head.mode, head.guaranteed, len(head.layer_sizes)) == (RVQ, True, 4)
    assert head.pixel_crc is not None
    plain = encode_tile(pixels, EncodeSettings(layers=3))
    for layers in (1, 2, 3):
        assert (decode_tile(payload, layers) == decode_tile(plain, layers)).all()
    assert np.abs(decode_tile(payload, 3).astype(int) - pixels).max() > 4
    assert_within(pixels, settings)


def test_learned_layers_within_the_bound_need_no_guarantee() -> None:
    pixels = scene("uint16", (10, 64, 64))
    payload = encode_tile(pixels, EncodeSettings(max_error=60000, layers=3))
    head = parse_head(payload)
    assert (head.mode, head.guaranteed, len(head.layer_sizes)) == (RVQ, False, 3)


def test_the_smaller_mode_is_taken_within_a_loose_bound() -> None:
    pixels = scene("uint16", (10, 64, 64))
    alone = encode_tile(pixels, EncodeSettings(layers=4))
    worst = int(np.abs(decode_tile(alone).astype(int) - pixels).max())
    learned = len(alone)
    assert len(encode_tile(pixels, EncodeSettings(max_error=worst))) <= learned
    for bound in (0, 5):
        payload = encode_tile(pixels, EncodeSettings(max_error=bound))
        layered = encode_tile(pixels, EncodeSettings(max_error=bound, layers=4, unit=1.0))
        assert parse_head(payload).mode == PREDICTIVE
        assert len(payload) < len(layered)


def test_lossless_on_top_of_learned_layers_is_exact() -> None:
    pixels = scene("uint16", (10, 48, 48))
    payload = encode_tile(pixels, EncodeSettings(lossless=True, layers=2))
    assert parse_head(payload).guaranteed
    assert (decode_tile(payload) == pixels).all()


def test_bands_without_a_bound_keep_their_learned_pixels() -> None:
    pixels = scene("uint16", (4, 64, 64))
    bounds = (3.0, None, None, 3.0)
    payload = encode_tile(pixels, EncodeSettings(max_error=bounds, layers=2))
    decoded, learned = decode_tile(payload), decode_tile(payload, 2)
    assert (decoded[1:3] == learned[1:3]).all()
    assert np.abs(decoded[0].astype(int) - pixels[0]).max() <= 3
    assert len(payload) < len(encode_tile(pixels, EncodeSettings(max_error=3, layers=2)))


def test_a_wrong_pixel_crc_of_a_guaranteed_tile_raises() -> None:
    pixels = scene("uint16", (4, 48, 48))
    payload = encode_tile(pixels, EncodeSettings(max_error=4, layers=2))
    head = parse_head(payload)
    assert head.pixel_crc is not None
    bodies = layer_bodies(payload, head)
    other = build_payload(
        RVQ, head.dtype, head.shape, bodies, head.mask, head.pixel_crc ^ 1, guaranteed=True
    )
    assert decode_tile(other, 2).shape == pixels.shape
    with pytest.raises(ChecksumError):
        decode_tile(other)


def test_a_guarantee_without_learned_layers_is_refused() -> None:
    tile = build_payload(PREDICTIVE, "u2", (1, 4, 4), [b"x"], None, None, guaranteed=True)
    with pytest.raises(FormatError, match="without learned layers"):
        parse_head(tile)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bound", [1e30, 1e37, 3e38])
def test_bounds_hold_at_the_end_of_the_float_range(dtype: str, bound: float) -> None:
    pixels = (scene("float32", (2, 20, 20)) * np.float32(1e34)).astype(dtype)
    pixels[0, 3, 3], pixels[1, 4, 4] = np.finfo(dtype).max, np.finfo(dtype).min
    assert_within(pixels, EncodeSettings(max_error=bound))
    assert_within(pixels, EncodeSettings(max_error=bound, max_relative_error=0.01))


def test_constant_tiles_stay_constant_tiles() -> None:
    payload = encode_tile(np.full((2, 20, 20), 9, np.uint8), EncodeSettings(max_error=3))
    assert parse_head(payload).mode == CONSTANT
