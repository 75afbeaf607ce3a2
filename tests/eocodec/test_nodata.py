"""No valid sample ever reads as nodata, in any dtype, wherever nodata lies among the values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.mask import find_invalid, keep_off
from eocodec.resample import double_samples, halve_samples
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

DTYPES = [
    np.dtype(name)
    for name in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")  # all of the format
]
Array = npt.NDArray[Any]


def steps_from(value: int | float, dtype: np.dtype[Any], most: int) -> list[int | float]:
    """List the values of `dtype` within `most` steps of `value`, itself in the middle or at an end."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = max(int(value) - most, limits.min), min(int(value) + most, limits.max)
        return list(range(low, high + 1))
    found = [dtype.type(value)]
    for end in (-np.inf, np.inf):
        near = dtype.type(value)
        for _ in range(most):
            with np.errstate(over="ignore", under="ignore"):
                near = np.nextafter(near, dtype.type(end))
            if np.isfinite(near):
                found.append(near)
    return sorted(float(one) for one in found)


def positions(dtype: np.dtype[Any]) -> list[int | float]:
    """List places for nodata: the ends of the dtype, beside them, zero and in the middle."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        middle = limits.min // 2 + limits.max // 2
        return [limits.min, limits.min + 1, limits.max - 1, limits.max, middle, 0, 100]
    top = float(np.finfo(dtype).max)
    return [-top, top, 0.0, -9999.0, float(dtype.type(0.1)), 1.0, math.nan, math.inf]


@st.composite
def rasters(draw: st.DrawFn, size: int = 9) -> tuple[Array, int | float, npt.NDArray[np.bool_]]:
    """Draw samples (2, h, w) close to nodata, nodata, and where samples hold it."""
    dtype = draw(st.sampled_from(DTYPES))
    nodata = draw(st.sampled_from(positions(dtype)))
    shape = (2, draw(st.integers(1, size)), draw(st.integers(1, size)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    centre = nodata if math.isfinite(nodata) else 5
    around = [v for v in steps_from(centre, dtype, draw(st.integers(1, 5))) if v != nodata]
    pixels = rng.choice(np.array(around, dtype), shape)
    holes = rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.8]))
    pixels[holes] = nodata
    return pixels, nodata, holes


def invalid_in(pixels: Array, *values: int | float) -> npt.NDArray[np.bool_]:
    found = find_invalid(pixels, *values)
    return np.zeros(pixels.shape, bool) if found is None else found


def blocks_all(holes: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell of each 2 x 2 block, cut at the far edges, whether all inside is true."""
    rows, columns = (range(0, size, 2) for size in holes.shape[1:])
    blocks = [[holes[:, y : y + 2, x : x + 2].all((1, 2)) for x in columns] for y in rows]
    return np.moveaxis(np.array(blocks), 2, 0)


@settings(max_examples=300, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    place=st.integers(0, 5),
    offsets=st.lists(st.integers(-4, 4), max_size=6),
    beyond=st.lists(st.sampled_from([math.nan, 0.5, -(2**70), 2**70]), max_size=2),
)
def test_samples_move_to_the_next_free_value_and_no_further(
    dtype: np.dtype[Any], place: int, offsets: list[int], beyond: list[float]
) -> None:
    centre = positions(dtype)[place]
    line = steps_from(centre, dtype, 12)
    at = line.index(dtype.type(centre).item())
    special = {line[at + n] for n in [0, *offsets] if 0 <= at + n < len(line)}
    given_values = [*special, *(b for b in beyond if dtype.kind != "f" or b != 0.5)]
    pixels = np.array(line, dtype).reshape(1, 1, -1)
    moved = keep_off(pixels, np.ones(pixels.shape, bool), *given_values)
    for index, (before, after) in enumerate(zip(line, moved[0, 0].tolist(), strict=True)):
        if before not in special:
            assert after == before
            continue
        above = [value for value in line[index:] if value not in special]
        below = [value for value in line[:index] if value not in special]
        assert after == (above[0] if above else below[-1])


def test_samples_that_are_not_valid_and_nan_stay() -> None:
    pixels = np.array([[[5, 5, np.nan, np.inf]]])
    valid = np.array([[[True, False, True, True]]])
    moved = keep_off(pixels, valid, 5, math.nan, math.inf)
    np.testing.assert_array_equal(moved, [[[np.nextafter(5, 6), 5, np.nan, np.inf]]])


@settings(max_examples=300, deadline=None)
@given(raster=rasters())
def test_doubling_repeats_invalid_samples_and_makes_no_other(
    raster: tuple[Array, int | float, npt.NDArray[np.bool_]],
) -> None:
    pixels, nodata, holes = raster
    doubled = double_samples(pixels, nodata)
    assert doubled.dtype == pixels.dtype
    repeated = holes.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(invalid_in(doubled, nodata), repeated)
    again = pixels.repeat(2, 1).repeat(2, 2)
    assert doubled[repeated].tobytes() == again[repeated].tobytes()


