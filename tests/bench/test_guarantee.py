"""The comparison within error bounds: every codec keeps its bound, tables tell sizes and differences."""

import json

import imagecodecs
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bench.guarantee import codecs
from bench.guarantee.__main__ import main
from bench.guarantee.codecs import (
    BOUNDED,
    LOSSLESS,
    OURS,
    QUANTISED,
    BoundedCodec,
    jpegxl,
    quantised,
)
from bench.guarantee.likeness import alike, to_bands, to_planes
from bench.guarantee.measure import AtBound, Measured, measure, native, read_rasters, timed
from bench.guarantee.tables import all_tables, calm_table, mean_table, raster_table
from bench.report import README_END, readme_begin
from bench.scenes import CALM_SCENE


@pytest.fixture
def stack():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:70, :80]
    ground = 900 + 300 * np.sin(x / 15) + 200 * np.cos(y / 11) + rng.normal(0, 12, (70, 80))
    gains = np.linspace(0.7, 1.3, 4)[:, None, None]
    return (ground * gains + rng.normal(0, 4, (4, 70, 80))).astype(np.uint16)


def as_measured(bpppb, pixels=250_000, encoding=0.5, decoding=0.25):
    return Measured(pixels, 2_000_000, 1, bpppb, encoding, decoding)


def at_bound(bound, **bits):
    """Codecs by name with their bits on the rasters a.10m and b.20m."""
    names = {"ours": OURS, "own_quantiser": QUANTISED}
    found = {
        names.get(codec, codec): dict(zip(("a.10m", "b.20m"), map(as_measured, own), strict=True))
        for codec, own in bits.items()
    }
    return AtBound(bound, found)


@pytest.mark.parametrize("bound", [0, 3])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_codec_keeps_the_bound(stack, bound):
    result = measure({"scene.10m": stack}, bound)
    assert result.broken == []
    assert set(result.found) == {codec.name for codec in (BOUNDED if bound else LOSSLESS)}
    for own in result.found.values():
        found = own["scene.10m"]
        assert 1 < found.bpppb < 16
        assert found.raw == stack.nbytes
        assert found.encoding > 0
        assert found.decoding > 0


def test_a_broken_promise_is_told(stack, monkeypatch):
    off = BoundedCodec(
        "off", lambda s, _: s.tobytes(), lambda d, s: np.frombuffer(d, "u2").reshape(s) + 4
    )
    monkeypatch.setattr(codecs, "BOUNDED", (off,))
    assert measure({"a": stack}, 3).broken == ["off on a: error 4 at a bound of 3"]
    assert measure({"a": stack}, 4).broken == []


@given(
    arrays(np.uint16, array_shapes(min_dims=3, max_dims=3, max_side=6)),
    st.integers(1, 32767),
)
def test_quantiser_is_never_off_by_more_than_its_bound(pixels, bound):
    plain = BoundedCodec(
        "plain", lambda s, _: s.tobytes(), lambda d, s: np.frombuffer(d, np.uint16).reshape(s)
    )
    codec = quantised(plain)
    decoded = codec.decode(codec.encode(pixels, bound), pixels.shape)
    assert np.abs(decoded - pixels.astype(np.int64)).max() <= bound
    assert (decoded % (2 * bound + 1) == 0).all()


@given(
    arrays(np.uint16, (7, 3, 4)),
    st.permutations(range(7)),
    st.integers(0, 2),
)
def test_turned_bands_come_back(stack, order, count):
    threes = [tuple(order[3 * at : 3 * at + 3]) for at in range(count)]
    assert np.array_equal(to_bands(to_planes(stack, threes), threes), stack)


def test_only_the_second_three_is_turned_here():
    stack = np.arange(7, dtype=np.uint16)[:, None, None] * np.ones((1, 2, 2), np.uint16)
    planes = to_planes(stack, [(2, 0, 4), (1, 6, 5)])
    middle = 32768
    assert planes[:, 0, 0].tolist() == [2, 0, 4, 4, middle - 4, middle + 3, 3]


def test_bands_that_are_alike_are_put_in_threes(stack):
    noise = np.random.default_rng(3).integers(0, 900, (2, *stack.shape[1:])).astype(np.uint16)
    offsets = np.array([0, 7, 3], np.uint16)[:, None, None]
    bands = np.concatenate([noise[:1], stack[:1] + offsets, noise[1:]])
    ((first, middle, last),) = alike(bands)
    assert {first, middle, last} == {1, 2, 3}
    assert np.array_equal(to_planes(bands, alike(bands))[:3], bands[[first, middle, last]])
    assert alike(bands[:2]) == []


def test_jpeg_xl_takes_all_bands_in_one_codestream_and_gains_from_their_likeness(stack):
    many = stack[[0, 0, 0, 1, 1, 1]] + np.arange(6, dtype=np.uint16)[:, None, None]
    codec = jpegxl(3)
    data = codec.encode(many, 0)
    assert np.array_equal(codec.decode(data, many.shape), many)
    alone = [imagecodecs.jpegxl_encode(band, effort=3, lossless=True) for band in many]
    assert len(data) < 0.9 * sum(map(len, alone))


