"""Doubling a grid bilinearly and taking it back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.errors import InputError
from eocodec.resample import downsample2, upsample2

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 24), st.integers(1, 24))


def test_row_doubles_with_weights_three_quarters_and_one_quarter() -> None:
    got = upsample2([[0.0, 4.0, 8.0]])
    assert got.tolist() == [[0, 1, 3, 5, 7, 8]] * 2


@settings(max_examples=60, deadline=None)
@given(shape=SIZES, seed=st.integers(0, 99))
def test_downsample_inverts_upsample(shape: tuple[int, int, int], seed: int) -> None:
    grid = np.random.default_rng(seed).uniform(0, 10000, shape).astype(np.float32)
    assert np.abs(downsample2(upsample2(grid)) - grid).max() < 0.01


@settings(max_examples=60, deadline=None)
@given(shape=SIZES, seed=st.integers(0, 99), cut=st.tuples(st.booleans(), st.booleans()))
def test_integers_survive_rounding_on_even_and_odd_fine_grids(
    shape: tuple[int, int, int], seed: int, cut: tuple[bool, bool]
) -> None:
    grid = np.random.default_rng(seed).integers(0, 10000, shape, np.uint16)
    fine = upsample2(grid)[:, : 2 * shape[1] - cut[0], : 2 * shape[2] - cut[1]]
    assert (np.round(downsample2(fine)).astype(np.uint16) == grid).all()


def test_downsample_is_the_least_squares_solution() -> None:
    fine = np.random.default_rng(5).normal(size=(9, 12))
    columns = []
    for index in range(5 * 6):
        unit = np.zeros((5, 6), np.float32)
        unit.flat[index] = 1
        columns.append(upsample2(unit)[:9, :12].ravel())
    want = np.linalg.lstsq(np.stack(columns, 1).astype(float), fine.ravel(), rcond=None)[0]
    np.testing.assert_allclose(downsample2(fine).ravel(), want, atol=1e-5)


@pytest.mark.parametrize("grid", [np.zeros(4), np.zeros((0, 4)), np.zeros((2, 2), complex)])
def test_what_is_no_grid_is_an_input_error(grid: np.ndarray) -> None:
    with pytest.raises(InputError):
        upsample2(grid) if grid.dtype.kind != "c" else downsample2(grid)
