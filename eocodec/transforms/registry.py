"""The transforms that are installed, found by entry points and loaded when they are asked for."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from eocodec.errors import InputError, UnsupportedError
from eocodec.transforms.interface import PixelTransform, TokenTransform

GROUP = "eocodec.transforms"


def transform_names() -> tuple[str, ...]:
    """Return the names of all installed transforms, sorted; none is loaded."""
    return tuple(sorted(entry_points(group=GROUP).names))


def find_transform(name: str) -> PixelTransform | TokenTransform:
    """Load a transform.

    Raises
    ------
    InputError
        There is none of this name.
    UnsupportedError
        It cannot be loaded, or two packages bring one of this name.
    """
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join(transform_names()) or "none"
        raise InputError(f"no transform {name!r}; installed: {known}")
    if len(found) > 1:
        places = " and ".join(entry.value for entry in found)
        raise UnsupportedError(f"transform {name!r} is installed twice: {places}")
    return _load(found[0])


def _load(entry: EntryPoint) -> PixelTransform | TokenTransform:
    try:
        transform = entry.load()()
    except ImportError as error:
        raise UnsupportedError(f"transform {entry.name!r} cannot be loaded: {error}") from error
    if not isinstance(transform, (PixelTransform, TokenTransform)):
        raise UnsupportedError(f"{entry.value} is no transform but a {type(transform).__name__}")
    return transform
