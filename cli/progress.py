"""Progress bars on standard error, shown to people only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(total: int, what: str, unit: str = "px") -> Iterator[Callable[[int], object]]:
    """Show a bar of `total` units on standard error while the block runs, if it is a terminal.

    Yields
    ------
    callable
        To be called with the number of units done since the last call.
    """
    with tqdm(
        total=total, desc=what, unit=unit, unit_scale=True, disable=hidden(), leave=False
    ) as bar:
        yield bar.update


def hidden() -> bool:
    """Whether nobody looks at standard error."""
    return not sys.stderr.isatty()
