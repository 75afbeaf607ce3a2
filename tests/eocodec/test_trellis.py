"""The last stage of a tile: dependent quantisation."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec import EncodeSettings
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.refinement import CLASSES, LIMIT, RATIO, Runs
from eocodec.rvq import decode_rvq, encode_rvq
from eocodec.training.tables import initial_tables, initial_trellis
from eocodec.trellis import CHAINED, NEXT, WEIGHT_SHARE, TrellisTables
from eocodec.trellis import Path as TrellisPath

DATA = Path(__file__).parents[1] / "data"
WEIGHT = 0.1

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def tables() -> TrellisTables:
    return initial_trellis(initial_tables())


def encode(tables: TrellisTables, path: TrellisPath, runs: Runs) -> bytes:
    coder = SymbolEncoder()
    tables.encode(coder, path, runs)
    return coder.finish()


def latents(seed: int, size: int) -> tuple[np.ndarray, Runs]:
    """Latents in steps, and their runs: all classes and states."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, CLASSES, size).astype(np.uint8)
    previous = rng.integers(-4, 5, size).astype(np.int32) * (rng.random(size) < 0.3)
    spread = np.where(previous == 0, 3.0 ** ((classes - 11.5) / 4), 0.7)
    units = 3 * previous + rng.laplace(0, spread)
    return units.astype(np.float32), Runs.sort(classes, previous.astype(np.int32), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6000))
def test_a_stage_decodes_to_the_encoders_path(seed: int, size: int) -> None:
    tables = initial_trellis(initial_tables())
    units, runs = latents(seed, size)
    path = tables.quantise(units, runs, WEIGHT)
    data = encode(tables, path, runs)
    decoded = tables.decode(SymbolDecoder(data), runs)
    assert np.array_equal(decoded.symbols, path.symbols)
    chained = CHAINED[runs.keys]
    assert np.array_equal(decoded.second[chained], path.second[chained])
    assert not path.second[~chained].any()
    assert np.array_equal(tables.reconstruct(decoded, runs), tables.reconstruct(path, runs))


def test_both_quantisers_are_used_and_errors_stay_below_their_steps(tables: TrellisTables) -> None:
    units, runs = latents(1, 50_000)
    path = tables.quantise(units, runs, WEIGHT)
    assert 0.2 < path.second[CHAINED[runs.keys]].mean() < 0.8
    error = np.abs(tables.reconstruct(path, runs) - units)[runs.order]
    assert error.max() < 2.5
    assert error[np.abs(path.symbols) > LIMIT].max() <= 0.5


def path_cost(
    tables: TrellisTables, context_class: int, x: np.ndarray, symbols: tuple[int, ...]
) -> float:
    """Cost of the symbols of latents of state 0, in one chain."""
    total, state = 0.0, 0
    for value, symbol in zip(x, symbols, strict=True):
        entry = (context_class, 0, state % 2, symbol + LIMIT)
        total += (value - tables.points[entry]) ** 2 + WEIGHT * WEIGHT_SHARE * tables.bits[entry]
        state = NEXT[state, symbol % 2]
    return total


@pytest.mark.parametrize("context_class", [6, 10, 13])
def test_the_path_is_the_cheapest_one(tables: TrellisTables, context_class: int) -> None:
    rng = np.random.default_rng(context_class)
    for _ in range(10):
        # Multiples of an eighth: what the encoder looks its candidates up for.
        x = np.rint(rng.laplace(0, 1.5, 6).clip(-9, 9) * 8) / 8
        classes = np.full(len(x), context_class, np.uint8)
        runs = Runs.sort(classes, np.zeros(len(x), np.int32), 1)
        chosen = tables.quantise(x.astype(np.float32), runs, WEIGHT).symbols
        near = [{0, *range(int(np.floor(v)) - 2, int(np.ceil(v)) + 3)} for v in x]
        costs = [path_cost(tables, context_class, x, s) for s in itertools.product(*near)]
        assert path_cost(tables, context_class, x, tuple(chosen)) == pytest.approx(min(costs))


def test_values_far_beyond_the_tables_are_kept(tables: TrellisTables) -> None:
    values = np.array([1e6, -1e6, 40.4, -40.4, 0.0, 3e4], np.float32)
    for context_class in (2, 12, CLASSES - 1):
        classes = np.full(len(values), context_class, np.uint8)
        runs = Runs.sort(classes, np.zeros(len(values), np.int32), 1)
        path = tables.quantise(values, runs, WEIGHT)
        decoded = tables.decode(SymbolDecoder(encode(tables, path, runs)), runs)
        assert np.array_equal(decoded.symbols, path.symbols)
        assert np.abs(tables.reconstruct(decoded, runs) - values).max() < 1.5


def test_hostile_bytes_decode_within_tables_or_raise(tables: TrellisTables) -> None:
    _, runs = latents(5, 4000)
    raised = 0
    for seed in range(40):
        data = np.random.default_rng(seed).bytes(400)
        try:
            path = tables.decode(SymbolDecoder(data), runs)
            assert np.abs(path.symbols).max() <= 2**29
            assert np.isfinite(tables.reconstruct(path, runs)).all()
        except FormatError:
            raised += 1
    assert raised > 0


def test_integers_beyond_what_a_latent_can_be_are_refused(tables: TrellisTables) -> None:
    previous = np.full(4, 2**28 // RATIO, np.int32)
    for factor, refused in ((1, False), (2, True)):
        runs = Runs.sort(np.full(4, 12, np.uint8), factor * previous, 1)
        coder = SymbolEncoder()
        tables.encode(coder, TrellisPath(np.zeros(4, np.int32), np.zeros(4, bool)), runs)
        with pytest.raises(FormatError) if refused else contextlib.nullcontext():
            tables.decode(SymbolDecoder(coder.finish()), runs)


def test_no_layer_can_follow_the_last_stage() -> None:
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        pixels = dataset.read()[:, :64, :64]
    bodies, decoded = encode_rvq(pixels, None, EncodeSettings(layers=4))
    short, _ = encode_rvq(pixels, None, EncodeSettings(layers=3))
    assert np.array_equal(decode_rvq(bodies, pixels.shape, pixels.dtype), decoded)
    with pytest.raises(FormatError, match="nothing can refine"):
        decode_rvq([*short, bodies[3]], pixels.shape, pixels.dtype)
