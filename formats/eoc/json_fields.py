"""Typed access to untrusted JSON: a field is what the format says, or a `FormatError`."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from eocodec.errors import FormatError, LimitError

NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Fields:
    """Typed access to the fields of one untrusted JSON object."""

    def __init__(self, value: Any, where: str):
        if not isinstance(value, dict):
            raise FormatError(f"{where} is not a JSON object")
        self._value: dict[str, Any] = value
        self._where = where

    def fail(self, key: str, wanted: str) -> NoReturn:
        """Raise `FormatError` for a field."""
        raise FormatError(f"{self._where}: field {key!r} must be {wanted}")

    def text(self, key: str) -> str | None:
        """Return text, or None where the field is absent."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, str):
            self.fail(key, "text")
        return value

    def number(self, key: str, *, finite: bool = True) -> float | None:
        """Return a number or None; text for NaN and infinities too unless `finite`."""
        value = self._value.get(key)
        if value is None:
            return None
        if not finite and isinstance(value, str) and value in NOT_FINITE:
            return NOT_FINITE[value]
        if not is_number(value):
            self.fail(key, "a number")
        return value  # type: ignore[no-any-return]

    def real(self, key: str) -> float | None:
        """Return a number as a float, or None."""
        value = self.number(key)
        return None if value is None else float(value)

    def whole(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number from `low` to `high`, or None."""
        value = self._value.get(key)
        if value is not None and not (_is_int(value) and low <= value <= high):
            self.fail(key, f"a whole number from {low} to {high}")
        return value

    def is_list(self, key: str) -> bool:
        """Whether a field holds a list."""
        return isinstance(self._value.get(key), list)

    def items(self, key: str) -> list[Any]:
        """Return a list, empty where the field is absent."""
        value = self._value.get(key, [])
        if not isinstance(value, list):
            self.fail(key, "a list")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of text."""
        items = self.items(key)
        if not all(isinstance(item, str) for item in items):
            self.fail(key, "a list of text")
        return tuple(items)

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        items = self.items(key)
        if not all(_is_int(item) for item in items):
            self.fail(key, "a list of whole numbers")
        return tuple(items)

    def objects(self, key: str, most: int) -> list[Fields]:
        """Return a list of at most `most` objects."""
        items = self.limited(key, most)
        return [Fields(item, f"{self._where}, {key}[{i}]") for i, item in enumerate(items)]

    def limited(self, key: str, most: int) -> list[Any]:
        """Return a list of at most `most` items."""
        items = self.items(key)
        if len(items) > most:
            raise LimitError(f"{self._where} lists {len(items)} {key}; at most {most} are allowed")
        return items

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object, empty where the field is absent."""
        value = self._value.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, "an object")
        return value

    def tags(self) -> dict[str, dict[str, str]]:
        """Return the field `tags`: text by namespace and key."""
        tags = self.mapping("tags")
        for space in tags.values():
            if not isinstance(space, dict) or not all(isinstance(v, str) for v in space.values()):
                self.fail("tags", "an object of objects of text")
        return tags


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number of a sane size."""
    if isinstance(value, float):
        return math.isfinite(value)
    return _is_int(value) and abs(value) < 2**64
