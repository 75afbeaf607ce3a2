import numpy as np
import pytest
from scipy.fft import dctn
from scipy.signal import lfilter

from eocodec.block_transform import (
    FLAT,
    INVERSE_BASES,
    INVERSE_FILTER,
    block_transform,
    inverse_block_transform,
)


def planes(seed: int = 0) -> np.ndarray:
    """Three planes of correlated noise, in DN."""
    walk = np.random.default_rng(seed).normal(0, 30, (3, 40, 56)).cumsum(1).cumsum(2)
    return walk.astype(np.float32)


def inverse(coefficients: np.ndarray, stacked: int = 1) -> np.ndarray:
    return np.stack(list(inverse_block_transform(coefficients, stacked)))


def test_inverse_gives_the_pixels_back() -> None:
    pixels = planes()
    coefficients = block_transform(pixels)
    assert coefficients.shape == (64, 3, 5, 7)
    decoded = inverse(np.rint(coefficients * 64.0)) / 64
    assert np.abs(decoded - pixels).max() < 2e-4 * np.abs(pixels).max()


def test_planes_below_one_another_keep_apart() -> None:
    pixels = planes()
    pair = np.concatenate([pixels, pixels], axis=1)
    coefficients = block_transform(pair, 2)
    assert np.allclose(coefficients[:, :, :5], block_transform(pixels), atol=1e-2)
    integers = np.rint(coefficients * 64.0)
    decoded = inverse(integers, 2)
    assert np.array_equal(decoded[:, :40], inverse(integers[:, :, :5]))
    assert not np.allclose(decoded, inverse(integers), atol=10)


def test_frequencies_are_ordered_by_row() -> None:
    wave = np.cos(np.pi * (np.arange(40) + 0.5) * 2 / 8)[:, None] * np.ones(24)
    energy = block_transform(wave[None].astype(np.float32))[:, 0, 2, 1] ** 2
    assert energy[16] > 0.9 * energy.sum()


def test_flat_blocks_have_one_coefficient() -> None:
    coefficients = block_transform(np.ones((1, 24, 32), np.float32))
    assert coefficients[0] == pytest.approx(FLAT)
    assert np.abs(coefficients[1:]).max() < 1e-5


def test_coding_gain_is_above_that_of_the_cosine_transform_alone() -> None:
    """Mean of log2 of the coefficients' energies, for an image of correlation 0.95: lower by more than half a bit."""
    noise = np.random.default_rng(1).normal(size=(1, 512, 512))
    for axis in (1, 2):
        noise = lfilter([1], [1, -0.95], noise, axis=axis)
    pixels = noise[:, 256:, 256:].astype(np.float32)
    lapped = block_transform(pixels)[..., 1:-1, 1:-1]
    blocks = pixels.reshape(1, 32, 8, 32, 8)
    alone = dctn(blocks, axes=(2, 4), norm="ortho").transpose(2, 4, 0, 1, 3).reshape(64, 1, 32, 32)
    gains = [np.log2(np.square(c).mean(axis=(1, 2, 3))).mean() for c in (lapped, alone)]
    assert gains[0] < gains[1] - 0.4


def test_basis_functions_end_smoothly_within_half_a_block() -> None:
    one = np.zeros((64, 1, 3, 3))
    one[0, 0, 1, 1] = 2**12
    function = inverse(one)[0] / 2**12
    reached = np.flatnonzero(np.abs(function).max(axis=0) > 1e-3)
    assert (reached.min(), reached.max()) == (4, 19)
    assert np.abs(np.diff(function[12])).max() < 0.4 * function.max()
    assert np.square(function).sum() == pytest.approx(1, abs=0.02)


def test_integer_bases_are_the_same_everywhere() -> None:
    """No library's cosine rounds another way: a weighted sum is pinned. No sum of products reaches 2**53."""
    assert np.array_equal(INVERSE_BASES[0, :4], [2628, 3661, 3247, 2910])
    weights = np.arange(1, INVERSE_BASES.size + 1).reshape(INVERSE_BASES.shape)
    assert int((INVERSE_BASES * weights).sum()) == 88033536
    assert np.abs(INVERSE_BASES).sum(axis=1).max() * 2**35 < 2**53
    assert np.abs(INVERSE_FILTER).sum(axis=1).max() * 2**37 < 2**53
    cosines = np.cos(np.pi * (np.arange(8) + 0.5) * np.arange(8)[:, None] / 8) / 2
    cosines[0] /= np.sqrt(2)
    cosines *= 256 / np.array([226, 225, 239, 240, 247, 247, 251, 251])[:, None]
    exact = 2.0**14 * np.kron(cosines.T, cosines.T)
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
