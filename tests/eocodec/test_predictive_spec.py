"""Decodes predictive layers by SPEC.md alone, sample by sample, with nothing of the decoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from eocodec.predictive import encode_predictive

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
SPATIAL = [0, 0, 7, 11]
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
    def __init__(self, layer: bytes, bands: int, height: int, width: int) -> None:
        assert layer[0] == 1
        size, used = read_varint(layer[1:])
        body = layer[1 + used :]
        self.side = iter(read_side_information(body[:size]))
        self.stream = RangeReader(body[size:])
        repeats = [self.read_repeats(), self.read_repeats()]
        rows = [row for row in range(height) if row not in repeats[0]]
        columns = [column for column in range(width) if column not in repeats[1]]
        self.shape = len(rows), len(columns)
        self.seen: set[str] = {"repeats"} if any(repeats) else set()
        self.octave_bits, self.wide = next(self.side), next(self.side)
        sides = [self.read_plane() for _ in range(bands)]
        self.tables: dict[int, list[int]] = {}
        index = -1
        for _ in range(next(self.side)):
            index += 1 + next(self.side)
            steps = [next(self.side) for _ in range(next(self.side) + 3)]
            self.tables[index] = half_counts([sum(steps[: i + 1]) for i in range(len(steps))], 0)
        assert next(self.side, None) is None
        self.out = np.zeros((bands, height, width), np.int64)
        self.levels: dict[int, list[tuple[Grid, Grid]]] = {}
        for plane in sides:
            self.seen |= {"ranks"} if plane["ranked"] else set()
            grid = self.decode_plane(plane)
            for y in range(height):
                for x in range(width):
                    thin = sum(r <= y for r in rows) - 1, sum(c <= x for c in columns) - 1
                    self.out[plane["index"], y, x] = plane["key"](grid[thin])

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

    def read_plane(self) -> dict[str, Any]:
        side = self.side
        index, low, top, ranked = (next(side) for _ in range(4))
        keys = [low]
        for _ in range(top if ranked else 0):
            keys.append(keys[-1] + next(side) + 1)
        plane: dict[str, Any] = {"index": index, "top": top, "passes": {}, "base": 0, "refs": []}
        plane["ranked"] = ranked
        plane["key"] = (lambda v: keys[v]) if ranked else (lambda v: low + v)
        if top:
            plane["base"] = next(side)
            plane["refs"] = [next(side) for _ in range(next(side))]
            for key in self.passes():
                copies, kind = divmod(next(side), 4)
                w = [next(side) for _ in range(SPATIAL[kind])]
                v = [next(side) if kind else 0 for _ in plane["refs"]]
                s = [next(side) for _ in range(8 if kind >= 2 else 1)]
                plane["passes"][key] = w + [0] * (11 - len(w)), v, s + [0] * (8 - len(s)), copies
        return plane

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
        w, v, s, copies = plane["passes"][level, phase]
        shown = [self.levels[ref][level] for ref in plane["refs"]]
        last = ((24, 48)[self.wide] - 3) << self.octave_bits
        samples = []
        for y in range(phase[0], shape[0], 2):
            for x in range(phase[1], shape[1], 2):
                spots = [(y + dy, x + dx) for dy, dx in NEIGHBOURS[phase]]
                f = [look(grid, shape, *spot) for spot in spots]
                e = [look(errors, shape, *spot) for spot in spots]
                total = (256 - sum(w)) * sum(f[:4]) + 512
                total += 4 * sum(a * b for a, b in zip(w, f[1:], strict=True))
                for weight, (values, _) in zip(v, shown, strict=True):
                    near = sum(look(values, shape, *spot) for spot in spots[:4])
                    total += weight * (4 * values[y, x] - near)
                prediction = min(max(total >> 10, 0), plane["top"])
                t = [abs(f[0] - f[1]) + abs(f[2] - f[3])]
                t.append(sum(abs(f[i] - f[i + 1]) for i in (4, 6, 8, 10)))
                t += [sum(e[:4]), sum(e[4:])]
                if shown:
                    first = shown[0][1]
                    cross = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
                    t += [first[y, x], sum(look(first, shape, *spot) for spot in cross)]
                    t.append(sum(misses[y, x] for _, misses in shown[1:]))
                scale = s[0] + sum(a * b for a, b in zip(s[1:], t, strict=False))
                scale = min(max(scale, 8), (1 << (48 if self.wide else 24)) - 1)
                octave = scale.bit_length() - 1
                part = (scale << self.octave_bits >> octave) - (1 << self.octave_bits)
                index = ((octave - 3) << self.octave_bits) + part
                matches = [
                    f[i]
                    for values, _ in shown
                    for i in range(4)
                    if copies and values[y, x] == look(values, shape, *spots[i])
                ]
                if matches:
                    self.seen.add("copies")
                    prediction, index = matches[0], last
                samples.append((index, y, x, prediction))
        samples.sort(key=lambda sample: sample[0])
        residuals = self.read_residuals([sample[0] for sample in samples], last)
        for (_, y, x, prediction), residual in zip(samples, residuals, strict=True):
            grid[y, x] = prediction + residual
            errors[y, x] = abs(residual)
            assert 0 <= grid[y, x] <= plane["top"]

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


def check(pixels: npt.NDArray[Any], *exercised: str) -> None:
    bands, height, width = pixels.shape
    layer = encode_predictive(pixels)
    decoder = SpecDecoder(layer, bands, height, width)
    assert (decoder.out == pixels).all()
    assert decoder.seen.issuperset(exercised)


@pytest.mark.parametrize("shape", [(1, 5, 1), (4, 19, 22), (2, 48, 41)])
def test_bands_decode_by_the_specification(shape: tuple[int, int, int]) -> None:
    check(textured(shape, 1).astype(np.uint16))


def test_outliers_ranks_and_repeats_decode_by_the_specification() -> None:
    pixels = textured((3, 30, 31), 2)
    pixels[0, ::7, ::6] = 60000
    pixels[1] = pixels[1] // 40 * 40
    pixels[2] = 5
    pixels[:, 9] = pixels[:, 8]
    pixels[:, :, 20:23] = pixels[:, :, 19:20]
    check(pixels.astype(np.uint16), "ranks", "repeats", "escapes")


def test_copies_decode_by_the_specification() -> None:
    pixels = textured((3, 40, 40), 3)
    rows = np.arange(40) - (np.arange(40)[:, None] + np.arange(40)) % 3 % 2
    columns = np.broadcast_to(np.arange(40)[:, None], (40, 40))
    check(pixels[:, columns, np.maximum(rows, 0)].astype(np.uint16), "copies")


def test_wide_words_decode_by_the_specification() -> None:
    pixels = textured((2, 20, 21), 4)
    pixels[0] *= 65521
    pixels[1, 3, 3] = 2**32 - 1
    check(pixels.astype(np.uint32), "plain bits", "escapes")
