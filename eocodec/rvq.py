"""The learned mode of a tile: pixels to the bodies of its layers and back.

Layer 1 starts with the side information (model id, step scale, spectral transform); layers 1 to T are the token
stages, the others the refinement stages.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocodec.codec_models import find_card
from eocodec.cores import single_core_in_workers
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import FormatError, InputError
from eocodec.first_stage import decode_first_stage, encode_first_stage
from eocodec.mask import fill_holes
from eocodec.model import Model, load_model
from eocodec.refinement import Runs, class_of, stage_scale, stage_step
from eocodec.rounding import to_dtype
from eocodec.spectral import SpectralTransform

if TYPE_CHECKING:
    from eocodec.tile import EncodeSettings

FloatArray = npt.NDArray[np.float32]

BLOCK = 16
"""Tiles are extended to whole blocks of this many pixels, the footprint of a token."""
LAMBDA = 0.15
"""Weight of a bit against squared steps in the choice of symbols."""
NOISE = 0.35
"""Error of a coefficient in steps, as far as the choice of spectral bases is concerned."""
MAX_STEPS = 1e6
"""Samples further than this many network units from zero go to the lossless mode."""

MEAN_PARTS = 16
"""Band means are stored in units of the network unit divided by this."""

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
        if not 0 < step_scale < np.inf:
            raise FormatError(f"invalid step scale {step_scale}")
        return cls(model.hex(), step_scale), body[_SIDE.size :]


def rvq_applies(pixels: npt.NDArray[Any], settings: EncodeSettings) -> bool:
    """Whether the learned mode can code a tile (C, H, W): no more bands than the model's, sane values."""
    card = find_card(settings.model)
    if pixels.shape[0] > len(card.bands) or (
        pixels.dtype.itemsize == 8 and pixels.dtype.kind != "f"
    ):
        return False
    with np.errstate(invalid="ignore"):
        peak = float(np.nanmax(np.abs(pixels.astype(np.float64)), initial=0.0))
    return peak < MAX_STEPS * settings.step_scale


def _extend(pixels: FloatArray) -> FloatArray:
    """Repeat the edges of pixels (C, H, W) to whole blocks."""
    rows, columns = (-n % BLOCK for n in pixels.shape[1:])
    return np.pad(pixels, ((0, 0), (0, rows), (0, columns)), mode="edge")


