"""A thread pool that keeps the order of its tasks and bounds how many are in flight."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from eocodec.cores import in_worker, one_blas_thread
from eocodec.errors import InputError

T = TypeVar("T")

_MOST_BY_DEFAULT = 8
_IN_FLIGHT_PER_THREAD = 2


def thread_count(threads: int | None) -> int:
    """Return `threads`; where it is None the cores of this process, at most 8, but one in a worker."""
    if threads is None and in_worker():
        return 1
    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return min(cores, _MOST_BY_DEFAULT)
    if threads < 1:
        raise InputError(f"threads must be at least 1, not {threads}")
    return threads


class OrderedPool(Generic[T]):
    """Runs tasks in threads; results come back in the order in which the tasks were pushed.

    At most two tasks a thread are in flight: `push` waits for the oldest beyond that. With one
    thread, or for a single task, everything runs in the caller's: starting threads, and limiting the
    libraries in them to a core each, costs more than a small tile.

    Parameters
    ----------
    threads : int or None
        As `thread_count`.
    tasks : int
        How many tasks will be pushed.
    """

    def __init__(self, threads: int | None, tasks: int):
        self._threads = min(thread_count(threads), tasks)
        self._executor: ThreadPoolExecutor | None = None
        self._in_flight: deque[Future[T]] = deque()

    def push(self, task: Callable[[], T]) -> list[T]:
        """Start `task`; return the results of older tasks that had to be waited for."""
        if self._threads <= 1:
            return [task()]
        if self._executor is None:
            one_blas_thread.enter()
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="eocodec")
        ready = []
        while len(self._in_flight) >= _IN_FLIGHT_PER_THREAD * self._threads:
            ready.append(self._in_flight.popleft().result())
        self._in_flight.append(self._executor.submit(task))
        return ready

    def drain(self) -> list[T]:
        """Wait for every task and return the results not yet returned."""
        return [self._in_flight.popleft().result() for _ in range(len(self._in_flight))]

    def close(self) -> None:
        """Drop the tasks that have not started and wait for those that have."""
        for future in self._in_flight:
            future.cancel()
        self._in_flight.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
            one_blas_thread.leave()
