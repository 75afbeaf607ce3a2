"""Pixels of a tile to the coefficients that the networks see, and back.

Bands are one block deep. Levels of a field are standardised (:mod:`eocodec.levels`) and folded into blocks; the
spectral transform then runs over the levels of a block as it does over bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.integer_networks import COEFFICIENT_BITS
from eocodec.levels import LevelScales, fold_levels, unfold_levels
from eocodec.network_config import NetworkConfig
from eocodec.spectral import SpectralTransform
from eocodec.spectral_fit import fit_spectral

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

TOKEN_BLOCK = 2 * BLOCK
"""Tiles are extended to whole blocks of this many rows and columns, the footprint of a token."""
MEAN_PARTS = 16
"""Band means are stored in units of the network unit divided by this."""


def token_grid(config: NetworkConfig, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape of the tokens of a tile (C, H, W): (h, w), or (d, h, w) with blocks of levels."""
    planes, height, width = shape
    rows = (-(-height // TOKEN_BLOCK), -(-width // TOKEN_BLOCK))
    return rows if config.ndim == 2 else (block_levels(config, planes)[0], *rows)


def block_levels(config: NetworkConfig, planes: int) -> tuple[int, int]:
    """Number of blocks of so many planes, as few as there can be, and planes of a block."""
    blocks = -(-planes // config.bands)
    return blocks, -(-planes // blocks)


@dataclass(frozen=True)
class TileTransform:
    """What a tile sends of its transform.

    Attributes
    ----------
    levels : LevelScales or None
        Scales of the levels; None with bands.
    spectral : SpectralTransform
    unit : float
        One network unit: in the data's unit, or in scales of the level.
    """

    levels: LevelScales | None
    spectral: SpectralTransform
    unit: float

    @classmethod
    def fit(
        cls, pixels: FloatArray, config: NetworkConfig, unit: float, noise: float
    ) -> tuple[TileTransform, FloatArray]:
        """Fit to the finite pixels (C, H, W) of a tile.

        Also returns the coefficients (samples, …, h, w) in network units; ``noise`` is that of
        :func:`fit_spectral`, in network units.
        """
        blocks, depth = block_levels(config, len(pixels))
        levels = None
        if config.ndim == 3:
            levels, pixels = LevelScales.fit(pixels)
        whole = (blocks * depth, TOKEN_BLOCK, TOKEN_BLOCK)
        missing = [(0, -n % size) for n, size in zip(pixels.shape, whole, strict=True)]
        folded = fold_levels(np.pad(pixels, missing, mode="edge"), depth)
        spectral, coefficients = fit_spectral(folded, unit / MEAN_PARTS, noise * unit, blocks)
        absent = ((0, 0), (0, config.bands - depth), (0, 0), (0, 0))
        padded = np.pad(coefficients, absent) / np.float32(unit)
        rows, columns = padded.shape[2:]
        deep = () if config.ndim == 2 else (blocks,)
        return cls(levels, spectral, unit), padded.reshape(-1, *deep, rows // blocks, columns)

    def inverse(
        self,
        coefficients: DoubleArray,
        config: NetworkConfig,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
    ) -> npt.NDArray[Any]:
        """Coefficients (samples, …, h, w) in units of 2**-COEFFICIENT_BITS to pixels of a shape and dtype."""
        planes, height, width = shape
        blocks, depth = block_levels(config, planes)
        rows, columns = coefficients.shape[-2:]
        stacked = coefficients.reshape(BLOCK * BLOCK, config.bands, -1, columns)[:, :depth]
        unit = self.unit * 2.0**-COEFFICIENT_BITS
        if self.levels is None:
            pixels = self.spectral.inverse(stacked, unit, dtype)
            return np.ascontiguousarray(pixels[:, :height, :width])
        folded = self.spectral.inverse(stacked, unit, np.dtype(np.float64), blocks)
        pixels = unfold_levels(folded, rows * BLOCK)[:planes, :height, :width]
        return self.levels.restore(pixels, dtype)

    def encode(self, coder: SymbolEncoder) -> None:
        """Write to a range coder."""
        if self.levels is not None:
            self.levels.encode(coder)
        self.spectral.encode(coder)

    @classmethod
    def decode(
        cls, coder: SymbolDecoder, config: NetworkConfig, shape: tuple[int, int, int], unit: float
    ) -> TileTransform:
        """Read what :meth:`encode` wrote for a tile (C, H, W); raises FormatError for invalid bytes."""
        levels = LevelScales.decode(coder, shape[0]) if config.ndim == 3 else None
        _, depth = block_levels(config, shape[0])
        *blocks, rows, columns = token_grid(config, shape)
        regions = (prod(blocks) * rows, columns)
        spectral = SpectralTransform.decode(coder, depth, unit / MEAN_PARTS, regions)
        return cls(levels, spectral, unit)
