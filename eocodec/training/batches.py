"""A stream of batches, drawn one step ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def stream_batches(
    draw: Callable[[int, int, np.random.Generator], FloatArray],
    sizes: tuple[tuple[int, int], ...],
    seed: int,
    start: int = 0,
) -> Iterator[FloatArray]:
    """Yield what ``draw(count, size, rng)`` gives, without end; ``sizes`` are (count, size) in turn.

    Batch number n depends on ``(seed, n)`` only, so a resumed run sees what an uninterrupted one would.
    """
    ready: queue.Queue[FloatArray | BaseException] = queue.Queue(4)
    stopped = threading.Event()

    def work() -> None:
        number = start
        while not stopped.is_set():
            item: FloatArray | BaseException
            try:
                item = draw(*sizes[number % len(sizes)], np.random.default_rng((seed, number)))
            except BaseException as error:
                item = error
            ready.put(item)
            if isinstance(item, BaseException):
                return
            number += 1

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        stopped.set()
        while not ready.empty():
            ready.get()
