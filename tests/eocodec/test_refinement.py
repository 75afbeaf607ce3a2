import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.refinement import (
    CLASSES,
    LIMIT,
    STATES,
    Runs,
    StageTables,
    low_bits,
    stage_step,
)
from eocodec.training.tables import initial_tables

WEIGHT = 0.15


@pytest.fixture(scope="module")
def tables() -> StageTables:
    return initial_tables()


def encode(tables: StageTables, symbols: np.ndarray, runs: Runs) -> bytes:
    coder = SymbolEncoder()
    tables.encode(coder, symbols, runs)
    return coder.finish()


def decode(tables: StageTables, data: bytes, runs: Runs) -> np.ndarray:
    return tables.decode(SymbolDecoder(data), runs)


def latents(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Laplacian residuals in network units and the classes that fit them."""
    rng = np.random.default_rng(seed)
    scale = np.exp2(rng.uniform(-4, 6, size))
    classes = np.clip(np.rint(12 + np.log2(scale) / 0.4), 0, CLASSES - 1).astype(np.uint8)
    return rng.laplace(0, scale).astype(np.float32), classes


def test_latents_without_integers_sort_as_those_that_are_zero(tables: StageTables) -> None:
    values, classes = latents(2, 5000)
    before, zeros = (
        Runs.sort(classes, previous, tables.first_class)
        for previous in (None, np.zeros(len(classes), np.int32))
    )
    for name in ("size", "bounds"):
        assert getattr(before, name) == getattr(zeros, name)
    for name in ("order", "sign", "middle", "keys"):
        assert np.array_equal(getattr(before, name), getattr(zeros, name))
    symbols = tables.quantise(values, before, WEIGHT)
    assert np.array_equal(before.scatter(symbols), zeros.scatter(symbols))
    assert np.array_equal(tables.reconstruct(symbols, before), tables.reconstruct(symbols, zeros))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3000))
def test_every_stage_decodes_to_the_encoders_symbols(seed: int, size: int) -> None:
    tables = initial_tables()
    values, classes = latents(seed, size)
    previous = np.zeros(size, np.int32)
    for stage in range(3):
        runs = Runs.sort(classes, previous, tables.first_class)
        symbols = tables.quantise(values / np.float32(stage_step(stage)), runs, WEIGHT)
        assert np.array_equal(decode(tables, encode(tables, symbols, runs), runs), symbols)
        previous = runs.scatter(symbols)


def test_error_falls_with_every_stage_and_follows_the_step(tables: StageTables) -> None:
    values, classes = latents(1, 20_000)
    previous = np.zeros(values.shape, np.int32)
    errors = []
    for stage in range(4):
        runs = Runs.sort(classes, previous, tables.first_class)
        step = np.float32(stage_step(stage))
        symbols = tables.quantise(values / step, runs, WEIGHT)
        decoded = tables.reconstruct(symbols, runs) * step
        errors.append(float(np.sqrt(np.mean((decoded - values) ** 2))))
        previous = runs.scatter(symbols)
    assert all(after < before / 2 for before, after in itertools.pairwise(errors))


@pytest.mark.parametrize("context_class", [1, 8, 12])
@pytest.mark.parametrize("state", range(STATES))
def test_thresholds_pick_the_symbol_of_least_cost(
    tables: StageTables, context_class: int, state: int
) -> None:
    x = np.linspace(-6, 6, 501).astype(np.float32)
    edges, symbols = tables.thresholds(context_class, state, WEIGHT)
    chosen = symbols[np.searchsorted(edges, x)]
    points = tables.points[context_class, state].astype(np.float64)
    costs = (x[:, None] - points) ** 2 + WEIGHT * tables.bits[context_class, state, :-1]
    best = costs.min(axis=1)
    paid = costs[np.arange(len(x)), chosen + LIMIT]
    assert np.allclose(paid, best, atol=1e-4)


def test_values_far_beyond_the_tables_are_kept(tables: StageTables) -> None:
    values = np.array([1e6, -1e6, 40.4, -40.4, 0.0, 3e4], np.float32)
    for context_class in (2, 12, CLASSES - 1):
        classes = np.full(len(values), context_class, np.uint8)
        previous = np.zeros(len(values), np.int32)
        runs = Runs.sort(classes, previous, tables.first_class)
        symbols = tables.quantise(values, runs, WEIGHT)
        decoded = decode(tables, encode(tables, symbols, runs), runs)
        assert np.array_equal(decoded, symbols)
        assert np.abs(tables.reconstruct(symbols, runs) - values).max() < 1.5


def test_raw_low_bits_start_where_the_scale_leaves_the_table() -> None:
    bits = [low_bits(c, 0) for c in range(CLASSES)]
    assert bits == sorted(bits)
    assert bits[12] == 0
    assert bits[-1] == 5
    assert {low_bits(c, 1) for c in range(CLASSES)} == {0}


def test_hostile_bytes_decode_within_range_or_raise(tables: StageTables) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, 4000).astype(np.uint8)
    raised = 0
    for seed in range(40):
        data = np.random.default_rng(seed).bytes(400)
        previous = np.zeros(4000, np.int32)
        try:
            for _ in range(6):
                runs = Runs.sort(classes, previous, tables.first_class)
                previous = runs.scatter(decode(tables, data, runs))
                assert np.abs(previous).max() <= 2**28
        except FormatError:
            raised += 1
    assert raised > 0
