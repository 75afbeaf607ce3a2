from concurrent.futures import ThreadPoolExecutor

import torch

from eocodec.cores import single_core_in_workers


def threads_in_a_worker() -> int:
    single_core_in_workers()
    return torch.get_num_threads()


def test_workers_run_on_one_core_and_leave_the_others_alone() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(threads_in_a_worker).result() == 1
    single_core_in_workers()
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before
