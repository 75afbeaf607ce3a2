"""Orthonormal bases as the angles of plane rotations (Givens), and how the angles are coded.

An angle is ``2 atan(k / ANGLE_UNIT)``, stored as k. The angles of a basis fix its components one by one, so those of
the leading components can be stored alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError

IntArray = npt.NDArray[np.int32]
DoubleArray = npt.NDArray[np.float64]

ANGLE_UNIT = 128
"""Tangents of half angles are stored in units of 1 / ANGLE_UNIT; none exceeds 1."""
_FIRST_LENGTHS = np.array([9, 17, 32, 66, 157, 274, 291, 154, 4], np.int32)
"""Counts of the number of binary digits (0 to 8) of |k|: for the first basis that has angles."""
_LENGTHS = np.array(
    [
        [348, 266, 140, 113, 68, 44, 18, 4, 4],
        [184, 222, 204, 164, 103, 65, 33, 25, 4],
        [92, 142, 173, 184, 166, 112, 86, 45, 4],
        [52, 92, 126, 181, 196, 172, 110, 71, 4],
        [29, 47, 74, 157, 175, 211, 187, 119, 4],
        [10, 27, 62, 96, 195, 218, 244, 146, 4],
        [15, 14, 75, 78, 139, 168, 302, 209, 4],
        [15, 13, 38, 104, 45, 254, 214, 317, 4],
        [48, 44, 32, 29, 21, 143, 327, 355, 4],
    ],
    np.int32,
)
"""The same for other bases: angles of the first component, of the second, …, of the ninth and those after it."""
_COMPONENTS = np.array(
    [
        [9, 58, 66, 117, 181, 194, 163, 113, 63, 35],
        [102, 100, 154, 156, 195, 140, 73, 37, 22, 21],
        [162, 314, 143, 135, 97, 67, 64, 12, 4, 4],
        [259, 336, 122, 145, 87, 29, 11, 4, 4, 4],
        [364, 378, 128, 56, 34, 20, 13, 5, 4, 4],
        [629, 238, 57, 38, 22, 8, 4, 4, 4, 4],
        [650, 246, 39, 38, 12, 4, 5, 4, 4, 4],
        [578, 294, 23, 76, 15, 6, 5, 4, 4, 4],
    ],
    np.int32,
)
"""Counts of the number of leading components with angles, 0 to 9, by group."""


def _pairs(count: int) -> list[tuple[int, int]]:
    """The pairs of components that are rotated, in order."""
    return [(c, r) for c in range(count) for r in range(count - 1, c, -1)]


def _rotate_columns(matrix: DoubleArray, first: int, second: int, angle: int) -> None:
    """Rotate two columns in place by a stored angle.

    Products and sums only, in this order: the same on every machine.
    """
    tangent = angle / ANGLE_UNIT
    whole = 1 + tangent * tangent
    cosine, sine = (1 - tangent * tangent) / whole, 2 * tangent / whole
    one, two = matrix[:, first].copy(), matrix[:, second].copy()
    matrix[:, first] = cosine * one + sine * two
    matrix[:, second] = cosine * two - sine * one


def rotations_towards(
    before: DoubleArray, basis: DoubleArray
) -> Iterator[tuple[list[int], DoubleArray]]:
    """Stored angles that turn ``before`` into ``basis``, up to the signs of its columns, component by component.

    With those of each component comes what ``before`` is after them, valid until the next.
    """
    count = len(before)
    both = np.vstack([basis.T @ before, before])
    for column in range(count - 1):
        angles = []
        for row in range(count - 1, column, -1):
            angle = math.atan2(both[column, row], both[column, column])
            angle -= math.pi * round(angle / math.pi)
            angles.append(round(math.tan(angle / 2) * ANGLE_UNIT))
            _rotate_columns(both, column, row, angles[-1])
        yield angles, both[count:]


def angle_count(bands: int, components: int) -> int:
    """Number of angles that fix the leading components."""
    return components * (2 * bands - components - 1) // 2


def rotated(before: DoubleArray, angles: IntArray) -> DoubleArray:
    """Apply stored angles to a basis."""
    out = before.copy()
    for (column, row), angle in zip(_pairs(len(out)), angles.tolist(), strict=True):
        if angle:
            _rotate_columns(out, column, row, angle)
    return out


def angle_bits(angles: npt.ArrayLike) -> float:
    """About what angles cost."""
    return float((2 * np.log2(1 + np.abs(angles)) + 1).sum())


def encode_angles(coder: SymbolEncoder, angles: IntArray, groups: IntArray, bands: int) -> None:
    """Write the angles (N, angles of a basis) of bases of so many bands, each of one of the groups (N,)."""
    first = True
    for row, group in zip(angles, groups.tolist(), strict=True):
        components = _components(row, bands)
        coder.encode(np.array([components]), _component_counts(group, bands))
        used = row[: angle_count(bands, components)]
        magnitude = np.abs(used)
        lengths = np.frexp(magnitude.astype(np.float64))[1].astype(np.int32)
        for component in range(components):
            part = slice(angle_count(bands, component), angle_count(bands, component + 1))
            coder.encode(lengths[part], _length_counts(component, first))
        coded = magnitude > 0
        low = magnitude[coded] - (1 << (lengths[coded] - 1))
        coder.encode_uniform(2 * low + (used[coded] < 0), 1 << lengths[coded])
        first = first and not components


def _component_counts(group: int, bands: int) -> IntArray:
    counts: IntArray = _COMPONENTS[group, np.minimum(np.arange(bands), _COMPONENTS.shape[1] - 1)]
    return counts


def _length_counts(component: int, first: bool) -> IntArray:
    return _FIRST_LENGTHS if first else _LENGTHS[min(component, len(_LENGTHS) - 1)]


def _components(angles: IntArray, bands: int) -> int:
    """Leading components that the angles of a basis fix; the others have none."""
    last = int(np.flatnonzero(angles)[-1]) + 1 if angles.any() else 0
    return next(k for k in range(bands) if angle_count(bands, k) >= last)


def decode_angles(coder: SymbolDecoder, groups: IntArray, bands: int) -> IntArray:
    """Read what :func:`encode_angles` wrote.

    Raises
    ------
    FormatError
        An angle is out of range.
    """
    angles = np.zeros((len(groups), angle_count(bands, bands)), np.int32)
    first = True
    for row, group in zip(angles, groups.tolist(), strict=True):
        components = int(coder.decode(1, _component_counts(group, bands))[0])
        lengths = [
            coder.decode(bands - 1 - component, _length_counts(component, first))
            for component in range(components)
        ]
        if not components:
            continue
        length = np.concatenate(lengths)
        coded = length > 0
        low = coder.decode_uniform(1 << length[coded])
        magnitude = (low >> 1) + (1 << (length[coded] - 1))
        if magnitude.max(initial=0) > ANGLE_UNIT:
            raise FormatError("a spectral rotation is out of range")
        row[: length.size][coded] = np.where(low & 1, -magnitude, magnitude)
        first = False
    return angles
