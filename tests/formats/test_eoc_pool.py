"""Tasks in threads: their order, their number, and when no thread is worth starting."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import eocodec
from eocodec.formats.eoc.pool import OrderedPool, thread_count

LOSSLESS = eocodec.EncodeSettings(lossless=True)
ARRAY = np.random.default_rng(2).integers(0, 99, (2, 16, 24)).astype("uint16")


@pytest.fixture
def started(monkeypatch):
    """Names of the threads that start during the test."""
    names = []
    start = threading.Thread.start

    def record(thread):
        names.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", record)
    return names


def test_results_come_in_the_order_of_the_tasks():
    pool = OrderedPool(3, 20)
    first = threading.Event()
    out = pool.push(lambda: 0 if first.wait(20) else -1)
    for number in range(1, 6):
        out += pool.push(lambda number=number: number)
    first.set()
    for number in range(6, 20):
        out += pool.push(lambda number=number: number)
    out += pool.drain()
    pool.close()
    assert out == [0, *range(1, 20)]


def test_a_single_tile_starts_no_thread(started):
    data = eocodec.compress(ARRAY, settings=LOSSLESS, threads=4)
    with eocodec.open(data) as reader:
        reader.validate(threads=4)
        np.testing.assert_array_equal(reader.read(threads=4), ARRAY)
    assert started == []


def test_a_window_inside_one_tile_starts_no_thread(started):
    data = eocodec.compress(ARRAY, settings=LOSSLESS, threads=1, tile_size=8)
    with eocodec.open(data) as reader:
        np.testing.assert_array_equal(
            reader.read((slice(9, 15), slice(17, 20)), threads=4), ARRAY[:, 9:15, 17:20]
        )
    assert started == []


def test_several_tiles_are_shared_by_threads(started):
    eocodec.compress(ARRAY, settings=LOSSLESS, threads=2, tile_size=8)
    assert len(started) == 2
    assert all(name.startswith("eocodec") for name in started)


def blas_threads():
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def test_blas_has_one_thread_while_any_pool_runs():
    with threadpool_limits(3, user_api="blas"):
        assert blas_threads() == {3}
        pools = [OrderedPool(2, 4) for _ in range(3)]
        for pool in pools:
            pool.push(lambda: None)
        for pool in pools:
            assert blas_threads() == {1}
            pool.close()
        assert blas_threads() == {3}


def test_thread_count_must_be_positive():
    assert thread_count(3) == 3
    assert 1 <= thread_count(None) <= 8
    with pytest.raises(eocodec.InputError, match="threads"):
        eocodec.compress(ARRAY, settings=LOSSLESS, threads=0)
