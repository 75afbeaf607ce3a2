"""A plane of marks, range-coded: each mark in the context of the one to its left."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder, code_lengths
from eocodec.errors import FormatError

BoolArray = npt.NDArray[np.bool_]

SHARES = 8
"""Tables of a plane; number 0 means that nothing is marked."""
_SHARE_COUNTS = tuple(
    np.array([64 - marked, marked], np.int32) for marked in (0, 1, 4, 12, 26, 42, 56, 63)
)


def write_marks(coder: SymbolEncoder, plane: BoolArray) -> None:
    """Code a plane (h, w)."""
    if not plane.any():
        coder.encode_uniform(np.zeros(1, np.int32), SHARES)
        return
    before = np.pad(plane, ((0, 0), (1, 0)))[:, :-1]
    shares = []
    for context in range(2):
        used = np.bincount(plane[before == context], minlength=2)
        lengths = [used @ code_lengths(counts) for counts in _SHARE_COUNTS[1:]]
        shares.append(1 + int(np.argmin(lengths)))
    coder.encode_uniform(np.array(shares), SHARES)
    for column, marks in enumerate(plane.T):
        for context, share in enumerate(shares):
            coder.encode(marks[before[:, column] == context], _SHARE_COUNTS[share])


def read_marks(coder: SymbolDecoder, shape: tuple[int, int]) -> BoolArray:
    """Inverse of :func:`write_marks`; raises FormatError for invalid bytes."""
    plane = np.zeros(shape, bool)
    shares = coder.decode_uniform(np.array([SHARES])).tolist()
    if not shares[0]:
        return plane
    shares += coder.decode_uniform(np.array([SHARES])).tolist()
    if not shares[1]:
        raise FormatError("the table of a plane of marks is invalid")
    before = np.zeros(shape[0], bool)
    for column in range(shape[1]):
        marks = np.zeros(shape[0], bool)
        for context, share in enumerate(shares):
            here = before == context
            marks[here] = coder.decode(int(here.sum()), _SHARE_COUNTS[share]) > 0
        plane[:, column] = before = marks
    return plane
