"""The lossless mode: exact, small on correlated bands, safe on hostile bytes."""

from __future__ import annotations

import contextlib
import time
import zlib
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.bounds import ErrorBounds
from eocodec.errors import EocodecError, FormatError, InputError, LimitError, UnsupportedError
from eocodec.integers import MAX_INTEGERS, IntegerReader, pack_integers, unpack_integers
from eocodec.payload import ByteReader, put_varint
from eocodec.plane_analysis import analyse_band, analyse_plane
from eocodec.planes import (
    band_from_keys,
    band_keys,
    nearest_values,
    restore_band,
)
from eocodec.predictive import SCHEME, decode_predictive, encode_predictive
from eocodec.predictive_copies import find_patterns, labels_of, parse_pattern, pattern_integers
from eocodec.predictive_levels import find_levels
from eocodec.residual_tables import KNOTS, build_table, fit_table
from eocodec.residuals import ClassScheme
from tests.fuzz.limits import bounded as limited


def scene(shape: tuple[int, int, int], noise: float = 3.0, seed: int = 0) -> npt.NDArray[Any]:
    """Return correlated bands of fractal terrain with sensor noise, uint16."""
    rng = np.random.default_rng(seed)
    bands, height, width = shape
    terrain = np.zeros((height, width))
    for octave in range(1, 7):
        cells = rng.normal(0, 400 / octave**2, (2**octave + 1, 2**octave + 1))
        y = np.linspace(0, 2**octave - 1e-6, height)
        x = np.linspace(0, 2**octave - 1e-6, width)
        row, column = y.astype(int), x.astype(int)
        down, right = (y - row)[:, None], (x - column)[None]
        upper = cells[row][:, column] * (1 - right) + cells[row][:, column + 1] * right
        lower = cells[row + 1][:, column] * (1 - right) + cells[row + 1][:, column + 1] * right
        terrain += upper * (1 - down) + lower * down
    gains = np.linspace(0.5, 2, bands)[:, None, None]
    return np.clip(1500 + gains * terrain + rng.normal(0, noise, shape), 0, 10000).astype("u2")


def round_trip(pixels: npt.NDArray[Any]) -> int:
    data = encode_predictive(pixels)
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    assert decode_predictive(data, pixels.dtype, shape).tobytes() == pixels.tobytes()
    return len(data)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (2, 1, 40), (2, 40, 1), (1, 2, 2), (3, 7, 200), (1, 65, 64), (40, 9, 9)],
)
def test_every_shape_round_trips(shape: tuple[int, int, int]) -> None:
    round_trip(scene(shape))


def test_size_is_near_the_entropy_of_the_sensor_noise() -> None:
    pixels = scene((4, 256, 256), noise=4.0)
    ideal = np.log2(4.0 * np.sqrt(2 * np.pi * np.e))
    assert round_trip(pixels) * 8 / pixels.size < ideal + 0.5


def test_bands_that_repeat_another_cost_little() -> None:
    one = scene((1, 128, 128), noise=20)
    pair = np.concatenate([one, one // 2 + 100])
    assert round_trip(pair) < 1.15 * round_trip(one)


def test_quantised_floats_cost_as_their_ranks() -> None:
    counts = scene((2, 128, 128))
    floats = (counts / np.float32(10000)).astype(np.float32)
    assert round_trip(floats) < 1.1 * round_trip(counts) + 2000


def test_invalid_samples_cost_nothing_and_valid_ones_stay_exact() -> None:
    pixels = scene((3, 128, 128))
    invalid = np.zeros(pixels.shape, bool)
    invalid[:, 20:90, 30:100] = True
    hollow = np.where(invalid, np.uint16(0), pixels)
    data = encode_predictive(hollow, invalid)
    decoded = decode_predictive(data, "u2", (3, 128, 128), invalid)
    assert (decoded[~invalid] == pixels[~invalid]).all()
    assert len(data) < 0.8 * len(encode_predictive(pixels))


def test_noise_grows_by_less_than_two_percent() -> None:
    pixels = np.random.default_rng(0).integers(0, 1 << 16, (2, 200, 200), np.uint16)
    assert round_trip(pixels) < 1.02 * pixels.nbytes


def test_outliers_escape() -> None:
    pixels = scene((2, 64, 64))
    pixels[0, ::9, ::7] = 65535
    pixels[1, 5, 5] = 0
    round_trip(pixels)
    wide = pixels.astype(np.uint32)
    wide[0, 3, 3] = 0xFFFFFFFF
    wide[1, 60, 60] = 0x80000000
    round_trip(wide)


def test_bytes_are_the_same_on_every_run() -> None:
    # A change here is a change of the format or of the encoder: regenerate the golden files.
    ramp = (np.arange(2 * 33 * 47).reshape(2, 33, 47) ** 2 % 251).astype(np.uint8)
    data = encode_predictive(ramp)
    assert encode_predictive(ramp) == data
    assert decode_predictive(data, "u1", (2, 33, 47)).tobytes() == ramp.tobytes()


def test_unknown_scheme_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="scheme 200"):
        decode_predictive(b"\xc8\x00", "u1", (1, 4, 4))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i8"])
def test_every_truncation_is_refused_or_decodes_in_range(dtype: str) -> None:
    pixels = (scene((2, 24, 25)) // 64).astype(dtype)
    data = encode_predictive(pixels)
    for cut in range(0, len(data), 7):
        try:
            decoded = decode_predictive(data[:cut], dtype, (2, 24, 25))
        except EocodecError:
            continue
        assert decoded.shape == pixels.shape


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bits_raise_or_decode_in_bounded_time(dtype: str, data: st.DataObject) -> None:
    pixels = (scene((2, 24, 25)) // 64).astype(dtype)
    layer = bytearray(encode_predictive(pixels))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * min(len(layer), 300) - 1))
        layer[bit // 8] ^= 1 << bit % 8
    start = time.process_time()
    with contextlib.suppress(EocodecError):
        assert decode_predictive(layer, dtype, (2, 24, 25)).shape == pixels.shape
    assert time.process_time() - start < 5


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=120))
def test_arbitrary_bytes_raise_or_decode(noise: bytes) -> None:
    try:
        decode_predictive(b"\x01" + noise, "u2", (2, 9, 9))
    except EocodecError:
        return


