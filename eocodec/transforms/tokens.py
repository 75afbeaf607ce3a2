"""Features of the tokens of learned tiles: what their first layers say, without decoding pixels.

A token stands for 16 x 16 pixels. By the mean and scale networks its codes tell means and deviations of the latents;
through the linear map and the tile's own spectral bases these are means and energies of the lapped coefficients of
every band, so features of different tiles compare although each tile has bases of its own. (Means and deviations of the
code vectors themselves, 128 values more, made a linear probe worse where labels are few.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import FLAT
from eocodec.integer_networks import COEFFICIENT_BITS, WEIGHT_BITS
from eocodec.mask import decode_mask
from eocodec.payload import RVQ, TileHead, layer_bodies, parse_head
from eocodec.refinement import RATIO, UNITS_PER_STAGE
from eocodec.rvq import Tokens, decode_tokens
from eocodec.spectral import GROUP_OF, GROUPS
from eocodec.tile_transform import TOKEN_BLOCK
from eocodec.transforms.interface import FloatArray, TokenTransform

DoubleArray = npt.NDArray[np.float64]

_TOKEN_LAYERS = 2
_STATISTICS = ("mean", "std", *(f"texture{group}" for group in range(1, GROUPS)))


class TokenFeatures(TokenTransform):
    """Means, deviations and textures of the bands.

    Of each band: mean, standard deviation of the means of 8 x 8 pixels, and root mean square of the lapped
    coefficients of frequency group 1 to 7, predicted, in steps of 1 DN at the default step scale; of all these
    log2(1 + value).
    """

    name = "tokens"
    description = "levels, deviations and textures of the bands from the tokens of learned tiles; decodes no pixel"
    cell = TOKEN_BLOCK
    layers = _TOKEN_LAYERS

    def names(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Name the features: B02_mean, B03_mean …, B02_std …, B02_texture1 …, B12_texture7."""
        return tuple(f"{band}_{statistic}" for statistic in _STATISTICS for band in bands)

    def cells(self, payload: memoryview) -> tuple[FloatArray, FloatArray] | None:
        """Head and token layers of a tile (C, H, W) -> planes (9 C, ceil(H / 16), ceil(W / 16)), valid shares.

        None for tiles without tokens and for those of atmospheric fields, whose tokens stand for levels.
        """
        head = parse_head(payload)
        if head.mode != RVQ:
            return None
        learned = len(head.layer_sizes) - head.guaranteed
        held = sum(end <= len(payload) for end in head.layer_ends)
        bodies = layer_bodies(payload, head, max(1, min(self.layers, learned, held)))
        tokens = decode_tokens(bodies, head.shape)
        if tokens.model.config.ndim != 2:
            return None
        return _planes(tokens), _valid_shares(head)

    def __call__(self, patches: FloatArray) -> FloatArray:
        """Cells (N, 9 C, k, k) -> features (N, 9 C)."""
        flat = patches.reshape(*patches.shape[:2], -1).astype(np.float64)
        bands = patches.shape[1] // len(_STATISTICS)
        level, inner, texture = np.split(np.nanmean(flat, axis=2), [bands, 2 * bands], axis=1)
        deviation = np.sqrt(inner + np.nanvar(flat[:, :bands], axis=2))
        statistics = np.concatenate([level.clip(0), deviation, np.sqrt(texture)], axis=1)
        return np.asarray(np.log2(1 + statistics), np.float32)


def _planes(tokens: Tokens) -> FloatArray:
    """Band means, their variances inside a cell, and energies by frequency group.

    Values are in units of the step scale, which is 1 DN by default.
    """
    model, config, spectral = tokens.model, tokens.model.config, tokens.transform.spectral
    bands, bases = len(spectral.mean), spectral.bases
    latents = model.mean(tokens.indices)
    components = model.linear(latents) * (config.unit * 2.0**-COEFFICIENT_BITS)
    components = components.reshape(-1, config.bands, *latents.shape[1:])[:, :bands]
    predicted = spectral.apply(bases, components)
    centre = spectral.mean * spectral.mean_unit * (config.unit / tokens.transform.unit)
    blocks = predicted[0] / FLAT + centre[:, None, None]
    level = _pooled(blocks)

    spread = _pooled(float(RATIO) ** (2 * model.scale(tokens.indices) / UNITS_PER_STAGE))
    weight = np.square(model.linear.weight * 2.0**-WEIGHT_BITS)
    unknown = weight @ spread.reshape(len(spread), -1) * config.unit**2
    unknown = unknown.reshape(-1, config.bands, *spread.shape[1:])[:, :bands]
    energy = _pooled(np.square(predicted)) + spectral.apply(np.square(bases), unknown)
    inner = (_pooled(np.square(blocks)) - np.square(level)).clip(0)
    groups = [energy[group == GROUP_OF].mean(axis=0) for group in range(1, GROUPS)]
    return np.concatenate([level, inner, *groups]).astype(np.float32)


def _pooled(values: DoubleArray) -> DoubleArray:
    """Mean of the four blocks of each token, (…, 2h, 2w) -> (…, h, w)."""
    *leading, rows, columns = values.shape
    mean: DoubleArray = values.reshape(*leading, rows // 2, 2, columns // 2, 2).mean(axis=(-3, -1))
    return mean


def _valid_shares(head: TileHead) -> FloatArray:
    """Share of the pixels of each cell that are valid in all bands, those outside the tile counted as not."""
    _, height, width = head.shape
    invalid = np.zeros((height, width), bool)
    if head.mask is not None:
        mask = decode_mask(head.mask, head.shape, head.dtype.newbyteorder("="))
        mask.invalid.any(axis=0, out=invalid)
    padded = np.pad(~invalid, ((0, -height % TOKEN_BLOCK), (0, -width % TOKEN_BLOCK)))
    rows, columns = (n // TOKEN_BLOCK for n in padded.shape)
    cells = padded.reshape(rows, TOKEN_BLOCK, columns, TOKEN_BLOCK)
    return np.asarray(cells.mean(axis=(1, 3)), np.float32)
