"""From a trained network to a shipped model: integer networks, learned tables, weights and card.

Three things are fitted to latents of the training scenes, with the transforms frozen: the context network that
corrects scales after a stage; the symbol tables and reconstruction points of every stage, by alternating
entropy-constrained assignment and counting; the tables of the tokens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from eocodec.bands import MODEL_BANDS
from eocodec.first_stage import FirstStage, encode_first_stage
from eocodec.integer import EXACT_LIMIT, ContextNetwork, IntegerConv, ScaleNetwork
from eocodec.model import FLOAT_PARTS
from eocodec.networks import RVQVAE, TokenDecoder, conv, zero_conv
from eocodec.refinement import (
    CLASS_WIDTH,
    CLASS_ZERO,
    CLASSES,
    LIMIT,
    RATIO,
    STATES,
    UNITS_PER_STAGE,
    Runs,
    StageTables,
    class_of,
    low_bits,
    stage_scale,
    stage_step,
)
from eocodec.rvq import LAMBDA
from eocodec.smooth import PASSES, SmoothLatents, neighbour_mean, passes
from eocodec.tokens import CLUSTERS, TokenTables
from eocodec.training.data import Sampler

UNIT_LOG2 = float(np.log2(RATIO) / UNITS_PER_STAGE)
"""One unit of an integer log-scale, in log2."""
FIRST_CLASS = 1
SMOOTH_RATIO = 0.85
"""A latent is smooth where prediction leaves at most this share of its energy."""

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LatentSample:
    """Latents of one crop: residual to the tokens' mean, integer log-scales, token indices."""

    residual: FloatArray
    log_scale: IntArray
    indices: IntArray


@torch.no_grad()
def collect_latents(
    networks: RVQVAE, scale: ScaleNetwork, sampler: Sampler, sizes: list[tuple[int, int]], seed: int
) -> list[LatentSample]:
    """Draw crops, (number, side) each, and run them through the transforms."""
    samples = []
    rng = np.random.default_rng(seed)
    for number, size in sizes:
        for _ in tqdm(range(number), desc=f"latents {size}", disable=None):
            components = torch.from_numpy(sampler.draw(1, size, rng))
            latents = networks.analysis(components)
            vectors = networks.token_encoder(latents)
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, totals = networks.quantizer.quantise(flat)
            mean = networks.mean(totals[-1].T.reshape(1, -1, *vectors.shape[2:]))
            index = indices.numpy().astype(np.int32).reshape(-1, *vectors.shape[2:])
            samples.append(LatentSample((latents - mean)[0].numpy(), scale(index), index))
    return samples


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


def initial_tables() -> StageTables:
    """Tables of a discretised logistic at each class's centre, before anything was counted."""
    counts = np.ones((CLASSES, STATES, 2 * LIMIT + 2), np.int32)
    symbols = np.arange(-LIMIT, LIMIT + 1)
    for context_class in range(CLASSES):
        middle = ((context_class + 0.5) * CLASS_WIDTH + CLASS_ZERO) * UNIT_LOG2
        scale = 2.0 ** (middle - low_bits(context_class, 0))
        share = 1 / (1 + np.exp(-(symbols + 0.5) / scale)) - 1 / (
            1 + np.exp(-(symbols - 0.5) / scale)
        )
        counts[context_class, 0, :-1] += np.rint(share * 2**16).astype(np.int32)
        for state in range(1, STATES):
            counts[context_class, state, LIMIT - 1 : LIMIT + 2] += 2**14
    points = np.broadcast_to(symbols.astype(np.float32), (CLASSES, STATES, 2 * LIMIT + 1)).copy()
    return StageTables(counts, points, FIRST_CLASS)


def fit_tables(
    units: FloatArray,
    previous: IntArray,
    runs: Runs,
    weight: float,
    start: StageTables,
    rounds: int,
) -> tuple[StageTables, IntArray]:
    """Alternate assignment and counting; latents flat, in steps of the stage. Returns tables, integers."""
    tables = start
    for _ in range(rounds):
        integers = tables.quantise(units, previous, runs, weight)
        tables = count_symbols(tables, units, integers, previous, runs)
    return tables, tables.quantise(units, previous, runs, weight)