def encode_rvq(
    pixels: npt.NDArray[Any], invalid: npt.NDArray[np.bool_] | None, settings: EncodeSettings
) -> list[bytes]:
    """Encode a tile (C, H, W); returns the bodies of its layers.

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
    single_core_in_workers()
    model = load_model(settings.model)
    layers = model.card.default_layers if settings.layers is None else settings.layers
    if not 1 <= layers <= model.layers:
        raise InputError(
            f"quality {layers} is outside 1 to {model.layers} of model {model.card.name}"
        )
    if not 1e-6 < settings.step_scale < 1e6:
        raise InputError(f"step scale {settings.step_scale} is outside 1e-6 to 1e6")
    step_scale = float(np.float32(settings.step_scale))
    filled = pixels.astype(np.float32)
    if invalid is not None:
        filled = fill_holes(filled, invalid)
    filled = _extend(filled)
    config = model.networks.config
    unit = config.unit * step_scale
    finest = stage_step(max(layers - config.token_stages - 1, 0))
    spectral, coefficients = SpectralTransform.fit(filled, unit / MEAN_PARTS, NOISE * finest * unit)
    missing = config.bands - len(pixels)
    padded = np.pad(coefficients, ((0, 0), (0, missing), (0, 0), (0, 0))) / np.float32(unit)
    latents, vectors = model.analyse(padded.reshape(-1, *padded.shape[2:]))
    indices = model.token_indices(vectors, latents)
    bodies = []
    for stage, index in enumerate(indices[:layers]):
        coder = SymbolEncoder()
        if stage == 0:
            spectral.encode(coder)
        model.tokens.encode(coder, stage, index, indices[stage - 1] if stage else None)
        bodies.append(coder.finish())
    bodies[0] = SideInformation(model.card.id[:16], step_scale).to_bytes() + bodies[0]
    if layers > len(indices):
        bodies += _encode_refinement(model, latents, indices, layers - len(indices))
    return bodies


def _encode_refinement(
    model: Model, latents: FloatArray, indices: npt.NDArray[np.int32], stages: int
) -> list[bytes]:
    residual = latents - model.mean(indices)
    log_scale = model.smooth.lower(model.scale(indices))
    coder = SymbolEncoder()
    first = encode_first_stage(model.stages[0], model.smooth, residual, log_scale, LAMBDA, coder)
    bodies = [coder.finish()]
    left = (residual - first.prediction).ravel()
    integers = first.integers.ravel()
    for stage, tables in enumerate(model.stages[1:stages], 1):
        runs = _runs(model, stage, integers, log_scale)
        integers = tables.quantise(left * np.float32(1 / stage_step(stage)), runs, LAMBDA)
        coder = SymbolEncoder()
        tables.encode(coder, integers, runs)
        bodies.append(coder.finish())
    return bodies


def _runs(
    model: Model, stage: int, integers: npt.NDArray[np.int32], log_scale: npt.NDArray[np.int32]
) -> Runs:
    """Sort the latents of a stage after the first by their tables; ``integers`` are flat, ``log_scale`` (L, h, w)."""
    relative = model.context(integers.reshape(log_scale.shape), stage_scale(log_scale, stage))
    return Runs.sort(class_of(relative).ravel(), integers, model.stages[stage].first_class)


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
    single_core_in_workers()
    bands, height, width = shape
    side, first = SideInformation.parse(memoryview(bodies[0]))
    model = load_model(side.model)
    config = model.networks.config
    if bands > config.bands or len(bodies) > model.layers:
        raise FormatError(f"tile has more bands or layers than model {model.card.name}")
    grid = (-(-height // BLOCK), -(-width // BLOCK))
    token_bodies: list[bytes | memoryview] = [first, *bodies[1 : config.token_stages]]
    unit = config.unit * side.step_scale
    indices: list[npt.NDArray[np.int32]] = []
    for stage, body in enumerate(token_bodies):
        coder = SymbolDecoder(body)
        if stage == 0:
            spectral = SpectralTransform.decode(coder, bands, unit / MEAN_PARTS)
        indices.append(model.tokens.decode(coder, stage, grid, indices[-1] if stage else None))
    latents = model.mean(np.stack(indices))
    step = None
    if len(bodies) > config.token_stages:
        refinement = bodies[config.token_stages :]
        residual = _decode_refinement(model, np.stack(indices), refinement)
        if residual.any():
            step = stage_step(len(refinement) - 1)
            latents = latents + residual
    coefficients = model.synthesise(latents, step)
    coefficients *= np.float32(unit)
    planes = coefficients.reshape(-1, config.bands, *coefficients.shape[1:])[:, :bands]
    return to_dtype(spectral.inverse(planes)[:, :height, :width], dtype)


def _decode_refinement(
    model: Model, indices: npt.NDArray[np.int32], bodies: Sequence[bytes | memoryview]
) -> FloatArray:
    """Residual latents (L, h, w) in network units."""
    log_scale = model.smooth.lower(model.scale(indices))
    first = decode_first_stage(model.stages[0], model.smooth, log_scale, SymbolDecoder(bodies[0]))
    if len(bodies) == 1:
        return first.prediction + first.values
    integers = first.integers.ravel()
    for stage, body in enumerate(bodies[1:], 1):
        tables = model.stages[stage]
        runs = _runs(model, stage, integers, log_scale)
        integers = tables.decode(SymbolDecoder(body), runs)
    values = tables.reconstruct(integers, runs) * np.float32(stage_step(stage))
    return first.prediction + values.reshape(log_scale.shape)
