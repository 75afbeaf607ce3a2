"""Seconds of codecs that take turns, so that what is compared ran next to each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numcodecs.blosc
import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

Seconds = npt.NDArray[np.float64]


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Give torch and the libraries of linear algebra so many threads, and Blosc one."""
    before, blosc = torch.get_num_threads(), numcodecs.blosc.use_threads
    torch.set_num_threads(threads)
    numcodecs.blosc.use_threads = False
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
        numcodecs.blosc.use_threads = blosc


def clock(threads: int) -> Callable[[], float]:
    """Return the clock to read: of one thread the processor's time, which other processes do not take."""
    return time.process_time if threads == 1 else time.perf_counter


def interleaved(
    tasks: Sequence[Callable[[], Any]], rounds: int, *, threads: int = 1, warm: bool = True
) -> Seconds:
    """Run the tasks in turn; return seconds, (rounds, tasks).

    Parameters
    ----------
    tasks : sequence of callable
        What to time.
    rounds : int
        How many times each runs and counts.
    threads : int
        Threads that they were given.
    warm : bool
        Whether a round runs before that does not count.
    """
    now, skipped = clock(threads), int(warm)
    seconds = np.empty((rounds + skipped, len(tasks)))
    for row in seconds:
        for i, task in enumerate(tasks):
            start = now()
            task()
            row[i] = now() - start
    return seconds[skipped:]
