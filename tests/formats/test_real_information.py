"""Bitwise real information against values of xbitinfo 0.0.7, and what it makes of packed samples."""

import numpy as np
import pytest

from eocodec.formats.real_information import BitPairs

ROWS, COLUMNS = np.arange(40)[:, None], np.arange(300)[None, :]
SMOOTH = 280 + 12 * np.sin(ROWS / 9 + COLUMNS / 31) + np.cos(ROWS * COLUMNS % 97) * 0.3
TRACER = np.exp(3 * np.sin(ROWS / 9 + COLUMNS / 31)) * 1e-7


def counted(samples):
    pairs = BitPairs(samples.dtype)
    pairs.add(samples, np.isfinite(samples))
    return pairs


@pytest.mark.parametrize(
    ("samples", "first", "expected", "keepbits"),
    [
        (SMOOTH, 11, [0.71847, 0.83173, 0.7808, 0.47755, 0.29363, 0.07064], 8),
        (TRACER, 5, [0.91127, 0.78435, 0.69065, 0.54009, 0.29481, 0.05794, 0.04766], 3),
    ],
)
def test_information_is_that_of_xbitinfo(samples, first, expected, keepbits):
    found = counted(samples.astype("f4")).information()
    assert found[first : first + len(expected)] == pytest.approx(expected, abs=1e-3)
    assert not found[:first].any()
    assert counted(samples.astype("f4")).keepbits(0.99) == keepbits


def test_doubles_have_the_bits_of_floats_further_left():
    single, double = (counted(SMOOTH.astype(kind)) for kind in ("f4", "f8"))
    assert double.information()[12:30] == pytest.approx(single.information()[9:27], abs=1e-3)
    assert double.keepbits(0.99) == single.keepbits(0.99) == 8


def test_information_of_a_packing_is_no_real_information():
    # GRIB's simple packing: a reference and multiples of a power of 2. Below that power all samples of
    # one binade have the same bits, and neighbours lie mostly in one.
    reference = float(np.float32(200.104309))
    packed = reference + np.round((SMOOTH - 24 - reference) * 2**8) * 2.0**-8
    pairs = counted(packed.astype("f4"))
    assert pairs.information()[-6:].sum() > 1
    kept = np.cumsum(pairs.information()) / pairs.information().sum()
    assert np.argmax(kept >= 0.99) - 8 >= 18
    assert pairs.keepbits(0.99) == 7


def test_noise_and_constants_have_none():
    noise = np.random.default_rng(1).integers(0x3F000000, 0x3FFFFFFF, (50, 1000), np.uint32)
    assert counted(noise.view(np.float32)).keepbits(0.99) is None
    assert counted(np.full((20, 30), 3.7)).keepbits(0.99) is None
    assert counted(np.ones((4, 1), "f4")).keepbits(0.99) is None


def test_pairs_with_a_missing_sample_do_not_count():
    holes = SMOOTH.astype("f4")
    holes[::3, 5::7] = np.nan
    pairs = counted(holes)
    assert pairs.pairs == int((np.isfinite(holes[:, 1:]) & np.isfinite(holes[:, :-1])).sum())
    assert pairs.keepbits(0.99) == 8
