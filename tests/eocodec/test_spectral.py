import contextlib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.rotations import (
    ANGLE_UNIT,
    decode_angles,
    encode_angles,
    rotated,
    rotations_towards,
)
from eocodec.spectral import GROUP_OF, SpectralTransform
from eocodec.spectral_fit import fit_spectral, jointly_diagonal


def correlated(bands: int, seed: int = 0) -> np.ndarray:
    """Bands that share structure, in DN."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 400, (3, 32, 48))
    mix = rng.normal(0, 1, (bands, 3))
    noise = rng.normal(0, 5, (bands, 32, 48))
    return (np.tensordot(mix, shared, 1) + noise + 3000).astype(np.float32)


def pixels_of(transform: SpectralTransform, coefficients: np.ndarray) -> np.ndarray:
    """Inverse of coefficients in DN, as integers of 1/64 DN."""
    return transform.inverse(np.rint(coefficients * 64.0), 1 / 64, np.dtype(np.float32))


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64))))


@pytest.mark.parametrize("bands", [1, 2, 4, 10])
def test_coefficients_give_the_bands_back(bands: int) -> None:
    pixels = correlated(bands)
    transform, coefficients = fit_spectral(pixels)
    assert rms(pixels_of(transform, coefficients) - pixels) < 0.2


def test_energy_gathers_in_the_first_components() -> None:
    _, coefficients = fit_spectral(correlated(10))
    energy = (coefficients**2).mean(axis=(0, 2, 3))
    assert energy[:3].sum() > 0.99 * energy.sum()


def test_error_in_coefficients_is_error_in_bands() -> None:
    pixels = correlated(10)
    transform, coefficients = fit_spectral(pixels)
    noise = np.random.default_rng(1).normal(0, 20, coefficients.shape).astype(np.float32)
    decoded = pixels_of(transform, coefficients + noise)
    assert np.sqrt(np.mean((decoded - pixels) ** 2)) == pytest.approx(20, rel=0.03)


def test_bands_without_detail_leave_no_detail_in_the_last_components() -> None:
    """The point of a basis a frequency: detail of four bands takes four components, not ten."""
    rng = np.random.default_rng(2)
    pixels = gaussian_filter(rng.normal(0, 3000, (10, 128, 128)), (0, 8, 8)).astype(np.float32)
    pixels[:4] += rng.normal(0, 100, (4, 128, 128)).astype(np.float32)
    _, coefficients = fit_spectral(pixels)
    energy = (coefficients[GROUP_OF >= 4] ** 2).mean(axis=(0, 2, 3))
    assert energy[4:].sum() < 1e-3 * energy.sum()


def test_rotations_that_do_not_pay_are_left_out() -> None:
    pixels = correlated(10)
    sizes, kept = [], []
    for noise in (0.0, 100.0, 2000.0):
        transform, coefficients = fit_spectral(pixels, noise=noise)
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
    steps = [(row, turned.copy()) for row, turned in rotations_towards(before, basis)]
    angles = np.concatenate([row for row, _ in steps]).astype(np.int32)
    assert np.abs(angles).max() <= ANGLE_UNIT
    rebuilt = rotated(before, angles)
    assert np.array_equal(rebuilt, steps[-1][1])
    assert np.abs(np.abs(rebuilt.T @ basis) - np.eye(6)).max() < 0.05


@pytest.mark.parametrize("bands", [1, 3, 10, 16])
def test_decoded_transform_is_the_one_encoded(bands: int) -> None:
    transform, _ = fit_spectral(correlated(bands) - 4000, 16.0)
    coder = SymbolEncoder()
    transform.encode(coder)
    regions = transform.classes.shape
    again = SpectralTransform.decode(SymbolDecoder(coder.finish()), bands, 16.0, regions)
    assert np.array_equal(again.bases, transform.bases)
    assert np.array_equal(again.mean, transform.mean)
    assert np.array_equal(again.classes, transform.classes)


def test_constant_and_repeated_bands_come_back() -> None:
    pixels = np.repeat(correlated(1), 3, axis=0)
    pixels[2] = 5
    transform, coefficients = fit_spectral(pixels)
    assert rms(pixels_of(transform, coefficients) - pixels) < 0.2


def test_rotations_beyond_a_right_angle_are_refused() -> None:
    coder = SymbolEncoder()
    groups = np.array([0, 3], np.int32)
    encode_angles(coder, np.array([[0], [ANGLE_UNIT + 1]], np.int32), groups, 2)
    with pytest.raises(FormatError, match="rotation"):
        decode_angles(SymbolDecoder(coder.finish()), groups, 2)


def halves(side: int, bands: int = 6) -> np.ndarray:
    """Texture of two materials, left and right, of one spectrum each, which are not orthogonal."""
    rng = np.random.default_rng(3)
    texture = rng.normal(0, 300, (side, side))
    spectra = rng.uniform(0.2, 1, (2, bands))
    left = (np.arange(side) < side // 2)[None, None]
    mixed = np.where(left, spectra[0][:, None, None], spectra[1][:, None, None]) * texture
    return (2000 + mixed + rng.normal(0, 2, mixed.shape)).astype(np.float32)


def test_two_materials_become_two_classes_of_one_component_each() -> None:
    transform, coefficients = fit_spectral(halves(256), noise=10.0)
    assert len(transform.bases) == 2
    inner = transform.classes[:, [*range(7), *range(9, 16)]]
    assert (inner[:, :7] == inner[0, 0]).all()
    assert (inner[:, 7:] == inner[0, -1]).all()
    assert inner[0, 0] != inner[0, -1]
    energy = (coefficients[GROUP_OF > 0][..., :14] ** 2).mean(axis=(0, 2, 3))
    assert energy[1:].sum() < 0.005 * energy.sum()
    assert rms(pixels_of(transform, coefficients) - halves(256)) < 0.2


def test_the_unit_of_the_data_does_not_matter() -> None:
    unit = 2.0**-20
    large, _ = fit_spectral(halves(256), noise=10.0)
    small, _ = fit_spectral(halves(256) * np.float32(unit), unit, 10 * unit)
    assert np.array_equal(small.angles, large.angles)
    assert np.array_equal(small.classes, large.classes)


def test_one_material_stays_one_class() -> None:
    transform, _ = fit_spectral(halves(256)[:, :, :128], noise=10.0)
    assert len(transform.bases) == 1


def test_classes_without_bases_of_their_own_are_left_out() -> None:
    rng = np.random.default_rng(0)
    noise = 9e5 * (2 * rng.random((10, 256, 256), np.float32) - 1)
    transform, _ = fit_spectral(noise, 16.0, 50.0)
    assert len(transform.angles) == 1
    noise[:, :, 128:] *= 0.05
    transform, components = fit_spectral(noise, 16.0, 50.0)
    assert len(transform.angles) == len(np.unique(transform.classes))
    assert np.isfinite(components).all()


def test_joint_diagonalisation_finds_the_basis_that_regions_share() -> None:
    """Regions of one basis and variances of their own, in any order: principal components would mix them."""
    rng = np.random.default_rng(5)
    shared = np.linalg.qr(rng.normal(size=(7, 4, 4)))[0]
    variances = np.exp(rng.normal(0, 1.5, (7, 64, 4)))
    covariances = np.einsum("gik,grk,gjk->grij", shared, variances, shared).astype(np.float32)
    bases = principal_bases_of(covariances)
    for _ in range(3):
        bases = jointly_diagonal(bases, covariances, 1e-3)
    turned = np.einsum("gki,grkl,glj->grij", bases, covariances, bases)
    diagonal = np.einsum("grii->gri", turned)
    assert np.square(turned).sum() - np.square(diagonal).sum() < 1e-4 * np.square(diagonal).sum()


def principal_bases_of(covariances: np.ndarray) -> np.ndarray:
    return np.linalg.eigh(covariances.mean(axis=1))[1][..., ::-1].astype(np.float64)


def test_classes_beyond_what_marks_tell_are_no_option() -> None:
    """Any planes of marks give classes that exist."""
    transform, _ = fit_spectral(halves(256), noise=10.0)
    coder = SymbolEncoder()
    transform.encode(coder)
    data = bytearray(coder.finish())
    regions = transform.classes.shape
    for place in range(len(data)):
        data[place] ^= 0x55
        with contextlib.suppress(FormatError):
            again = SpectralTransform.decode(SymbolDecoder(bytes(data)), 6, 1.0, regions)
            assert again.classes.max() < len(again.bases)
        data[place] ^= 0x55
