"""Decodes predictive layers by SPEC.md alone, sample by sample, with nothing of the decoder."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from eocodec.bounds import ErrorBounds
from eocodec.predictive import decode_predictive, encode_predictive

from .range_reader import RangeReader, table, uniform
from .test_range_coder_spec import read_side_information, read_varint

KNOTS = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128]
E = [1048576, 961548, 881744, 808563, 741455, 679917, 623487, 571740]
FAR = [(-1, -2), (1, 2), (-1, 2), (1, -2)]
NEIGHBOURS = {
    (1, 1): [
        *((-1, -1), (1, 1), (-1, 1), (1, -1), (-1, -3), (1, 3), (-1, 3), (1, -3)),
        *((-3, -1), (3, 1), (-3, 1), (3, -1)),
    ],
    (0, 1): [(0, -1), (0, 1), (-1, 0), (1, 0), (-2, -1), (2, 1), (-2, 1), (2, -1), *FAR],
    (1, 0): [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1), *FAR],
}
PAIRS = [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)]
PAIRS += [(1, 2), (1, -2), (2, 1), (2, -1), (2, 2), (2, -2), (0, 3), (3, 0)]
KINDS = [(0, 0, 1), (0, 1, 1), (7, 1, 9), (11, 1, 9), (11, 7, 9), (11, 15, 9)]
Grid = dict[tuple[int, int], int]


def look(grid: Grid, shape: tuple[int, int], row: int, column: int) -> int:
    """Return the value at a position, or the nearest one of the same phase outside the grid."""
    place = []
    for at, length in ((row, shape[0]), (column, shape[1])):
        if length <= at % 2:
            return 0
        last = (length - 1 - at % 2) // 2 * 2 + at % 2
        place.append(min(max(at, at % 2), last))
    return grid[place[0], place[1]]


def half_counts(levels: list[int], slope: int) -> list[int]:
    if levels:
        knots = KNOTS[: len(levels) - 1]
        falls = []
        for a, b, va, vb in zip(knots, knots[1:], levels, levels[1:], strict=False):
            falls += [(va * (b - a - j) + vb * j) // (b - a) for j in range(b - a)]
        falls += levels[-2:]
    else:
        top = 129
        while top > 3 and (top - 2) * slope >= 160 * 64:
            top -= 1
        falls = [min(160, (size * slope) >> 6) for size in range(top + 1)]
    return [max(1, E[fall % 8] >> fall // 8) for fall in falls]


class SpecDecoder:
    def __init__(
        self, layer: bytes, shape: tuple[int, int, int], learned: npt.NDArray[Any] | None
    ) -> None:
        assert layer[0] == 2
        size, used = read_varint(layer[1:])
        body = layer[1 + used :]
        self.side = iter(read_side_information(body[:size]))
        self.stream = RangeReader(body[size:])
        period = next(self.side)
        self.seen: set[str] = {"fold"} if period else set()
        bands, height, width = shape
        if period:
            bands, height, width = height * width, bands // period, period
        self.bands = bands
        repeats = [self.read_repeats(), self.read_repeats()]
        rows = [row for row in range(height) if row not in repeats[0]]
        columns = [column for column in range(width) if column not in repeats[1]]
        self.shape = len(rows), len(columns)
        self.seen |= {"repeats"} if any(repeats) else set()
        if learned is not None:
            learned = learned[:, rows][:, :, columns]
        self.octave_bits, self.wide = next(self.side), next(self.side)
        self.taper = [16] + [next(self.side) for _ in range(3)]
        self.seen |= {"taper"} if min(self.taper) < 16 else set()
        self.labels = [self.read_pattern() for _ in range(next(self.side))]
        self.seen |= {"copies"} if self.labels else set()
        sides: list[dict[str, Any]] = []
        for _ in range(bands):
            sides.append(self.read_plane(sides))
        self.tables: dict[int, list[int]] = {}
        index = -1
        for _ in range(next(self.side)):
            index += 1 + next(self.side)
            steps = [next(self.side) for _ in range(next(self.side) + 3)]
            self.tables[index] = half_counts([sum(steps[: i + 1]) for i in range(len(steps))], 0)
        assert next(self.side, None) is None
        self.out = np.zeros((bands, height, width))
        self.levels: dict[int, list[tuple[Grid, Grid | None]]] = {}
        for plane in sides:
            self.seen.add(f"form {plane['form']}")
            index = plane["index"]
            if learned is not None:
                self.learn(bands + index, plane, learned[index])
            grid = None if plane["form"] == 3 else self.decode_plane(plane)
            for y in range(height):
                for x in range(width):
                    thin = sum(r <= y for r in rows) - 1, sum(c <= x for c in columns) - 1
                    value = learned[index][thin] if grid is None else plane["value"](grid[thin])
                    self.out[index, y, x] = value
        if period:
            unfolded = np.zeros(shape)
            for c, y, x in np.ndindex(*shape):
                unfolded[c, y, x] = self.out[y * shape[2] + x, c // period, c % period]
            self.out = unfolded

    def learn(self, number: int, plane: dict[str, Any], samples: npt.NDArray[Any]) -> None:
        """Note the learned plane of unsigned samples at every level."""
        if plane["form"] == 3:
            return
        height, width = self.shape
        values = [plane["value"](v) for v in range(plane["top"] + 1)] if plane["ranked"] else []
        self.levels[number] = []
        for level in range(len(self.shapes()) - 1):
            grid = {}
            for y in range(0, height, 1 << level):
                for x in range(0, width, 1 << level):
                    key = int(samples[y, x])
                    value = key - plane["low"]
                    if values:
                        value = sum(other < key for other in values)
                    grid[y >> level, x >> level] = min(max(value, 0), plane["top"])
            self.levels[number].append((grid, None))

    def read_pattern(self) -> Grid:
        height, width = self.shape
        flags = []
        for lines, size in ((height, width), (width, height)):
            plane, place = [0] * (lines * size), -1
            for _ in range(next(self.side)):
                place += next(self.side) + 1
                plane[place] = 1
            for at in range(size, lines * size):
                plane[at] ^= plane[at - size]
            flags.append(plane)
        horizontal = [flags[0][y * width : (y + 1) * width] for y in range(height)]
        vertical = [[flags[1][x * height + y] for x in range(width)] for y in range(height)]
        labels = {}
        for y in range(height):
            for x in range(width):
                column = max([c for c in range(x + 1) if not horizontal[y][c]], default=0)
                row = max([r for r in range(y + 1) if not vertical[r][column]], default=0)
                labels[y, x] = row * width + column
        return labels

    def read_repeats(self) -> list[int]:
        out: list[int] = []
        for _ in range(next(self.side)):
            out.append((out[-1] if out else 0) + next(self.side) + 1)
        return out

    def shapes(self) -> list[tuple[int, int]]:
        out = [self.shape]
        while out[-1] != (1, 1):
            out.append(((out[-1][0] + 1) // 2, (out[-1][1] + 1) // 2))
        return out

    def passes(self) -> list[tuple[int, tuple[int, int]]]:
        shapes = self.shapes()
        return [
            (level, phase)
            for level in reversed(range(len(shapes) - 1))
            for phase in ((1, 1), (0, 1), (1, 0))
            if shapes[level][0] > phase[0] and shapes[level][1] > phase[1]
        ]

    def read_plane(self, before: list[dict[str, Any]]) -> dict[str, Any]:
        side = self.side
        last = before[-1]["index"] if before else -1
        plane: dict[str, Any] = {"index": last + 1 + next(side), "passes": {}, "refs": []}
        form = plane["form"] = next(side)
        if form == 3:
            return plane
        plane |= self.read_map(form, [other for other in before if other["form"] != 3])
        self.seen |= {"near"} if plane["near"] else set()
        if plane["top"]:
            coded = [other for other in before if other["form"] != 3 and other["top"]]
            plane["base"] = next(side) + (coded[-1]["base"] if coded else 0)
            plane["pattern"] = next(side)
            plane["refs"] = [plane["index"] - next(side) for _ in range(next(side))]
            self.seen |= {"learned"} if max(plane["refs"], default=0) >= self.bands else set()
            donor = next(side)
            constant = 0
            for key in self.passes():
                code = next(side)
                if donor:
                    assert len(coded[-donor]["refs"]) == len(plane["refs"])
                    self.seen.add("donor")
                    if code == 0:
                        plane["passes"][key] = coded[-donor]["passes"][key]
                        constant = plane["passes"][key][3]
                        continue
                    code -= 1
                spatial, details, scales = KINDS[code]
                number = spatial + details * len(plane["refs"])
                shift = next(side) if number else 0
                w = [next(side) * 2**shift for _ in range(number)]
                s = [next(side) for _ in range(scales)]
                constant = s[0] = s[0] + constant
                s = [i if i < 8 else (4 + i % 4) * 2 ** (i // 4 - 1) for i in s]
                self.seen.add(f"details {details}")
                v = [w[spatial + details * i :][:details] for i in range(len(plane["refs"]))]
                w = w[:spatial] + [0] * (11 - spatial)
                plane["passes"][key] = w, v, s + [0] * (9 - scales), constant
        return plane

    def read_map(self, form: int, before: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what the form says of a plane; `before` are those with a map."""
        side = self.side
        if form == 6:
            same = ("low", "top", "near", "ranked", "grid", "value")
            return {key: before[-1][key] for key in same} | {"base": 0}
        if form == 7:
            return self.read_levels(before)
        low, top, near = [next(side) for _ in range(3)]
        out: dict[str, Any] = {"low": low, "top": top, "near": near, "base": 0}
        out["ranked"] = form in (1, 4)
        out["grid"] = next((other["grid"] for other in before[::-1] if other["grid"]), None)
        out["value"] = lambda v: low + v
        if out["ranked"]:
            keys, gap = [low], 0
            for _ in range(top):
                gap = next(side) + (gap if form == 4 else 0)
                keys.append(keys[-1] + gap + 1)
            out["value"] = lambda v: keys[v]
        if form == 2:
            out["grid"] = self.read_doubles()
        if form in (2, 5):
            start, step = out["grid"]
            out["value"] = lambda v: start + step * (low + v)
        else:
            out["grid"] = None
        return out

    def read_levels(self, before: list[dict[str, Any]]) -> dict[str, Any]:
        first = next((other for other in before if other["form"] == 7), None)
        if first is not None:
            self.seen.add("levels again")
            same = ("low", "top", "near", "ranked", "grid", "value")
            return {key: first[key] for key in same} | {"base": 0}
        signs, count, near = [next(self.side) for _ in range(3)]
        start, ratio = self.read_doubles()
        sizes = [start]
        for _ in range(count - 1):
            sizes.append(sizes[-1] * ratio)
        levels = [-size for size in sizes[::-1]] if signs & 1 else []
        levels += [0.0] * (signs >> 1 & 1) + (sizes if signs & 4 else [])
        out: dict[str, Any] = {"low": None, "top": len(levels) - 1, "near": near, "ranked": True}
        return out | {"base": 0, "grid": None, "value": lambda v: levels[v]}

    def read_doubles(self) -> tuple[float, float]:
        first, second = struct.unpack(
            ">dd", struct.pack(">8H", *(next(self.side) for _ in range(8)))
        )
        return first, second

    def decode_plane(self, plane: dict[str, Any]) -> Grid:
        shapes = self.shapes()
        grid: Grid = {(0, 0): plane["base"]}
        errors: Grid = {(0, 0): 0}
        if not plane["top"]:
            return {(y, x): 0 for y in range(self.shape[0]) for x in range(self.shape[1])}
        kept: list[Any] = [None] * len(shapes)
        for level in reversed(range(len(shapes) - 1)):
            grid = {(2 * y, 2 * x): value for (y, x), value in grid.items()}
            errors = {(2 * y, 2 * x): value for (y, x), value in errors.items()}
            for at, phase in self.passes():
                if at == level:
                    self.decode_pass(plane, level, phase, shapes[level], grid, errors)
            kept[level] = grid, errors
        self.levels[plane["index"]] = kept
        return grid

    def decode_pass(
        self,
        plane: dict[str, Any],
        level: int,
        phase: tuple[int, int],
        shape: tuple[int, int],
        grid: Grid,
        errors: Grid,
    ) -> None:
        w, v, s, _ = plane["passes"][level, phase]
        shown = [self.levels[ref][level] for ref in plane["refs"]]
        missed = [errors for _, errors in shown if errors is not None]
        labels = None
        if plane["pattern"]:
            every = self.labels[plane["pattern"] - 1]
            labels = {
                (y, x): every[y << level, x << level]
                for y in range(shape[0])
                for x in range(shape[1])
            }
        last = ((24, 48)[self.wide] - 3) << self.octave_bits
        near = plane["near"] * self.taper[min(level, 3)] // 16
        step = 2 * near + 1
        samples = []
        for y in range(phase[0], shape[0], 2):
            for x in range(phase[1], shape[1], 2):
                spots = [(y + dy, x + dx) for dy, dx in NEIGHBOURS[phase]]
                f = [look(grid, shape, *spot) for spot in spots]
                e = [look(errors, shape, *spot) for spot in spots]
                total = (256 - sum(w)) * sum(f[:4]) + 512
                total += 4 * sum(a * b for a, b in zip(w, f[1:], strict=True))
                learned_detail = 0
                for weights, (values, misses) in zip(v, shown, strict=True):
                    around = sum(look(values, shape, *spot) for spot in spots[:4])
                    detail = [4 * values[y, x] - around]
                    for dy, dx in PAIRS:
                        pair = look(values, shape, y + dy, x + dx)
                        detail.append(2 * (pair + look(values, shape, y - dy, x - dx)) - around)
                    total += sum(a * b for a, b in zip(weights, detail, strict=False))
                    learned_detail = abs(detail[0]) if misses is None else learned_detail
                prediction = min(max(total >> 10, 0), plane["top"])
                t = [abs(f[0] - f[1]) + abs(f[2] - f[3])]
                t.append(sum(abs(f[i] - f[i + 1]) for i in (4, 6, 8, 10)))
                t += [sum(e[:4]), sum(e[4:]), 0, 0, 0, learned_detail]
                if missed:
                    cross = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                    t[4] = missed[0][y, x]
                    t[5] = sum(look(missed[0], shape, *spot) for spot in cross)
                    t[6] = sum(misses[y, x] for misses in missed[1:])
                scale = (s[0] + sum(a * b for a, b in zip(s[1:], t, strict=True))) // step
                scale = min(max(scale, 8), (1 << (48 if self.wide else 24)) - 1)
                octave = scale.bit_length() - 1
                part = (scale << self.octave_bits >> octave) - (1 << self.octave_bits)
                index = ((octave - 3) << self.octave_bits) + part
                if labels is not None:
                    same = [look(labels, shape, *spot) == labels[y, x] for spot in spots[:4]]
                    if any(same):
                        prediction, index = f[same.index(True)], last
                samples.append((index, y, x, prediction))
        samples.sort(key=lambda sample: sample[0])
        residuals = self.read_residuals([sample[0] for sample in samples], last)
        for (_, y, x, prediction), residual in zip(samples, residuals, strict=True):
            value = prediction + residual * step
            assert near or 0 <= value <= plane["top"]
            grid[y, x] = min(max(value, 0), plane["top"])
            errors[y, x] = abs(residual * step)

    def read_residuals(self, classes: list[int], last: int) -> list[int]:
        values, plain, escaped = [], [], []
        for position, index in enumerate(classes):
            octave = 3 if index == last else (index >> self.octave_bits) + 3
            part = 0 if index == last else index % (1 << self.octave_bits)
            least = ((1 << self.octave_bits) + part) << octave >> self.octave_bits
            plain.append(max(0, octave - 11))
            half = self.tables.get(index) or half_counts([], 189091 // (least >> plain[-1]))
            top = len(half) - 1
            values.append(
                self.stream.take(table(half[:0:-1] + half)) - top,
            )
            if plain[-1]:
                self.seen.add("plain bits")
            if abs(values[-1]) == top:
                self.seen.add("escapes")
                escaped.append(position)
        if self.wide:
            lows = [self.stream.take(uniform(65536)) for _ in escaped]
            more = [a + (b << 16) for a, b in zip(lows, self.unbounded(escaped), strict=True)]
        else:
            more = self.unbounded(escaped)
        for position, extra in zip(escaped, more, strict=True):
            values[position] += extra if values[position] > 0 else -extra
        low = self.plain_bits(plain)
        return [
            (value << z) + bits - (1 << z >> 1)
            for value, z, bits in zip(values, plain, low, strict=True)
        ]

    def unbounded(self, positions: list[int]) -> list[int]:
        lengths = [self.stream.take(uniform(31)) for _ in positions]
        low = self.plain_bits(lengths)
        return [(1 << m) + bits - 1 for m, bits in zip(lengths, low, strict=True)]

    def plain_bits(self, sizes: list[int]) -> list[int]:
        out = [0] * len(sizes)
        for shift in (0, 12, 24, 36):
            for position, size in enumerate(sizes):
                bits = min(12, size - shift)
                if bits > 0:
                    out[position] += self.stream.take(uniform(1 << bits)) << shift
        return out


def textured(shape: tuple[int, int, int], seed: int) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    ground = 900 + 300 * np.sin(x / 5) + 200 * np.cos(y / 4) + rng.normal(0, 9, shape[1:])
    out = ground * np.linspace(0.6, 1.4, shape[0])[:, None, None] + rng.normal(0, 4, shape)
    return out.astype(np.int64)


def check(
    pixels: npt.NDArray[Any],
    *exercised: str,
    bounds: ErrorBounds | None = None,
    learned: npt.NDArray[Any] | None = None,
) -> None:
    bands, height, width = pixels.shape
    shape = (bands, height, width)
    layer = encode_predictive(pixels, None, bounds, learned)
    decoder = SpecDecoder(layer, shape, learned)
    wanted = pixels
    if bounds is not None:
        wanted = decode_predictive(layer, pixels.dtype, shape, None, learned)
    assert (decoder.out.astype(pixels.dtype) == wanted).all()
    assert decoder.seen.issuperset(exercised)


@pytest.mark.parametrize("shape", [(1, 5, 1), (4, 19, 22), (2, 48, 41)])
def test_bands_decode_by_the_specification(shape: tuple[int, int, int]) -> None:
    check(textured(shape, 1).astype(np.uint16))


def test_wide_windows_decode_by_the_specification() -> None:
    ground = textured((1, 100, 100), 5)[0]
    around = ground + np.roll(ground, 2, 0) + np.roll(ground, -2, 0) + np.roll(ground, 1, (0, 1))
    check(np.stack([ground, around // 2]).astype(np.uint16), "details 15")


def test_outliers_ranks_and_repeats_decode_by_the_specification() -> None:
    pixels = textured((3, 30, 31), 2)
    pixels[0, ::7, ::6] = 60000
    pixels[1] = pixels[1] // 40 * 40
    pixels[2] = 5
    pixels[:, 9] = pixels[:, 8]
    pixels[:, :, 20:23] = pixels[:, :, 19:20]
    check(pixels.astype(np.uint16), "form 4", "repeats", "escapes")


def test_copies_decode_by_the_specification() -> None:
    pixels = textured((3, 40, 40), 3)
    rows = (np.arange(40)[:, None] * 3 + np.arange(40) // 20) // 5
    columns = (np.arange(40) * 3 + np.arange(40)[:, None] // 16) // 5
    check(pixels[:, rows, columns].astype(np.uint16), "copies")


def test_wide_words_decode_by_the_specification() -> None:
    pixels = textured((2, 20, 21), 4)
    pixels[0] *= 65521
    pixels[1, 3, 3] = 2**32 - 1
    check(pixels.astype(np.uint32), "plain bits", "escapes")


def test_bounds_decode_by_the_specification() -> None:
    pixels = textured((3, 40, 41), 6)
    check(pixels.astype(np.uint16), "near", "form 0", bounds=ErrorBounds((3.0, 0.0, 40.0)))
    relative = ErrorBounds((None,) * 3, relative=0.02)
    check(pixels.astype(np.uint16), "form 4", bounds=relative)
    floats = (pixels / np.float32(7)).astype(np.float32)
    check(floats, "near", "form 2", "form 6", bounds=ErrorBounds((0.7,) * 3))
    floats[0], floats[1, 0, 0] = 50, 100
    check(floats, "form 2", "form 5", "form 6", bounds=ErrorBounds((0.7,) * 3))


def test_shared_parameters_decode_by_the_specification() -> None:
    levels = np.cumsum(textured((9, 15, 14), 8), axis=0) / np.float32(900)
    check(levels.astype("f4"), "donor", "form 6", bounds=ErrorBounds((0.01,) * 9))


def test_folded_columns_decode_by_the_specification() -> None:
    columns = textured((36, 2, 3), 9).reshape(3, 12, 2, 3) + 40 * np.arange(12)[:, None, None]
    check(columns.reshape(36, 2, 3).astype(np.uint16), "fold")
    floats = (columns.reshape(36, 2, 3) / np.float32(7)).astype(np.float32)
    check(floats, "fold", bounds=ErrorBounds((2.0,) * 36))


def test_geometric_levels_decode_by_the_specification() -> None:
    relative = ErrorBounds((None,) * 3, relative=0.01)
    tracer = np.exp(textured((3, 24, 25), 10) / np.float32(200)).astype(np.float32)
    check(tracer, "form 7", "levels again", "near", bounds=relative)
    tracer[:, 3:9, 4:7] = 0
    tracer[1] *= -1
    check(tracer, "form 7", "levels again", bounds=relative)


def test_lossless_floats_on_a_lattice_decode_by_the_specification() -> None:
    packed = textured((2, 24, 25), 11)
    check((3 + packed * 0.25).astype(np.float32), "form 2", "form 5")


def test_tapered_bounds_decode_by_the_specification() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:40, :48] / 20
    ground = sum(np.sin(3 * rng.normal() * x + 3 * rng.normal() * y + k) for k in range(5))
    levels = [ground * (1 + 0.1 * level) + 0.3 * np.sin(level + 2 * x) for level in range(3)]
    check(np.stack(levels).astype("f4"), "taper", bounds=ErrorBounds((0.1,) * 3))


def test_a_guarantee_layer_decodes_by_the_specification() -> None:
    pixels = textured((3, 40, 41), 7)
    learned = ((pixels + 20) // 40 * 40).astype(np.uint16)
    pixels[2] = pixels[2] // 30 * 30
    check(pixels.astype(np.uint16), "learned", learned=learned)
    bounds = ErrorBounds((2.0, None, 5.0))
    check(pixels.astype(np.uint16), "learned", "form 3", bounds=bounds, learned=learned)