def count_symbols(
    tables: StageTables, units: FloatArray, integers: IntArray, previous: IntArray, runs: Runs
) -> StageTables:
    """Count symbols and average the latents of each; the zero state is symmetric."""
    counts, points = tables.counts.copy(), tables.points.copy()
    symbols = tables.symbols(integers, previous)[runs.order]
    sign = np.where(previous < 0, -1, 1)
    offsets = (units * sign - RATIO * np.abs(previous))[runs.order]
    prior = np.arange(-LIMIT, LIMIT + 1, dtype=np.float64)
    for context_class, state, start, stop in runs.bounds:
        symbol = symbols[start:stop].astype(np.int64)
        shift = low_bits(context_class, state)
        if shift:
            symbol = (symbol + (1 << (shift - 1))) >> shift
        inside = np.abs(symbol) <= LIMIT
        index = np.where(inside, symbol + LIMIT, 2 * LIMIT + 1)
        number = np.bincount(index, minlength=2 * LIMIT + 2).astype(np.float64)
        if state == 0:
            number[:-1] = (number[:-1] + number[:-1][::-1]) / 2
        scaled = number * min(1.0, 2**22 / max(number.sum(), 1))
        counts[context_class, state] = np.maximum(1, np.rint(scaled)).astype(np.int32)
        if shift:
            continue
        values = offsets[start:stop][inside].astype(np.float64)
        total = np.bincount(index[inside], values, minlength=2 * LIMIT + 1).astype(np.float64)
        if state == 0:
            total = (total - total[::-1]) / 2
        mean = (total + 8 * prior) / (number[:-1] + 8)
        points[context_class, state] = np.clip(mean, prior - 0.5, prior + 0.5)
    return StageTables(counts, points, tables.first_class)


def fit_tokens(samples: list[LatentSample], codebooks: Tensor) -> TokenTables:
    """Cluster the codes and count indices by the cluster of their context."""
    stages, codes, _ = codebooks.shape
    cluster = np.zeros((stages, codes), np.uint8)
    for stage, book in enumerate(codebooks):
        centres = book[torch.linspace(0, codes - 1, CLUSTERS).long()].clone()
        for _ in range(30):
            nearest = torch.cdist(book, centres).argmin(1)
            for k in range(CLUSTERS):
                if (nearest == k).any():
                    centres[k] = book[nearest == k].mean(0)
        cluster[stage] = nearest.numpy()
    counts = np.zeros((stages, CLUSTERS, codes), np.float64)
    for sample in samples:
        first = sample.indices[0]
        np.add.at(counts[0], (cluster[0][first[:, :-1]], first[:, 1:]), 1)
        for stage in range(1, stages):
            context = cluster[stage - 1][sample.indices[stage - 1]]
            np.add.at(counts[stage], (context, sample.indices[stage]), 1)
    marginal = counts.sum(axis=1, keepdims=True)
    smooth = counts + 20 * (marginal + 0.5) / (marginal + 0.5).sum(axis=2, keepdims=True)
    scaled = np.rint(smooth / smooth.sum(axis=2, keepdims=True) * 2**16)
    return TokenTables(np.maximum(1, scaled).astype(np.int32), cluster)


