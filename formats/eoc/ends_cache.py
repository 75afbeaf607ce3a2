"""Headers and indexes of remote containers, kept for the next time that they are opened."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from eocodec.formats.eoc.source import Ends


class EndsCache:
    """The ends of the files used last, at most `max_bytes` of them. Safe in threads.

    It holds bytes, which nobody can change. Whoever takes some compares the footer among them with that of
    the file: its checksum covers header and index, and the index holds those of every tile.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._held: OrderedDict[Hashable, Ends] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Ends | None:
        """Return what is kept of a file, if anything."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, ends: Ends) -> None:
        """Keep the ends of a file; others, not used for longest, make room for them."""
        with self._lock:
            old = self._held.pop(key, None)
            self._bytes += _size(ends) - (0 if old is None else _size(old))
            self._held[key] = ends
            while self._bytes > self._max_bytes:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= _size(dropped)


def _size(ends: Ends) -> int:
    return len(ends.head) + len(ends.tail)
