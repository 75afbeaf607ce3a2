"""Integer networks from float ones: 8-bit weights, activations of 8 bits calibrated on data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from eocodec.integer_networks import (
    EXACT_LIMIT,
    WEIGHT_BITS,
    IntegerConv,
    LinearMap,
    TokenNetwork,
    per_channel,
)
from eocodec.networks import Conv, TokenDecoder

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


def weight_levels(weight: FloatArray, limit: int) -> int:
    """Largest integer of the weights (outputs, inputs, k, …) that keeps every sum over inputs up to ``limit`` exact.

    An eighth of the exact range is left for the bias.
    """
    flat = np.abs(weight).reshape(len(weight), -1)
    peak = flat.max(axis=1, keepdims=True).clip(1e-9)
    total = float((flat / peak).sum(axis=1).max()) * limit
    return next(levels for levels in (127, 63, 31, 15) if levels * total < EXACT_LIMIT * 7 / 8)


def quantise_conv(
    weight: FloatArray,
    bias: FloatArray,
    input_scale: float,
    output_scale: float,
    limit: int,
    low: int,
    high: int,
) -> IntegerConv:
    """Quantise a convolution to 8-bit weights, fewer bits where 2**24 could be reached.

    ``input_scale`` and ``output_scale`` are the values of one integer unit; ``limit`` bounds the input integers.
    """
    unit = np.abs(weight).reshape(len(weight), -1).max(axis=1).clip(1e-9)
    unit = unit / weight_levels(weight, limit)
    factor = unit * input_scale
    layer = IntegerConv(
        np.rint(weight / per_channel(unit, weight.ndim)).astype(np.int8),
        np.rint(bias / factor).clip(-EXACT_LIMIT / 8, EXACT_LIMIT / 8).astype(np.int32),
        (factor / output_scale).astype(np.float32),
        low,
        high,
    )
    layer.check(limit)
    return layer


def _parameters(layer: Conv) -> tuple[FloatArray, FloatArray]:
    bias: Any = layer.bias
    return layer.weight.detach().numpy(), bias.detach().numpy()


def _unit_for(activation: Tensor, levels: int = 255) -> float:
    """Value of an integer unit such that nearly all of an activation fits in ``levels``."""
    sample = activation.flatten()
    sample = sample[torch.randperm(len(sample))[:1_000_000]]
    return max(float(torch.quantile(sample, 0.9999)), 1e-6) / levels


@torch.no_grad()
def integer_token_network(
    decoder: TokenDecoder, codebooks: Tensor, indices: Tensor, unit: float, limit: int
) -> TokenNetwork:
    """Quantise a token decoder, its gain left out; calibrated on token indices [stages, N, …, h, w].

    ``unit`` is the value of an integer of the output, ``limit`` the largest.
    """
    vectors = sum(book[index] for book, index in zip(codebooks, indices, strict=True))
    embedded = F.relu(decoder.embed(torch.as_tensor(vectors).movedim(-1, 1)))
    spatial = F.relu(decoder.spatial(embedded))
    expanded = F.relu(decoder.expand(spatial))
    units = [_unit_for(x) for x in (embedded, spatial, expanded)]
    weight, bias = _parameters(decoder.embed)
    table = codebooks.numpy() @ weight.reshape(weight.shape[:2]).T
    table[0] += bias
    return TokenNetwork(
        np.rint(table / units[0]).clip(-30000, 30000).astype(np.int16),
        quantise_conv(*_parameters(decoder.spatial), units[0], units[1], 255, 0, 255),
        quantise_conv(*_parameters(decoder.expand), units[1], units[2], 255, 0, 255),
        quantise_conv(*_parameters(decoder.project), units[2], unit, 255, -limit, limit),
    )


def integer_linear_map(basis: Tensor) -> LinearMap:
    """Quantise the linear map [samples, latents] of the synthesis."""
    fixed = np.rint(basis.detach().numpy().astype(np.float64) * 2**WEIGHT_BITS)
    return LinearMap(fixed.clip(-32767, 32767).astype(np.int16))