def fit_smooth(samples: list[LatentSample]) -> SmoothLatents:
    """Find the latents that their neighbours predict, by least squares over the samples."""
    latents = len(samples[0].residual)
    products, squares, energy = (np.zeros((PASSES, latents)) for _ in range(3))
    for sample in samples:
        _, height, width = sample.residual.shape
        unit = np.maximum(np.square(sample.residual).mean(axis=(1, 2)), 1e-6)
        for number, where in enumerate(passes(height, width)):
            if number and where.rows.size:
                target = sample.residual[:, where.rows, where.columns]
                mean = neighbour_mean(sample.residual, where)
                products[number] += (target * mean).sum(axis=1) / unit
                squares[number] += (mean * mean).sum(axis=1) / unit
                energy[number] += (target * target).sum(axis=1) / unit
    weight = np.clip(products / np.maximum(squares, 1e-9), 0, 1.2)
    left = energy - 2 * weight * products + weight**2 * squares
    ratio = np.clip(left / np.maximum(energy, 1e-9), 0.02, 1)
    useful = (ratio < SMOOTH_RATIO) & (energy > 0)
    channels = np.flatnonzero(useful[-1])
    offset = np.where(useful, np.rint(0.5 * np.log2(ratio) / UNIT_LOG2), 0)
    return SmoothLatents(
        channels.astype(np.int32),
        np.where(useful, weight, 0)[:, channels].astype(np.float32),
        offset[:, channels].astype(np.int32),
    )


def fit_first_stage(
    samples: list[LatentSample], smooth: SmoothLatents, rounds: int
) -> tuple[StageTables, list[FirstStage]]:
    """Fit the tables of the first stage, predictions in the loop."""
    tables = initial_tables()
    relative = np.concatenate([stage_scale(s.log_scale, 0).ravel() for s in samples])
    previous = np.zeros(relative.shape, np.int32)
    runs = Runs.sort(class_of(relative), previous, FIRST_CLASS)
    for _ in range(rounds):
        coded = [
            encode_first_stage(tables, smooth, s.residual, s.log_scale, LAMBDA, None)
            for s in samples
        ]
        units = [s.residual - c.prediction for s, c in zip(samples, coded, strict=True)]
        flat = np.concatenate([u.ravel() for u in units]) / np.float32(stage_step(0))
        integers = np.concatenate([c.integers.ravel() for c in coded])
        tables = count_symbols(tables, flat, integers, previous, runs)
    coded = [
        encode_first_stage(tables, smooth, s.residual, s.log_scale, LAMBDA, None) for s in samples
    ]
    return tables, coded


def fit_later_stages(
    samples: list[LatentSample],
    before: list[IntArray],
    stages: int,
    context: ContextNetwork | None,
    rounds: int,
) -> tuple[list[StageTables], list[list[IntArray]]]:
    """Fit the tables of stages 1 and up to samples whose residual is that of the first stage.

    Returns the tables and the integers ``[stage][sample]``, both without the first stage.
    """
    tables: list[StageTables] = []
    integers: list[list[IntArray]] = []
    flat = np.concatenate([s.residual.ravel() for s in samples])
    ends = np.cumsum([s.residual.size for s in samples])[:-1]
    for stage in tqdm(range(1, stages), desc="tables", disable=None):
        relative = [stage_scale(s.log_scale, stage) for s in samples]
        if context is not None:
            relative = [context(b, r) for b, r in zip(before, relative, strict=True)]
        classes = np.concatenate([class_of(r).ravel() for r in relative])
        previous = np.concatenate([b.ravel() for b in before])
        units = (flat / stage_step(stage)).astype(np.float32)
        runs = Runs.sort(classes, previous, FIRST_CLASS)
        fitted, chosen = fit_tables(units, previous, runs, LAMBDA, initial_tables(), rounds)
        tables.append(fitted)
        parts = np.split(chosen, ends)
        before = [p.reshape(s.residual.shape) for p, s in zip(parts, samples, strict=True)]
        integers.append(before)
    return tables, integers


def fit_stages(
    samples: list[LatentSample], stages: int, width: int, steps: int, seed: int
) -> tuple[SmoothLatents, list[StageTables], ContextNetwork]:
    """Fit the smooth latents, the tables of all stages and the context network.

    A first pass over the later stages, without context, gives the integers that the context network learns
    from; the second counts with it.
    """
    smooth = fit_smooth(samples)
    samples = [replace(s, log_scale=smooth.lower(s.log_scale)) for s in samples]
    first, coded = fit_first_stage(samples, smooth, 4)
    samples = [
        replace(s, residual=s.residual - c.prediction) for s, c in zip(samples, coded, strict=True)
    ]
    start = [c.integers for c in coded]
    _, integers = fit_later_stages(samples, start, stages, None, 2)
    model, sample_input = train_context(samples, [start, *integers], width, steps, seed)
    context = model.integer(sample_input)
    context.check()
    tables, _ = fit_later_stages(samples, start, stages, context, 4)
    return smooth, [first, *tables], context


