import numpy as np
import pytest

from eocodec.block_transform import (
    INVERSE_BASES,
    INVERSE_FILTER,
    block_transform,
    flat_coefficient,
    inverse_block_transform,
)

LAPPED = pytest.mark.parametrize("lapped", [False, True])


def planes(seed: int = 0) -> np.ndarray:
    """Three planes of correlated noise, in DN."""
    walk = np.random.default_rng(seed).normal(0, 30, (3, 40, 56)).cumsum(1).cumsum(2)
    return walk.astype(np.float32)


def test_plain_transform_is_orthonormal_and_orders_frequencies_by_row() -> None:
    pixels = planes()
    coefficients = block_transform(pixels, lapped=False)
    assert coefficients.shape == (64, 3, 5, 7)
    energy = np.square(coefficients, dtype=np.float64).sum()
    assert energy == pytest.approx(np.square(pixels, dtype=np.float64).sum(), rel=1e-5)
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None], (1, 8, 8))
    energy = block_transform(ramp, lapped=False)[:, 0, 0, 0] ** 2
    assert energy[8] > 1 > energy[1] + energy[16]


@LAPPED
def test_inverse_gives_the_pixels_back(*, lapped: bool) -> None:
    pixels = planes()
    coefficients = block_transform(pixels, lapped=lapped)
    decoded = inverse_block_transform(np.rint(coefficients * 64.0), lapped=lapped) / 64
    assert np.abs(decoded - pixels).max() < 2e-4 * np.abs(pixels).max()


@LAPPED
def test_flat_blocks_have_one_coefficient(*, lapped: bool) -> None:
    coefficients = block_transform(np.ones((1, 24, 32), np.float32), lapped=lapped)
    assert coefficients[0] == pytest.approx(flat_coefficient(lapped=lapped))
    assert np.abs(coefficients[1:]).max() < 1e-5


def test_lapped_transform_compacts_smooth_images() -> None:
    sizes = []
    for lapped in (False, True):
        coefficients = block_transform(planes(1), lapped=lapped)
        sizes.append(np.abs(coefficients)[1:].mean())
    assert sizes[1] < 0.8 * sizes[0]


def test_functions_of_the_lapped_transform_end_smoothly_within_half_a_block() -> None:
    one = np.zeros((64, 1, 3, 3))
    one[0, 0, 1, 1] = 2**12
    function = inverse_block_transform(one, lapped=True)[0] / 2**12
    reached = np.flatnonzero(np.abs(function).max(axis=0) > 1e-3)
    assert (reached.min(), reached.max()) == (4, 19)
    assert np.abs(np.diff(function[12])).max() < 0.4 * function.max()
    assert np.square(function).sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("lapped", "first", "checksum"),
    [(False, [2048, 2841, 2676, 2408], 67739648), (True, [2628, 3661, 3247, 2910], 88033536)],
)
def test_integer_bases_are_the_same_everywhere(
    first: list[int], checksum: int, *, lapped: bool
) -> None:
    """No library's cosine rounds another way: a weighted sum is pinned. No sum of products reaches 2**53."""
    bases = INVERSE_BASES[lapped]
    assert np.array_equal(bases[0, :4], first)
    weights = np.arange(1, bases.size + 1).reshape(bases.shape)
    assert int((bases * weights).sum()) == checksum
    assert np.abs(bases).sum(axis=1).max() * 2**35 < 2**53
    assert np.abs(INVERSE_FILTER).sum(axis=1).max() * 2**37 < 2**53


def test_cosines_are_far_from_halves() -> None:
    cosines = np.cos(np.pi * (np.arange(8) + 0.5) * np.arange(8)[:, None] / 8) / 2
    cosines[0] /= np.sqrt(2)
    lengths = np.array([226, 225, 239, 240, 247, 247, 251, 251]) / 256
    for basis in (cosines, cosines / lengths[:, None]):
        exact = 2.0**14 * np.kron(basis.T, basis.T)
        assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
