"""The learned mode of a tile: pixels to the bodies of its layers and back.

Layer 1 starts with the side information (model id, step scale, transform); layers 1 to T are the token stages, the
others the refinement stages. The model says whether a tile has bands or blocks of levels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocodec.codec_models import find_card
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError, InputError, LimitError
from eocodec.first_stage import STEP, decode_first_stage, encode_first_stage
from eocodec.mask import fill_holes
from eocodec.model import Model, load_model
from eocodec.offsets import choose_offsets, decode_offsets, encode_offsets, shift_scales
from eocodec.refinement import Runs, StageTables, class_of, stage_scale, stage_step
from eocodec.tile_transform import TileTransform, token_grid

if TYPE_CHECKING:
    from eocodec.tile import EncodeSettings

FloatArray = npt.NDArray[np.float32]

LAMBDA = 0.1
"""Weight of a bit against squared steps in the choice of symbols."""
NOISE = 0.2
"""Error of a coefficient in steps, as far as the choice of spectral bases is concerned."""
TOKEN_WEIGHT = 0.5
"""Squared distance of token vectors that a bit is worth."""
CALM_TOKEN_WEIGHTS = (4.0, 16.0, 64.0, 256.0, 1024.0)
"""Tried one after another while the tokens take more than ``CALM_TOKEN_SHARE`` of the bytes."""
CALM_TOKEN_SHARE = 0.3
MAX_PIXELS = 2**24
"""Decoding takes some 300 bytes a pixel (and block of levels), however few bands and bytes the tile has."""
SMALLEST_SIDE = 8
"""Fields of fewer rows or columns go to the other modes."""
MIN_STEP_SCALE = 2.0**-20
"""With this as smallest and its inverse as largest step scale no sample leaves the range of binary32."""
MAX_STEPS = 1e6
"""Samples further than this many network units from zero go to the lossless mode."""

_SIDE = struct.Struct("<8sf")


@dataclass(frozen=True)
class SideInformation:
    """What layer 1 starts with: the first 16 hexadecimal digits of the model id, the factor on the model's unit."""

    model: str
    step_scale: float

    def to_bytes(self) -> bytes:
        """Serialise."""
        return _SIDE.pack(bytes.fromhex(self.model), self.step_scale)

    @classmethod
    def parse(cls, body: memoryview) -> tuple[SideInformation, memoryview]:
        """Split the body of layer 1 into side information and range-coded symbols.

        Raises
        ------
        FormatError
            It is too short or holds values that no encoder writes.
        """
        if len(body) < _SIDE.size:
            raise FormatError("the first layer is shorter than its side information")
        model, step_scale = _SIDE.unpack_from(body)
        if not MIN_STEP_SCALE <= step_scale <= 1 / MIN_STEP_SCALE:
            raise FormatError(f"invalid step scale {step_scale}")
        return cls(model.hex(), step_scale), body[_SIDE.size :]


def rvq_applies(pixels: npt.NDArray[Any], settings: EncodeSettings) -> bool:
    """Whether the learned mode can code a tile (C, H, W): bands or levels that suit the model, sane size and values."""
    if pixels.dtype.itemsize == 8 and pixels.dtype.kind != "f":
        return False
    if not MIN_STEP_SCALE <= settings.network_scale <= 1 / MIN_STEP_SCALE:
        return False
    card = find_card(settings.model)
    if card.ndim == 3:
        if min(pixels.shape[1:]) < SMALLEST_SIDE or pixels.size > MAX_PIXELS:
            return False
        with np.errstate(invalid="ignore"):
            finest = np.finfo(np.float32)
            size = np.abs(pixels[np.isfinite(pixels) & (pixels != 0)].astype(np.float64))
        low, high = size.min(initial=np.inf), size.max(initial=0.0)
        return bool(low > float(finest.tiny) and high < float(finest.max) / 16)
    if len(pixels) > len(card.bands) or pixels[0].size > MAX_PIXELS:
        return False
    with np.errstate(invalid="ignore"):
        low, high = np.nanmin(pixels, initial=0), np.nanmax(pixels, initial=0)
    return max(-float(low), float(high)) < MAX_STEPS * settings.step_scale


