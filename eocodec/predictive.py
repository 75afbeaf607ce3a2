"""Lossless predictive coding of a tile: interlaced passes, least-squares integer prediction.

Planes are coded one after another, each predicted from its own coarser lattice and from up to three
planes before it. A pass codes one phase of one level at once, from neighbours on all sides (compare
the hierarchical interpolation of Roos & Viergever, 1993), so both directions are vectorised. What
the decoder repeats is integer arithmetic only. SPEC.md, "Predictive layer", is normative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError, UnsupportedError
from eocodec.fitting import (
    copies_pay,
    fit_prediction,
    fit_scales,
    order_planes,
    spatial_weights_for,
)
from eocodec.integers import IntegerReader, pack_integers, unpack_integers
from eocodec.interlace import (
    PASSES,
    SCALE_WEIGHTS,
    CodedPlane,
    PassContext,
    PassParameters,
    Phases,
    Shape,
    join_phases,
    level_shapes,
    pad_phase,
    phase_shape,
)
from eocodec.payload import Buffer, ByteReader, put_varint
from eocodec.planes import (
    NARROW_TOP,
    Plane,
    analyse_plane,
    band_from_keys,
    band_keys,
    planes_per_band,
)
from eocodec.predictive_side import PlaneSide, parse_plane, side_integers
from eocodec.repeats import find_repeats, parse_repeats
from eocodec.residuals import ClassScheme, ResidualModel, SortedPass, sort_pass

IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
PassStep = Callable[[int, Shape, PassContext], tuple[IntArray, IntArray]]

SCHEME = 1
_MAX_GAPS = 1 << 16
_MAX_SIDE_PER_PLANE = 4096
_MAX_TABLE_INTEGERS = 8192
_LARGE_TILE = 1 << 17


def encode_predictive(pixels: npt.NDArray[Any], invalid: BoolArray | None = None) -> bytes:
    """Code `pixels` without loss.

    Parameters
    ----------
    pixels : ndarray, (C, H, W)
        Any integer dtype, float32 or float64.
    invalid : ndarray of bool, (C, H, W), optional
        Samples that need not be kept; the decoder must be given the same array.

    Returns
    -------
    bytes
        The body of the one layer of a predictive tile.
    """
    repeats = find_repeats(pixels)
    pixels = repeats.thin(pixels)
    invalid = None if invalid is None else repeats.thin(invalid)
    per_band = planes_per_band(pixels.dtype)
    planes: list[Plane] = []
    values: list[IntArray] = []
    valids: list[BoolArray | None] = []
    for band in range(len(pixels)):
        valid = None if invalid is None or not invalid[band].any() else ~invalid[band]
        for keys in band_keys(pixels[band]):
            plane, value = analyse_plane(keys, valid)
            planes.append(plane)
            values.append(value)
            valids.append(valid)
    wide = max(plane.top for plane in planes) > NARROW_TOP
    work = np.dtype(np.int64 if wide else np.int32)
    values = [value.astype(work) for value in values]
    scheme = ClassScheme(2 if pixels.size * per_band >= _LARGE_TILE else 1, wide)
    coded: dict[int, CodedPlane] = {}
    sides: list[PlaneSide] = []
    passes: list[SortedPass] = []
    for index, references in order_planes(values):
        tops = [planes[shown].top for shown in (index, *references)]
        encoder = _PlaneEncoder(tops, values[index], valids[index], scheme)
        base = encoder.base
        if planes[index].top:
            shown = [coded[reference] for reference in references]
            coded[index] = _walk(values[index].shape, base, shown, encoder.step, work)[0]
        sides.append(PlaneSide(index, planes[index], references, base, encoder.parameters))
        passes += encoder.passes
    model = ResidualModel.fit(scheme, passes)
    side = [*repeats.side_integers(), scheme.octave_bits, int(wide)]
    for plane_side in sides:
        side += side_integers(plane_side, values[0].shape)
    packed = pack_integers(side + model.side_integers())
    stream = SymbolEncoder()
    for ordered in passes:
        model.encode(stream, ordered)
    return bytes([SCHEME]) + put_varint(len(packed)) + packed + stream.finish()


def decode_predictive(
    data: Buffer,
    dtype: npt.DTypeLike,
    shape: tuple[int, int, int],
    invalid: BoolArray | None = None,
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
    number = bands * planes_per_band(dtype)
    limit = number * (_MAX_SIDE_PER_PLANE + min(_MAX_GAPS, height * width))
    limit += height + width + _MAX_TABLE_INTEGERS
    side = IntegerReader(unpack_integers(packed, limit))
    repeats = parse_repeats(side, height, width)
    height, width = height - int(repeats.rows.sum()), width - int(repeats.columns.sum())
    invalid = None if invalid is None else repeats.thin(invalid)
    octave_bits, wide = side.take(1, 2), bool(side.take(0, 1))
    work = np.dtype(np.int64 if wide else np.int32)
    scheme = ClassScheme(octave_bits, wide)
    plane_sides: list[PlaneSide] = []
    for _ in range(number):
        plane_sides.append(parse_plane(side, plane_sides, number, (height, width), dtype, wide))
    model = ResidualModel.parse(scheme, side)
    side.finish()
    stream = SymbolDecoder(reader.take(len(reader.view) - reader.pos))
    last_use = {ref: at for at, plane in enumerate(plane_sides) for ref in plane.references}
    coded: dict[int, CodedPlane] = {}
    out = np.empty((bands, height, width), dtype)
    halves: dict[int, IntArray] = {}
    per_band = planes_per_band(dtype)
    for position, plane_side in enumerate(plane_sides):
        index, band = plane_side.index, plane_side.index // per_band
        valid = None if invalid is None or not invalid[band].any() else ~invalid[band]
        if plane_side.plane.top:
            decoder = _PlaneDecoder(plane_side, valid, model, stream, work)
            shown = [coded[reference] for reference in plane_side.references]
            kept, grid = _walk((height, width), plane_side.base, shown, decoder.step, work)
            if index in last_use:
                coded[index] = kept
        else:
            grid = np.zeros((height, width), work)
        for reference in plane_side.references:
            if last_use[reference] == position:
                del coded[reference]
        halves[index] = plane_side.plane.keys(grid)
        first = band * per_band
        if all(plane in halves for plane in range(first, first + per_band)):
            keys = [halves.pop(plane) for plane in range(first, first + per_band)]
            out[band] = band_from_keys(keys, dtype)
    return repeats.restore(out)


def _walk(
    shape: Shape, base: int, references: list[CodedPlane], step: PassStep, work: np.dtype[Any]
) -> tuple[CodedPlane, IntArray]:
    """Visit the passes of a plane, coarse to fine; `step` gives each one's values and residuals."""
    shapes = level_shapes(*shape)
    grid = np.full((1, 1), base, work)
    errors = np.zeros((1, 1), work)
    coded = CodedPlane()
    for level in range(len(shapes) - 2, -1, -1):
        values: Phases = {(0, 0): pad_phase(grid)}
        misses: Phases = {(0, 0): pad_phase(errors)}
        for phase in PASSES:
            size = phase_shape(shapes[level], phase)
            value = residual = np.zeros(size, work)
            if value.size:
                context = PassContext(phase, shapes[level], values, misses, references, level)
                value, residual = step(level, phase, context)
            values[phase] = pad_phase(value)
            misses[phase] = pad_phase(np.abs(residual))
        grid = join_phases(values, shapes[level])
        errors = join_phases(misses, shapes[level])
        coded.values.insert(0, values)
        coded.errors.insert(0, misses)
    return coded, grid


