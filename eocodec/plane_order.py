"""Encoder-side choice of the coding order of planes and of the planes each is predicted from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_CODED_REFERENCES = 3
_CORRELATION_SAMPLES = 8192
# Only this many planes back are tried as references, so that the search stays linear in bands.
_SEARCH_BACK = 16


def order_planes(planes: list[npt.NDArray[Any]]) -> list[tuple[int, tuple[int, ...]]]:
    """Return the coding order: (plane, its reference planes, nearest in content first)."""
    detail = [_detail(plane) for plane in planes]
    if len(planes) > 2 * _SEARCH_BACK:
        order = list(range(len(planes)))
    else:
        matrix = np.stack(detail)
        energy = np.maximum((matrix**2).sum(axis=1), 1e-9)
        likeness = (matrix @ matrix.T) ** 2 / np.outer(energy, energy)
        order = [int(np.argmax(likeness.sum(axis=0)))]
        while len(order) < len(planes):
            best = likeness[order].max(axis=0)
            best[order] = -1
            order.append(int(np.argmax(best)))
    return [
        (index, _references(detail, index, order[max(0, position - _SEARCH_BACK) : position]))
        for position, index in enumerate(order)
    ]


def _detail(plane: npt.NDArray[Any]) -> Float64Array:
    """Return what the four diagonal neighbours leave unexplained, at up to 8192 samples."""
    if min(plane.shape) < 3:
        return np.zeros(1)
    inner = plane[1:-1, 1:-1]
    rows = slice(None, None, max(1, inner.size // _CORRELATION_SAMPLES))
    around = (plane[:-2, :-2][rows] + plane[2:, 2:][rows]) + (
        plane[:-2, 2:][rows] + plane[2:, :-2][rows]
    )
    detail: Float64Array = (inner[rows] - around / 4.0).ravel()
    return detail


def _references(detail: list[Float64Array], index: int, candidates: list[int]) -> tuple[int, ...]:
    """Return up to three candidates that together explain most of the plane's detail."""
    chosen: list[int] = []
    rest = detail[index].copy()
    remaining = {candidate: detail[candidate].copy() for candidate in candidates}
    start = float(rest @ rest)
    while len(chosen) < _CODED_REFERENCES and remaining and start > 0:
        gains = {key: _explained(rest, vector) for key, vector in remaining.items()}
        best = max(gains, key=lambda key: gains[key])
        if gains[best] < 0.002 * start:
            break
        chosen.append(best)
        unit = remaining.pop(best)
        unit /= np.sqrt(unit @ unit)
        rest -= (rest @ unit) * unit
        for vector in remaining.values():
            vector -= (vector @ unit) * unit
    return tuple(chosen)


def _explained(target: Float64Array, vector: Float64Array) -> float:
    energy = float(vector @ vector)
    return float(target @ vector) ** 2 / energy if energy > 1e-6 else 0.0
