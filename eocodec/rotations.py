"""Orthonormal bases as the angles of plane rotations (Givens), and how the angles are coded.

An angle is ``2 atan(k / ANGLE_UNIT)``, stored as k. The angles of a basis fix its components one by one, so those of
the leading components can be stored alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError

IntArray = npt.NDArray[np.int32]
DoubleArray = npt.NDArray[np.float64]

ANGLE_UNIT = 128
"""Tangents of half angles are stored in units of 1 / ANGLE_UNIT; none exceeds 1."""
_LENGTH_COUNTS = (
    np.array([38, 58, 62, 90, 120, 150, 190, 240, 60], np.int32),
    np.array([410, 250, 190, 130, 110, 80, 50, 26, 6], np.int32),
)
"""Counts of the number of binary digits (0 to 8) of |k|: for the first basis coded, for the others."""


def _planes(count: int) -> list[tuple[int, int]]:
    """The planes of rotation of so many components, in order."""
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
            angle = np.arctan2(both[column, row], both[column, column])
            angle -= np.pi * np.rint(angle / np.pi)
            angles.append(int(np.rint(np.tan(angle / 2) * ANGLE_UNIT)))
            _rotate_columns(both, column, row, angles[-1])
        yield angles, both[count:]


def angle_count(bands: int, components: int) -> int:
    """Number of angles that fix the leading components."""
    return components * (2 * bands - components - 1) // 2


def rotated(before: DoubleArray, angles: IntArray) -> DoubleArray:
    """Apply stored angles to a basis."""
    out = before.copy()
    for (column, row), angle in zip(_planes(len(out)), angles.tolist(), strict=True):
        if angle:
            _rotate_columns(out, column, row, angle)
    return out


def angle_bits(angles: npt.ArrayLike) -> float:
    """About what angles cost."""
    return float((2 * np.log2(1 + np.abs(angles)) + 1).sum())


def encode_angles(coder: SymbolEncoder, angles: IntArray, bands: int) -> None:
    """Write the angles (N, angles of a basis) of N bases of so many bands."""
    components = np.array([_components(row, bands) for row in angles])
    if bands > 1:
        coder.encode_uniform(components, bands)
    used = [row[: angle_count(bands, k)] for row, k in zip(angles, components, strict=True)]
    for number, row in enumerate(a for a in used if a.size):
        magnitude = np.abs(row)
        lengths = np.frexp(magnitude.astype(np.float64))[1].astype(np.int32)
        coder.encode(lengths, _LENGTH_COUNTS[min(number, 1)])
        coded = magnitude > 0
        low = magnitude[coded] - (1 << (lengths[coded] - 1))
        coder.encode_uniform(2 * low + (row[coded] < 0), 1 << lengths[coded])


def _components(angles: IntArray, bands: int) -> int:
    """Leading components that the angles of a basis fix; the others have none."""
    last = int(np.flatnonzero(angles)[-1]) + 1 if angles.any() else 0
    return next(k for k in range(bands) if angle_count(bands, k) >= last)


def decode_angles(coder: SymbolDecoder, number: int, bands: int) -> IntArray:
    """Read what :func:`encode_angles` wrote of so many bases.

    Raises
    ------
    FormatError
        An angle is out of range.
    """
    angles = np.zeros((number, angle_count(bands, bands)), np.int32)
    components = np.zeros(number, np.int32)
    if bands > 1:
        components = coder.decode_uniform(np.full(number, bands))
    for order, row in enumerate(np.flatnonzero(components)):
        count = angle_count(bands, int(components[row]))
        lengths = coder.decode(count, _LENGTH_COUNTS[min(order, 1)])
        coded = lengths > 0
        low = coder.decode_uniform(1 << lengths[coded])
        magnitude = (low >> 1) + (1 << (lengths[coded] - 1))
        if magnitude.max(initial=0) > ANGLE_UNIT:
            raise FormatError("a spectral rotation is out of range")
        angles[row, :count][coded] = np.where(low & 1, -magnitude, magnitude)
    return angles
