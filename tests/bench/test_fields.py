"""The comparison on fields: bounds are checked, layouts give back what they took, tables add up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from bench.fields.__main__ import CODECS
from bench.fields.bit_rounding import ZSTD, BitRounding, bit_round, real_information_bits
from bench.fields.codecs import (
    ArrayCoder,
    Coding,
    FieldCodec,
    Sperr,
    Sz3,
    Zfp,
    code_within,
    largest_error,
    smallest,
)
from bench.fields.data import Field, Values, packed_bits, source_step
from bench.fields.grib import Grib
from bench.fields.information import measure_information
from bench.fields.layouts import (
    image_layouts,
    native_layouts,
    permuted_layouts,
    volume_layouts,
)
from bench.fields.ours import Ours
from bench.fields.points import FieldPoint, level_means, measure, measure_codec
from bench.fields.quantised import QuantisedJpegXl
from bench.fields.speed import large_fields, measure_speeds
from bench.fields.tables import (
    grid_tables,
    mean_over_variables,
    ratio_table,
    rmse_ratios,
    size_ratios,
)

SHAPE = (2, 4, 16, 24)


@pytest.fixture(scope="module")
def values() -> Values:
    """Smooth waves over all axes, with a little noise."""
    time, level, row, column = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    waves = 10 * np.sin(column / 5 + time) * np.cos(row / 4) + 3 * level
    noise = np.random.default_rng(1).normal(0, 0.05, SHAPE)
    return (250 + waves + noise).astype(np.float32)


@pytest.fixture(scope="module")
def field(values: Values) -> Field:
    return Field("waves", "t", values, packed_bits=16, step=0.0)


@dataclass(frozen=True)
class Off:
    """Decodes to values that are off by a share of the bound."""

    share: float
    name: str = "off"
    bounds: tuple[float, ...] = (1e-2, 1e-3)
    bounded: bool = True

    def codings(self, values: Values, bound: float) -> Iterator[Coding]:
        yield Coding(100, values.astype(np.float64) + self.share * bound, "")


def point(size: int, rmse: float = 0.1) -> FieldPoint:
    return FieldPoint(size, 8.0, rmse, 0.1, 0.0, 0.1, "", 1.0)


@pytest.mark.parametrize(
    "codec",
    [
        Ours(),
        QuantisedJpegXl(),
        Sz3(),
        Zfp(),
        Sperr(),
        BitRounding("bit rounding", ZSTD),
        Grib("GRIB", "grid_ccsds"),
    ],
    ids=lambda codec: codec.name,
)
def test_codecs_hold_the_bound_with_fewer_bytes_than_floats(
    codec: FieldCodec, values: Values
) -> None:
    for bound in (0.5, 0.01):
        coding = smallest(codec, values, bound)
        assert coding is not None
        assert 0 < largest_error(values, coding.decoded) <= bound
        assert coding.size < 0.6 * values.nbytes


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_steps_of_a_coding_do_the_same_once_more(codec: FieldCodec, values: Values) -> None:
    large = values[:1, :2].repeat(2, 2).repeat(2, 3)  # EBCC takes no images of fewer than 32 rows
    coding = smallest(codec, large, 0.5)
    assert coding is not None
    assert coding.steps is not None
    assert np.array_equal(coding.steps.decode(coding.steps.encode()), coding.decoded)


@pytest.mark.parametrize("shape", [(2, 3, 9, 12), (1, 1, 20, 30), (1, 300, 5, 4), (3, 4, 3, 3)])
def test_quantised_integers_come_back_in_every_layout(shape: tuple[int, ...]) -> None:
    values = np.cumsum(np.random.default_rng(2).normal(0, 1, shape), axis=-1).astype(np.float32)
    codings = list(QuantisedJpegXl(efforts=(3,)).codings(values, 0.01))
    assert len(codings) >= 2
    assert len({coding.how for coding in codings}) == len(codings)
    for coding in codings:
        assert 0 < largest_error(values, coding.decoded) <= 0.01
        assert np.array_equal(coding.decoded, codings[0].decoded)


def test_ranges_of_more_than_16_bits_are_not_quantised() -> None:
    values = np.linspace(0, 1, 40_000, dtype=np.float32).reshape(1, 1, 200, 200)
    codec = QuantisedJpegXl(efforts=(3,))
    assert list(codec.codings(values, 1.01 / 2**17))
    assert not list(codec.codings(values, 0.98 / 2**17))


def test_speeds_are_of_large_fields_whose_source_suits_the_bound(field: Field) -> None:
    coarse = Field("coarse", "t", field.values, 16, step=0.01 * field.spread)
    assert large_fields([field, coarse]) == [field]
    large = Field("large", "t", np.zeros((2, 1, 400, 300), np.float32), 16, step=0.0)
    large.values[...] = np.arange(300)
    assert large_fields([field, large]) == [large]
    speeds = measure_speeds([QuantisedJpegXl(efforts=(3,)), Off(1.5)], [field], rounds=2)
    assert list(speeds) == ["quantiser + JPEG XL"]
    assert min(speeds["quantiser + JPEG XL"]) > 0


def test_grids_and_columns_are_told_apart() -> None:
    def of(name: str, shape: tuple[int, ...]) -> Field:
        return Field(name, "t", np.zeros(shape, np.float32), 16, 0.0)

    fields = [of("grid", (1, 1, 8, 9)), of("column", (4, 6, 3, 3))]
    ours = {"grid": {1e-2: point(50)}, "column": {1e-2: point(80)}}
    theirs = {"grid": {1e-2: point(100)}, "column": {1e-2: point(40)}}
    measured = {"ours": ours, "x": theirs}
    names = ["ours", "x"]
    grids, columns = grid_tables(measured, "ours", fields, names)
    assert [row[1] for row in grids.rows] == ["-50.0 % / -50.0 % (1 of 1)"]
    assert [row[1] for row in columns.rows] == ["+100.0 % / +100.0 % (0 of 1)"]
    assert grid_tables(measured, "ours", fields[:1], names) == []
    rows = ratio_table(
        measured, "ours", {"grid": "t", "column": "t"}, names, {"x": (3.0, 20.0)}
    ).rows
    assert [(row[0], row[-1]) for row in rows] == [("ours", "-"), ("x", "3.0 / 20")]


def test_a_coding_beyond_the_bound_does_not_count(values: Values) -> None:
    assert smallest(Off(1.01), values, 0.5) is None
    assert smallest(Off(0.99), values, 0.5) is not None


def test_tolerance_is_tightened_until_the_bound_holds(values: Values) -> None:
    def encode(array: np.ndarray, tolerance: float) -> bytes:
        return np.float64(1.004 * tolerance).tobytes()

    coder = ArrayCoder(encode, lambda data, like: like + np.frombuffer(data))
    coding = code_within(coder, native_layouts(SHAPE)[1], values, 0.5)
    assert coding is not None
    assert coding.tolerance == 0.995
    assert coding.size == 2 * 8
    assert code_within(coder, native_layouts(SHAPE)[0], values, 0.5, factors=(1.0,)) is None


@pytest.mark.parametrize("shape", [SHAPE, (1, 3, 8, 8), (3, 1, 5, 40), (4, 6, 3, 3), (1, 1, 9, 8)])
def test_layouts_give_back_the_field(shape: tuple[int, ...]) -> None:
    values = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    layouts = permuted_layouts(shape) + volume_layouts(shape) + image_layouts(shape, 32)
    assert len(layouts) > 2
    for layout in layouts:
        parts = layout.split(values)
        assert all(part.flags.c_contiguous for part in parts)
        assert np.array_equal(layout.join(parts, shape), values)


def test_points_are_kept_and_bounds_below_half_a_step_left_out(field: Field, tmp_path) -> None:
    coarse = Field("coarse", "t", field.values, 16, step=0.01 * field.spread)
    points = measure_codec(Off(0.5), [field, coarse], tmp_path)
    assert list(points["waves"]) == [1e-2, 1e-3]
    assert list(points["coarse"]) == [1e-2]
    assert points["waves"][1e-2].max_error == pytest.approx(0.5e-2)
    assert points["waves"][1e-2].bits == 8 * 100 / field.values.size
    assert measure_codec(Off(0.1), [field, coarse], tmp_path) == points
    assert measure_codec(Off(0.1, "new"), [field], tmp_path, kept=True) == {"waves": {}}
    again = measure_codec(Off(0.1), [field, coarse], tmp_path, again=True)
    assert again["waves"][1e-2].max_error == pytest.approx(0.1e-2)


def test_errors_of_means_and_gradients(field: Field) -> None:
    shifted = field.values.astype(np.float64)
    shifted[:, 1:] += 0.5
    found = measure(field, Coding(100, shifted, ""))
    assert found.mean_error == pytest.approx(0.5 / field.spread)
    differences = np.diff(field.values.astype(np.float64), axis=1)
    rms = math.sqrt(1 / 3) * 0.5
    assert found.gradient_error == pytest.approx(rms / math.sqrt((differences**2).mean()))


def test_level_means_weigh_rows_by_their_area() -> None:
    values = np.array([1.0, 4.0])[None, None, :, None] * np.ones((1, 1, 2, 3))
    assert level_means(values, np.array([0.0, 60.0])) == pytest.approx(np.array([[2.0]]))
    assert level_means(values, None) == pytest.approx(np.array([[2.5]]))


def test_information_is_compared_at_the_error_of_the_rounded_values(field: Field) -> None:
    packed = Field("packed", "t", field.values, 16, step=field.spread)
    [found], skipped = measure_information([field, packed], Ours())
    assert skipped == ["packed"]
    assert found.kept_bits == real_information_bits(field.values)
    rounded = bit_round(field.values, found.kept_bits)
    share = np.abs(rounded / field.values.astype(np.float64) - 1).max()
    assert found.max_relative_error == pytest.approx(share)
    assert found.zstd == len(ZSTD.encode(rounded))
    assert 0 < found.ours < field.values.nbytes


def test_bit_rounding_halves_the_error_with_every_bit(values: Values) -> None:
    for bits in (3, 8):
        share = np.abs(bit_round(values, bits) / values.astype(np.float64) - 1).max()
        assert 2.0 ** -(bits + 2) < share <= 2.0 ** -(bits + 1)


def test_step_and_bits_of_the_source(values: Values) -> None:
    rounded = np.round(values / 0.25) * np.float32(0.25)
    rounded[0, 0] = np.round(rounded[0, 0])
    assert source_step(rounded) == 1.0
    assert packed_bits("int16 scale_factor=0.001", "no lattice found") == 16
    assert packed_bits("GRIB grid_simple 12-16 bit", "2^-7 (~11.9 bit)") == 12
    assert packed_bits("none (float32)", "10^-1 (~9.2 bit)") == 10
    assert packed_bits("none (float32)", "no lattice found") == 32


def test_ratios_add_up() -> None:
    ours = {"a": {1e-2: point(50)}, "b": {1e-2: point(80)}, "c": {1e-2: point(30)}}
    theirs = {"a": {1e-2: point(100)}, "b": {1e-2: point(40)}, "c": {1e-2: point(120)}, "d": {}}
    ratios = size_ratios(ours, theirs, 1e-2)
    assert ratios == {"a": 0.5, "b": 2.0, "c": 0.25}
    variables = {"a": "t", "b": "t", "c": "q"}
    assert mean_over_variables(ratios, variables) == pytest.approx(0.5)
    table = ratio_table({"ours": ours, "theirs": theirs}, "ours", variables, ["ours", "theirs"])
    assert [row[:2] for row in table.rows] == [["theirs", "-37.0 % / -50.0 % (2 of 3)"]]


def test_bytes_at_equal_rmse_lie_between_points() -> None:
    ours = {"a": {1e-2: point(50, rmse=0.01)}, "b": {1e-2: point(50, rmse=0.5)}}
    curve = {1e-1: point(25, rmse=0.1), 1e-3: point(400, rmse=0.001)}
    found = rmse_ratios(ours, {"a": curve, "b": curve}, 1e-2)
    assert found == {"a": pytest.approx(0.5)}