def encode_rvq(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None, settings: EncodeSettings
) -> tuple[list[bytes], npt.NDArray[Any]]:
    """Encode a tile (C, H, W); returns the bodies of its layers and the pixels that they decode to.

    Parameters
    ----------
    pixels : ndarray, (C, H, W)
        Finite where valid.
    invalid : bool ndarray, (C, H, W), or None
        Samples whose value does not matter; they are filled smoothly.
    settings : EncodeSettings

    Raises
    ------
    InputError
        The settings ask for layers or a step scale that do not exist.
    """
    model = load_model(settings.model)
    layers = model.card.default_layers if settings.layers is None else settings.layers
    if not 1 <= layers <= model.layers:
        raise InputError(
            f"quality {layers} is outside 1 to {model.layers} of model {model.card.name}"
        )
    if not 1e-6 < settings.step_scale < 1e6:
        raise InputError(f"step scale {settings.step_scale} is outside 1e-6 to 1e6")
    step_scale = float(np.float32(settings.network_scale))
    filled = pixels.astype(np.float32)
    if invalid is not None:
        filled = fill_holes(filled, invalid)
    config = model.config
    finest = stage_step(max(layers - config.token_stages - 1, 0))
    transform, coefficients = TileTransform.fit(
        filled, config, config.unit * step_scale, NOISE * finest
    )
    latents, vectors = model.encoder(coefficients)
    coded = _encode_latents(model, transform, latents, vectors, TOKEN_WEIGHT, layers)
    for weight in CALM_TOKEN_WEIGHTS:
        if coded.token_share <= CALM_TOKEN_SHARE:
            break
        calmer = _encode_latents(model, transform, latents, vectors, weight, layers)
        if calmer.cost(latents, finest) > coded.cost(latents, finest):
            break
        coded = calmer
    side = SideInformation(model.card.id[:16], step_scale).to_bytes()
    shape = (len(pixels), *pixels.shape[1:])
    decoded = transform.inverse(model.linear(coded.latents), config, shape, pixels.dtype)
    return [side + coded.bodies[0], *coded.bodies[1:]], decoded


@dataclass(frozen=True)
class _Coded:
    """Bodies of the layers.

    ``latents`` (L, …, h, w) are what they decode to, in network units; ``token_share`` is the share of tokens in the
    bytes, 0 where there are no layers after them.
    """

    bodies: list[bytes]
    latents: FloatArray
    token_share: float

    def cost(self, latents: FloatArray, step: float) -> float:
        """Bits, with what the error that is left of the latents is worth where the last step is this one."""
        error = np.square((latents - self.latents) / step).sum(dtype=np.float64)
        return 8 * sum(map(len, self.bodies)) + float(error) / LAMBDA


def _encode_latents(
    model: Model,
    transform: TileTransform,
    latents: FloatArray,
    vectors: FloatArray,
    weight: float,
    layers: int,
) -> _Coded:
    indices = choose_tokens(model, vectors, weight)
    rows = indices.reshape(len(indices), -1, indices.shape[-1])
    bodies = []
    for stage, index in enumerate(rows[:layers]):
        coder = SymbolEncoder()
        if stage == 0:
            transform.encode(coder)
        model.tokens.encode(coder, stage, index, rows[stage - 1] if stage else None)
        bodies.append(coder.finish())
    mean = model.mean(indices[:layers])
    if layers <= len(bodies):
        return _Coded(bodies, mean, 0.0)
    stages = layers - len(indices)
    refinement, decoded = encode_refinement(model, latents - mean, indices, stages)
    decoded += mean
    tokens, total = sum(map(len, bodies)), sum(map(len, bodies + refinement))
    return _Coded(bodies + refinement, decoded, tokens / total)


