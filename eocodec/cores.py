"""Worker threads share the cores: tiles run in parallel, so the networks of one tile do not."""

from __future__ import annotations

import threading

import torch
from threadpoolctl import threadpool_limits

_worker = threading.local()


def single_core_in_workers() -> None:
    """Keep torch's convolutions on one core when called in any thread but the main one.

    OpenMP holds its number of threads a thread, so neither the main thread nor the caller's other threads
    are touched. Two tiles on two cores take half the time of one after the other on both, and do not fight.
    """
    if threading.current_thread() is threading.main_thread() or hasattr(_worker, "limited"):
        return
    torch.get_num_threads()  # torch sets its own number at the first call of a thread
    threadpool_limits(1, user_api="openmp")
    _worker.limited = True
