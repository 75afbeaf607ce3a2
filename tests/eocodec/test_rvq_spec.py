"""Section 3.8 of SPEC.md, decoded from its text alone, down to the pixels of a learned tile.

Reads the weights file with safetensors and the layers with the range reader; of the library only the encoder and
the parser of the payload's head are used.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from safetensors import safe_open

from eocodec.codec_models import find_card
from eocodec.payload import layer_bodies, parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

from .range_reader import RangeReader, table, uniform

DATA = Path(__file__).parents[1] / "data"
RAW_BITS = [0] * 18 + [1] * 2 + [2] * 3 + [3] * 2 + [4] * 3 + [5] * 2
HEIGHT, WIDTH = 40, 30
LEVELS, ROWS, COLUMNS = 19, 20, 35

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def load_weights(name: str) -> dict[str, np.ndarray]:
    with safe_open(find_card(name).weights, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors | {name: json.loads(text) for name, text in file.metadata().items()}


def tracer() -> np.ndarray:
    """A positive, skewed field whose levels differ by orders of magnitude."""
    level, row, column = np.mgrid[:LEVELS, :ROWS, :COLUMNS]
    wave = np.sin(row / 5 + level / 7) + np.cos(column / 4 - level / 9) * np.sin(row / 3)
    noise = np.random.default_rng(4).standard_normal(level.shape)
    field = np.exp(1.5 * wave + 0.05 * noise) * 1e-9 * 2.0 ** (level / 2)
    return field.astype(np.float32)


@pytest.fixture(
    scope="module",
    params=[
        ("s2-rvq", 0.0, 3, False),
        ("s2-rvq", 1000.0, 3, False),
        ("s2-rvq", 0.5, 1, False),
        ("s2-rvq", 0.0, 3, True),
        ("cams-rvq", 0.3, 3, True),
    ],
    ids=["all tokens", "tokens left out", "one stage", "classes", "levels in classes"],
)
def case(request: pytest.FixtureRequest) -> tuple[dict, bytes]:
    """Weights and payload."""
    model, weight, stages, classes = request.param
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        pixels = dataset.read()[:, 200 : 200 + HEIGHT, 90 : 90 + WIDTH]
    if model == "cams-rvq":
        pixels = tracer()
    layers = find_card(model).token_layers + stages
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eocodec.rvq.TOKEN_WEIGHT", weight)
        patch.setattr("eocodec.rvq.CALM_TOKEN_WEIGHTS", ())
        if classes:  # also where they do not pay
            patch.setattr("eocodec.spectral_fit._FEWEST", 1)
            patch.setattr("eocodec.spectral_fit._MAP_BITS", 0)
            patch.setattr("eocodec.spectral_fit.angle_bits", lambda _: 0.0)
        settings = EncodeSettings(layers=layers, step_scale=0.6, model=model)
        return load_weights(model), encode_tile(pixels, settings)


@pytest.fixture(scope="module")
def weights(case: tuple[dict, bytes]) -> dict[str, np.ndarray]:
    return case[0]


@pytest.fixture(scope="module")
def payload(case: tuple[dict, bytes]) -> bytes:
    return case[1]


@pytest.fixture(scope="module")
def layers(payload: bytes) -> list[bytes]:
    return [bytes(body) for body in layer_bodies(payload, parse_head(payload))]


def read_unbounded(reader: RangeReader, number: int, counts: list[int] | None = None) -> list[int]:
    lengths = [reader.take(counts or uniform(31)) for _ in range(number)]
    values = [1 << m for m in lengths]
    for shift in (0, 12, 24):
        for i, m in enumerate(lengths):
            if m > shift:
                values[i] += reader.take(uniform(2 ** min(12, m - shift))) << shift
    return [value - 1 for value in values]


def read_signed(reader: RangeReader, number: int, counts: list[int] | None = None) -> np.ndarray:
    values = read_unbounded(reader, number, counts)
    return np.array([-(u + 1) // 2 if u % 2 else u // 2 for u in values])


def read_levels(reader: RangeReader) -> tuple[int, np.ndarray, np.ndarray]:
    """Roots, exponents and means."""
    roots = reader.take(uniform(4))
    return roots, np.cumsum(read_signed(reader, LEVELS)), read_signed(reader, LEVELS)


COMPONENTS = [
    [9, 58, 66, 117, 181, 194, 163, 113, 63, 35],
    [102, 100, 154, 156, 195, 140, 73, 37, 22, 21],
    [162, 314, 143, 135, 97, 67, 64, 12, 4, 4],
    [259, 336, 122, 145, 87, 29, 11, 4, 4, 4],
    [364, 378, 128, 56, 34, 20, 13, 5, 4, 4],
    [629, 238, 57, 38, 22, 8, 4, 4, 4, 4],
    [650, 246, 39, 38, 12, 4, 5, 4, 4, 4],
    [578, 294, 23, 76, 15, 6, 5, 4, 4, 4],
]
LENGTHS = [
    [348, 266, 140, 113, 68, 44, 18, 4, 4],
    [184, 222, 204, 164, 103, 65, 33, 25, 4],
    [92, 142, 173, 184, 166, 112, 86, 45, 4],
    [52, 92, 126, 181, 196, 172, 110, 71, 4],
    [29, 47, 74, 157, 175, 211, 187, 119, 4],
    [10, 27, 62, 96, 195, 218, 244, 146, 4],
    [15, 14, 75, 78, 139, 168, 302, 209, 4],
    [15, 13, 38, 104, 45, 254, 214, 317, 4],
    [48, 44, 32, 29, 21, 143, 327, 355, 4],
]
FIRST_LENGTHS = [9, 17, 32, 66, 157, 274, 291, 154, 4]
MEAN_LENGTHS = [34, 31, 37, 38, 100, 210, 176, 281, 88, 16, 8, 8, 4] + [1] * 18


def read_spectral(reader: RangeReader, bands: int, height: int, width: int) -> dict:
    """Band means in their unit, the bases (classes, 8, bands, bands), the class of each token."""
    means = read_signed(reader, bands, table(MEAN_LENGTHS))
    classes = reader.take(uniform(4)) + 1
    basis, bases, first = np.eye(bands), [], True
    for number in range(8 + 7 * (classes - 1)):
        group = number if number < 8 else (number - 8) % 7 + 1
        if number >= 8 and group == 1:
            basis = bases[0].copy()
            bases.append(basis.copy())
        j = reader.take(table(COMPONENTS[group][:bands]))
        lengths = []
        for c in range(j):
            counts = table(FIRST_LENGTHS if first else LENGTHS[min(c, 8)])
            lengths += [reader.take(counts) for _ in range(bands - 1 - c)]
        angles = []
        for length in lengths:
            v = reader.take(uniform(2**length)) if length else 0
            k = 2 ** (length - 1) + v // 2 if length else 0
            angles.append(-k if v % 2 else k)
        planes = [(i, k) for i in range(j) for k in range(bands - 1, i, -1)]
        for (c, r), k in zip(planes, angles, strict=True):
            t = k / 128
            cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
            one, two = basis[:, c].copy(), basis[:, r].copy()
            basis[:, c], basis[:, r] = cosine * one + sine * two, cosine * two - sine * one
        first = first and not j
        bases.append(basis.copy())
    marks = [read_marks(reader, height, width) for _ in range(classes - 1)]
    label = sum(marks, np.zeros((height, width), int))
    return {
        "means": means,
        "bases": np.stack(bases).reshape(classes, 8, bands, bands),
        "classes": label,
    }


def read_marks(reader: RangeReader, height: int, width: int) -> np.ndarray:
    marks = np.zeros((height, width), int)
    shares = [reader.take(uniform(8))]
    if not shares[0]:
        return marks
    shares.append(reader.take(uniform(8)))
    ones = [0, 1, 4, 12, 26, 42, 56, 63]
    tables = [table([64 - ones[a], ones[a]]) for a in shares]
    for x in range(width):
        left = marks[:, x - 1] if x else np.zeros(height, int)
        for before in (0, 1):
            for y in np.flatnonzero(left == before):
                marks[y, x] = reader.take(tables[before])
    return marks


def read_tokens(weights: dict, layers: list[bytes]) -> tuple[dict, list[np.ndarray]]:
    """What layer 1 says of the transform, and tokens (planes, rows, columns) of every stage."""
    network = weights["network"]
    deep, height, width = 1, -(-HEIGHT // 16), -(-WIDTH // 16)
    if network.get("ndim", 2) == 3:
        deep, rows = -(-LEVELS // network["bands"]), -(-ROWS // 16)
        height, width = deep * rows, -(-COLUMNS // 16)
    transform = {}
    counts, cluster = weights["tokens.counts"].astype(int), weights["tokens.cluster"]
    stages: list[np.ndarray] = []
    for i in range(weights["network"]["token_stages"]):
        reader = RangeReader(layers[i] if i else layers[i][8 + 4 :])
        grid = np.zeros((height, width), int)
        if i == 0:
            if network.get("ndim", 2) == 3:
                transform["levels"] = read_levels(reader)
            depth = -(-LEVELS // deep) if network.get("ndim", 2) == 3 else network["bands"]
            transform |= read_spectral(reader, depth, height, width)
        marks = read_marks(reader, height, width)
        if i == 0:
            first = table(counts[0].sum(axis=0).tolist())
            for y in range(height):
                grid[y, 0] = reader.take(first)
            for x in range(1, width):
                grid[:, x] = grid[:, x - 1]
                context = cluster[0][grid[:, x - 1]]
                for k in range(16):
                    for y in np.flatnonzero((context == k) & (marks[:, x] == 0)):
                        grid[y, x] = reader.take(table(counts[0, k].tolist()))
        else:
            context = cluster[i - 1][stages[-1]]
            grid[:] = weights["network"]["codebook_size"]
            for k in range(16):
                for y, x in np.argwhere((context == k) & (marks == 0)):
                    grid[y, x] = reader.take(table(counts[i, k].tolist()))
        stages.append(grid)
    return transform, [stage.reshape(deep, -1, width) for stage in stages]


def convolve(weights: dict, name: str, x: np.ndarray, low: int, high: int) -> np.ndarray:
    """Channels (inputs, planes, rows, columns) to (outputs, planes, rows, columns)."""
    weight = weights[f"{name}.weight"].astype(np.int64)
    if weight.ndim == 4:
        weight = weight[:, :, None]
    reach = [size // 2 for size in weight.shape[2:]]
    grid = x.shape[1:]
    padded = np.pad(x.astype(np.int64), ((0, 0), *((r, r) for r in reach)))
    total = np.zeros((len(weight), *grid), np.int64)
    total += weights[f"{name}.bias"].astype(np.int64)[:, None, None, None]
    for tap in np.ndindex(weight.shape[2:]):
        moved = tuple(slice(t, t + n) for t, n in zip(tap, grid, strict=True))
        total += np.einsum("oi,ipyx->opyx", weight[:, :, *tap], padded[:, *moved])
    assert np.abs(total).max() < 2**24
    scaled = total.astype(np.float32) * weights[f"{name}.multiplier"][:, None, None, None]
    return np.clip(np.rint(scaled), low, high).astype(np.int64)


def token_network(weights: dict, name: str, tokens: list[np.ndarray], limit: int) -> np.ndarray:
    embedding = np.pad(weights[f"{name}.embedding"].astype(int), ((0, 0), (0, 1), (0, 0)))
    x = np.clip(
        np.moveaxis(sum(embedding[i][grid] for i, grid in enumerate(tokens)), -1, 0), 0, 255
    )
    x = convolve(weights, f"{name}.expand", convolve(weights, f"{name}.spatial", x, 0, 255), 0, 255)
    channels, deep, height, width = x.shape
    shuffled = np.zeros((channels // 4, deep, 2 * height, 2 * width), int)
    for channel, planes in enumerate(x):
        shuffled[channel // 4, :, channel % 4 // 2 :: 2, channel % 2 :: 2] = planes
    return convolve(weights, f"{name}.project", shuffled, -limit, limit)


def pass_masks(deep: int, height: int, width: int) -> list[np.ndarray]:
    _, row, column = np.mgrid[:deep, :height, :width]
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
    q = read_escapes(reader, symbols)
    return q if low is None else q * 2**raw - 2 ** (raw - 1) + low


def read_escapes(reader: RangeReader, symbols: np.ndarray) -> np.ndarray:
    q = symbols - 15
    escaped = np.flatnonzero(symbols == 31)
    for i, u in zip(escaped, read_unbounded(reader, len(escaped)), strict=True):
        q[i] = (u // 2 + 16) * (-1 if u % 2 else 1)
    return q


class Chains:
    """Reads the chained runs of a stage."""

    NEXT = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))

    def __init__(self, latents: int) -> None:
        self.states = [0] * max(1, min(2048, latents // 256))

    def read_run(
        self, reader: RangeReader, counts: np.ndarray, number: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Symbols and quantisers of a run; counts (2, 32)."""
        tables = [table(row.tolist()) for row in counts]
        symbols, quantisers = np.zeros(number, int), np.zeros(number, int)
        for first in range(0, number, len(self.states)):
            places = range(first, min(first + len(self.states), number))
            for a in (0, 1):
                for place, state in zip(places, self.states, strict=False):
                    if state % 2 == a:
                        symbols[place], quantisers[place] = reader.take(tables[a]), a
            for c, place in enumerate(places):
                self.states[c] = self.NEXT[self.states[c]][(symbols[place] + 1) % 2]
        return read_escapes(reader, symbols), quantisers