@settings(max_examples=300, deadline=None)
@given(raster=rasters(15))
def test_halving_is_invalid_where_all_fine_samples_are_and_nowhere_else(
    raster: tuple[Array, int | float, npt.NDArray[np.bool_]],
) -> None:
    pixels, nodata, holes = raster
    halved = halve_samples(pixels, nodata)
    assert halved.dtype == pixels.dtype
    lost = blocks_all(holes)
    np.testing.assert_array_equal(invalid_in(halved, nodata), lost)
    assert halved[lost].tobytes() == pixels[:, ::2, ::2][lost].tobytes()


@settings(max_examples=200, deadline=None)
@given(raster=rasters())
def test_halving_the_doubled_gives_the_same_samples_back_invalid(
    raster: tuple[Array, int | float, npt.NDArray[np.bool_]],
) -> None:
    pixels, nodata, holes = raster
    back = halve_samples(double_samples(pixels, nodata), nodata)
    np.testing.assert_array_equal(invalid_in(back, nodata), holes)
    assert back[holes].tobytes() == pixels[holes].tobytes()


def test_infinities_take_no_part_in_their_neighbours() -> None:
    pixels = np.array([[[1, 2, np.inf, -np.inf, 5, np.nan]]], np.float32)
    doubled = double_samples(pixels, None)
    np.testing.assert_array_equal(doubled[0, 0, 4:8], [np.inf, np.inf, -np.inf, -np.inf])
    assert np.isfinite(doubled[0, 0, [0, 1, 2, 3, 8, 9]]).all()
    back = halve_samples(doubled, None)
    np.testing.assert_allclose(back, pixels, rtol=0.3)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64", "float64"])
def test_wide_samples_are_resampled_in_double_precision(dtype: str) -> None:
    high = 2**31 - 9 if dtype == "int32" else 2**32 - 9
    pixels = np.full((1, 6, 5), high, dtype)
    assert (double_samples(pixels, 0) == high).all()
    np.testing.assert_allclose(halve_samples(pixels, 0), pixels[:, ::2, ::2], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_samples_at_the_top_of_64_bits_do_not_wrap(dtype: str) -> None:
    limits = np.iinfo(dtype)
    pixels = np.full((1, 4, 4), limits.max, dtype)
    assert (double_samples(pixels, int(limits.min)) == limits.max).all()
    assert (halve_samples(pixels, int(limits.max)) == limits.max).all()
    pixels[0, 0, 0] -= 1
    assert halve_samples(pixels, int(limits.max))[0, 0, 0] == limits.max - 1


@settings(max_examples=150, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    place=st.integers(0, 7),
    others=st.lists(st.integers(-6, 6), max_size=4),
    spread=st.integers(1, 30),
    bound=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 99),
)
def test_bounds_hold_and_no_valid_sample_of_a_tile_is_special(
    dtype: np.dtype[Any],
    place: int,
    others: list[int],
    spread: int,
    bound: int,
    share: float,
    seed: int,
) -> None:
    nodata = positions(dtype)[place % len(positions(dtype))]
    centre = nodata if math.isfinite(nodata) and abs(nodata) < 1e30 else 50
    values: list[int | float]
    if dtype.kind in "iu":
        values = steps_from(centre, dtype, spread + 6)
    else:
        values = [centre + n for n in range(-spread - 6, spread + 7)]
    middle = len(values) // 2
    special = tuple({values[(middle + n) % len(values)] for n in others} - {nodata})
    free = np.array([v for v in values if v != nodata and v not in special], dtype)
    rng = np.random.default_rng(seed)
    pixels = rng.choice(free, (2, 24, 24))
    pixels.sort(axis=2)
    fills = np.array([nodata, *special], dtype)
    holes = rng.random(pixels.shape) < share
    pixels[holes] = rng.choice(fills, int(holes.sum()))
    payload = encode_tile(pixels, EncodeSettings(max_error=bound, nodata=nodata, special=special))
    decoded = decode_tile(payload)
    np.testing.assert_array_equal(invalid_in(decoded, nodata, *special), holes)
    assert decoded[holes].tobytes() == pixels[holes].tobytes()
    pairs = zip(decoded[~holes].tolist(), pixels[~holes].tolist(), strict=True)
    assert max((abs(one - other) for one, other in pairs), default=0) <= bound


def test_a_reserved_value_among_the_samples_costs_a_step_not_the_bound() -> None:
    rng = np.random.default_rng(3)
    pixels = np.cumsum(rng.integers(-9, 10, (1, 64, 64)), axis=2).astype(np.int16) + 500
    pixels[pixels == 500] += 1
    bounded = EncodeSettings(max_error=4, nodata=500)
    size = len(encode_tile(pixels, bounded))
    assert size < 1.25 * len(encode_tile(pixels, EncodeSettings(max_error=4)))
    assert size < 0.75 * len(encode_tile(pixels, EncodeSettings(lossless=True)))
