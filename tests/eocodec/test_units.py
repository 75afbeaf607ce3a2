"""The unit of the learned mode: DN of what looks like reflectances, the spread of other samples."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec import EncodeSettings, decode_tile, encode_tile
from eocodec.distortion import Distortion
from eocodec.payload import CONSTANT, PREDICTIVE, RVQ, parse_head
from eocodec.tile import encode_measured
from eocodec.units import (
    few_values,
    looks_like_reflectance,
    natural_unit,
    reflectance_unit,
    spread_unit,
)

DATA = Path(__file__).parents[1] / "data"
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module")
def dn() -> np.ndarray:
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        pixels: np.ndarray = source.read(window=((0, 128), (0, 128)))
    return pixels


def rmse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.square(one.astype(float) - other.astype(float)).mean()))


@pytest.mark.parametrize(
    ("dtype", "scale", "unit"),
    [
        ("uint16", None, 1.0),
        ("int16", 1e-4, 1.0),
        ("int32", 2e-5, 5.0),
        ("float32", None, 1e-4),
        ("float64", 1.0, 1e-4),
        ("uint8", None, None),
        ("uint64", None, None),
        ("uint16", 0.0, None),
        ("uint16", float("nan"), None),
    ],
)
def test_a_type_and_a_packing_tell_what_one_dn_is(dtype, scale, unit) -> None:
    found = reflectance_unit(np.dtype(dtype), scale)
    assert found is None if unit is None else found == pytest.approx(unit)


def test_reflectances_are_told_from_other_samples(dn) -> None:
    flat = dn.ravel()
    assert looks_like_reflectance(flat, 1.0)
    assert looks_like_reflectance(flat + 1000, 1.0)
    assert looks_like_reflectance(((flat + 1000) * 1e-4 - 0.1).astype("f4"), 1e-4)
    assert looks_like_reflectance(flat // 2, 0.5)
    percent, kelvin = (flat / 100).astype("f4"), (280 + flat / 100).astype("f4")
    assert not looks_like_reflectance(percent, 1e-4)
    assert not looks_like_reflectance(kelvin, 1e-4)
    assert not looks_like_reflectance(flat.astype("i4") * 20, 1.0)
    assert not looks_like_reflectance((flat // 32).clip(0, 255), 1.0)
    assert not looks_like_reflectance(flat // 500, 1.0)
    assert not looks_like_reflectance(flat[:0], 1.0)


def test_values_around_zero_are_no_reflectances() -> None:
    scores = RNG.normal(0, 900, 4096).astype("i2")
    assert not looks_like_reflectance(scores, 1.0)
    assert not looks_like_reflectance((scores * 1e-4).astype("f4"), 1e-4, whole=False)


def test_fill_and_saturation_that_nobody_declared_stay_exact(dn) -> None:
    wanted = EncodeSettings(layers=4, only_reflectance=True)
    filled = dn.astype("i4")
    filled.reshape(-1)[::211] = -9999
    filled[:, :1] = 65535
    filled[:, 40:50, 20:30] = 0
    payload = encode_tile(filled, wanted)
    assert parse_head(payload).mode == RVQ
    decoded = decode_tile(payload)
    for value in (-9999, 65535, 0):
        np.testing.assert_array_equal(decoded == value, filled == value)
    clean = (filled != -9999) & (filled != 65535) & (filled != 0)
    assert rmse(decoded[clean], filled[clean]) < 60
    many = dn.astype("i4")
    many[:, ::9, ::9] = RNG.integers(40_000, 60_000, many[:, ::9, ::9].shape)
    np.testing.assert_array_equal(decode_tile(encode_tile(many, wanted)), many)


def test_a_tile_may_be_brighter_or_darker_than_a_raster() -> None:
    cloud = RNG.integers(15000, 25000, 4096).astype("u2")
    shade = RNG.integers(0, 200, 4096).astype("u2")
    assert not looks_like_reflectance(cloud, 1.0)
    assert not looks_like_reflectance(shade, 1.0)
    assert looks_like_reflectance(cloud, 1.0, whole=False)
    assert looks_like_reflectance(shade, 1.0, whole=False)


def test_classes_have_few_values_even_where_a_first_look_finds_few() -> None:
    assert few_values(RNG.integers(0, 12, 100_000))
    rare = np.zeros(2_000_000, "i4")
    rare[::1999] = np.arange(len(rare[::1999]))
    assert not few_values(rare)


@settings(max_examples=40, deadline=None)
@given(st.floats(-6, 6), st.floats(-3, 3), st.integers(1, 3))
def test_the_unit_follows_the_spread_and_ignores_offsets_and_outliers(size, offset, bands) -> None:
    samples = RNG.normal(0, 1, (bands, 40, 40))
    spread = 10.0**size
    pixels = samples * spread + offset * spread
    unit = natural_unit(pixels, None, reflectances=False)
    assert unit == pytest.approx(spread / 1000, rel=0.15)
    pixels[0, 0, 0] = 1e9 * spread
    assert natural_unit(pixels, None, reflectances=False) == pytest.approx(unit, rel=0.05)


def test_bands_of_different_spreads_are_coded_by_the_least() -> None:
    assert spread_unit(np.array([50.0, 0.0, 2.0])) == pytest.approx(0.002)
    assert spread_unit(np.zeros(3)) == 1.0


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_a_tile_of_which_nothing_is_asked_is_exact(dn, dtype) -> None:
    pixels = (dn // 16).astype(dtype) if dtype == "uint8" else dn.astype(dtype)
    payload = encode_tile(pixels)
    assert parse_head(payload).mode == PREDICTIVE
    np.testing.assert_array_equal(decode_tile(payload), pixels)


OTHERS = {
    "float of 0 to 1": lambda x: (x / 4095).clip(0, 1).astype("f4"),
    "kelvin": lambda x: (280 + x / 200).astype("f4"),
    "metres": lambda x: (x - 500).astype("i2"),
    "8 bit": lambda x: (x // 16).clip(0, 255).astype("u1"),
    "decibel": lambda x: (10 * np.log10(x + 1) - 40).astype("f8"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_quality_of_other_samples_is_a_share_of_their_spread(dn, kind) -> None:
    pixels = OTHERS[kind](dn[3:4].astype(np.int32))
    payload = encode_tile(pixels, EncodeSettings(layers=4))
    assert parse_head(payload).mode == RVQ
    error = rmse(decode_tile(payload), pixels)
    assert 0.005 < error / pixels.std() < 0.1
    finer = decode_tile(encode_tile(pixels, EncodeSettings(layers=6)))
    assert rmse(finer, pixels) < 0.5 * error


def test_reflectances_have_the_same_error_in_any_packing(dn) -> None:
    error = rmse(decode_tile(encode_tile(dn, EncodeSettings(layers=4))), dn)
    for packed, unit in (((dn * 1e-4).astype("f4"), 1e-4), (dn // 2, 0.5)):
        decoded = decode_tile(encode_tile(packed, EncodeSettings(layers=4, unit=unit)))
        assert rmse(decoded, packed) / unit == pytest.approx(error, rel=0.05)
    named = EncodeSettings(layers=4, model="s2-rvq")
    four = (dn[:4] * 1e-4).astype("f4")
    assert parse_head(encode_tile(four, named)).mode == RVQ
    assert rmse(decode_tile(encode_tile(four, named)), four) == pytest.approx(error * 1e-4, rel=0.5)


def test_a_unit_out_of_the_range_of_the_format_means_exact() -> None:
    tiny = RNG.normal(0, 1e-9, (2, 32, 32))
    payload = encode_tile(tiny, EncodeSettings(layers=4))
    np.testing.assert_array_equal(decode_tile(payload), tiny)


def test_only_reflectance_leaves_other_tiles_exact(dn) -> None:
    wanted = EncodeSettings(layers=4, only_reflectance=True)
    assert parse_head(encode_tile(dn, wanted)).mode == RVQ
    for other in ((dn / 100).astype("f4"), (dn // 500), dn.astype("u1")):
        payload = encode_tile(other, wanted)
        assert parse_head(payload).mode != RVQ
        np.testing.assert_array_equal(decode_tile(payload), other)


@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32"])
def test_the_errors_that_an_encoder_tells_are_those_of_what_decodes(dn, dtype) -> None:
    pixels = dn[:3].astype(dtype)
    pixels[1, :20] = 0
    wanted = EncodeSettings(max_error=(20.0, 0.0, 7.0), nodata=0)
    payload, found = encode_measured(pixels, wanted)
    decoded = decode_tile(payload).astype(float)
    error = np.abs(decoded - pixels.astype(float))
    np.testing.assert_array_equal(found.largest, error.max(axis=(1, 2)))
    np.testing.assert_allclose(found.squares, np.square(error).sum(axis=(1, 2)))
    assert found.valid.tolist() == np.count_nonzero(pixels, axis=(1, 2)).tolist()
    assert (found.tiles, found.learned) == (1, 0)


def test_distortions_of_tiles_add_up_by_band(dn) -> None:
    total = Distortion.none(12)
    parts = []
    for planes in (slice(0, 10), slice(2, 12)):
        payload, found = encode_measured(dn, EncodeSettings(layers=3))
        total = total.add(found, planes)
        parts.append(decode_tile(payload).astype(float) - dn)
    assert (total.tiles, total.learned) == (2, 2)
    assert total.valid.sum() == 2 * dn.size
    assert total.rmse == pytest.approx(np.sqrt(np.mean(np.square(parts))))
    assert total.max_error == np.abs(parts).max()


def test_a_constant_tile_is_constant_whatever_is_asked() -> None:
    payload, found = encode_measured(np.full((2, 20, 20), 7.5, "f4"), EncodeSettings(layers=2))
    assert parse_head(payload).mode == CONSTANT
    assert (found.rmse, found.max_error, found.learned) == (0.0, 0.0, 0)