def read_offsets(reader: RangeReader, channels: int) -> np.ndarray:
    density = reader.take(uniform(8))
    if not density:
        return np.zeros(channels, int)
    counts = [max(1, 2 ** (3 + density) // 2 ** abs(o)) for o in range(-4, 5)]
    counts[4] = 4096 - 2 ** (4 + density)
    return np.array([reader.take(table(counts)) - 4 for _ in range(channels)])


class Stage:
    """Decodes the integers of a stage, and their values in its steps."""

    def __init__(self, weights: dict, s: int, data: bytes, n: np.ndarray, r: np.ndarray) -> None:
        self.weights, self.s = weights, s
        self.reader = RangeReader(data)
        self.before = n
        self.chained = self.reader.take(uniform(2))
        offsets = read_offsets(self.reader, len(n))
        self.classes = np.clip((r + 3 * offsets[:, None, None, None] + 36) // 3, 0, 29)
        self.state = np.minimum(np.abs(n), 2)
        self.integers = 3 * n
        self.values = np.zeros(n.shape, np.float32)

    def runs(self, mask: np.ndarray) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """Class, state, raw bits and places of every run."""
        for k in range(30):
            for z in range(3):
                places = np.argwhere((self.classes == k) & (self.state == z) & mask)
                if (z or k >= self.weights["first_class"]) and len(places):
                    yield k, z, RAW_BITS[k] if z == 0 else 0, places

    def read(self, mask: np.ndarray, *, chained: bool) -> None:
        weights, n, s = self.weights, self.before, self.s
        inside = [(k >= 5 or z > 0) and not raw for k, z, raw, _ in self.runs(mask)]
        sizes = [len(places) for *_, places in self.runs(mask)]
        chains = Chains(sum(itertools.compress(sizes, inside)))
        self.chains = len(chains.states)
        for (k, z, raw, places), in_chains in zip(self.runs(mask), inside, strict=True):
            quantisers = np.zeros(len(places), int)
            counts, points = weights["tables.counts"][s, k, z], weights["tables.points"][s, k, z]
            if chained:
                counts = weights["trellis.counts"][s, k, z]
                points = weights["trellis.points"][s, k, z]
            if chained and in_chains:
                q, quantisers = chains.read_run(self.reader, counts, len(places))
            else:
                first = (counts[0] if chained else counts).tolist()
                q = read_run(self.reader, first, raw, len(places))
            for place, value, a in zip(map(tuple, places), q.tolist(), quantisers, strict=True):
                sign = -1 if n[place] < 0 else 1
                magnitude = 3 * abs(n[place]) + value
                self.integers[place] = sign * magnitude
                moved = np.float32(0)
                if abs(value) <= 15 and not raw:
                    point = (points[a] if chained else points)[value + 15]
                    moved = point - np.float32(value)
                self.values[place] = np.float32(sign) * (np.float32(magnitude) + moved)


def first_stage(stage: Stage, weights: dict, masks: list[np.ndarray]) -> np.ndarray:
    """Read stage 0; returns the prediction of the latents."""
    prediction = np.zeros(stage.values.shape, np.float32)
    height, width = prediction.shape[2:]
    channels = weights["smooth.channels"]
    step = np.float32(3)
    smooth = np.isin(np.arange(len(prediction)), channels)[:, None, None, None]
    steps = [0, 4, 4, 2, 2, 1, 1]
    for p, mask in enumerate(masks):
        b = steps[p]
        around = [(-b, -b), (-b, b), (b, -b), (b, b)]
        if p % 2 == 0:
            around = [(-b, 0), (b, 0), (0, -b), (0, b)] if p else []
        for z, y, x in np.argwhere(mask):
            inside = [
                (y + j, x + i) for j, i in around if 0 <= y + j < height and 0 <= x + i < width
            ]
            for m, c in enumerate(channels):
                total = np.float32(0)
                for j, i in inside:
                    total += prediction[c, z, j, i] + stage.values[c, z, j, i] * step
                mean = total / np.float32(max(1, len(inside)))
                prediction[c, z, y, x] = weights["smooth.weight"][p, m] * mean
        stage.read(smooth & mask, chained=False)
    stage.read(~smooth & np.ones(prediction.shape, bool), chained=bool(stage.chained))
    return prediction


def unfilter(samples: np.ndarray) -> np.ndarray:
    """Undo the filter across the edges of blocks, along the last axis but one."""
    w = [
        [2949, -2310, 423, -191],
        [1720, 2529, -1764, -23],
        [303, 1161, 3152, -992],
        [138, 89, 433, 3558],
    ]
    samples = np.rint(samples.astype(np.float64)).astype(np.int64)
    out = samples.astype(np.float64)
    for edge in range(8, samples.shape[-2], 8):
        after = [samples[..., edge + k, :] for k in range(4)]
        before = [samples[..., edge - 1 - k, :] for k in range(4)]
        for k in range(4):
            even = 4096 * (after[k] + before[k])
            odd = sum(w[k][m] * (after[m] - before[m]) for m in range(4))
            out[..., edge + k, :] = (even + odd) / 2**13
            out[..., edge - 1 - k, :] = (even - odd) / 2**13
    return out


def to_pixels(weights: dict, y: np.ndarray, transform: dict, scale: float) -> np.ndarray:
    """Latents to pixels (bands, rows, columns), in Python's integers."""
    depth = len(transform["means"])
    fixed = np.rint(y.astype(np.float64) * 2**10).astype(np.int64).reshape(len(y), -1)
    total = weights["linear.weight"].astype(np.int64) @ fixed
    channels = weights["network"]["bands"]
    coefficients = np.rint(total / 2**11).astype(np.int64).reshape(64, channels, -1)[:, :depth]
    bands = np.zeros_like(coefficients)
    planes, height, width = y.shape[1:]
    label = transform["classes"].repeat(2, axis=0).repeat(2, axis=1).ravel()
    for number, bases in enumerate(transform["bases"]):
        for f in range(64):
            matrix = np.rint(bases[max(f // 8, f % 8)] * 2**13).astype(np.int64)
            product = np.rint(matrix @ coefficients[f] / 2**13)
            bands[f] = np.where(label == number, product, bands[f])
    blocks = np.zeros((depth, planes, 8 * height, 8 * width), object)
    lengths = (226, 225, 239, 240, 247, 247, 251, 251)
    a = [256 * x / n for x, n in zip([np.sqrt(1 / 8)] + [0.5] * 7, lengths, strict=True)]
    for i in range(8):
        for j in range(8):
            total = np.zeros(bands.shape[1:], np.int64)
            for u in range(8):
                for v in range(8):
                    cosine = np.cos(np.pi * (2 * i + 1) * u / 16)
                    cosine *= np.cos(np.pi * (2 * j + 1) * v / 16)
                    total += int(np.rint(2**14 * a[u] * a[v] * cosine)) * bands[8 * u + v]
            blocks[..., i::8, j::8] = total.reshape(depth, planes, height, width)
    samples = unfilter(np.swapaxes(unfilter(blocks / 2**14), -1, -2))
    unit = weights["network"]["unit"] * scale
    means = (transform["means"] * (unit / 16))[:, None, None, None]
    pixels = np.swapaxes(samples, -1, -2) * (unit * 2.0**-12) + means
    if "levels" not in transform:
        return np.clip(np.rint(pixels[:, 0, :HEIGHT, :WIDTH]), 0, 65535).astype(np.uint16)
    roots, exponents, means = transform["levels"]
    levels = np.stack([pixels[k % depth, k // depth, :ROWS, :COLUMNS] for k in range(LEVELS)])
    levels = (levels + (means / 16)[:, None, None]) * (2.0**exponents)[:, None, None]
    assert roots
    levels = np.maximum(levels, 0)
    for _ in range(roots):
        levels = levels * levels
    return levels.astype(np.float32)


def test_pixels_follow_from_the_specification(
    request: pytest.FixtureRequest, weights: dict, payload: bytes, layers: list[bytes]
) -> None:
    transform, tokens = read_tokens(weights, layers)
    left_out = tokens[1] == weights["network"]["codebook_size"]
    if "left out" in request.node.callspec.id:
        assert left_out.any()
    if "classes" in request.node.callspec.id:
        assert np.unique(transform["classes"]).size == len(transform["bases"]) > 1
    t = token_network(weights, "scale", tokens, 96)
    masks = pass_masks(*t.shape[1:])
    for m, channel in enumerate(weights["smooth.channels"]):
        for p, mask in enumerate(masks):
            lowered = np.maximum(
                t[channel] + weights["smooth.offset"][p, m], np.minimum(t[channel], -2)
            )
            t[channel] = np.where(mask, lowered, t[channel])
    mean = token_network(weights, "mean", tokens, 32767).astype(np.float32)
    mean *= weights["mean.unit"][:, None, None, None]
    n = np.zeros(t.shape, int)
    for s, data in enumerate(layers[len(tokens) :]):
        r = t + 12 * (s - 1)
        stage = Stage(weights, s, data, n, r)
        if s:
            stage.read(np.ones(t.shape, bool), chained=bool(stage.chained))
        else:
            prediction = first_stage(stage, weights, masks)
        n = stage.integers
        step = np.float32(3.0 ** (1 - s))
        latents = mean + (stage.values * step + prediction)
        pixels = to_pixels(weights, latents, transform, float(np.float32(0.6)))
        assert np.array_equal(decode_tile(payload, len(tokens) + s + 1), pixels)
    assert stage.chained
    assert stage.chains > 1 or left_out.any()
    assert np.abs(n).max() > (20 if s else 1)


def test_pixels_of_tokens_alone_follow_from_the_specification(
    weights: dict, payload: bytes, layers: list[bytes]
) -> None:
    transform, tokens = read_tokens(weights, layers)
    for count in range(1, len(tokens) + 1):
        mean = token_network(weights, "mean", tokens[:count], 32767).astype(np.float32)
        mean *= weights["mean.unit"][:, None, None, None]
        pixels = to_pixels(weights, mean, transform, float(np.float32(0.6)))
        assert np.array_equal(decode_tile(payload, count), pixels)