def test_blosc_has_chunks_of_one_band_as_zarr_has(stack, monkeypatch):
    blosc = next(codec for codec in LOSSLESS if codec.name.startswith("Blosc"))
    sizes = []
    for side, chunks in ((1830, 4), (64, 4 * 2 * 2)):
        monkeypatch.setattr(codecs, "_ZARR_CHUNK", side)
        data = blosc.encode(stack, 0)
        assert np.array_equal(blosc.decode(data, stack.shape), stack)
        assert len(codecs.split(data)) == chunks
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


def test_tables_tell_means_speeds_and_the_best_other_codec():
    lossless = at_bound(0, ours=(4.0, 2.0), x=(5.0, 3.0))
    near = at_bound(2, ours=(2.0, 1.0), own_quantiser=(0.1, 0.1), y=(2.5, 0.5), z=(1.75, 1.75))
    names = ["a.10m", "b.20m"]
    table = mean_table(names, [lossless, near])
    assert list(table.head) == ["codec", "lossless", "MB/s", "± 2 DN", "MB/s"]
    assert list(map(list, table.rows)) == [
        [OURS, "3.000", "4.0 / 8.0", "1.500", "4.0 / 8.0"],
        ["x", "4.000", "4.0 / 8.0", "-", "-"],
        [QUANTISED, "-", "-", "0.100", "4.0 / 8.0"],
        ["y", "-", "-", "1.500", "4.0 / 8.0"],
        ["z", "-", "-", "1.750", "4.0 / 8.0"],
        [f"{OURS} against the best of the others", "-25.0 %", "x", "+0.0 %", "y"],
    ]
    rows = raster_table(names, [lossless, near]).rows
    assert list(map(list, rows)) == [
        ["a.10m", "4.000 (-20.0 %, x)", "2.000 (+14.3 %, z)"],
        ["b.20m", "2.000 (-33.3 %, x)", "1.000 (+100.0 %, y)"],
    ]


def test_speed_is_of_all_samples_over_all_seconds():
    found = {"a": as_measured(1, encoding=1.0), "b": as_measured(1, encoding=3.0)}
    assert AtBound(0, {OURS: found}).speed(OURS, ["a", "b"]) == (1.0, 8.0)


def test_speed_is_told_of_large_rasters_that_are_not_calm():
    calm = f"{CALM_SCENE}.10m"
    own = {calm: as_measured(1), "large.10m": as_measured(1), "small.10m": as_measured(1, 14_400)}
    found = AtBound(0, {OURS: own})
    assert timed(found, list(own)) == ["large.10m"]
    assert timed(found, [calm]) == [calm]
    table = calm_table(list(own), [found])
    assert "calm water" in table.title
    assert "mean of 1 rasters" in table.title
    assert calm_table([calm], [found]) is None


def test_means_are_of_native_grids_where_there_are_any():
    assert native(["a.10m", "b", "c.20m"]) == ["a.10m", "c.20m"]
    own = {"a.10m": as_measured(4), "b": as_measured(2)}
    first, *_, last = all_tables(list(own), [AtBound(0, {OURS: own})])
    assert first.rows[0][1] == "4.000"
    assert [row[0] for row in last.rows] == ["a.10m", "b"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_command_puts_its_tables_into_the_readme(tmp_path, stack):
    scene = {"id": "a", "split": "test", "files": ["a.10m.tif"]}
    (tmp_path / "index.json").write_text(json.dumps({"scenes": [scene]}))
    write_raster(tmp_path / "a.10m.tif", stack)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{readme_begin('bounds')}\nold\n{README_END}\nafter\n")
    words = [str(tmp_path), "--bound", "3", "--rounds", "1", "--readme", str(readme)]

    result = CliRunner().invoke(main, words, catch_exceptions=False)

    assert result.exit_code == 0
    assert "BROKEN" not in result.output
    text = readme.read_text()
    assert "old" not in text
    for codec in BOUNDED:
        assert f"| {codec.name} |" in text
        assert f"| {codec.name} |" in result.output


def test_rasters_of_one_split_are_read_on_their_own_grids(tmp_path, stack):
    scenes = [
        {"id": "a", "split": "test", "files": ["a.10m.tif"]},
        {"id": "b", "split": "val", "files": ["b.10m.tif"]},
        {"id": "c", "split": "test", "files": ["c.h5"]},
    ]
    (tmp_path / "index.json").write_text(json.dumps({"scenes": scenes}))
    write_raster(tmp_path / "a.10m.tif", stack)
    rasters = read_rasters(tmp_path, "test")
    assert list(rasters) == ["a.10m"]
    assert (rasters["a.10m"] == stack).all()
    (crop,) = read_rasters(tmp_path, "test", quick=True).values()
    assert (crop == stack).all()


def write_raster(path, stack):
    shape = {"count": 4, "height": 70, "width": 80, "dtype": "uint16"}
    transform = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, **shape) as out:
        out.write(stack)