@given(values=st.lists(st.integers(-(2**32) + 1, 2**32 - 1), max_size=60))
def test_side_integers_round_trip(values: list[int]) -> None:
    assert unpack_integers(pack_integers(values), 60).tolist() == values


def test_many_equal_side_integers_stay_within_what_a_reader_accepts() -> None:
    values = [0] * 100_000
    packed = pack_integers(values)
    assert unpack_integers(packed, 100_000).tolist() == values
    with pytest.raises(FormatError, match="too many"):
        unpack_integers(packed, 99_999)
    with pytest.raises(FormatError, match="too many"):
        unpack_integers(packed[:12], 100_000)


def test_side_integers_of_a_hostile_tile_cost_little() -> None:
    packed = put_varint(MAX_INTEGERS) + bytes([2, 0, 1]) + bytes(MAX_INTEGERS // 256)
    body = bytes([SCHEME]) + put_varint(len(packed)) + packed
    with limited(), pytest.raises(FormatError, match="side information holds"):
        decode_predictive(body, "u1", (4096, 1, 1))
    beyond = put_varint(MAX_INTEGERS + 1) + packed[4:] + bytes(256)
    with pytest.raises(LimitError, match="too many"):
        unpack_integers(beyond, 1 << 30)
    with pytest.raises(InputError, match="smaller tiles"):
        pack_integers(np.zeros(MAX_INTEGERS + 1, np.int64))


def test_many_planes_decode_in_linear_time() -> None:
    pixels = np.random.default_rng(3).integers(0, 2**60, (4096, 1, 1)).astype("u8")
    body = encode_predictive(pixels)
    with limited():
        np.testing.assert_array_equal(decode_predictive(body, "u8", pixels.shape), pixels)


def test_a_grid_beyond_the_dtype_is_refused_without_a_warning() -> None:
    smooth = np.linspace(0, 1, 400, dtype="f4").reshape(1, 20, 20)
    body = encode_predictive(smooth, bounds=ErrorBounds((0.01,)))
    reader = ByteReader(body, "layer")
    reader.take(1)
    integers = unpack_integers(reader.take(reader.varint()), 1 << 20)
    rest = bytes(reader.view[reader.pos :])
    refused = 0
    for at in range(40):
        changed = integers.copy()
        changed[at] = 0x7FEF  # as the highest quarter of a binary64, beyond any binary32
        packed = pack_integers(changed)
        try:
            decode_predictive(body[:1] + put_varint(len(packed)) + packed + rest, "f4", (1, 20, 20))
        except FormatError as error:
            refused += "outside its dtype" in str(error)
    assert refused


def test_side_reader_refuses_to_run_past_its_end_or_stop_before() -> None:
    reader = IntegerReader(np.array([1, 2, 3]))
    with pytest.raises(FormatError, match="ends early"):
        reader.take_many(4)
    with pytest.raises(FormatError, match="holds 1 where"):
        reader.take(2, 9)
    with pytest.raises(FormatError, match="after its end"):
        reader.finish()


@pytest.mark.parametrize("dtype", ["i1", "f4", "f8", "i8", "u2"])
def test_keys_keep_the_order_of_values(dtype: str) -> None:
    values = np.array([-3, -1, 0, 1, 2, 100], dtype) if dtype != "u2" else np.arange(6, dtype="u2")
    halves = [half.astype(object) for half in band_keys(values[None])]
    keys = halves[0] if len(halves) == 1 else halves[0] * 2**32 + halves[1]
    assert (np.diff(keys[0]) > 0).all()
    assert (band_from_keys(band_keys(values[None]), np.dtype(dtype))[0] == values).all()


def test_sparse_values_become_ranks() -> None:
    keys = np.random.default_rng(0).integers(0, 40, (64, 64)).astype(np.int64) * 1000 + 7
    plane, values = analyse_plane(keys, None)
    assert (plane.low, plane.top) == (7, 39)
    assert (plane.keys(values) == keys).all()


def test_classes_double_a_fixed_number_of_times_an_octave() -> None:
    narrow, wide = ClassScheme(1, False), ClassScheme(2, True)
    scales = np.array([-5, 0, 8, 11, 12, 15, 16, 24, 2**24 - 1, 2**31 - 1], np.int32)
    assert narrow.classify(scales).tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 41, 41]
    assert narrow.count == 43
    assert wide.classify(np.array([8, 9, 10, 15, 2**47, 2**60])).tolist() == [0, 0, 1, 3, 176, 179]
    assert wide.count == 181


