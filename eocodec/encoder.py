"""What only the encoder runs, in floating point: pixels' coefficients to latents and token vectors.

It changes which bytes are written, never what bytes decode to, so it may use what is fast: torch, and bfloat16 where
the processor has it. Needs torch (``pip install eocodec[torch]``); decoding does not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from eocodec.cores import torch_on_one_core_in_workers
from eocodec.integer_networks import LinearMap
from eocodec.network_config import NetworkConfig
from eocodec.networks import TokenEncoder

FloatArray = npt.NDArray[np.float32]

PART = "token_encoder."


class Encoder:
    """Inverse of the linear map, and token encoder of a model.

    Parameters
    ----------
    config : NetworkConfig
    linear : LinearMap
    tensors : dict of str to ndarray
        The tensors of the weights file whose names start with ``PART``.

    Raises
    ------
    KeyError, RuntimeError
        A tensor is missing or has the wrong shape.
    """

    def __init__(
        self, config: NetworkConfig, linear: LinearMap, tensors: dict[str, npt.NDArray[Any]]
    ) -> None:
        self._linear = linear
        self._token_encoder = TokenEncoder(config)
        state = {
            name: torch.from_numpy(tensors[PART + name].astype(np.float32))
            for name in self._token_encoder.state_dict()
        }
        self._token_encoder.load_state_dict(state)
        self._token_encoder.eval().requires_grad_(False)

    def __call__(self, coefficients: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients (samples, …, h, w) in network units -> latents (L, …, h, w), token vectors (D, …, h/2, w/2)."""
        latents = self._linear.invert(coefficients)
        with (
            torch_on_one_core_in_workers(),
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=_fast_bfloat16()),
        ):
            vectors = self._token_encoder(torch.from_numpy(latents)[None])
        return latents, vectors[0].numpy()


@lru_cache(maxsize=1)
def _fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 natively: then the token encoder uses it."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
