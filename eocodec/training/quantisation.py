"""Integer networks from float ones: the scale network, and the context network that is trained here.

The context network corrects the scales of a stage by what the stage before it decoded. It is trained on latents
of the training scenes with the transforms frozen, then quantised like the scale network: 8-bit weights, activations of
8 bits calibrated on data.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from eocodec.integer_networks import (
    EXACT_LIMIT,
    FINER,
    INPUT_LEVELS,
    INPUT_LIMIT,
    RESTORED_LIMIT,
    RESTORED_UNIT,
    STREAM,
    WEIGHT_BITS,
    ContextNetwork,
    IntegerConv,
    LinearMap,
    RestoringBlock,
    RestoringNetwork,
    TokenNetwork,
    per_channel,
)
from eocodec.networks import Conv, TokenDecoder, branch_layers, conv, zero_conv
from eocodec.refinement import stage_scale, stage_step
from eocodec.training.latents import UNIT_LOG2, LatentSample

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


@dataclass(frozen=True)
class BranchUnits:
    """Values of the integer units of the restoring network: of its residual stream, and inside each block."""

    stream: float
    inner: tuple[float, ...]


@torch.no_grad()
def calibrate_branch(branch: nn.Sequential, x: Tensor) -> BranchUnits:
    """Units for the branch of the synthesis, calibrated on latents [B, L, …, h, w] in steps."""
    enter, blocks, _ = branch_layers(branch)
    x = F.relu(enter(x))
    streams, inner = [x.flatten()], []
    for block in blocks:
        inner.append(_unit_for(F.relu(block.spatial(x))))
        x = block(x)
        streams.append(x.flatten())
    return BranchUnits(_unit_for(torch.cat(streams), STREAM), tuple(inner))


def integer_restoring_network(branch: nn.Sequential, units: BranchUnits) -> RestoringNetwork:
    """Quantise the branch of the synthesis."""
    enter, blocks, leave = branch_layers(branch)
    seen, seen_unit = STREAM // FINER + 1, FINER * units.stream
    return RestoringNetwork(
        quantise_conv(*_parameters(enter), 1 / INPUT_LEVELS, units.stream, INPUT_LIMIT, 0, STREAM),
        tuple(
            RestoringBlock(
                quantise_conv(*_parameters(block.spatial), seen_unit, inner, seen, 0, 255),
                quantise_conv(*_parameters(block.mix), inner, units.stream, 255, -STREAM, STREAM),
            )
            for block, inner in zip(blocks, units.inner, strict=True)
        ),
        quantise_conv(
            *_parameters(leave),
            units.stream,
            RESTORED_UNIT,
            STREAM,
            -RESTORED_LIMIT,
            RESTORED_LIMIT,
        ),
    )


def integer_linear_map(basis: Tensor) -> LinearMap:
    """Quantise the linear map [samples, latents] of the synthesis."""
    fixed = np.rint(basis.detach().numpy().astype(np.float64) * 2**WEIGHT_BITS)
    return LinearMap(fixed.clip(-32767, 32767).astype(np.int16))


class ContextModel(nn.Module):
    """The context network in floating point: [magnitudes, log-scales] -> correction of the log-scale in log2."""

    def __init__(self, latents: int, width: int, ndim: int = 2) -> None:
        super().__init__()
        self.enter = conv(2 * latents, width, ndim=ndim)
        self.spatial = conv(width, width, 3, ndim=ndim)
        self.leave = zero_conv(width, latents, ndim=ndim)
        with torch.no_grad():
            self.enter.weight[:, latents:] *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2 L, …, h, w] -> [B, L, …, h, w]."""
        out: Tensor = self.leave(F.relu(self.spatial(F.relu(self.enter(x)))))
        return out

    @torch.no_grad()
    def integer(self, x: Tensor) -> ContextNetwork:
        """Quantise, calibrated on inputs [B, 2 L, …, h, w]."""
        entered = F.relu(self.enter(x))
        spatial = F.relu(self.spatial(entered))
        first, second = _unit_for(entered), _unit_for(spatial)
        limit = ContextNetwork.scale_limit
        return ContextNetwork(
            quantise_conv(*_parameters(self.enter), 1.0, first, limit, 0, 255),
            quantise_conv(*_parameters(self.spatial), first, second, 255, 0, 255),
            quantise_conv(*_parameters(self.leave), second, UNIT_LOG2, 255, -48, 48),
        )


def context_input(integers: IntArray, relative: IntArray) -> FloatArray:
    """Input of the context network, as the integer network builds it."""
    magnitude = np.minimum(np.abs(integers), ContextNetwork.magnitude_limit)
    limit = ContextNetwork.scale_limit
    return np.concatenate([magnitude, np.clip(relative, -limit, limit)]).astype(np.float32)


def cell_bits(units: Tensor, log2_scale: Tensor) -> Tensor:
    """Bits of a symbol given that the previous stage left zero, under a logistic of the given scale.

    The zero cell of the previous stage reaches about 1.8 steps of this one.
    """
    inverse = torch.exp2(-log2_scale)
    symbol = units.abs().clamp(max=2).round()
    high = torch.sigmoid((symbol + 0.5) * inverse)
    low = torch.sigmoid((symbol - 0.5) * inverse)
    inside = 2 * torch.sigmoid(2.5 * inverse) - 1
    return -torch.log2(((high - low) / inside).clamp(min=1e-7))


def train_context(
    samples: list[LatentSample], integers: list[list[IntArray]], width: int, steps: int, seed: int
) -> tuple[ContextModel, Tensor]:
    """Train the context network on all stages after the first; ``integers[stage][sample]``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    latents, *grid = samples[0].residual.shape
    model = ContextModel(latents, width, len(grid))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    bar = tqdm(range(steps), desc="context", disable=None)
    for _ in bar:
        stage = int(rng.integers(1, len(integers)))
        size = samples[int(rng.integers(len(samples)))].residual.shape
        fitting = [i for i, s in enumerate(samples) if s.residual.shape == size]
        chosen = rng.choice(fitting, min(len(fitting), max(1, 4096 // prod(size[1:]))))
        inputs, units, zero = [], [], []
        for i in chosen:
            before = integers[stage - 1][i]
            inputs.append(context_input(before, stage_scale(samples[i].log_scale, stage)))
            units.append(samples[i].residual / stage_step(stage))
            zero.append(before == 0)
        x = torch.from_numpy(np.stack(inputs))
        log2_scale = x[:, len(units[0]) :] * UNIT_LOG2 + model(x)
        bits = cell_bits(torch.from_numpy(np.stack(units)), log2_scale)
        mask = torch.from_numpy(np.stack(zero))
        loss = bits[mask].mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        bar.set_postfix(bits=f"{loss.item():.4f}")
    return model, x
