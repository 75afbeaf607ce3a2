"""Bands in threes of which each tells much of the others, for a codec of colours.

libjxl turns the first three channels of an image into one of brightness and two of colour, and predicts no further
channel from another. So three that are alike go first, and the next three are turned here, by the same YCoCg-R
(Malvar and Sullivan 2003), as long as that seems to pay.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt

from bench.peers.base import Stack

_ROWS = 4
"""Of so many rows one is looked at."""
_LEAST_GAIN = 0.6
"""Bits a pixel of three bands that turning them must seem to save; with less, files of real scenes grew."""
_HALF = 2**15

Three = tuple[int, int, int]
Differences = npt.NDArray[np.float64]


def alike(stack: Stack) -> list[Three]:
    """Return bands in threes (first, middle, last), the most alike first; other bands are in none.

    What three bands cost is told by the mean size of horizontal differences before and after the transform.
    """
    rows = stack[:, ::_ROWS].astype(np.float64)
    differences = np.diff(rows, axis=2).reshape(len(stack), -1)
    found: list[Three] = []
    left = list(range(len(stack)))
    while len(left) > 2:
        threes = [three for three in permutations(left, 3) if three[0] < three[2]]
        gains = [_gain(*differences[list(three)]) for three in threes]
        best = int(np.argmax(gains))
        if gains[best] < _LEAST_GAIN and found:
            break
        found.append(threes[best])
        left = [band for band in left if band not in threes[best]]
    return found


def _gain(first: Differences, middle: Differences, last: Differences) -> float:
    """Bits a pixel that the transform seems to save of differences, which it keeps linear."""
    orange, mean = first - last, (first + last) / 2
    green, brightness = middle - mean, (mean + middle) / 2
    before, after = (first, middle, last), (orange, green, brightness)
    return sum(map(_bits, before)) - sum(map(_bits, after))


def _bits(values: Differences) -> float:
    return float(np.log2(np.abs(values).mean() + 0.25))


def to_planes(stack: Stack, threes: list[Three]) -> Stack:
    """Return planes: the first three bands as they are, further ones turned, then the others."""
    planes: list[npt.NDArray[np.uint16]] = []
    for index, three in enumerate(threes):
        bands = [stack[band] for band in three]
        planes += bands if index == 0 else _turned(*bands)
    return np.stack(planes + [stack[band] for band in _others(len(stack), threes)])


def to_bands(planes: npt.NDArray[np.uint16], threes: list[Three]) -> Stack:
    """Invert `to_planes`."""
    stack = np.empty_like(planes)
    for index, three in enumerate(threes):
        own = planes[3 * index : 3 * index + 3]
        stack[list(three)] = own if index == 0 else _turned_back(*own)
    stack[_others(len(stack), threes)] = planes[3 * len(threes) :]
    return stack


def _others(bands: int, threes: list[Three]) -> list[int]:
    return [band for band in range(bands) if not any(band in three for three in threes)]


def _turned(
    first: npt.NDArray[np.uint16], middle: npt.NDArray[np.uint16], last: npt.NDArray[np.uint16]
) -> list[npt.NDArray[np.uint16]]:
    """Brightness and two colours, in 16 bits that wrap."""
    orange = _signed(first - last)
    between = last + (orange >> 1).view(np.uint16)
    green = _signed(middle - between)
    brightness = between + (green >> 1).view(np.uint16)
    return [brightness, _centred(orange), _centred(green)]


def _turned_back(
    brightness: npt.NDArray[np.uint16],
    orange: npt.NDArray[np.uint16],
    green: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint16]:
    between = brightness - (_signed(green - np.uint16(_HALF)) >> 1).view(np.uint16)
    middle = between + (green - np.uint16(_HALF))
    last = between - (_signed(orange - np.uint16(_HALF)) >> 1).view(np.uint16)
    first = last + (orange - np.uint16(_HALF))
    return np.stack([first, middle, last])


def _signed(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.int16]:
    return values.view(np.int16)


def _centred(values: npt.NDArray[np.int16]) -> npt.NDArray[np.uint16]:
    return values.view(np.uint16) + np.uint16(_HALF)