def _conv_tensors(name: str, layer: IntegerConv) -> dict[str, npt.NDArray[Any]]:
    return {
        f"{name}.weight": layer.weight,
        f"{name}.bias": layer.bias,
        f"{name}.multiplier": layer.multiplier,
    }


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Sizes of the fit (crops as number and side, refinement stages, context network) and of the card."""

    description: str = "Sentinel-2, up to ten bands at 10 m, reflectance x 10000"
    licence: str = "Apache-2.0"
    default_stages: int = 2

    crops: tuple[tuple[int, int], ...] = ((48, 256), (48, 128), (80, 64))
    stages: int = 5
    context_width: int = 96
    context_steps: int = 600
    seed: int = 7


def export_model(
    networks: RVQVAE, sampler: Sampler, folder: Path, training: str, settings: ExportSettings
) -> str:
    """Fit what follows the networks and write ``weights.safetensors`` and ``card.json``; returns the id.

    Parameters
    ----------
    networks : RVQVAE
        Trained (averaged) weights, on the CPU.
    training : str
        How the networks were trained, for the card.
    """
    networks = networks.eval().requires_grad_(False)
    for parameter in networks.parameters():
        parameter.data = parameter.data.half().float()
    codebooks = networks.quantizer.codebooks
    rng = np.random.default_rng(settings.seed)
    calibration = []
    with torch.no_grad():
        for _ in range(8):
            batch = torch.from_numpy(sampler.draw(8, 128, rng))
            vectors = networks.token_encoder(networks.analysis(batch))
            flat = vectors.movedim(1, -1).flatten(0, -2)
            indices, _ = networks.quantizer.quantise(flat)
            calibration.append(indices.reshape(-1, 8, *vectors.shape[2:]))
    scale = integer_scale_network(networks.scale, codebooks, torch.cat(calibration, dim=1))
    scale.check()
    samples = collect_latents(networks, scale, sampler, list(settings.crops), settings.seed + 1)
    smooth, tables, context = fit_stages(
        samples, settings.stages, settings.context_width, settings.context_steps, settings.seed
    )
    tokens = fit_tokens(samples, codebooks)

    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, value in networks.state_dict().items():
        if name.startswith(FLOAT_PARTS):
            half = not name.startswith("quantizer.")
            tensors[name] = (value.half() if half else value).contiguous().numpy()
    tensors["scale.embedding"] = scale.embedding
    for part, owner in (("spatial", scale), ("expand", scale), ("project", scale)):
        tensors |= _conv_tensors(f"scale.{part}", getattr(owner, part))
    for part in ("enter", "spatial", "leave"):
        tensors |= _conv_tensors(f"context.{part}", getattr(context, part))
    tensors["smooth.channels"] = smooth.channels
    tensors["smooth.weight"] = smooth.weight
    tensors["smooth.offset"] = smooth.offset
    tensors["tables.counts"] = np.stack([t.counts for t in tables])
    tensors["tables.points"] = np.stack([t.points for t in tables])
    tensors["tokens.counts"] = tokens.counts
    tensors["tokens.cluster"] = tokens.cluster
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "weights.safetensors"
    metadata = {"network": json.dumps(asdict(networks.config)), "first_class": str(FIRST_CLASS)}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    content = {
        "id": digest,
        "bands": list(MODEL_BANDS),
        "layers": networks.config.token_stages + settings.stages,
        "token_layers": networks.config.token_stages,
        "default_layers": networks.config.token_stages + settings.default_stages,
        "description": settings.description,
        "licence": settings.licence,
        "training": training,
    }
    (folder / "card.json").write_text(json.dumps(content, indent=2) + "\n")
    return digest
