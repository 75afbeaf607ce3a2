"""The two learned peers, trained on the scenes of the shipped model: `eocodec train hyperprior`, `d34-reference`.

Both code whole stacks, extended to whole blocks by repeating the edges, into real bytes. Their networks are
floating-point: a decoder on another machine may compute other scales than the encoder and lose the hyperprior's stream,
which a comparison in one process does not see (the D3.4 indices do not depend on the networks).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.peers.base import Peer, Stack
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import InputError
from eocodec.training.config import load_config
from eocodec.training.hyperprior import BLOCK, LOWEST_SCALE, Hyperprior, HyperpriorConfig, gain
from eocodec.training.reference import ReferenceAutoencoder, ReferenceConfig

Counts = npt.NDArray[np.int64]
Network = TypeVar("Network", bound=nn.Module)

TABLE_SCALES = np.geomspace(LOWEST_SCALE, 1024, 96)
"""Standard deviations that have a table; a scale takes the nearest in ratio."""
TAIL = 6
"""Standard deviations that a table reaches to either side; what lies beyond is escaped."""
SIDE_REACH = 32
"""Integers that the tables of the hyperprior's latents reach to either side."""
PRECISION = 1 << 20
"""Sum of a table's counts, but for the one that every symbol has at least."""
ADAPTATION = 256
"""Indices between two updates of their table."""
PRIOR_SYMBOLS = 200
"""Indices seen that weigh as much as the frequencies in training."""
LEVEL_PARTS = 16
"""Parts of a level that a file can name."""


