"""A trained model as the codec uses it: integer networks and learned tables, and what only the encoder needs.

The weights are one safetensors file; a model's id is the SHA-256 of that file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from eocodec.codec_models import ModelCard, find_card
from eocodec.errors import ModelError
from eocodec.extras import needs
from eocodec.integer_networks import (
    MEAN_LIMIT,
    SCALE_LIMIT,
    IntegerConv,
    LinearMap,
    TokenNetwork,
    per_channel,
)
from eocodec.network_config import NetworkConfig
from eocodec.refinement import StageTables
from eocodec.smooth import SmoothLatents
from eocodec.tokens import TokenTables
from eocodec.trellis import TrellisTables

if TYPE_CHECKING:
    from eocodec.encoder import Encoder

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that one set of weights holds.

    Attributes
    ----------
    card : ModelCard
        Name, id and what the model is for.
    config : NetworkConfig
    mean_network, scale_network : TokenNetwork
        Tokens to the mean and the log-scale of the latents.
    mean_unit : float32 array (latents,)
        Units of the integers of ``mean_network``, in network units.
    linear : LinearMap
        Latents to coefficients.
    tokens : TokenTables
    smooth : SmoothLatents
        Prediction within the first refinement stage.
    stages : tuple of StageTables
        One a refinement stage.
    trellis : tuple of TrellisTables
        One a refinement stage, for a tile that ends with it.
    codebooks : float32 array (token stages, codes, D)
        What the encoder compares token vectors with.
    encoder_tensors : dict of str to ndarray
        Weights of the networks that only the encoder runs.
    """

    card: ModelCard
    config: NetworkConfig
    mean_network: TokenNetwork
    mean_unit: FloatArray
    scale_network: TokenNetwork
    linear: LinearMap
    tokens: TokenTables
    smooth: SmoothLatents
    stages: tuple[StageTables, ...]
    trellis: tuple[TrellisTables, ...]
    codebooks: FloatArray
    encoder_tensors: dict[str, npt.NDArray[Any]]

    @property
    def layers(self) -> int:
        """Number of layers: token stages plus refinement stages."""
        return self.config.token_stages + len(self.stages)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder's networks.

        Raises
        ------
        MissingPackageError
            torch is not installed.
        ModelError
            The weights are incomplete.
        """
        what = "encoding with a learned model, unlike decoding and lossless coding,"
        with needs("torch", what):
            from eocodec.encoder import Encoder
        try:
            return Encoder(self.config, self.linear, self.encoder_tensors)
        except (KeyError, RuntimeError) as error:
            raise ModelError(
                f"weights of model {self.card.name} are incomplete: {error}"
            ) from error

    def mean(self, indices: IntArray) -> FloatArray:
        """Indices of the first stages (k, …, h, w) -> predicted latents (L, …, 2h, 2w) in network units."""
        mean = self.mean_network(indices)
        return mean * per_channel(self.mean_unit, mean.ndim)

    def scale(self, indices: IntArray) -> IntArray:
        """Indices (stages, …, h, w) -> log-scales (L, …, 2h, 2w) in units of log2(3) / 12."""
        return self.scale_network(indices).astype(np.int32)

    def check(self) -> None:
        """Prove every integer network exact from its weights.

        Raises
        ------
        ModelError
            A partial sum could leave the range in which sums are exact.
        """
        networks = (
            self.mean_network,
            self.scale_network,
            self.linear,
        )
        for network in networks:
            network.check()


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


def _conv(tensors: dict[str, Any], name: str, low: int, high: int) -> IntegerConv:
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return IntegerConv(weight, bias, tensors[f"{name}.multiplier"], low, high)


def _token_network(tensors: dict[str, Any], name: str, limit: int) -> TokenNetwork:
    return TokenNetwork(
        np.pad(tensors[f"{name}.embedding"], ((0, 0), (0, 1), (0, 0))),
        _conv(tensors, f"{name}.spatial", 0, 255),
        _conv(tensors, f"{name}.expand", 0, 255),
        _conv(tensors, f"{name}.project", -limit, limit),
    )


def build_model(card: ModelCard, metadata: dict[str, str], tensors: dict[str, Any]) -> Model:
    """Assemble a model from what :func:`load_weights` gave; proves its integer networks exact.

    Raises
    ------
    ModelError
        A tensor is missing or an integer network could leave the exact range.
    """
    try:
        config = NetworkConfig(**json.loads(metadata["network"]))
        first = json.loads(metadata["first_class"])
        model = Model(
            card,
            config,
            _token_network(tensors, "mean", MEAN_LIMIT),
            tensors["mean.unit"],
            _token_network(tensors, "scale", SCALE_LIMIT),
            LinearMap(tensors["linear.weight"]),
            TokenTables(tensors["tokens.counts"], tensors["tokens.cluster"]),
            SmoothLatents(
                tensors["smooth.channels"], tensors["smooth.weight"], tensors["smooth.offset"]
            ),
            tuple(
                StageTables(counts, points, first)
                for counts, points in zip(
                    tensors["tables.counts"], tensors["tables.points"], strict=True
                )
            ),
            tuple(
                TrellisTables(counts, points)
                for counts, points in zip(
                    tensors["trellis.counts"], tensors["trellis.points"], strict=True
                )
            ),
            tensors["codebooks"],
            {k: v for k, v in tensors.items() if k.startswith("token_encoder.")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"weights of model {card.name} are incomplete: {error}") from error
    model.check()
    return model


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
