"""Distortion figures against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocodec.errors import InputError
from eocodec.metrics import Comparer, compare, psnr_of


def test_known_errors_give_known_figures():
    reference = np.full((2, 2, 2), 1000, np.uint16)
    decoded = reference.copy()
    decoded[1] = [[1003, 997], [1004, 996]]

    result = compare(reference, decoded)

    assert result.rmse == (0.0, math.sqrt((9 + 9 + 16 + 16) / 4))
    assert result.max_error == (0.0, 4.0)
    assert result.psnr[0] == math.inf
    assert result.psnr[1] == pytest.approx(20 * math.log10(10000 / math.sqrt(12.5)))
    assert result.total_rmse == pytest.approx(math.sqrt(50 / 8))
    assert result.valid_pixels == (4, 4)
    assert result.invalid_mismatches == 0


def test_unsigned_differences_do_not_wrap():
    assert compare(np.zeros((1, 1, 1), np.uint16), np.full((1, 1, 1), 7, np.uint16)).max_error == (
        7.0,
    )


def test_nodata_and_nan_samples_do_not_count():
    reference = np.array([[[0.0, 5.0, np.nan, 8.0]]])
    decoded = np.array([[[0.0, 6.0, np.nan, 8.0]]])

    result = compare(reference, decoded, nodata=0)

    assert result.valid_pixels == (2,)
    assert result.rmse == (pytest.approx(math.sqrt(0.5)),)
    assert result.invalid_mismatches == 0


@pytest.mark.parametrize(
    ("decoded", "mismatches"),
    [([0.0, 5.0, 7.0], 1), ([1.0, 5.0, np.nan], 1), ([0.0, 0.0, np.nan], 1), ([2.0, 0.0, 3.0], 3)],
)
def test_damaged_invalid_samples_are_reported(decoded, mismatches):
    reference = np.array([[[0.0, 5.0, np.nan]]])
    result = compare(reference, np.array([[decoded]]), nodata=0)
    assert result.invalid_mismatches == mismatches


def test_equal_infinities_are_no_error():
    values = np.array([[[np.inf, -np.inf, 1.0]]])
    assert compare(values, values).rmse == (0.0,)


def test_spectral_angle_of_known_vectors():
    reference = np.array([1.0, 0.0]).reshape(2, 1, 1)
    decoded = np.array([1.0, 1.0]).reshape(2, 1, 1)
    assert compare(reference, decoded).spectral_angle == pytest.approx(45.0)
    assert compare(reference, 3 * reference).spectral_angle == pytest.approx(0.0)


def test_a_single_band_has_no_spectral_angle():
    assert math.isnan(compare(np.ones((3, 3)), np.ones((3, 3))).spectral_angle)


def test_a_raster_without_valid_samples_has_no_figures():
    result = compare(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), nodata=0)
    assert math.isnan(result.rmse[0])
    assert math.isnan(result.max_error[0])
    assert math.isnan(result.total_rmse)


@given(st.integers(1, 15), st.integers(0, 2**32 - 1))
def test_blocks_add_up_to_the_whole(cut, seed):
    random = np.random.default_rng(seed)
    reference = random.integers(0, 50, (3, 16, 16)).astype(np.uint16)
    decoded = random.integers(0, 50, (3, 16, 16)).astype(np.uint16)
    comparer = Comparer(bands=3, nodata=0)
    comparer.add(reference[:, :cut], decoded[:, :cut])
    comparer.add(reference[:, cut:], decoded[:, cut:])

    whole, parts = compare(reference, decoded, nodata=0), comparer.result()

    assert parts.rmse == pytest.approx(whole.rmse)
    assert parts.max_error == whole.max_error
    assert parts.valid_pixels == whole.valid_pixels
    assert parts.spectral_angle == pytest.approx(whole.spectral_angle)
    assert parts.invalid_mismatches == whole.invalid_mismatches


def test_a_mask_excludes_samples():
    comparer = Comparer(bands=1)
    comparer.add(np.array([[[1, 2]]]), np.array([[[1, 9]]]), valid=np.array([[True, False]]))
    assert comparer.result().rmse == (0.0,)


def test_unequal_shapes_are_refused():
    with pytest.raises(InputError, match="must be equal"):
        compare(np.zeros((1, 2, 2)), np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match=r"\(C, H, W\)"):
        compare(np.zeros(4), np.zeros(4))


def test_psnr_of_a_known_error():
    assert psnr_of(100.0) == pytest.approx(40.0)
