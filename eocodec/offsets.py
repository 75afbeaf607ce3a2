"""Scale offsets: how far a tile's latents lie from the scales that the networks predict, channel by channel.

Scales are learned on the training scenes; a place unlike them has channels that are systematically stronger or
weaker. Every refinement stage therefore starts with a small integer a latent channel, in classes of scale
(:mod:`eocodec.refinement`), most of them zero. The encoder picks those that save more bits than they cost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from eocodec.entropy import SymbolDecoder, SymbolEncoder, code_lengths
from eocodec.integer_networks import per_channel
from eocodec.refinement import (
    CLASS_WIDTH,
    CLASSES,
    ESCAPE,
    LIMIT,
    STATES,
    Runs,
    StageTables,
    raw_class_of,
    state_of,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

REACH = 4
"""Offsets run from -REACH to REACH."""
DENSITIES = 8
"""Tables of offsets, by the share of channels that have one; number 0 means none has."""
LOST_BITS = 12.0
"""What a symbol other than 0 costs where an offset would leave its latent uncoded."""
POSITIONS = 512
"""About so many positions of the latent grid decide."""


def _tables() -> tuple[IntArray, ...]:
    """Counts of the offsets -REACH to REACH for every density; sizes fall by half."""
    tables = []
    for density in range(DENSITIES):
        nonzero = 1 << (3 + density)
        size = np.abs(np.arange(-REACH, REACH + 1))
        counts = nonzero >> size
        counts[REACH] = 4096 - 2 * nonzero
        tables.append(np.maximum(counts, 1).astype(np.int32))
    return tuple(tables)


_TABLES = _tables()


def encode_offsets(coder: SymbolEncoder, offsets: IntArray) -> None:
    """Write the offsets (L,) of a stage."""
    used = np.bincount(offsets + REACH, minlength=2 * REACH + 1)
    density = 0
    if offsets.any():
        lengths = [used @ code_lengths(counts) for counts in _TABLES[1:]]
        density = 1 + int(np.argmin(lengths))
    coder.encode_uniform(np.array([density]), DENSITIES)
    if density:
        coder.encode(offsets + REACH, _TABLES[density])


def decode_offsets(coder: SymbolDecoder, latents: int) -> IntArray:
    """Inverse of :func:`encode_offsets`; raises FormatError for invalid bytes."""
    density = int(coder.decode_uniform(np.array([DENSITIES]))[0])
    if not density:
        return np.zeros(latents, np.int32)
    return coder.decode(latents, _TABLES[density]).astype(np.int32) - REACH


def shift_scales(relative: IntArray, offsets: IntArray) -> IntArray:
    """Log-scales (L, …, h, w), moved by the offsets of their channels."""
    shifted: IntArray = relative + per_channel(CLASS_WIDTH * offsets, relative.ndim)
    return shifted


def choose_offsets(
    tables: StageTables,
    relative: IntArray,
    previous: IntArray,
    units: FloatArray,
    weight: float,
) -> IntArray:
    """Pick the offsets (L,) that make a stage cheapest, as far as a part of the positions tells.

    Parameters
    ----------
    tables : StageTables
    relative : int32 array (L, …, h, w)
        Log-scales relative to the stage's step, before any offset.
    previous : int32 array (L, …, h, w)
        Integers before the stage.
    units : float32 array (L, …, h, w)
        What the stage quantises, in its steps.
    weight : float
        Squared steps that a bit is worth.
    """
    stride = max(1, round((previous[0].size / POSITIONS) ** 0.5))
    part = (..., slice(None, None, stride), slice(None, None, stride))
    raw, before = raw_class_of(relative[part]).ravel(), previous[part].ravel()
    classes = np.clip(raw, 0, CLASSES - 1).astype(np.uint8)
    runs = Runs.sort(classes, before, tables.first_class)
    # Latents that are not coded are zero, of state 0: only their class counts.
    symbol = np.zeros(raw.shape, np.int32)
    symbol[runs.order] = tables.quantise(units[part].ravel(), runs, weight)
    index = np.where(np.abs(symbol) > LIMIT, ESCAPE, symbol + LIMIT)
    channels, area = len(relative), len(raw) // len(relative)
    # Counts of class, state and symbol a channel, as the rows of a matrix whose entries need no sorting.
    columns = STATES * (ESCAPE + 1)
    key = (np.clip(raw, -REACH, CLASSES - 1) + np.int32(REACH)) * np.int32(columns)
    key += state_of(before) * np.int32(ESCAPE + 1) + index
    rows = np.arange(0, len(raw) + 1, area, dtype=np.int32)
    shape = (channels, (CLASSES + REACH) * columns)
    counts = csr_array((np.full(len(raw), previous[0].size / area, np.float32), key, rows), shape)
    bits = tables.bits.astype(np.float32)
    bits[: tables.first_class, 0] = LOST_BITS
    bits[: tables.first_class, 0, LIMIT] = 0
    shifts = np.arange(-REACH, REACH + 1)
    classes = np.clip(np.arange(-REACH, CLASSES)[:, None] + shifts, 0, CLASSES - 1)
    shifted = np.moveaxis(bits[classes], 1, -1).reshape(-1, len(shifts))
    cost = counts @ np.ascontiguousarray(shifted)
    cost += np.where(shifts, 4.0 + np.abs(shifts), 0.3)
    chosen: IntArray = (np.argmin(cost, axis=1) - REACH).astype(np.int32)
    return chosen
