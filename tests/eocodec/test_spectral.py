import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.spectral import (
    ANGLE_UNIT,
    GROUP_OF,
    GROUPS,
    SpectralTransform,
    angles_between,
    rotated,
)


def correlated(bands: int, seed: int = 0) -> np.ndarray:
    """Bands that share structure, in DN."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 400, (3, 32, 40))
    mix = rng.normal(0, 1, (bands, 3))
    noise = rng.normal(0, 5, (bands, 32, 40))
    return (np.tensordot(mix, shared, 1) + noise + 3000).astype(np.float32)


def pixels_of(transform: SpectralTransform, coefficients: np.ndarray) -> np.ndarray:
    """Inverse of coefficients in DN, as integers of 1/64 DN."""
    return transform.inverse(np.rint(coefficients * 64.0), 1 / 64, np.dtype(np.float32))


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))


@pytest.mark.parametrize("bands", [1, 2, 4, 10])
def test_coefficients_give_the_bands_back(bands: int) -> None:
    pixels = correlated(bands)
    transform, coefficients = SpectralTransform.fit(pixels)
    assert rms(pixels_of(transform, coefficients) - pixels) < 0.2


def test_energy_gathers_in_the_first_components() -> None:
    _, coefficients = SpectralTransform.fit(correlated(10))
    energy = (coefficients**2).mean(axis=(0, 2, 3))
    assert energy[:3].sum() > 0.99 * energy.sum()


def test_error_in_coefficients_is_error_in_bands() -> None:
    pixels = correlated(10)
    transform, coefficients = SpectralTransform.fit(pixels)
    noise = np.random.default_rng(1).normal(0, 20, coefficients.shape).astype(np.float32)
    decoded = pixels_of(transform, coefficients + noise)
    assert np.sqrt(np.mean((decoded - pixels) ** 2)) == pytest.approx(20, rel=0.03)


def test_bands_without_detail_leave_no_detail_in_the_last_components() -> None:
    """The point of a basis a frequency: detail of four bands takes four components, not ten."""
    rng = np.random.default_rng(2)
    pixels = gaussian_filter(rng.normal(0, 3000, (10, 128, 128)), (0, 8, 8)).astype(np.float32)
    pixels[:4] += rng.normal(0, 100, (4, 128, 128)).astype(np.float32)
    _, coefficients = SpectralTransform.fit(pixels)
    energy = (coefficients[GROUP_OF >= 4] ** 2).mean(axis=(0, 2, 3))
    assert energy[4:].sum() < 1e-3 * energy.sum()


def test_rotations_that_do_not_pay_are_left_out() -> None:
    pixels = correlated(10)
    sizes, kept = [], []
    for noise in (0.0, 30.0, 2000.0):
        transform, coefficients = SpectralTransform.fit(pixels, noise=noise)
        coder = SymbolEncoder()
        transform.encode(coder)
        sizes.append(len(coder.finish()))
        kept.append(np.count_nonzero(transform.angles))
        assert rms(pixels_of(transform, coefficients) - pixels) < 0.2
    assert sizes == sorted(sizes, reverse=True)
    assert kept[0] >= kept[1] > kept[2]
    assert sizes[2] < 60


@pytest.mark.parametrize("seed", range(5))
def test_angles_rebuild_a_basis_up_to_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, basis = (np.linalg.qr(rng.normal(size=(6, 6)))[0] for _ in range(2))
    angles = angles_between(before, basis)
    assert np.abs(angles).max() <= ANGLE_UNIT
    alike = np.abs(rotated(before, angles).T @ basis)
    assert np.abs(alike - np.eye(6)).max() < 0.05


@pytest.mark.parametrize("bands", [1, 3, 10])
def test_decoded_transform_is_the_one_encoded(bands: int) -> None:
    transform, _ = SpectralTransform.fit(correlated(bands) - 4000, 16.0)
    coder = SymbolEncoder()
    transform.encode(coder)
    again = SpectralTransform.decode(SymbolDecoder(coder.finish()), bands, 16.0)
    assert np.array_equal(again.bases, transform.bases)
    assert np.array_equal(again.mean, transform.mean)


def test_constant_and_repeated_bands_come_back() -> None:
    pixels = np.repeat(correlated(1), 3, axis=0)
    pixels[2] = 5
    transform, coefficients = SpectralTransform.fit(pixels)
    assert rms(pixels_of(transform, coefficients) - pixels) < 0.2


def test_rotations_beyond_a_right_angle_are_refused() -> None:
    angles = np.zeros((GROUPS, 1), np.int32)
    angles[0] = ANGLE_UNIT + 1
    coder = SymbolEncoder()
    SpectralTransform(angles, np.zeros(2, np.int64), 1.0).encode(coder)
    with pytest.raises(FormatError, match="rotation"):
        SpectralTransform.decode(SymbolDecoder(coder.finish()), 2, 1.0)
