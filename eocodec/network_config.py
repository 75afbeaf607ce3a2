"""Sizes of the networks of a model, as its weights file states them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of the networks.

    ``unit`` is the size of one network unit, in DN or, with ``ndim`` 3, in deviations of a level. With ``ndim`` 2
    the ``bands`` of a tile are one block deep; with 3 every ``bands`` levels are a block, and the convolutions run
    over blocks of levels, rows and columns.
    """

    ndim: int = 2
    bands: int = 10
    block: int = 8
    latents: int = 384
    token_dim: int = 64
    token_width: int = 128
    token_stages: int = 2
    codebook_size: int = 256
    unit: float = 256.0

    @property
    def samples(self) -> int:
        """Samples of a block over all bands: the channels that enter and leave the networks."""
        return self.bands * self.block**2
