"""Bands stored resampled, given back at their own resolution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
from eocodec.resample import upsample2

LOSSLESS = eocodec.EncodeSettings(lossless=True)
COARSE = (np.cumsum(np.random.default_rng(4).integers(-40, 41, (2, 30, 27)), axis=2) + 3000).astype(
    "float32"
)


def stack_of(coarse, dtype, rows=60, columns=54, **fields):
    fine = upsample2(coarse)
    if np.dtype(dtype).kind == "u":
        fine = np.rint(fine)
    own = np.full((1, 60, 54), 5)
    pixels = np.concatenate([own, fine]).astype(dtype)[:, :rows, :columns]
    bands = [
        eocodec.Band(name="B02"),
        eocodec.Band(name="B05", native_factor=2),
        eocodec.Band(name="B11", native_factor=2),
    ]
    data = eocodec.compress(pixels, settings=LOSSLESS, bands=bands, tile_size=32, **fields)
    return eocodec.open(data)


def test_float_bands_come_back_to_float_precision():
    np.testing.assert_allclose(stack_of(COARSE, "float32").read_native(), COARSE, rtol=1e-6)


def test_integer_bands_come_back_within_the_rounding():
    native = stack_of(COARSE, "uint16").read_native()
    assert native.dtype == np.uint16
    # Rounding at 10 m moves the least-squares solution by less than one and a half steps.
    assert np.abs(native - COARSE).max() <= 1
    assert (native == COARSE).mean() > 0.9


def test_odd_sizes_keep_their_last_row_and_column():
    native = stack_of(COARSE, "float32", rows=59, columns=53).read_native(["B11"])
    assert native.shape == (1, 30, 27)
    np.testing.assert_allclose(native[0, :29, :26], COARSE[1, :29, :26], rtol=1e-3)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 0), ("float32", float("nan"))])
def test_invalid_pixels_stay_invalid_and_spoil_nothing(dtype, nodata):
    reader = stack_of(COARSE, dtype)
    pixels = reader.read()
    pixels[1:, 20:30, 20:30] = nodata
    data = eocodec.compress(pixels, settings=LOSSLESS, nodata=nodata, bands=reader.bands)
    native = eocodec.open(data).read_native()
    hole = np.zeros(COARSE.shape, bool)
    hole[:, 10:15, 10:15] = True
    np.testing.assert_array_equal(native[hole], np.full(50, nodata, dtype))
    far = np.ones(COARSE.shape, bool)
    far[:, 2:23, 2:23] = False
    assert np.abs(native[far] - COARSE[far]).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(
        ["int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "float32"]
    ),
    end=st.sampled_from([None, "min", "max"]),
    share=st.sampled_from([0.0, 0.2, 0.7]),
    shape=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    seed=st.integers(0, 99),
)
def test_valid_pixels_never_read_as_nodata(dtype, end, share, shape, seed):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
    nodata = 60 if end is None else getattr(limits, end)
    nodata = float(nodata) if np.dtype(dtype).kind == "f" else int(nodata)
    random = np.random.default_rng(seed)
    away = random.integers(1, 4, (1, *shape)) * random.choice([-1, 1] if end is None else [1])
    around = nodata if abs(nodata) < 2**70 else 0
    pixels = np.array([int(around) + (-int(n) if end == "max" else int(n)) for n in away.flat])
    pixels = pixels.reshape(away.shape).astype(dtype)
    holes = random.random(pixels.shape) < share
    pixels[holes] = nodata
    data = eocodec.compress(
        pixels, settings=LOSSLESS, nodata=nodata, bands=[eocodec.Band(name="B05", native_factor=2)]
    )
    native = eocodec.open(data).read_native()
    rows, columns = (np.arange(0, size, 2) for size in shape)
    lost = np.logical_and.reduceat(np.logical_and.reduceat(holes, rows, 1), columns, 2)
    np.testing.assert_array_equal(native == np.array(nodata, dtype), lost)


def test_bands_at_their_own_resolution_are_refused():
    reader = stack_of(COARSE, "uint16")
    for bands in (["B02"], ["B05", "B02"], [0], []):
        with pytest.raises(eocodec.InputError, match="resampled"):
            reader.read_native(bands)
    plain = eocodec.open(eocodec.compress(np.zeros((2, 4, 4), "uint8"), settings=LOSSLESS))
    with pytest.raises(eocodec.InputError, match="resampled"):
        plain.read_native()
