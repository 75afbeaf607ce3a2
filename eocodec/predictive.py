"""Predictive coding of a tile within error bounds: interlaced passes, least-squares prediction.

Planes are coded one after another, each predicted from its own coarser lattice, from up to three
planes before it and from what learned layers say of it. A pass codes one phase of one level at once,
from neighbours on all sides (compare the hierarchical interpolation of Roos & Viergever, 1993), so
both directions are vectorised. Within a bound the residuals are quantised in the loop, as in
near-lossless JPEG-LS. What the decoder repeats is integer arithmetic only. SPEC.md, "Predictive
layer", is normative.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.bounds import ErrorBounds
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError, UnsupportedError
from eocodec.folding import MAX_FOLDED, fold, folded_shape, folds_to_try, unfold
from eocodec.integers import IntegerReader, pack_integers, unpack_integers
from eocodec.interlace import CodedPlane, KnownPlane, known_plane
from eocodec.payload import Buffer, ByteReader, put_varint
from eocodec.planes import (
    Plane,
    nearest_values,
    planes_per_band,
    restore_band,
)
from eocodec.predictive_copies import (
    MAX_PATTERNS,
    MAX_TURNS,
    parse_pattern,
    pattern_integers,
)
from eocodec.predictive_encoder import TilePlanes, valid_samples
from eocodec.predictive_maps import MapHistory
from eocodec.predictive_parameters import TAPER_LEVELS, TAPER_UNIT, Taper
from eocodec.predictive_planes import PlaneDecoder, walk
from eocodec.predictive_side import PlaneHistory, PlaneSide, parse_plane, side_integers
from eocodec.repeats import find_repeats, parse_repeats
from eocodec.residuals import ClassScheme, ResidualModel

IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

SCHEME = 2
_MAX_SIDE_PER_PLANE = 8192
_MAX_TABLE_INTEGERS = 8192


def encode_predictive(
    pixels: npt.NDArray[Any],
    invalid: BoolArray | None = None,
    bounds: ErrorBounds | None = None,
    learned: npt.NDArray[Any] | None = None,
) -> bytes:
    """Code `pixels` within error bounds.

    Parameters
    ----------
    pixels : ndarray, (C, H, W)
        Any integer dtype, float32 or float64; finite where valid, unless the bounds are 0.
    invalid : ndarray of bool, (C, H, W), optional
        Samples that need not be kept; the decoder must be given the same array.
    bounds : ErrorBounds, optional
        How far samples may be off; without bounds they are kept exactly.
    learned : ndarray, (C, H, W), optional
        What the decoder already knows of the pixels, in their dtype. Bands without a bound are left
        at that.

    Returns
    -------
    bytes
        The body of the one layer of a predictive tile, or of the guarantee layer of a learned one.
    """
    periods = [0]
    if learned is None and (bounds is None or bounds.uniform):
        periods = folds_to_try(pixels)
    bodies = []
    for period in periods:
        within = bounds
        if bounds is not None and period:
            within = replace(bounds, absolute=bounds.absolute[:1] * pixels[0].size)
        hidden = None if invalid is None else fold(invalid, period)
        bodies.append(_encode(fold(pixels, period), hidden, within, learned, period))
    return min(bodies, key=len)


def _encode(
    pixels: npt.NDArray[Any],
    invalid: BoolArray | None,
    bounds: ErrorBounds | None,
    learned: npt.NDArray[Any] | None,
    period: int,
) -> bytes:
    """Return the layer of a tile that is folded with `period`; see `encode_predictive`."""
    repeats = find_repeats(pixels)
    pixels = repeats.thin(pixels)
    invalid = None if invalid is None else repeats.thin(invalid)
    learned = None if learned is None else repeats.thin(learned)
    tile = TilePlanes.analyse(pixels, invalid, bounds, learned)
    best: bytes | None = None
    for sides, passes, taper in tile.attempts():
        model = ResidualModel.fit(tile.scheme, passes)
        side = [period, *repeats.side_integers(), tile.scheme.octave_bits, int(tile.scheme.wide)]
        side += [*taper.shares, len(tile.patterns)]
        for flags in tile.patterns:
            side += pattern_integers(flags)
        history = PlaneHistory(MapHistory(tile.per_band))
        for plane_side in sides:
            side += side_integers(plane_side, history, tile.shape)
        packed = pack_integers(side + model.side_integers())
        stream = SymbolEncoder()
        for ordered in passes:
            model.encode(stream, ordered)
        body = bytes([SCHEME]) + put_varint(len(packed)) + packed + stream.finish()
        best = body if best is None or len(body) < len(best) else best
    assert best is not None
    return best


def decode_predictive(
    data: Buffer,
    dtype: npt.DTypeLike,
    shape: tuple[int, int, int],
    invalid: BoolArray | None = None,
    learned: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Decode what `encode_predictive` wrote; samples that are `invalid` come back arbitrary.

    Raises
    ------
    FormatError, UnsupportedError
        When the bytes are not such a layer.
    """
    dtype = np.dtype(dtype)
    unfolded = shape
    reader = ByteReader(data, "predictive layer")
    scheme_id = reader.u8()
    if scheme_id != SCHEME:
        raise UnsupportedError(f"predictive scheme {scheme_id} is unknown to this release")
    packed = reader.take(reader.varint())
    per_band = planes_per_band(dtype)
    samples = shape[0] * shape[1] * shape[2]
    limit = max(shape[0], min(MAX_FOLDED, shape[1] * shape[2])) * per_band * _MAX_SIDE_PER_PLANE
    limit += per_band * samples + sum(shape) + samples // shape[0]
    limit += _MAX_TABLE_INTEGERS + 2 * MAX_PATTERNS * MAX_TURNS
    side = IntegerReader(unpack_integers(packed, limit))
    period = side.take(0, shape[0])
    if period and (shape[0] % period or shape[1] * shape[2] > MAX_FOLDED or learned is not None):
        raise FormatError(f"predictive layer folds a tile of {shape} with a period of {period}")
    bands, height, width = folded_shape(shape, period)
    number = bands * per_band
    invalid = None if invalid is None else fold(invalid, period)
    repeats = parse_repeats(side, height, width)
    height, width = height - int(repeats.rows.sum()), width - int(repeats.columns.sum())
    invalid = None if invalid is None else repeats.thin(invalid)
    learned = None if learned is None else repeats.thin(learned)
    octave_bits, wide = side.take(1, 2), bool(side.take(0, 1))
    taper = Taper(tuple(side.take(0, TAPER_UNIT) for _ in range(TAPER_LEVELS)))
    work = np.dtype(np.int64 if wide else np.int32)
    scheme = ClassScheme(octave_bits, wide)
    labels: list[KnownPlane | None] = [None]
    for _ in range(side.take(0, MAX_PATTERNS)):
        labels.append(known_plane(parse_pattern(side, height, width)))
    earlier: dict[int, PlaneSide] = {}
    history = PlaneHistory(MapHistory(per_band))
    for _ in range(number):
        plane_side = parse_plane(
            side,
            history,
            earlier,
            number,
            (height, width),
            dtype,
            wide,
            learned is not None,
            len(labels) - 1,
        )
        earlier[plane_side.index] = plane_side
        history.add(plane_side)
    plane_sides = list(earlier.values())
    model = ResidualModel.parse(scheme, side)
    side.finish()
    stream = SymbolDecoder(reader.take(len(reader.view) - reader.pos))
    last_use = {ref: at for at, plane in enumerate(plane_sides) for ref in plane.references}
    coded: dict[int, CodedPlane] = {}
    out = np.empty((bands, height, width), dtype)
    waiting: dict[int, dict[int, tuple[Plane, IntArray]]] = {}
    for position, plane_side in enumerate(plane_sides):
        index, plane = plane_side.index, plane_side.plane
        band, half = divmod(index, per_band)
        if plane is None:
            out[band] = out[band] if learned is None else learned[band]
            continue
        if learned is not None and number + index in plane_side.references:
            guess = nearest_values(learned[band], [plane] * per_band)[half]
            coded[number + index] = CodedPlane(known_plane(guess.astype(work)))
        if plane.top:
            decoder = PlaneDecoder(
                plane_side, valid_samples(invalid, band), model, stream, work, taper
            )
            shown = [coded[reference] for reference in plane_side.references]
            copies = labels[plane_side.pattern]
            base = plane_side.base
            kept, grid = walk((height, width), base, shown, copies, decoder.step, work)
            if index in last_use:
                coded[index] = kept
        else:
            grid = np.zeros((height, width), work)
        for reference in plane_side.references:
            if last_use[reference] == position:
                del coded[reference]
        parts = waiting.setdefault(band, {})
        parts[half] = plane, grid
        if len(parts) == per_band:
            out[band] = restore_band([parts[at] for at in range(per_band)], dtype)
            del waiting[band]
    return unfold(repeats.restore(out), unfolded, period)
