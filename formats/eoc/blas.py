"""Matrix products on one thread while tiles run in parallel."""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import Any

from threadpoolctl import ThreadpoolController


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
            self._users += 1

    def leave(self) -> None:
        """Count one user out; the last one restores what was before the first."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


one_blas_thread = OneBlasThread()
