"""Which cores a call takes: all of them in a program's own thread, one where others run beside it.

Limits hold for a call and are taken back after it; nobody's settings are changed for good.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property, wraps
from typing import Any, ParamSpec, TypeVar

from threadpoolctl import OpenBLASController, ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")

_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_mark_forked)


def in_worker() -> bool:
    """Whether the caller is one of several at work: any but the main thread of a program's first process.

    So are the workers of Dask, of zarr and of our own pools. A forked process counts too because OpenMP's
    threads are lost in it, and waiting for them would never end.
    """
    return (
        threading.current_thread() is not threading.main_thread()
        or multiprocessing.parent_process() is not None
        or _forked
    )


class OneBlasThread:
    """Keeps BLAS to one thread from the first `enter` to the last `leave`.

    The number is a setting of the process, so that whoever comes second must neither take the first
    one's limit for the user's choice nor lift it under the others.
    """

    def __init__(self) -> None:
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    @cached_property
    def _controller(self) -> ThreadpoolController:
        return ThreadpoolController()

    def enter(self) -> None:
        """Count one more user in."""
        with self._lock:
            if self._users == 0:
                self._limit = self._controller.limit(limits=1, user_api="blas")
                _let_go()
            self._users += 1

    def leave(self) -> None:
        """Count one user out; the last one restores what was before the first."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()
                _let_go()


def _let_go() -> None:
    """Let any thread set the limit next: threadpoolctl ignores all but the first one that did."""
    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear()


one_blas_thread = OneBlasThread()


def one_core_in_workers(function: Callable[P, R]) -> Callable[P, R]:
    """Keep matrix products to one core while `function` runs in a worker."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        if not in_worker():
            return function(*args, **kwargs)
        one_blas_thread.enter()
        try:
            return function(*args, **kwargs)
        finally:
            one_blas_thread.leave()

    return limited


@contextmanager
def torch_on_one_core_in_workers() -> Iterator[None]:
    """Keep torch's convolutions to one core while the block runs in a worker.

    OpenMP holds its number of threads a thread, so that no other thread is touched. Two tiles on two cores
    take half the time of one after the other on both, and do not fight.
    """
    if not in_worker():
        yield
        return
    import torch

    torch.get_num_threads()  # torch sets its own number at the first call of a thread
    with _openmp().limit(limits=1, user_api="openmp"):
        yield


@cache
def _openmp() -> ThreadpoolController:
    """Return what controls the OpenMP that torch has loaded."""
    return ThreadpoolController()
