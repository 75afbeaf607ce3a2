"""What hostile bytes may cost: processor time and memory beyond the declared array."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_SECONDS = 1.0
"""What the fuzzer allows; tests allow `TEST_SECONDS`, because other machines are slower, and busy."""
TEST_SECONDS = 5.0
MAX_EXTRA_BYTES = 256 << 20

_STATM = Path("/proc/self/statm")
_PAGE = resource.getpagesize()


class TooSlowError(Exception):
    """A run took more processor time than hostile bytes may cost."""


@contextmanager
def bounded(seconds: float | None = None, extra_bytes: int = MAX_EXTRA_BYTES) -> Iterator[None]:
    """Let the block use so much more address space and time of this thread (None: `MAX_SECONDS`).

    An allocation beyond it fails, which Python and numpy report as `MemoryError`.

    Raises
    ------
    TooSlowError
        The block took longer, whatever else it raised.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(_STATM.read_bytes().split(b" ", 1)[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (mapped + extra_bytes, before[1]))
    start = time.thread_time()
    try:
        yield
    finally:
        taken = time.thread_time() - start
        resource.setrlimit(resource.RLIMIT_AS, before)
        if taken > (MAX_SECONDS if seconds is None else seconds):
            raise TooSlowError(f"{taken:.2f} s of processor time")