def _phase_of(plane: npt.NDArray[Any], level: int, phase: Shape) -> npt.NDArray[Any]:
    step = 1 << level
    return plane[::step, ::step][phase[0] :: 2, phase[1] :: 2]


class _PlaneEncoder:
    """Fits and predicts the passes of one plane, keeping classes and residuals for coding."""

    def __init__(
        self, tops: list[int], values: IntArray, valid: BoolArray | None, scheme: ClassScheme
    ) -> None:
        self._tops = tops
        self._values = values
        self._valid = valid
        self._scheme = scheme
        self.base = int(values[0, 0]) if tops[0] else 0
        self.parameters: dict[tuple[int, Shape], PassParameters] = {}
        self.passes: list[SortedPass] = []

    def step(self, level: int, phase: Shape, context: PassContext) -> tuple[IntArray, IntArray]:
        """Return values and residuals of one pass."""
        target = _phase_of(self._values, level, phase)
        valid = None if self._valid is None else _phase_of(self._valid, level, phase)
        count = spatial_weights_for(target.size)
        copies = copies_pay(context, target, valid)
        hit, copied = context.copies() if copies else (None, None)
        fitted = valid if hit is None else ~hit if valid is None else valid & ~hit
        spatial, spectral = fit_prediction(context, target, fitted, count, self._tops)
        draft = PassParameters(spatial, spectral, (0,) * SCALE_WEIGHTS)
        prediction = context.predict(draft, self._tops[0])
        if hit is not None and copied is not None:
            np.copyto(prediction, copied, where=hit)
        residual = target - prediction
        if valid is not None:
            residual[~valid] = 0
        scales = fit_scales(context, np.abs(residual), fitted, not spatial)
        parameters = PassParameters(spatial, spectral, scales, copies)
        self.parameters[level, phase] = parameters
        classes = self._scheme.classify(context.scale(parameters))
        if hit is not None:
            classes[hit] = self._scheme.copied
        if valid is None:
            self.passes.append(sort_pass(classes.ravel(), residual.ravel()))
        else:
            self.passes.append(sort_pass(classes[valid], residual[valid]))
        return prediction + residual, residual


class _PlaneDecoder:
    """Decodes the passes of one plane."""

    def __init__(
        self,
        side: PlaneSide,
        valid: BoolArray | None,
        model: ResidualModel,
        stream: SymbolDecoder,
        work: np.dtype[Any],
    ) -> None:
        self._side = side
        self._valid = valid
        self._model = model
        self._stream = stream
        self._work = work

    def step(self, level: int, phase: Shape, context: PassContext) -> tuple[IntArray, IntArray]:
        """Return values and residuals of one pass."""
        parameters = self._side.passes[level, phase]
        top = self._side.plane.top
        values = context.predict(parameters, top)
        classes = self._model.scheme.classify(context.scale(parameters))
        if parameters.copies:
            hit, copied = context.copies()
            np.copyto(values, copied, where=hit)
            classes[hit] = self._model.scheme.copied
        if self._valid is None:
            residual = self._model.decode(self._stream, classes.ravel(), self._work)
            residual = residual.reshape(context.shape)
        else:
            valid = _phase_of(self._valid, level, phase)
            residual = np.zeros(context.shape, self._work)
            residual[valid] = self._model.decode(self._stream, classes[valid], self._work)
        values += residual
        if int(values.min()) < 0 or int(values.max()) > top:
            raise FormatError("predictive layer decodes to a sample out of range")
        return values, residual
