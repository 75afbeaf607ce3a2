"""Predictive coding of a tile within error bounds: interlaced passes, least-squares prediction.

Planes are coded one after another, each predicted from its own coarser lattice, from up to three
planes before it and from what learned layers say of it. A pass codes one phase of one level at once,
from neighbours on all sides (compare the hierarchical interpolation of Roos & Viergever, 1993), so
both directions are vectorised. Within a bound the residuals are quantised in the loop, as in
near-lossless JPEG-LS. What the decoder repeats is integer arithmetic only. SPEC.md, "Predictive
layer", is normative.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.bounds import ErrorBounds
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import UnsupportedError
from eocodec.fitting import order_planes
from eocodec.integers import IntegerReader, pack_integers, unpack_integers
from eocodec.interlace import CodedPlane, KnownPlane, known_plane
from eocodec.payload import Buffer, ByteReader, put_varint
from eocodec.planes import (
    NARROW_TOP,
    Plane,
    analyse_band,
    nearest_values,
    planes_per_band,
    restore_band,
)
from eocodec.predictive_copies import (
    MAX_PATTERNS,
    MAX_TURNS,
    find_patterns,
    labels_of,
    parse_pattern,
    pattern_integers,
)
from eocodec.predictive_levels import Allowed
from eocodec.predictive_planes import PlaneDecoder, PlaneEncoder, walk
from eocodec.predictive_side import PlaneSide, parse_plane, side_integers
from eocodec.repeats import find_repeats, parse_repeats
from eocodec.residuals import ClassScheme, ResidualModel, SortedPass

IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

SCHEME = 1
_MAX_GAPS = 1 << 16
_MAX_SIDE_PER_PLANE = 8192
_MAX_TABLE_INTEGERS = 8192
_LARGE_TILE = 1 << 17


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
    repeats = find_repeats(pixels)
    pixels = repeats.thin(pixels)
    invalid = None if invalid is None else repeats.thin(invalid)
    learned = None if learned is None else repeats.thin(learned)
    per_band = planes_per_band(pixels.dtype)
    planes: list[Plane | None] = []
    values: list[IntArray] = []
    known: list[IntArray] = []
    for band in range(len(pixels)):
        valid = _valid(invalid, band)
        if learned is not None and bounds is not None and not bounds.bounded(band):
            planes += [None] * per_band
            values += [np.zeros(pixels.shape[1:], np.int64)] * per_band
            known += values[-per_band:]
            continue
        found = analyse_band(pixels[band], valid, _allowed(bounds, band))
        planes += [plane for plane, _ in found]
        values += [value for _, value in found]
        if learned is not None:
            known += nearest_values(learned[band], [plane for plane, _ in found])
    wide = any(plane is not None and plane.top > NARROW_TOP for plane in planes)
    work = np.dtype(np.int64 if wide else np.int32)
    values = [value.astype(work) for value in values]
    known = [value.astype(work) for value in known]
    scheme = ClassScheme(2 if pixels.size * per_band >= _LARGE_TILE else 1, wide)
    coded: dict[int, CodedPlane] = {}
    sides: list[PlaneSide] = []
    passes: list[SortedPass] = []
    shape = values[0].shape
    unknown = (
        [value - guess for value, guess in zip(values, known, strict=True)] if known else values
    )
    patterns, pattern_of = find_patterns(values)
    labels = [None, *(known_plane(labels_of(pattern)) for pattern in patterns)]
    for index, references in order_planes(unknown):
        plane = planes[index]
        if plane is None:
            sides.append(PlaneSide(index, None, (), 0, 0, {}))
            continue
        shown = {number: coded[number] for number in references if number in coded}
        if known and plane.top:
            shown[len(planes) + index] = CodedPlane(known_plane(known[index]))
        tops = [plane.top, *(_top(planes, number) for number in shown)]
        valid = _valid(invalid, index // per_band)
        pattern = pattern_of[index]
        encoder = PlaneEncoder(tops, plane.near, values[index], valid, scheme)
        if plane.top:
            coded[index] = walk(
                shape, encoder.base, list(shown.values()), labels[pattern], encoder.step, work
            )[0]
        sides.append(
            PlaneSide(index, plane, tuple(shown), pattern, encoder.base, encoder.parameters)
        )
        passes += encoder.passes
    model = ResidualModel.fit(scheme, passes)
    side = [*repeats.side_integers(), scheme.octave_bits, int(wide), len(patterns)]
    for flags in patterns:
        side += pattern_integers(flags)
    for plane_side in sides:
        side += side_integers(plane_side, shape)
    packed = pack_integers(side + model.side_integers())
    stream = SymbolEncoder()
    for ordered in passes:
        model.encode(stream, ordered)
    return bytes([SCHEME]) + put_varint(len(packed)) + packed + stream.finish()


def _valid(invalid: BoolArray | None, band: int) -> BoolArray | None:
    return None if invalid is None or not invalid[band].any() else ~invalid[band]


def _top(planes: list[Plane | None], number: int) -> int:
    plane = planes[number % len(planes)]
    return 0 if plane is None else plane.top


def _allowed(bounds: ErrorBounds | None, band: int) -> Allowed | None:
    """Return the function that tells how far samples of a band may be off; None keeps them exactly."""
    if bounds is None or bounds.exact or not bounds.bounded(band):
        return None
    return partial(bounds.allowed_in, band)


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
    bands, height, width = shape
    reader = ByteReader(data, "predictive layer")
    scheme_id = reader.u8()
    if scheme_id != SCHEME:
        raise UnsupportedError(f"predictive scheme {scheme_id} is unknown to this release")
    packed = reader.take(reader.varint())
    per_band = planes_per_band(dtype)
    number = bands * per_band
    limit = number * (_MAX_SIDE_PER_PLANE + min(_MAX_GAPS, height * width))
    limit += height + width + _MAX_TABLE_INTEGERS + 2 * MAX_PATTERNS * MAX_TURNS
    side = IntegerReader(unpack_integers(packed, limit))
    repeats = parse_repeats(side, height, width)
    height, width = height - int(repeats.rows.sum()), width - int(repeats.columns.sum())
    invalid = None if invalid is None else repeats.thin(invalid)
    learned = None if learned is None else repeats.thin(learned)
    octave_bits, wide = side.take(1, 2), bool(side.take(0, 1))
    work = np.dtype(np.int64 if wide else np.int32)
    scheme = ClassScheme(octave_bits, wide)
    labels: list[KnownPlane | None] = [None]
    for _ in range(side.take(0, MAX_PATTERNS)):
        labels.append(known_plane(parse_pattern(side, height, width)))
    earlier: dict[int, PlaneSide] = {}
    for _ in range(number):
        plane_side = parse_plane(
            side,
            earlier,
            number,
            (height, width),
            dtype,
            wide,
            learned is not None,
            len(labels) - 1,
        )
        earlier[plane_side.index] = plane_side
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
            decoder = PlaneDecoder(plane_side, _valid(invalid, band), model, stream, work)
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
    return repeats.restore(out)