def choose_tokens(model: Model, vectors: FloatArray, weight: float) -> npt.NDArray[np.int32]:
    """Indices (stages, …, h, w) of token vectors (D, …, h, w); ``weight`` is the squared distance worth a bit."""
    rows = np.moveaxis(vectors, 0, -1).reshape(-1, vectors.shape[-1], len(vectors))
    indices = model.tokens.quantise(rows, model.codebooks, weight)
    return indices.reshape(-1, *vectors.shape[1:])


def encode_refinement(
    model: Model, residual: FloatArray, indices: npt.NDArray[np.int32], stages: int
) -> tuple[list[bytes], FloatArray]:
    """Bodies of the refinement layers, and the residual latents (L, …, h, w) that they decode to, in network units."""
    log_scale = model.smooth.lower(model.scale(indices))
    tables, smooth = model.stages[0], model.smooth
    relative, previous = stage_scale(log_scale, 0), np.zeros_like(log_scale)
    units = smooth.unpredicted(residual) / STEP
    offsets = choose_offsets(tables, relative, previous, units, LAMBDA)
    coder = _start_stage(stages == 1, offsets)
    shifted = shift_scales(log_scale, offsets)
    trellis = model.trellis[0] if stages == 1 else None
    first = encode_first_stage(tables, smooth, residual, shifted, LAMBDA, coder, trellis)
    bodies = [coder.finish()]
    if stages == 1:
        return bodies, first.prediction + first.values
    left = (residual - first.prediction).ravel()
    integers = first.integers
    for stage, tables in enumerate(model.stages[1:stages], 1):
        last = stage == stages - 1
        units = left * np.float32(1 / stage_step(stage))
        relative = stage_scale(log_scale, stage)
        grid = units.reshape(integers.shape)
        offsets = choose_offsets(tables, relative, integers, grid, LAMBDA)
        coder = _start_stage(last, offsets)
        runs = _runs(tables, shift_scales(relative, offsets), integers)
        if last:
            path = model.trellis[stage].quantise(units, runs, LAMBDA)
            model.trellis[stage].encode(coder, path, runs)
            values = model.trellis[stage].reconstruct(path, runs)
        else:
            symbols = tables.quantise(units, runs, LAMBDA)
            tables.encode(coder, symbols, runs)
            integers = runs.scatter(symbols).reshape(integers.shape)
        bodies.append(coder.finish())
    return bodies, _refined(first.prediction, values, stage)


def _start_stage(last: bool, offsets: npt.NDArray[np.int32]) -> SymbolEncoder:
    coder = SymbolEncoder()
    coder.encode_uniform(np.array([last]), 2)
    encode_offsets(coder, offsets)
    return coder


def _refined(prediction: FloatArray, values: FloatArray, stage: int) -> FloatArray:
    """Residual latents (L, …, h, w) from what a stage beyond the first decodes to, flat and in its steps."""
    return prediction + (values * np.float32(stage_step(stage))).reshape(prediction.shape)


def _runs(
    tables: StageTables, relative: npt.NDArray[np.int32], integers: npt.NDArray[np.int32]
) -> Runs:
    """Sort the latents of a stage by their tables; relative log-scales and integers before it (L, …, h, w)."""
    return Runs.sort(class_of(relative).ravel(), integers.ravel(), tables.first_class)


@dataclass(frozen=True, eq=False)
class Tokens:
    """What the token layers of a tile hold.

    Attributes
    ----------
    model : Model
    transform : TileTransform
    indices : int32 array (k, …, h, w)
        Of the first k token stages; see :func:`token_grid`.
    """

    model: Model
    transform: TileTransform
    indices: npt.NDArray[np.int32]


