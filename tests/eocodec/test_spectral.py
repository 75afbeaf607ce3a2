import numpy as np
import pytest

from eocodec.errors import FormatError
from eocodec.spectral import SpectralTransform, coarse_part


def correlated(bands: int, seed: int = 0) -> np.ndarray:
    """Bands that share structure, in DN."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 400, (3, 32, 40))
    mix = rng.normal(0, 1, (bands, 3))
    noise = rng.normal(0, 5, (bands, 32, 40))
    return (np.tensordot(mix, shared, 1) + noise + 3000).astype(np.float32)


@pytest.mark.parametrize("bands", [1, 2, 4, 10])
def test_components_give_the_bands_back(bands: int) -> None:
    pixels = correlated(bands)
    transform = SpectralTransform.fit(pixels)
    assert np.abs(transform.inverse(transform.forward(pixels)) - pixels).max() < 0.05


def test_energy_gathers_in_the_first_components() -> None:
    components = SpectralTransform.fit(correlated(10)).forward(correlated(10))
    energy = (components**2).mean(axis=(1, 2))
    assert energy[:3].sum() > 0.99 * energy.sum()


def test_error_in_components_is_error_in_bands() -> None:
    pixels = correlated(10)
    transform = SpectralTransform.fit(pixels)
    noise = np.random.default_rng(1).normal(0, 20, pixels.shape).astype(np.float32)
    decoded = transform.inverse(transform.forward(pixels) + noise)
    assert np.sqrt(np.mean((decoded - pixels) ** 2)) == pytest.approx(20, rel=0.03)


def test_coarse_part_is_a_projection_that_keeps_gradients() -> None:
    rng = np.random.default_rng(0)
    planes = rng.normal(0, 1, (2, 16, 24)).astype(np.float32)
    coarse = coarse_part(planes)
    assert np.abs(coarse_part(coarse) - coarse).max() < 1e-5
    assert np.abs(np.sum(coarse * (planes - coarse))) < 1e-3
    flat = np.full((1, 8, 8), 7, np.float32)
    assert np.abs(coarse_part(flat) - flat).max() < 1e-5


def test_bands_without_detail_leave_no_detail_in_the_last_components() -> None:
    """The point of two bases: detail of four bands takes four components, not ten."""
    rng = np.random.default_rng(2)
    pixels = np.repeat(np.repeat(rng.normal(0, 300, (10, 4, 4)), 8, 1), 8, 2).astype(np.float32)
    pixels[:4] += rng.normal(0, 100, (4, 32, 32)).astype(np.float32)
    components = SpectralTransform.fit(pixels).forward(pixels)
    detail = components - coarse_part(components)
    energy = (detail**2).mean(axis=(1, 2))
    assert energy[4:].sum() < 1e-3 * energy.sum()


@pytest.mark.parametrize("bands", [1, 10])
def test_stored_transform_is_the_one_used(bands: int) -> None:
    transform = SpectralTransform.fit(correlated(bands))
    data = transform.to_bytes()
    assert len(data) == SpectralTransform.stored_size(bands)
    again = SpectralTransform.from_bytes(data, bands)
    assert np.array_equal(again.bases, transform.bases)
    assert np.array_equal(again.mean, transform.mean)


def test_constant_and_repeated_bands_have_an_invertible_basis() -> None:
    pixels = np.repeat(correlated(1), 3, axis=0)
    pixels[2] = 5
    transform = SpectralTransform.fit(pixels)
    assert np.abs(transform.inverse(transform.forward(pixels)) - pixels).max() < 0.05


def test_damaged_transforms_are_refused() -> None:
    data = SpectralTransform.fit(correlated(4)).to_bytes()
    with pytest.raises(FormatError, match="bytes"):
        SpectralTransform.from_bytes(data[:-1], 4)
    with pytest.raises(FormatError, match="finite"):
        SpectralTransform.from_bytes(b"\xff\xff\xff\x7f" + data[4:], 4)
