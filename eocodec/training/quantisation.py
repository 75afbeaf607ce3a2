"""Integer networks from float ones: the scale network, and the context network that is trained here.

The context network corrects the scales of a stage by what the stage before it decoded. It is trained on latents
of the training scenes with the transforms frozen, then quantised like the scale network: 8-bit weights, activations of
8 bits calibrated on data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from eocodec.integer_networks import EXACT_LIMIT, ContextNetwork, IntegerConv, ScaleNetwork
from eocodec.networks import TokenDecoder, conv, zero_conv
from eocodec.refinement import stage_scale, stage_step
from eocodec.training.latents import UNIT_LOG2, LatentSample

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


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
    peak = np.abs(weight).max(axis=(1, 2, 3), keepdims=True).clip(1e-9)
    for levels in (127, 63, 31, 15):
        unit = peak / levels
        integers = np.rint(weight / unit).astype(np.int8)
        factor = unit[:, 0, 0, 0] * input_scale
        layer = IntegerConv(
            integers,
            np.rint(bias / factor).clip(-EXACT_LIMIT, EXACT_LIMIT).astype(np.int32),
            (factor / output_scale).astype(np.float32),
            low,
            high,
        )
        if layer.worst_sum(limit) < EXACT_LIMIT:
            return layer
    layer.check(limit)
    return layer


def _parameters(layer: nn.Conv2d) -> tuple[FloatArray, FloatArray]:
    bias: Any = layer.bias
    return layer.weight.detach().numpy(), bias.detach().numpy()


def _unit_for(activation: Tensor, levels: int = 255) -> float:
    """Value of an integer unit such that nearly all of an activation fits in ``levels``."""
    sample = activation.flatten()
    sample = sample[torch.randperm(len(sample))[:1_000_000]]
    return max(float(torch.quantile(sample, 0.9999)), 1e-6) / levels


@torch.no_grad()
def integer_scale_network(
    decoder: TokenDecoder, codebooks: Tensor, indices: Tensor
) -> ScaleNetwork:
    """Quantise the scale decoder; calibrated on token indices [stages, N, h, w]."""
    vectors = sum(book[index] for book, index in zip(codebooks, indices, strict=True))
    embedded = F.relu(decoder.embed(torch.as_tensor(vectors).movedim(-1, 1)))
    spatial = F.relu(decoder.spatial(embedded))
    expanded = F.relu(decoder.expand(spatial))
    units = [_unit_for(x) for x in (embedded, spatial, expanded)]
    weight, bias = _parameters(decoder.embed)
    table = codebooks.numpy() @ weight[:, :, 0, 0].T
    table[0] += bias
    return ScaleNetwork(
        np.rint(table / units[0]).clip(-30000, 30000).astype(np.int16),
        quantise_conv(*_parameters(decoder.spatial), units[0], units[1], 255, 0, 255),
        quantise_conv(*_parameters(decoder.expand), units[1], units[2], 255, 0, 255),
        quantise_conv(*_parameters(decoder.project), units[2], UNIT_LOG2, 255, -96, 96),
    )


class ContextModel(nn.Module):
    """The context network in floating point: [magnitudes, log-scales] -> correction of the log-scale in log2."""

    def __init__(self, latents: int, width: int) -> None:
        super().__init__()
        self.enter = conv(2 * latents, width)
        self.spatial = conv(width, width, 3)
        self.leave = zero_conv(width, latents)
        with torch.no_grad():
            self.enter.weight[:, latents:] *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2 L, h, w] -> [B, L, h, w]."""
        out: Tensor = self.leave(F.relu(self.spatial(F.relu(self.enter(x)))))
        return out

    @torch.no_grad()
    def integer(self, x: Tensor) -> ContextNetwork:
        """Quantise, calibrated on inputs [B, 2 L, h, w]."""
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
    model = ContextModel(samples[0].residual.shape[0], width)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    bar = tqdm(range(steps), desc="context", disable=None)
    for _ in bar:
        stage = int(rng.integers(1, len(integers)))
        size = samples[int(rng.integers(len(samples)))].residual.shape
        fitting = [i for i, s in enumerate(samples) if s.residual.shape == size]
        chosen = rng.choice(fitting, min(len(fitting), max(1, 4096 // (size[1] * size[2]))))
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