def decode_tokens(bodies: Sequence[bytes | memoryview], shape: tuple[int, int, int]) -> Tokens:
    """Decode the token layers among the bodies of the first layers of a tile (C, H, W).

    Raises
    ------
    FormatError
        The bytes are damaged.
    ModelError
        The model they name is not installed.
    """
    planes, height, width = shape
    side, first = SideInformation.parse(memoryview(bodies[0]))
    model = load_model(side.model)
    config = model.config
    too_many = config.ndim == 2 and planes > config.bands
    if too_many or len(bodies) > model.layers:
        raise FormatError(f"tile has more bands or layers than model {model.card.name}")
    grid = token_grid(config, shape)
    if height * width * (planes if config.ndim == 3 else 1) > MAX_PIXELS:
        raise LimitError(f"a learned tile of {height} x {width} pixels is above {MAX_PIXELS}")
    rows = (prod(grid[:-1]), grid[-1])
    token_bodies: list[bytes | memoryview] = [first, *bodies[1 : config.token_stages]]
    indices: list[npt.NDArray[np.int32]] = []
    for stage, body in enumerate(token_bodies):
        coder = SymbolDecoder(body)
        if stage == 0:
            unit = config.unit * side.step_scale
            transform = TileTransform.decode(coder, config, shape, unit)
        indices.append(model.tokens.decode(coder, stage, rows, indices[-1] if stage else None))
    return Tokens(model, transform, np.stack(indices).reshape(-1, *grid))


def decode_rvq(
    bodies: Sequence[bytes | memoryview], shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Decode the bodies of the first layers of a tile to pixels (C, H, W), rounded and clipped to ``dtype``.

    Raises
    ------
    FormatError
        The bytes are damaged.
    ModelError
        The model they name is not installed.
    """
    if dtype.kind != "f" and dtype.itemsize == 8:
        raise FormatError(f"a learned tile cannot hold {dtype.name}")
    tokens = decode_tokens(bodies, shape)
    model, config = tokens.model, tokens.model.config
    latents = model.mean(tokens.indices)
    refinement = bodies[config.token_stages :]
    if refinement:
        latents = latents + decode_refinement(model, tokens.indices, refinement)
    return tokens.transform.inverse(model.linear(latents), config, shape, dtype)


def decode_refinement(
    model: Model, indices: npt.NDArray[np.int32], bodies: Sequence[bytes | memoryview]
) -> FloatArray:
    """Residual latents (L, …, h, w) in network units."""
    log_scale = model.smooth.lower(model.scale(indices))
    last, offsets, coder = _open_stage(bodies, 0, len(log_scale))
    shifted = shift_scales(log_scale, offsets)
    trellis = model.trellis[0] if last else None
    first = decode_first_stage(model.stages[0], model.smooth, shifted, coder, trellis)
    if len(bodies) == 1:
        return first.prediction + first.values
    integers = first.integers
    for stage, tables in enumerate(model.stages[1 : len(bodies)], 1):
        last, offsets, coder = _open_stage(bodies, stage, len(log_scale))
        relative = shift_scales(stage_scale(log_scale, stage), offsets)
        runs = _runs(tables, relative, integers)
        if not last:
            symbols = tables.decode(coder, runs)
            integers = runs.scatter(symbols).reshape(log_scale.shape)
    if last:
        path = model.trellis[stage].decode(coder, runs)
        return _refined(first.prediction, model.trellis[stage].reconstruct(path, runs), stage)
    return _refined(first.prediction, tables.reconstruct(symbols, runs), stage)


def _open_stage(
    bodies: Sequence[bytes | memoryview], stage: int, latents: int
) -> tuple[bool, npt.NDArray[np.int32], SymbolDecoder]:
    """Whether no stage can follow a stage, its scale offsets, and the decoder at its symbols."""
    coder = SymbolDecoder(bodies[stage])
    last = bool(coder.decode_uniform(np.array([2]))[0])
    if last and stage + 1 < len(bodies):
        raise FormatError("a layer follows one that nothing can refine")
    return last, decode_offsets(coder, latents), coder
