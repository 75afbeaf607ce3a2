"""A trained model as the codec uses it: float transforms, integer context networks, learned tables.

The weights are one safetensors file; a model's id is the SHA-256 of that file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from eocodec.codec_models import ModelCard, find_card
from eocodec.errors import ModelError
from eocodec.integer_networks import ContextNetwork, IntegerConv, ScaleNetwork
from eocodec.networks import RVQVAE, NetworkConfig
from eocodec.refinement import StageTables
from eocodec.smooth import SmoothLatents
from eocodec.tokens import TokenTables

FloatArray = npt.NDArray[np.float32]

FLOAT_PARTS = ("analysis.", "synthesis.", "token_encoder.", "mean.", "quantizer.codebooks")

GUARDED_TOKENS = 256
"""Up to so many tokens it is made sure that every stage brings the prediction closer."""
TOKEN_CANDIDATES = 8
"""Nearest codes that are tried where the nearest alone does not help."""


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that one set of weights holds.

    Attributes
    ----------
    card : ModelCard
        Name, id and what the model is for.
    networks : RVQVAE
        The float transforms, in evaluation mode, on the CPU.
    scale, context : ScaleNetwork, ContextNetwork
        Integer networks that choose the tables.
    tokens : TokenTables
    smooth : SmoothLatents
        Prediction within the first refinement stage.
    stages : tuple of StageTables
        One a refinement stage.
    """

    card: ModelCard
    networks: RVQVAE
    scale: ScaleNetwork
    context: ContextNetwork
    tokens: TokenTables
    smooth: SmoothLatents
    stages: tuple[StageTables, ...]

    @property
    def layers(self) -> int:
        """Number of layers: token stages plus refinement stages."""
        return self.networks.config.token_stages + len(self.stages)

    def analyse(self, coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients (samples, h, w) in network units -> latents (L, h, w), token vectors (D, h/2, w/2)."""
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=_fast_bfloat16()),
        ):
            latents = self.networks.analysis(torch.from_numpy(coefficients)[None])
            vectors = self.networks.token_encoder(latents)
        return latents[0].numpy(), vectors[0].numpy()

    def token_indices(
        self, vectors: FloatArray, latents: FloatArray | None = None
    ) -> npt.NDArray[np.int32]:
        """Token vectors (D, h, w) -> indices (stages, h, w), the nearest code of every stage.

        With the latents (L, 2h, 2w), a stage whose nearest codes would not bring the predicted latents closer
        takes, place by place, the best of its nearest codes instead; of many tokens, the nearest always do.
        """
        depth, height, width = vectors.shape
        left = vectors.reshape(depth, -1).T.copy()
        indices = np.zeros((0, height, width), np.int32)
        error = np.inf
        guarded = latents if height * width <= GUARDED_TOKENS else None
        for codebook in self.networks.quantizer.codebooks.numpy():
            distance = (codebook**2).sum(axis=1) - 2 * left @ codebook.T
            nearest = distance.argmin(axis=1)
            stage = nearest.reshape(1, height, width).astype(np.int32)
            if guarded is not None:
                closer = self._cell_errors(np.concatenate([indices, stage]), guarded).sum()
                if closer >= error:
                    candidates = np.argsort(distance, axis=1)[:, :TOKEN_CANDIDATES].T
                    stage, closer = self._best_codes(candidates, indices, guarded)
                error = closer
            left -= codebook[stage.ravel()]
            indices = np.concatenate([indices, stage])
        return indices

    def _cell_errors(
        self, indices: npt.NDArray[np.int32], latents: FloatArray
    ) -> npt.NDArray[np.float64]:
        """Squared error of the predicted latents over the four latent positions of each token (h, w)."""
        _, height, width = indices.shape
        squares = np.square(latents - self.mean(indices)).sum(axis=0, dtype=np.float64)
        out: npt.NDArray[np.float64] = squares.reshape(height, 2, width, 2).sum(axis=(1, 3))
        return out

    def _best_codes(
        self,
        candidates: npt.NDArray[np.intp],
        before: npt.NDArray[np.int32],
        latents: FloatArray,
    ) -> tuple[npt.NDArray[np.int32], float]:
        """Choose among candidate codes (K, h w) of a stage after ``before`` by the error of the latents."""
        shape = (len(candidates), 1, *before.shape[1:])
        stages = candidates.astype(np.int32).reshape(shape)
        errors = [self._cell_errors(np.concatenate([before, stage]), latents) for stage in stages]
        mixed = np.take_along_axis(stages[:, 0], np.argmin(errors, axis=0)[None], axis=0)
        errors.append(self._cell_errors(np.concatenate([before, mixed]), latents))
        totals = [float(e.sum()) for e in errors]
        best = int(np.argmin(totals))
        return [*stages, mixed][best], totals[best]

    def mean(self, indices: npt.NDArray[np.int32]) -> FloatArray:
        """Indices of the first stages (k, h, w) -> predicted latents (L, 2h, 2w)."""
        with torch.inference_mode():
            vectors: Any = 0
            for codebook, index in zip(self.networks.quantizer.codebooks, indices, strict=False):
                vectors = vectors + codebook[torch.from_numpy(index.astype(np.int64))]
            return self.networks.mean(vectors.movedim(-1, 0)[None])[0].numpy()  # type: ignore[no-any-return]

    def synthesise(self, latents: FloatArray, step: float | None) -> FloatArray:
        """Latents (L, h, w), with the step they were quantised with -> coefficients (samples, h, w)."""
        with torch.inference_mode():
            size = None if step is None else torch.full((1, 1, 1, 1), step)
            out: Tensor = self.networks.synthesis(torch.from_numpy(latents)[None], size)
        return out[0].numpy()


@lru_cache(maxsize=1)
def _fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively: then the encoder's branches use it."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _integer_conv(tensors: dict[str, Any], name: str, low: int, high: int) -> IntegerConv:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return IntegerConv(weight, bias, tensors[f"{name}.multiplier"], low, high)


def load_weights(path: Path) -> tuple[dict[str, str], dict[str, npt.NDArray[Any]]]:
    """Read the metadata and tensors of a safetensors file.

    Raises
    ------
    ModelError
        The file is missing or damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read model weights {path}: {error}") from error


def build_model(card: ModelCard, metadata: dict[str, str], tensors: dict[str, Any]) -> Model:
    """Assemble a model from what :func:`load_weights` gave; proves its integer networks exact.

    Raises
    ------
    ModelError
        A tensor is missing or an integer network could leave the exact range.
    """
    try:
        networks = RVQVAE(NetworkConfig(**json.loads(metadata["network"])))
        state = networks.state_dict()
        for name in state:
            if name.startswith(FLOAT_PARTS):
                state[name] = torch.from_numpy(tensors[name].astype(np.float32))
        networks.load_state_dict(state)
        scale = ScaleNetwork(
            tensors["scale.embedding"],
            _integer_conv(tensors, "scale.spatial", 0, 255),
            _integer_conv(tensors, "scale.expand", 0, 255),
            _integer_conv(tensors, "scale.project", -96, 96),
        )
        context = ContextNetwork(
            _integer_conv(tensors, "context.enter", 0, 255),
            _integer_conv(tensors, "context.spatial", 0, 255),
            _integer_conv(tensors, "context.leave", -48, 48),
        )
        tokens = TokenTables(tensors["tokens.counts"], tensors["tokens.cluster"])
        smooth = SmoothLatents(
            tensors["smooth.channels"], tensors["smooth.weight"], tensors["smooth.offset"]
        )
        first = json.loads(metadata["first_class"])
        stages = tuple(
            StageTables(counts, points, first)
            for counts, points in zip(
                tensors["tables.counts"], tensors["tables.points"], strict=True
            )
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"weights of model {card.name} are incomplete: {error}") from error
    scale.check()
    context.check()
    for parameter in networks.parameters():
        parameter.requires_grad_(False)
    return Model(card, networks.eval(), scale, context, tokens, smooth, stages)


@lru_cache(maxsize=4)
def _load(card: ModelCard) -> Model:
    digest = hashlib.sha256(card.weights.read_bytes()).hexdigest()
    if digest != card.id:
        raise ModelError(f"weights of model {card.name} are damaged: SHA-256 is {digest[:16]}…")
    return build_model(card, *load_weights(card.weights))


def load_model(name_or_id: str | None = None) -> Model:
    """Load a shipped model by name or by the start of its id; None is the default model.

    Raises
    ------
    ModelError
        No such model, or its weights are damaged.
    """
    return _load(find_card(name_or_id))
