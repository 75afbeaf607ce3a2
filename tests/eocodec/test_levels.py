import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.levels import LevelScales, fold_levels, unfold_levels


def coded(scales: LevelScales) -> LevelScales:
    coder = SymbolEncoder()
    scales.encode(coder)
    return LevelScales.decode(SymbolDecoder(coder.finish()), len(scales.mean))


def tracer(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.exp(2 * rng.standard_normal((5, 12, 9))) * 1e-9 * 10.0 ** np.arange(5)[:, None, None]


def test_levels_of_any_magnitude_become_alike() -> None:
    rng = np.random.default_rng(1)
    spread = 10.0 ** np.array([-30, -9, 0, 3, 20])
    field = rng.standard_normal((5, 20, 20)) * spread[:, None, None] + 3 * spread[:, None, None]
    scales, values = LevelScales.fit(field)
    assert scales.roots == 0
    assert np.abs(values.mean(axis=(1, 2))).max() < 0.05
    assert values.std(axis=(1, 2)).min() > 0.65
    assert values.std(axis=(1, 2)).max() < 1.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_restoring_inverts_standardising(dtype: str) -> None:
    for field in (tracer(), tracer() - 3e-7):
        scales, values = LevelScales.fit(field.astype(dtype))
        assert (scales.roots > 0) == (field.min() > 0)
        restored = coded(scales).restore(values.astype(np.float64), np.dtype(dtype))
        assert restored.dtype == dtype
        top = np.abs(field).max(axis=(1, 2), keepdims=True)
        assert (np.abs(restored - field) <= 4e-6 * top).all()


def test_skewed_positive_fields_are_mapped_to_less_skewed_ones() -> None:
    def skewness(values: np.ndarray) -> float:
        centred = values - values.mean(axis=(1, 2), keepdims=True)
        return float(((centred / values.std(axis=(1, 2), keepdims=True)) ** 3).mean())

    scales, values = LevelScales.fit(tracer())
    assert scales.roots > 0
    assert skewness(tracer()) > 2
    assert abs(skewness(values)) < 1


def test_mostly_zero_field_restores_its_zeros_as_small_values() -> None:
    cloud = np.maximum(np.random.default_rng(2).standard_normal((3, 30, 30)) - 2, 0) * 1e-5
    scales, values = LevelScales.fit(cloud)
    restored = scales.restore(values.astype(np.float64), np.dtype("float32"))
    assert restored.min() >= 0
    assert np.abs(restored - cloud).max() < 1e-9


def test_flat_and_zero_levels_are_kept() -> None:
    field = np.zeros((3, 4, 4))
    field[1] = 273.15
    scales, values = LevelScales.fit(field)
    restored = coded(scales).restore(values.astype(np.float64), np.dtype("float64"))
    assert np.array_equal(restored[[0, 2]], field[[0, 2]])
    assert np.abs(restored[1] - 273.15).max() < 1e-4


def test_integers_are_rounded_and_clipped() -> None:
    scales = LevelScales(0, np.array([8]), np.array([-16 * 200]))
    values = np.array([[[0.0, 200.001, 199.999, 500.0]]])
    restored = scales.restore(values, np.dtype("int16"))
    assert restored.tolist() == [[[-32768, 0, 0, 32767]]]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(-160, 160), st.integers(-(2**20), 2**20)), min_size=1),
)
def test_scales_survive_coding(roots: int, levels: list[tuple[int, int]]) -> None:
    exponent, mean = (np.array(column) for column in zip(*levels, strict=True))
    decoded = coded(LevelScales(roots, exponent, mean))
    assert decoded.roots == roots
    assert np.array_equal(decoded.exponent, exponent)
    assert np.array_equal(decoded.mean, mean)


@pytest.mark.parametrize(("exponent", "mean"), [(161, 0), (-161, 0), (0, 2**20 + 1)])
def test_scales_out_of_range_are_refused(exponent: int, mean: int) -> None:
    with pytest.raises(FormatError, match="out of range"):
        coded(LevelScales(0, np.array([exponent]), np.array([mean])))


def test_folding_puts_blocks_of_levels_below_one_another() -> None:
    field = np.arange(6 * 2 * 3).reshape(6, 2, 3)
    folded = fold_levels(field, 3)
    assert folded.shape == (3, 4, 3)
    assert np.array_equal(folded[1, :2], field[1])
    assert np.array_equal(folded[1, 2:], field[4])
    assert np.array_equal(unfold_levels(folded, 2), field)
