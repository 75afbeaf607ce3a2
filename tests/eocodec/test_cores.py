"""Calls in workers take one core, and give back what they took."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits

from eocodec import tile
from eocodec.cores import (
    in_worker,
    one_blas_thread,
    one_core_in_workers,
    torch_on_one_core_in_workers,
)
from eocodec.formats.eoc.pool import thread_count


def torch_threads() -> tuple[int, int, int]:
    """Threads of torch before, in and after a call."""
    before = torch.get_num_threads()
    with torch_on_one_core_in_workers():
        inside = torch.get_num_threads()
    return before, inside, torch.get_num_threads()


def blas_threads() -> int:
    return max(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")


@pytest.fixture
def _three_blas_threads():
    with threadpool_limits(3, user_api="blas"):
        OpenBLASController.clear_controlling_thread()  # as if set long ago: any thread may change it
        yield


def test_torch_has_one_core_during_a_call_in_a_worker() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch_threads).result() == (3, 1, 3)
        assert torch_threads() == (3, 3, 3)
    finally:
        torch.set_num_threads(usual)


@pytest.mark.usefixtures("_three_blas_threads")
def test_matrix_products_have_one_core_while_a_tile_is_coded_in_a_worker(monkeypatch) -> None:
    seen = []
    checked = tile._checked
    monkeypatch.setattr(
        tile, "_checked", lambda pixels: (seen.append(blas_threads()), checked(pixels))[1]
    )
    pixels = np.arange(300, dtype="uint16").reshape(3, 10, 10)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(tile.encode_tile, pixels).result()
    assert blas_threads() == 3
    tile.encode_tile(pixels)
    assert seen == [1, 3]


@pytest.mark.usefixtures("_three_blas_threads")
def test_the_last_of_several_workers_gives_the_cores_back() -> None:
    first, second = (ThreadPoolExecutor(1) for _ in range(2))
    with first, second:
        first.submit(one_blas_thread.enter).result()
        second.submit(one_blas_thread.enter).result()
        first.submit(one_blas_thread.leave).result()
        assert blas_threads() == 1
        second.submit(one_blas_thread.leave).result()
        assert blas_threads() == 3


@pytest.mark.usefixtures("_three_blas_threads")
def test_a_call_that_fails_gives_the_cores_back() -> None:
    @one_core_in_workers
    def fail() -> None:
        assert blas_threads() == 1
        raise ValueError("as asked")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="as asked"):
        pool.submit(fail).result()
    assert blas_threads() == 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_and_threads_of_a_pool_are_workers(method) -> None:
    assert not in_worker()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_worker).result()
        assert pool.submit(thread_count, None).result() == 1
        assert pool.submit(thread_count, 3).result() == 3
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(thread_count, None).result() == 1


def test_a_forked_process_is_a_worker() -> None:
    child = os.fork()
    if not child:
        os._exit(7 if in_worker() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert not in_worker()
