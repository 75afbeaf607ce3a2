"""SimCLR features of decoded tiles (Chen et al., ICML 2020; EO4EU D3.4, section 2.2), with shipped weights."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import FeatureCard, find_feature_card
from eocodec.errors import InputError, ModelError
from eocodec.extras import needs
from eocodec.model import load_weights
from eocodec.transforms.interface import FloatArray

if TYPE_CHECKING:
    from eocodec.transforms.resnet import ResNet

MINIMUM_SIDE = 32
BATCH = 16
LARGE = 128 * 128
"""Pixels of a patch above which patches run one by one."""


class SimclrFeatures:
    """Features of patches of ten Sentinel-2 bands: means of the maps of every stage of a residual network.

    Needs torch (``pip install 'eocodec[torch]'``), which is imported at the first call. The features of a patch
    do not depend on the others it is passed with, and are the same bit for bit on one machine with one number
    of threads. Objects are safe in threads and can be pickled.

    Parameters
    ----------
    model : str
        Name of a shipped feature model, or at least eight digits of its id.

    Attributes
    ----------
    card : FeatureCard
    bands : tuple of str
        Bands of the input, in order.
    features : int
        Length D of a feature vector.
    side : int
        Pixels of the windows that the model was trained on: pass patches of about this size.

    Raises
    ------
    ModelError
        No such model is installed.
    """

    bands = MODEL_BANDS

    def __init__(self, model: str = "ssl-s2") -> None:
        self.card = find_feature_card(model)
        self.features = self.card.features
        self.side = self.card.side

    def __call__(self, patches: npt.NDArray[Any]) -> FloatArray:
        """Compute features.

        Parameters
        ----------
        patches : array (N, 10, H, W)
            DN (reflectance x 10000) of `bands`, of an integer or floating dtype; H and W from 32.

        Returns
        -------
        float32 array (N, D)

        Raises
        ------
        InputError
            The array has another shape.
        ModelError
            The weights are damaged, or torch is not installed.
        """
        if patches.ndim != 4 or patches.shape[1] != len(self.bands):
            raise InputError(
                f"features need patches of shape (N, {len(self.bands)}, H, W), not {patches.shape}"
            )
        height, width = patches.shape[2:]
        if min(height, width) < MINIMUM_SIDE:
            raise InputError(
                f"features need patches of at least {MINIMUM_SIDE} x {MINIMUM_SIDE} pixels, "
                f"not {height} x {width}"
            )
        network, mean, deviation = _load(self.card)
        import torch

        # One shape for every run of the network: libraries choose their kernels, and so their rounding, by it.
        count = BATCH if height * width <= LARGE else 1
        batch = np.zeros((count, *patches.shape[1:]), np.float32)
        features = np.empty((len(patches), self.features), np.float32)
        for start in range(0, len(patches), count):
            part = patches[start : start + count]
            batch[: len(part)] = (part.astype(np.float32) - mean) / deviation
            images = torch.from_numpy(batch).to(memory_format=torch.channels_last)
            with torch.inference_mode():
                features[start : start + count] = network.pyramid(images)[: len(part)].numpy()
        return features


@lru_cache(maxsize=4)
def _load(card: FeatureCard) -> tuple[ResNet, FloatArray, FloatArray]:
    """Load the network of a card, and mean and deviation (10, 1, 1) of its bands in DN."""
    digest = hashlib.sha256(card.weights.read_bytes()).hexdigest()
    if digest != card.id:
        raise ModelError(f"weights of model {card.name} are damaged: SHA-256 is {digest[:16]}…")
    with needs("torch", f"model {card.name}"):
        import torch

        from eocodec.transforms.resnet import ResNet, ResNetConfig
    metadata, tensors = load_weights(card.weights)
    network = ResNet(ResNetConfig(**json.loads(metadata["network"])))
    mean, deviation = (tensors.pop(name)[:, None, None] for name in ("mean", "deviation"))
    scales = {
        name: tensors.pop(f"{name}.scale") for name in list(tensors) if f"{name}.scale" in tensors
    }
    state = {
        name: value * scales[name][:, None, None, None] if name in scales else value
        for name, value in tensors.items()
    }
    network.load_state_dict(
        {name: torch.from_numpy(value) for name, value in state.items()}, strict=False
    )
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, mean, deviation
