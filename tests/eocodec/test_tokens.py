import numpy as np
import pytest

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError
from eocodec.tokens import CLUSTERS, TokenTables

CODES = 32


@pytest.fixture(scope="module")
def tables() -> TokenTables:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 500, (2, CLUSTERS, CODES)).astype(np.int32)
    return TokenTables(counts, rng.integers(0, CLUSTERS, (2, CODES)).astype(np.uint8))


def coded(tables: TokenTables, stages: np.ndarray) -> list[bytes]:
    bodies = []
    for stage, indices in enumerate(stages):
        coder = SymbolEncoder()
        tables.encode(coder, stage, indices, stages[stage - 1] if stage else None)
        bodies.append(coder.finish())
    return bodies


def decoded(tables: TokenTables, bodies: list[bytes], shape: tuple[int, int]) -> np.ndarray:
    stages: list[np.ndarray] = []
    for stage, body in enumerate(bodies):
        before = stages[-1] if stage else None
        stages.append(tables.decode(SymbolDecoder(body), stage, shape, before))
    return np.stack(stages)


@pytest.mark.parametrize("calm", [0.0, 0.05, 0.5, 0.97, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (13, 17)])
def test_indices_come_back(tables: TokenTables, calm: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    stages = rng.integers(0, CODES, (2, *shape)).astype(np.int32)
    repeat = rng.random(shape) < calm
    for column in range(1, shape[1]):
        stages[0, :, column] = np.where(
            repeat[:, column], stages[0, :, column - 1], stages[0, :, column]
        )
    stages[1][rng.random(shape) < calm] = tables.codes
    assert np.array_equal(decoded(tables, coded(tables, stages), shape), stages)


def test_calm_tiles_take_few_bytes(tables: TokenTables) -> None:
    busy = np.random.default_rng(2).integers(0, CODES, (2, 32, 32)).astype(np.int32)
    calm = np.full((2, 32, 32), 3, np.int32)
    calm[1] = tables.codes
    sizes = [sum(map(len, coded(tables, stages))) for stages in (calm, busy)]
    assert sizes[0] < 80 < 1000 < sizes[1]


def test_worth_of_a_bit_trades_distance_for_bytes(tables: TokenTables) -> None:
    rng = np.random.default_rng(3)
    codebooks = rng.normal(0, 1, (2, CODES, 4)).astype(np.float32)
    vectors = codebooks[0, 5] + rng.normal(0, 0.4, (16, 16, 4)).astype(np.float32)
    vectors[:8] = rng.normal(0, 1, (8, 16, 4))
    sizes, errors = [], []
    for weight in (0.0, 0.1, 10.0):
        stages = tables.quantise(vectors, codebooks, weight)
        padded = np.pad(codebooks, ((0, 0), (0, 1), (0, 0)))
        approximation = padded[0][stages[0]] + padded[1][stages[1]]
        errors.append(float(np.square(vectors - approximation).mean()))
        sizes.append(sum(map(len, coded(tables, stages))))
    assert sizes[0] > sizes[1] > sizes[2]
    assert errors[0] < errors[1] < errors[2]
    assert np.array_equal(decoded(tables, coded(tables, stages), (16, 16)), stages)


def test_no_table_for_repeated_marks_is_refused(tables: TokenTables) -> None:
    coder = SymbolEncoder()
    coder.encode_uniform(np.array([3, 0]), 8)
    with pytest.raises(FormatError, match="plane of marks"):
        tables.decode(SymbolDecoder(coder.finish()), 0, (4, 4), None)