def test_fitted_table_codes_near_the_entropy_of_its_class() -> None:
    values = np.round(np.random.default_rng(2).laplace(0, 6, 20_000)).astype(np.int32)
    table = fit_table(values, ClassScheme(1, False).default_slope(16))
    bits = np.log2(table.counts.sum() / table.counts)
    inside = np.clip(values, -table.limit, table.limit)
    coded = bits[inside + table.limit].mean()
    _, counts = np.unique(values, return_counts=True)
    entropy = -(counts / len(values)) @ np.log2(counts / len(values))
    assert coded < entropy + 0.02


def test_default_tables_are_symmetric_falling_and_within_the_knots() -> None:
    for scheme in (ClassScheme(1, False), ClassScheme(2, True)):
        for index in range(scheme.count):
            table = build_table((), scheme.default_slope(index))
            assert 3 <= table.limit <= KNOTS[-1] + 1
            assert (table.counts == table.counts[::-1]).all()
            assert (np.diff(table.counts[: table.limit + 1]) >= 0).all()
            assert table.counts.min() >= 1


def test_beats_deflate_by_a_wide_margin_on_correlated_bands() -> None:
    pixels = scene((6, 128, 128), noise=2)
    assert round_trip(pixels) < 0.6 * len(zlib.compress(pixels.tobytes(), 9))


def shrunk_twice(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Repeat samples as nearest-neighbour resampling to a finer, slightly turned grid does."""
    height, width = pixels.shape[1:]
    y, x = np.mgrid[: 5 * height // 3, : 5 * width // 3]
    rows, columns = (3 * y + x // 60) // 5, (3 * x + y // 50) // 5
    return pixels[:, np.minimum(rows, height - 1), np.minimum(columns, width - 1)]


def test_copies_of_a_coarser_grid_cost_little_more_than_the_grid() -> None:
    coarse = scene((4, 72, 72), noise=20)
    fine = shrunk_twice(coarse)
    assert fine.shape == (4, 120, 120)
    assert round_trip(fine) < 1.2 * round_trip(coarse)


def test_labels_join_equal_samples_only() -> None:
    fine = shrunk_twice(scene((3, 60, 60), noise=20))
    patterns, numbers = find_patterns(list(fine))
    assert numbers == [1, 1, 1]
    labels = labels_of(patterns[0])
    for axis in (0, 1):
        same = np.diff(labels, axis=axis) == 0
        assert same.mean() > 0.35
        assert (np.diff(fine.astype(int), axis=axis + 1)[:, same] == 0).all()
    side = IntegerReader(np.array(pattern_integers(patterns[0]), np.int64))
    assert (parse_pattern(side, *labels.shape) == labels).all()
    side.finish()


def test_noise_has_no_pattern_of_copies() -> None:
    planes = list(np.random.default_rng(0).integers(0, 4, (3, 64, 64)))
    assert find_patterns(planes) == ([], [0, 0, 0])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "f4"])
def test_levels_are_few_and_near_every_sample(dtype: str) -> None:
    samples = np.random.default_rng(1).integers(1, 120, 4000).astype(dtype)
    if dtype == "i2":
        samples = (samples - 60) * 90
    bounds = ErrorBounds((None,), relative=0.05)
    levels = find_levels(samples, partial(bounds.allowed_in, 0))
    assert levels is not None
    assert (np.diff(levels.astype(float)) > 0).all()
    error = np.abs(samples.astype(float)[:, None] - levels.astype(float)).min(axis=1)
    assert (error <= bounds.allowed_in(0, samples)).all()
    assert len(levels) < 0.8 * (float(samples.max()) - float(samples.min()))


def test_a_grid_keeps_float_samples_within_the_bound() -> None:
    band = np.random.default_rng(2).normal(280, 15, (40, 40)).astype(np.float32)
    (plane, values), *_ = analyse_band(band, None, partial(ErrorBounds((0.5,)).allowed_in, 0))
    assert plane.grid is not None
    assert plane.near > 0
    for shift in (-plane.near, 0, plane.near):
        restored = restore_band([(plane, np.clip(values + shift, 0, plane.top))], band.dtype)
        assert np.abs(restored.astype(float) - band).max() <= 0.5
    assert (nearest_values(restore_band([(plane, values)], band.dtype), [plane])[0] == values).all()


def test_a_bound_above_the_range_leaves_one_value() -> None:
    band = np.random.default_rng(3).integers(100, 109, (20, 20)).astype(np.uint16)
    (plane, _), *_ = analyse_band(band, None, partial(ErrorBounds((5.0,)).allowed_in, 0))
    assert (plane.low, plane.top) == (104, 0)
