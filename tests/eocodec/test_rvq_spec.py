"""Section 3.8 of SPEC.md, decoded from its text alone: symbols, log-scales and integers of a learned tile.

Reads the weights file with safetensors and the layers with the range reader; of the library only the encoder and
the parser of the payload's head are used.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from safetensors import safe_open

from eocodec.codec_models import find_card
from eocodec.entropy import SymbolDecoder
from eocodec.model import load_model
from eocodec.payload import layer_bodies, parse_head
from eocodec.rvq import _decode_refinement
from eocodec.spectral import SpectralTransform
from eocodec.tile import EncodeSettings, encode_tile

from .range_reader import RangeReader, table, uniform

DATA = Path(__file__).parents[1] / "data"
RAW_BITS = [0] * 18 + [1] * 2 + [2] * 3 + [3] * 2 + [4] * 3 + [5] * 2
HEIGHT, WIDTH = 40, 30

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    with safe_open(find_card().weights, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors | {name: json.loads(text) for name, text in file.metadata().items()}


@pytest.fixture(scope="module")
def layers() -> list[bytes]:
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        pixels = dataset.read()[:, 200 : 200 + HEIGHT, 90 : 90 + WIDTH]
    payload = encode_tile(
        pixels, EncodeSettings(layers=find_card().token_layers + 3, step_scale=0.6)
    )
    return [bytes(body) for body in layer_bodies(payload, parse_head(payload))]


def read_unbounded(reader: RangeReader, number: int) -> list[int]:
    lengths = [reader.take(uniform(31)) for _ in range(number)]
    values = [1 << m for m in lengths]
    for shift in (0, 12, 24):
        for i, m in enumerate(lengths):
            if m > shift:
                values[i] += reader.take(uniform(2 ** min(12, m - shift))) << shift
    return [value - 1 for value in values]


def read_spectral(reader: RangeReader) -> tuple[np.ndarray, np.ndarray]:
    """Band means in their unit, and the bases (8, 10, 10)."""
    means = np.array([-(u + 1) // 2 if u % 2 else u // 2 for u in read_unbounded(reader, 10)])
    components = [reader.take(uniform(10)) for _ in range(8)]
    tables = [
        table([38, 58, 62, 90, 120, 150, 190, 240, 60]),
        table([410, 250, 190, 130, 110, 80, 50, 26, 6]),
    ]
    basis, bases, first = np.eye(10), [], True
    for j in components:
        if j:
            planes = [(i, k) for i in range(j) for k in range(9, i, -1)]
            lengths = [reader.take(tables[0 if first else 1]) for _ in planes]
            angles = []
            for length in lengths:
                v = reader.take(uniform(2**length)) if length else 0
                k = 2 ** (length - 1) + v // 2 if length else 0
                angles.append(-k if v % 2 else k)
            for (c, r), k in zip(planes, angles, strict=True):
                angle = 2 * np.arctan(k / 128)
                basis[:, [c, r]] = basis[:, [c, r]] @ [
                    [np.cos(angle), -np.sin(angle)],
                    [np.sin(angle), np.cos(angle)],
                ]
            first = False
        bases.append(basis.copy())
    return means, np.stack(bases)


def read_tokens(
    weights: dict, layers: list[bytes]
) -> tuple[tuple[np.ndarray, np.ndarray], list[np.ndarray]]:
    height, width = -(-HEIGHT // 16), -(-WIDTH // 16)
    counts, cluster = weights["tokens.counts"].astype(int), weights["tokens.cluster"]
    stages: list[np.ndarray] = []
    for i in range(weights["network"]["token_stages"]):
        reader = RangeReader(layers[i] if i else layers[i][8 + 4 :])
        grid = np.zeros((height, width), int)
        if i == 0:
            spectral = read_spectral(reader)
            first = table(counts[0].sum(axis=0).tolist())
            for y in range(height):
                grid[y, 0] = reader.take(first)
            for x in range(1, width):
                context = cluster[0][grid[:, x - 1]]
                for k in sorted(set(context.tolist())):
                    for y in np.flatnonzero(context == k):
                        grid[y, x] = reader.take(table(counts[0, k].tolist()))
        else:
            context = cluster[i - 1][stages[-1]]
            for k in sorted(set(context.ravel().tolist())):
                for y, x in np.argwhere(context == k):
                    grid[y, x] = reader.take(table(counts[i, k].tolist()))
        stages.append(grid)
    return spectral, stages


def convolve(weights: dict, name: str, x: np.ndarray, low: int, high: int) -> np.ndarray:
    weight = weights[f"{name}.weight"].astype(np.int64)
    reach = weight.shape[2] // 2
    height, width = x.shape[1:]
    padded = np.pad(x.astype(np.int64), ((0, 0), (reach, reach), (reach, reach)))
    total = np.broadcast_to(
        weights[f"{name}.bias"].astype(np.int64)[:, None, None], (len(weight), height, width)
    ).copy()
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            total += np.einsum(
                "oi,iyx->oyx", weight[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width]
            )
    assert np.abs(total).max() < 2**24
    scaled = total.astype(np.float32) * weights[f"{name}.multiplier"][:, None, None]
    return np.clip(np.rint(scaled), low, high).astype(np.int64)


def log_scales(weights: dict, tokens: list[np.ndarray]) -> np.ndarray:
    summed = sum(weights["scale.embedding"].astype(int)[i][grid] for i, grid in enumerate(tokens))
    x = np.clip(np.moveaxis(summed, -1, 0), 0, 255)
    x = convolve(weights, "scale.expand", convolve(weights, "scale.spatial", x, 0, 255), 0, 255)
    shuffled = np.zeros((len(x) // 4, 2 * x.shape[1], 2 * x.shape[2]), int)
    for channel, plane in enumerate(x):
        shuffled[channel // 4, channel % 4 // 2 :: 2, channel % 2 :: 2] = plane
    return convolve(weights, "scale.project", shuffled, -96, 96)


def pass_masks(height: int, width: int) -> list[np.ndarray]:
    row, column = np.mgrid[:height, :width]
    masks = [(row % 8 == 0) & (column % 8 == 0)]
    for a in (8, 4, 2):
        b = a // 2
        masks.append((row % a == b) & (column % a == b))
        masks.append(((row % a == b) & (column % a == 0)) | ((row % a == 0) & (column % a == b)))
    return masks


def read_run(reader: RangeReader, counts: list[int], raw: int, number: int) -> np.ndarray:
    cumulative = table(counts)
    symbols = np.array([reader.take(cumulative) for _ in range(number)])
    low = np.array([reader.take(uniform(2**raw)) for _ in range(number)]) if raw else None
    q = symbols - 15
    escaped = np.flatnonzero(symbols == 31)
    for i, u in zip(escaped, read_unbounded(reader, len(escaped)), strict=True):
        q[i] = (u // 2 + 16) * (-1 if u % 2 else 1)
    return q if low is None else q * 2**raw - 2 ** (raw - 1) + low


def read_stage(
    weights: dict, s: int, data: bytes, n: np.ndarray, r: np.ndarray, masks: list[np.ndarray]
) -> np.ndarray:
    reader = RangeReader(data)
    classes = np.clip((r + 36) // 3, 0, 29)
    state = np.minimum(np.abs(n), 2)
    out = 3 * n
    for mask in masks:
        for k in range(30):
            for z in range(3):
                places = np.argwhere((classes == k) & (state == z) & mask)
                if (z == 0 and k < weights["first_class"]) or not len(places):
                    continue
                counts = weights["tables.counts"][s, k, z].tolist()
                q = read_run(reader, counts, RAW_BITS[k] if z == 0 else 0, len(places))
                for (c, y, x), value in zip(places, q, strict=True):
                    sign = -1 if n[c, y, x] < 0 else 1
                    out[c, y, x] = sign * (3 * abs(n[c, y, x]) + value)
    return out


def test_symbols_of_every_stage_follow_from_the_specification(
    weights: dict, layers: list[bytes]
) -> None:
    _, tokens = read_tokens(weights, layers)
    t = log_scales(weights, tokens)
    masks = pass_masks(*t.shape[1:])
    for m, channel in enumerate(weights["smooth.channels"]):
        for p, mask in enumerate(masks):
            lowered = np.maximum(
                t[channel] + weights["smooth.offset"][p, m], np.minimum(t[channel], -2)
            )
            t[channel] = np.where(mask, lowered, t[channel])
    n = np.zeros(t.shape, int)
    smooth = np.isin(np.arange(len(t)), weights["smooth.channels"])[:, None, None]
    parts = [smooth & mask for mask in masks] + [~smooth & np.ones(t.shape, bool)]
    everywhere = [np.ones(t.shape, bool)]
    for s, data in enumerate(layers[len(tokens) :]):
        r = t + 12 * (s - 1)
        if s:
            clipped = np.clip(r, -48, 48)
            x = np.concatenate([np.minimum(np.abs(n), 7), clipped])
            x = convolve(weights, "context.enter", x, 0, 255)
            x = convolve(weights, "context.spatial", x, 0, 255)
            r = clipped + convolve(weights, "context.leave", x, -48, 48)
        n = read_stage(weights, s, data, n, r, everywhere if s else parts)

    model = load_model()
    indices = np.stack(tokens).astype(np.int32)
    values = _decode_refinement(model, indices, layers[len(tokens) :])
    assert np.abs(n).max() > 20
    # The integers tell each latent of the residual to within a step of the last stage, but for the prediction.
    rough = np.ones(len(n), bool)
    rough[weights["smooth.channels"]] = False
    step = 3.0 ** (len(tokens) + 2 - len(layers))
    assert np.abs(values[rough] - n[rough] * step).max() < step
    assert np.array_equal(values[rough] == 0, n[rough] == 0)


def test_spectral_transform_follows_from_the_specification(
    weights: dict, layers: list[bytes]
) -> None:
    (means, bases), _ = read_tokens(weights, layers)
    unit = weights["network"]["unit"] * 0.6 / 16
    transform = SpectralTransform.decode(SymbolDecoder(layers[0][8 + 4 :]), 10, unit)
    assert np.abs(transform.centre - means * unit).max() < 0.01
    assert np.abs(transform.bases - bases).max() < 1e-5
    assert np.abs(bases[3] - bases[0]).max() > 0.05
