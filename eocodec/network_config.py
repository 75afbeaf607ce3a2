"""Sizes of the networks of a model, as its weights file states them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of the networks.

    ``unit`` is the size in DN of one network unit; ``blocks`` are residual blocks a side.
    """

    bands: int = 10
    block: int = 8
    latents: int = 384
    width: int = 160
    blocks: int = 4
    token_dim: int = 64
    token_width: int = 128
    token_stages: int = 2
    codebook_size: int = 256
    unit: float = 256.0

    @property
    def samples(self) -> int:
        """Samples of a block over all bands: the channels that enter and leave the networks."""
        return self.bands * self.block**2
