"""Rate differences of curves that are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.bd_rate import bytes_at, hull, rate_difference
from bench.measures import Point
from eocodec.metrics import psnr_of


def curve(errors, scale=1.0):
    """Bytes fall with the square of the error."""
    return [
        Point(
            str(e),
            round(scale * 4e8 / e**2),
            scale * 4e4 / e**2,
            0,
            e,
            e / 100,
            psnr_of(e),
            0,
            0,
            0,
        )
        for e in errors
    ]


FULL = np.geomspace(150, 15, 9)


def test_a_curve_equals_itself():
    difference = rate_difference(curve(FULL), curve(FULL))
    assert difference.percent == pytest.approx(0)
    assert not difference.partial
    assert difference.lowest_rmse == pytest.approx(20)
    assert difference.highest_rmse == pytest.approx(120)


def test_half_the_bytes_are_minus_fifty_percent():
    assert rate_difference(curve(FULL, 0.5), curve(FULL)).percent == pytest.approx(-50)
    assert rate_difference(curve(FULL), curve(FULL, 0.5)).percent == pytest.approx(100)


def test_settings_need_not_match():
    other = curve(np.geomspace(130, 18, 14), 0.7)
    assert rate_difference(other, curve(FULL)).percent == pytest.approx(-30, abs=0.1)


def test_only_errors_of_20_to_120_count():
    outside = [replace(p, bytes=p.bytes * 9, bpppb=p.bpppb * 9) for p in curve((14, 12, 10))]
    long = curve(np.geomspace(160, 15, 12), 0.5) + outside
    assert rate_difference(long, curve(np.geomspace(160, 10, 12))).percent == pytest.approx(
        -50, abs=0.5
    )


def test_a_short_curve_is_compared_over_the_common_part_and_flagged():
    difference = rate_difference(curve(np.geomspace(80, 15, 6), 0.5), curve(FULL))
    assert difference.partial
    assert difference.percent == pytest.approx(-50)
    assert difference.highest_rmse == pytest.approx(80)


def test_curves_without_common_error_have_no_difference():
    assert math.isnan(rate_difference(curve((150, 100)), curve((60, 30))).percent)
    assert math.isnan(rate_difference([], curve(FULL)).percent)


def test_hull_drops_what_is_beaten():
    good = curve(FULL)
    worse = [replace(p, bytes=p.bytes + 1, rmse=p.rmse + 1) for p in good]
    assert hull(worse + good) == good


def test_bytes_between_points_follow_the_power_law():
    assert bytes_at(curve(FULL), 40) == pytest.approx(4e8 / 1600, rel=1e-4)
    assert math.isnan(bytes_at(curve(FULL), 200))
