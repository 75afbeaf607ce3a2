"""Error bounds: what is allowed at each sample, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eocodec import EncodeSettings, InputError
from eocodec.bounds import ErrorBounds


def test_bounds_a_band_and_none() -> None:
    bounds = ErrorBounds((4.5, None))
    pixels = np.array([[[7, 100]], [[3, 65535]]], np.uint16)
    assert bounds.allowed(pixels).tolist() == [[[4, 4]], [[np.inf, np.inf]]]
    assert bounds.allowed(pixels.astype(np.float32))[0].tolist() == [[4.5, 4.5]]


def test_the_tightest_bound_counts() -> None:
    bounds = ErrorBounds((20.0,), relative=0.01, sqrt=0.5)
    pixels = np.array([[[0, 99, -400, 3000]]], np.int16)
    assert bounds.allowed(pixels).tolist() == [[[0, 0, 4, 20]]]


def test_nothing_is_allowed_at_what_is_not_finite() -> None:
    bounds = ErrorBounds((1.0,), relative=0.5)
    pixels = np.array([[[np.nan, np.inf, -np.inf, 1.0]]], np.float32)
    assert bounds.allowed(pixels).tolist() == [[[0, 0, 0, 0.5]]]


@pytest.mark.parametrize(
    "bound",
    [
        {"max_error": -1.0},
        {"max_error": float("nan")},
        {"max_error": (1.0, float("inf"))},
        {"max_error": ()},
        {"max_relative_error": 1.0},
        {"max_relative_error": -0.1},
        {"max_error_sqrt": float("inf")},
    ],
)
def test_impossible_bounds_are_refused(bound: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        EncodeSettings(**bound)


def test_a_bound_for_another_number_of_bands_is_refused() -> None:
    with pytest.raises(InputError, match="2 bounds for 3 bands"):
        EncodeSettings(max_error=(1.0, None)).bounds(3)


def test_settings_without_bounds_bound_nothing() -> None:
    assert EncodeSettings().bounds(2) is None
    assert EncodeSettings(max_error=(None, None)).bounds(2) is None
    assert EncodeSettings(lossless=True).bounds(2) == ErrorBounds((0.0, 0.0))
