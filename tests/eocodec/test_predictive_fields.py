"""The predictive mode on atmospheric fields: grids, levels, folds, parameters shared among planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from eocodec.bounds import ErrorBounds
from eocodec.errors import FormatError
from eocodec.folding import fold, folds_to_try, unfold
from eocodec.geometric import NEGATIVE, POSITIVE, ZERO, Geometric, find_geometric
from eocodec.grids import find_grid, find_lattice, shared_grid
from eocodec.predictive import decode_predictive, encode_predictive


def levels(shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[np.float32]:
    """Return smooth levels that change slowly with height."""
    rng = np.random.default_rng(seed)
    height, y, x = np.indices(shape) / np.array(shape).reshape(3, 1, 1, 1)
    out = 280 - 60 * height
    for _ in range(6):
        waves = rng.normal(0, 2.5, 3)
        out += rng.normal(0, 5) * np.sin(
            waves[0] * height + waves[1] * y + waves[2] * x + rng.normal()
        )
    return out.astype(np.float32)


def bits(pixels: npt.NDArray[Any], bounds: ErrorBounds | None) -> float:
    """Return bits a sample, once the bounds are found to hold."""
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    data = encode_predictive(pixels, None, bounds)
    decoded = decode_predictive(data, pixels.dtype, shape)
    if bounds is None:
        assert decoded.tobytes() == pixels.tobytes()
    else:
        assert bounds.met(pixels, decoded, None)
    return 8 * len(data) / pixels.size


def test_many_small_levels_share_what_describes_them() -> None:
    field = levels((40, 12, 14))
    bound = 1e-3 * float(np.ptp(field))
    assert bits(field, ErrorBounds((bound,) * 40)) < 1.5


def test_columns_are_folded() -> None:
    times = np.arange(4)[:, None, None, None]
    columns = (levels((30, 3, 3)) + 0.3 * np.sin(times + levels((30, 3, 3), 1) / 40)).astype("f4")
    columns = columns.reshape(120, 3, 3)
    assert folds_to_try(columns) == [30, 120]
    bound = 1e-3 * float(np.ptp(columns))
    assert bits(columns, ErrorBounds((bound,) * 120)) < 3


@pytest.mark.parametrize("period", [0, 4, 12])
def test_a_fold_is_undone(period: int) -> None:
    tile = np.arange(12 * 6).reshape(12, 2, 3)
    folded = fold(tile, period)
    if period:
        assert folded.shape == (6, 12 // period, period)
        assert folded[4, 1 % (12 // period), 2].item() == tile[period % 12 + 2, 1, 1]
    assert (unfold(folded, (12, 2, 3), period) == tile).all()


def test_the_lattice_of_packed_floats_is_found() -> None:
    numbers = np.random.default_rng(1).integers(0, 5000, 3000)
    packed = (250 + 0.0123 * numbers).astype(np.float32)
    lattice = find_lattice(packed)
    assert lattice is not None
    assert lattice.step == pytest.approx(0.0123, rel=1e-6)
    assert find_lattice(np.random.default_rng(1).normal(0, 1, 3000).astype("f4")) is None


def test_packed_floats_within_a_bound_cost_no_more_than_their_integers() -> None:
    numbers = np.round(levels((5, 40, 40)) * 20)
    packed = (numbers * 0.03).astype(np.float32)
    exact = bits(numbers.astype(np.int32), None)
    assert bits(packed, ErrorBounds((0.029,) * 5)) < 1.02 * exact
    assert bits((numbers / 4).astype("f4"), None) < 1.05 * exact


def test_a_grid_leaves_room_for_the_rounding_of_floats() -> None:
    samples = np.linspace(287, 290, 50000).astype(np.float32) + np.float32(1e-5)
    grid = find_grid(samples, 1.75e-4)
    assert grid is not None
    restored = grid.restore(grid.indices(samples), samples.dtype).astype(np.float64)
    assert np.abs(restored - samples).max() + grid.near * grid.step <= 1.75e-4
    assert grid.width > 0.85 * 2 * 1.75e-4


def test_levels_of_one_bound_share_a_grid() -> None:
    field = levels((6, 20, 20))
    shared = shared_grid([plane.ravel() for plane in field], 0.01)
    assert shared is not None
    assert shared.grid.start == pytest.approx(float(field.min()))
    assert shared.top == pytest.approx(float(np.ptp(field)) / shared.grid.step, abs=1)


@pytest.mark.parametrize("kind", ["positive", "signed", "zeros"])
def test_tracers_within_a_relative_bound_are_small(kind: str) -> None:
    tracer = np.exp(levels((12, 20, 22)) / 20).astype(np.float32)
    if kind == "zeros":
        tracer[:, 4:9, 3:8] = 0
    if kind == "signed":
        tracer[:, :, ::2] *= -1
    assert bits(tracer, ErrorBounds((None,) * 12, relative=0.01)) < (3 if kind != "signed" else 6)


def test_geometric_levels_are_as_far_apart_as_the_bound_allows() -> None:
    samples = np.array([-3, -0.5, 0, 0.25, 80], np.float32)
    found = find_geometric(samples, 0.1)
    assert found is not None
    assert found.signs == NEGATIVE + ZERO + POSITIVE
    assert found.ratio == pytest.approx(1.1 / 0.9, rel=1e-3)
    restored = found.levels(np.dtype("f4"))
    nearest = restored[np.abs(restored[:, None] - samples).argmin(axis=0)]
    assert (np.abs(nearest - samples) <= 0.1 * np.abs(samples)).all()


@pytest.mark.parametrize(
    ("start", "ratio", "count"),
    [(1.0, 1e30, 9), (1.0, 1 + 1e-12, 5), (1e-44, 2.0, 3), (np.nan, 2.0, 3)],
)
def test_hostile_geometric_levels_are_refused(start: float, ratio: float, count: int) -> None:
    with pytest.raises(FormatError):
        Geometric(start, ratio, count, POSITIVE, 0).levels(np.dtype("f4"))
