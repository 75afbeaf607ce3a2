import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eocodec.entropy import SymbolDecoder, SymbolEncoder

from .range_reader import RangeReader, table, uniform


@given(
    st.lists(st.integers(1, 2**20), min_size=1, max_size=40),
    st.lists(st.integers(0, 2**31 - 3), max_size=30),
    st.integers(0, 2**32 - 1),
)
def test_symbols_survive_the_range_coder(counts: list[int], large: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.array(counts)
    symbols = rng.integers(0, len(counts), 200)
    sizes = rng.integers(2, 2**24, 50)
    uniform = rng.integers(0, sizes)
    encoder = SymbolEncoder()
    encoder.encode(symbols, table)
    encoder.encode_unbounded(np.array(large, np.int64))
    encoder.encode_uniform(uniform, sizes)
    decoder = SymbolDecoder(encoder.finish())
    assert np.array_equal(decoder.decode(200, table), symbols)
    assert decoder.decode_unbounded(len(large)).tolist() == large
    assert np.array_equal(decoder.decode_uniform(sizes), uniform)


def test_coded_size_is_close_to_the_entropy() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([900, 60, 30, 10])
    symbols = rng.choice(4, 100_000, p=counts / counts.sum())
    encoder = SymbolEncoder()
    encoder.encode(symbols, counts)
    share = np.bincount(symbols) / len(symbols)
    ideal = -(share * np.log2(counts / counts.sum())).sum() * len(symbols) / 8
    assert len(encoder.finish()) < ideal * 1.001 + 2


def test_no_byte_too_many_is_written() -> None:
    rng = np.random.default_rng(5)
    for number in range(60):
        encoder = SymbolEncoder()
        symbols, counts = rng.integers(0, 6, number), np.array([9, 1, 1, 5, 1, 70])
        encoder.encode(symbols, counts)
        data = encoder.finish()
        share = counts[symbols] / counts.sum()
        assert len(data) <= -np.log2(share).sum() / 8 + 1.01
        assert np.array_equal(SymbolDecoder(data).decode(number, counts), symbols)
        assert np.array_equal(SymbolDecoder(data + bytes(4)).decode(number, counts), symbols)
    assert SymbolEncoder().finish() == b""


def test_bytes_are_those_of_the_specification() -> None:
    rng = np.random.default_rng(3)
    tables = [
        rng.integers(1, 2 ** int(rng.integers(1, 23)), rng.integers(2, 40)) for _ in range(60)
    ]
    runs = [rng.choice(len(t), 40, p=t / t.sum()) for t in tables]
    sizes = rng.integers(2, 5000, 200)
    values = rng.integers(0, sizes)
    encoder = SymbolEncoder()
    for counts, symbols in zip(tables, runs, strict=True):
        encoder.encode(symbols, counts)
    encoder.encode_uniform(values, sizes)
    reader = RangeReader(encoder.finish())
    for counts, symbols in zip(tables, runs, strict=True):
        cumulative = table(counts.tolist())
        assert [reader.take(cumulative) for _ in symbols] == symbols.tolist()
    assert [reader.take(uniform(size)) for size in sizes.tolist()] == values.tolist()