@dataclass(frozen=True)
class TrainedHyperprior:
    """The mean-scale hyperprior; settings are rate levels, between those trained interpolated.

    A file is one byte of level and one range-coded stream: the hyperprior's latents with a table a channel, then the
    latents by falling scale, with Gaussian tables.
    """

    checkpoint: Path
    config: HyperpriorConfig
    name: str = "mean-scale hyperprior"

    @property
    def settings(self) -> tuple[float, ...]:
        """Levels in thirds."""
        return tuple(round(i / 3, 3) for i in range(3 * (self.config.levels - 1) + 1))

    def encode(self, stack: Stack, setting: float) -> bytes:
        """Encode a stack."""
        model = _load_hyperprior(self.checkpoint, self.config)
        number = round(setting * LEVEL_PARTS)
        level = torch.tensor([number / LEVEL_PARTS])
        with torch.no_grad():
            latents = model.latents(_extended(stack, BLOCK, self.config.unit))
            side = model.side(latents, level).round()
            mean, scale = model.moments(side, level)
            residual = (latents * gain(model.log_gain, level) - mean).round()
        coder = SymbolEncoder()
        for channel, counts in zip(_integers(side), _side_tables(model, level), strict=True):
            _encode_integers(coder, channel, counts)
        order, runs = _runs(scale)
        values = _integers(residual).ravel()[order]
        for table, run in runs:
            _encode_integers(coder, values[run], _gaussian_table(table))
        return bytes([number]) + coder.finish()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        model = _load_hyperprior(self.checkpoint, self.config)
        level = torch.tensor([data[0] / LEVEL_PARTS])
        coder = SymbolDecoder(data[1:])
        rows, columns = (-(-n // BLOCK) for n in shape[1:])
        channels = [
            _decode_integers(coder, rows * columns, counts) for counts in _side_tables(model, level)
        ]
        side = torch.tensor(np.stack(channels), dtype=torch.float32)
        with torch.no_grad():
            mean, scale = model.moments(side.reshape(1, -1, rows, columns), level)
            order, runs = _runs(scale)
            values = np.empty(len(order), np.float32)
            for table, run in runs:
                values[order[run]] = _decode_integers(
                    coder, run.stop - run.start, _gaussian_table(table)
                )
            residual = torch.as_tensor(values).reshape(mean.shape)
            pixels = model.decoded(mean + residual, level)
        return _to_stack(pixels, self.config.unit, shape)


@dataclass(frozen=True)
class TrainedReference:
    """The RVQ-VAE of D3.4; settings are numbers of stages.

    D3.4 counts plain indices, log2(10 000) bits each; here they are range-coded adaptively, from the frequencies that
    each stage had in training to those seen in the file.
    """

    checkpoint: Path
    config: ReferenceConfig
    name: str = "D3.4 reference RVQ-VAE"

    @property
    def settings(self) -> tuple[int, ...]:
        """Each number of stages."""
        return tuple(range(1, self.config.stages + 1))

    def encode(self, stack: Stack, setting: int) -> bytes:
        """Encode a stack."""
        model = _load_reference(self.checkpoint, self.config)
        coder = SymbolEncoder()
        with torch.no_grad():
            vectors = model.encoder(_extended(stack, self.config.downscale, self.config.unit))
            residual = vectors.movedim(1, -1).flatten(0, -2)
            for stage in range(setting):
                codebook = model.quantizer.codebooks[stage]
                index = model.quantizer.nearest(residual, codebook)
                residual = residual - codebook[index]
                frequencies = AdaptiveFrequencies(_usage(model, stage))
                for part in np.split(index.numpy(), range(ADAPTATION, len(index), ADAPTATION)):
                    coder.encode(part, frequencies.counts())
                    frequencies.add(part)
        return bytes([setting]) + coder.finish()

    def decode(self, data: bytes, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Decode."""
        model = _load_reference(self.checkpoint, self.config)
        coder = SymbolDecoder(data[1:])
        rows, columns = (-(-n // self.config.downscale) for n in shape[1:])
        total = torch.zeros(rows * columns, self.config.channels)
        for stage in range(data[0]):
            frequencies = AdaptiveFrequencies(_usage(model, stage))
            parts = []
            for start in range(0, rows * columns, ADAPTATION):
                number = min(ADAPTATION, rows * columns - start)
                parts.append(coder.decode(number, frequencies.counts()))
                frequencies.add(parts[-1])
            total += model.quantizer.codebooks[stage][torch.as_tensor(np.concatenate(parts))]
        with torch.no_grad():
            pixels = model.decoder(total.reshape(1, rows, columns, -1).movedim(-1, 1))
        return _to_stack(pixels, self.config.unit, shape)


@cache
def trained_peers(folder: Path | None) -> tuple[Peer, ...]:
    """Return the peers whose checkpoint lies in the folder, as `<configuration>/checkpoint.pt`; name the others."""
    if folder is None:
        return ()
    known: tuple[TrainedHyperprior | TrainedReference, ...] = (
        TrainedHyperprior(
            folder / "hyperprior" / "checkpoint.pt", load_config("hyperprior").hyperprior
        ),
        TrainedReference(
            folder / "d34-reference" / "checkpoint.pt", load_config("d34-reference").reference
        ),
    )
    for peer in known:
        if not peer.checkpoint.exists():
            print(f"no {peer.checkpoint}: {peer.name} is left out")
    return tuple(peer for peer in known if peer.checkpoint.exists())


@lru_cache(maxsize=1)
def _load_hyperprior(checkpoint: Path, config: HyperpriorConfig) -> Hyperprior:
    return _load(checkpoint, Hyperprior(config))


@lru_cache(maxsize=1)
def _load_reference(checkpoint: Path, config: ReferenceConfig) -> ReferenceAutoencoder:
    return _load(checkpoint, ReferenceAutoencoder(config))


def _load(checkpoint: Path, model: Network) -> Network:
    """Load the averaged weights of a training run.

    Raises
    ------
    InputError
        They belong to another configuration.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["average"])
    except RuntimeError as error:
        raise InputError(f"{checkpoint} belongs to another configuration: {error}") from error
    return model.eval()


def _extended(stack: Stack, block: int, unit: float) -> Tensor:
    """A stack (C, H, W), extended to whole blocks, as [1, C, H', W'] in network units."""
    rows, columns = (-n % block for n in stack.shape[1:])
    pixels = np.pad(stack, ((0, 0), (0, rows), (0, columns)), mode="edge")
    return torch.as_tensor(pixels.astype(np.float32) / np.float32(unit))[None]


def _to_stack(pixels: Tensor, unit: float, shape: tuple[int, ...]) -> Stack:
    values = pixels[0, :, : shape[1], : shape[2]].numpy() * np.float32(unit)
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


def _integers(values: Tensor) -> npt.NDArray[np.int64]:
    """[1, C, h, w] -> (C, h w)."""
    return values[0].flatten(1).numpy().astype(np.int64)


def _counts(probabilities: npt.NDArray[np.float64]) -> Counts:
    """Turn probabilities (…, n) of integers into counts (…, n + 1), the last for the escape."""
    counts = 1 + np.floor(probabilities * PRECISION).astype(np.int64)
    return np.concatenate([counts, np.ones_like(counts[..., :1])], axis=-1)


@cache
def _gaussian_table(number: int) -> Counts:
    """Counts of the integers -n to n under a Gaussian of mean 0, then of the escape."""
    scale = TABLE_SCALES[number]
    reach = int(np.ceil(TAIL * scale))
    edges = (np.arange(2 * reach + 2) - reach - 0.5) / scale
    cumulated = torch.special.ndtr(torch.as_tensor(edges)).numpy()
    return _counts(np.diff(cumulated))


def _side_tables(model: Hyperprior, level: Tensor) -> Counts:
    """Counts (channels, integers and escape) of the hyperprior's latents at a level."""
    values = torch.arange(-SIDE_REACH, SIDE_REACH + 1, dtype=torch.float32)
    channels = model.config.width
    with torch.no_grad():
        probability = model.prior.probability(values.expand(1, channels, -1), level)[0]
    return _counts(probability.numpy().astype(np.float64))


def _usage(model: ReferenceAutoencoder, stage: int) -> npt.NDArray[np.float64]:
    """Share of each code of a stage: its moving-average use in training."""
    usage = model.quantizer.usage[stage].numpy().astype(np.float64)
    share: npt.NDArray[np.float64] = usage / usage.sum()
    return share


class AdaptiveFrequencies:
    """Frequencies of symbols: those given count as much as ``PRIOR_SYMBOLS`` symbols seen."""

    def __init__(self, share: npt.NDArray[np.float64]) -> None:
        self.weights = share * PRIOR_SYMBOLS

    def add(self, symbols: npt.NDArray[Any]) -> None:
        """Count symbols."""
        self.weights += np.bincount(symbols, minlength=len(self.weights))

    def counts(self) -> Counts:
        """Return the table of the symbols to come."""
        share = self.weights / self.weights.sum()
        table: Counts = 1 + np.floor(share * PRECISION).astype(np.int64)
        return table


def _runs(scale: Tensor) -> tuple[npt.NDArray[np.int64], list[tuple[int, slice]]]:
    """Order of latents by table, and each table with its run in that order."""
    between = np.sqrt(TABLE_SCALES[1:] * TABLE_SCALES[:-1])
    tables = np.searchsorted(between, scale.numpy().ravel())
    order = np.argsort(tables, kind="stable")
    ends = np.cumsum(np.bincount(tables, minlength=len(TABLE_SCALES)))
    starts = np.concatenate([[0], ends[:-1]])
    runs = enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
    return order, [(table, slice(low, high)) for table, (low, high) in runs if high > low]


def _encode_integers(coder: SymbolEncoder, values: npt.NDArray[np.int64], counts: Counts) -> None:
    reach = len(counts) // 2 - 1
    inside = np.abs(values) <= reach
    coder.encode(np.where(inside, values + reach, 2 * reach + 1), counts)
    beyond = values[~inside]
    coder.encode_unbounded(2 * (np.abs(beyond) - reach - 1) + (beyond < 0))


def _decode_integers(coder: SymbolDecoder, number: int, counts: Counts) -> npt.NDArray[np.int64]:
    reach = len(counts) // 2 - 1
    symbols = coder.decode(number, counts).astype(np.int64)
    values = symbols - reach
    escaped = symbols == 2 * reach + 1
    code = coder.decode_unbounded(int(escaped.sum()))
    values[escaped] = (reach + 1 + (code >> 1)) * np.where(code & 1, -1, 1)
    return values
