"""Curves, measures, seams, speed and the report."""

import csv
import json
import re
from dataclasses import dataclass, field

import numcodecs.blosc
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import eocodec
from bench.__main__ import main
from bench.bd_rate import RateDifference
from bench.curves import compute_curves, sweep
from bench.matching import at_error, at_size
from bench.measures import measure, multi_scale_similarity, ndvi_error
from bench.peers import named
from bench.peers.eocodec_cli import write_geotiff
from bench.report import README_END, Section, readme_begin, update_readme, write_report
from bench.scenes import CALM_SCENE
from bench.seams import edge_mask, seam_ratios
from bench.speed import Speed, busy_speeds, measure_scenes, picked, speed_table
from bench.tables import Table, summary_table
from bench.timing import interleaved, limited_threads
from eocodec.bands import MODEL_BANDS
from eocodec.codec_models import find_card
from eocodec.metrics import compare


@dataclass
class Rounding:
    """A codec that rounds to multiples of its setting."""

    settings: tuple = (2000, 1000, 500, 250, 125, 60, 30, 15, 7)
    name: str = "rounding"
    used: list = field(default_factory=list)

    def encode(self, stack, setting):
        self.used.append(setting)
        return (np.rint(stack / setting) * setting).astype(np.uint16).tobytes()

    def decode(self, data, shape):
        return np.frombuffer(data, np.uint16).reshape(shape)


def test_sweep_stops_beyond_the_range_on_both_sides(stack):
    peer = Rounding()
    points = sweep(peer, stack)
    assert set(peer.used) == {500, 250, 125, 60}
    assert [point.setting for point in points] == ["500", "250", "125", "60"]
    assert points[0].rmse > 120
    assert points[-1].rmse < 20


def test_measures_of_a_known_error(stack):
    point = measure("x", 1000, stack + 30.0, stack)
    assert point.rmse == pytest.approx(30)
    assert point.rms_percent == pytest.approx(0.3)
    assert point.psnr == pytest.approx(50.457, abs=1e-3)
    assert point.bpppb == pytest.approx(8000 / stack.size)
    assert point.bpp == pytest.approx(10 * point.bpppb)
    assert 0 < point.spectral_angle < 5


def test_similarity_is_one_for_equal_stacks_and_falls_with_noise(stack):
    noise = np.random.default_rng(0).normal(0, 1, stack.shape)
    assert multi_scale_similarity(stack, stack) == pytest.approx(1)
    little, much = (multi_scale_similarity(stack + s * noise, stack) for s in (20, 400))
    assert 1 > little > much > 0


def test_ndvi_error_by_hand():
    stack = np.zeros((10, 1, 2), np.uint16)
    stack[6], stack[2] = (
        [[3000, 0]],
        [[1000, 0]],
    )  # B08, B04; nothing to divide by in the second pixel
    decoded = stack.copy()
    decoded[2] = [[3000, 0]]
    assert ndvi_error(decoded, stack) == pytest.approx(0.5)


def test_matching_meets_size_and_error(stack):
    peer = named("JPEG 2000 + KLT")
    assert len(at_size(peer, stack, 4000).data) == pytest.approx(4000, rel=0.05)
    assert at_error(peer, stack, 50).rmse == pytest.approx(50, rel=0.05)
    assert at_error(named("JPEG 8-bit per band"), stack, 50).rmse == pytest.approx(50, rel=0.2)


def test_edges_are_the_outer_pixels_of_every_tile():
    edge = edge_mask(40, 70, 32)
    assert edge[:8].all()
    assert edge[32:].all()
    assert not edge[8:24, 8:24].any()
    assert edge[16, 24:40].all()
    assert not edge[16, 40:56].any()
    assert edge[16, 56:].all()


def test_seams_are_measured_at_every_layer(stack):
    ratios = seam_ratios(stack, 32)
    interior = [inside for _, inside in ratios]
    assert len(ratios) == len(named("eocodec layers").settings)
    assert interior[-1] < 0.2 * interior[0]


def test_speeds_are_of_ours_at_its_default_quality_and_of_others_at_its_size(stack):
    scenes = {CALM_SCENE: stack[:, :40, :40], "busy": stack[:, :48, :48]}
    found = measure_scenes(scenes, [named("LERC"), named("JPEG 2000 + KLT")], rounds=1)
    names = [
        "eocodec",
        "JPEG 2000 per band",
        "JPEG 2000 + KLT",
        "HTJ2K + KLT",
        "JPEG XL e3 + KLT",
        "JPEG XL e7 + KLT",
    ]
    assert [speed.name for speed in found[CALM_SCENE]] == names
    assert [speed.name for speed in found["busy"]] == [*names, "LERC"]
    settings = eocodec.EncodeSettings(layers=find_card().default_layers)
    data = eocodec.compress(scenes["busy"], bands=MODEL_BANDS, settings=settings)
    first, *others = picked(found)["busy"]
    assert first.bpppb == 8 * len(data) / scenes["busy"].size
    assert first.rmse == compare(scenes["busy"], eocodec.decompress(data)).total_rmse
    for other in others:
        assert other.bpppb == pytest.approx(first.bpppb, rel=0.1)
        assert other.encoding > 0
        assert other.decoding > 0
    assert set(busy_speeds(found)) == {*names, "LERC"}


def test_tables_of_speed_tell_error_and_speed_a_scene():
    speeds = [Speed("eocodec", 0.25, 40.0, 3.04, 11.2), Speed("x", 0.251, 50.0, 0.123, 200.4)]
    table = speed_table({"a": speeds, CALM_SCENE: speeds})
    assert list(table.head) == ["codec", "a", f"{CALM_SCENE} (calm)"]
    assert list(map(list, table.rows)) == [
        ["bpppb of all", "0.250", "0.250"],
        ["eocodec", *["40.0 DN, 3.0 / 11"] * 2],
        ["x", *["50.0 DN, 0.12 / 200"] * 2],
    ]


def test_summary_has_the_speed_of_every_codec_beside_its_size():
    differences = {"x": {"a": RateDifference(-20.0, 20, 120), "b": RateDifference(-10.0, 20, 120)}}
    table = summary_table(differences, "eocodec", {"eocodec": (3.04, 11.2), "x": (30.0, 0.5)})
    assert list(map(list, table.rows)) == [
        ["eocodec", "", "", "", "", "3.0 / 11"],
        ["x", "-15.0 %", "-20.0 %", "-10.0 %", "2 of 2", "30 / 0.50"],
    ]
    assert summary_table(differences, "eocodec").rows[1][-1] == "-"


def test_codecs_take_turns_and_a_first_round_does_not_count():
    ran = []
    tasks = [lambda: ran.append("a"), lambda: ran.append("b")]
    assert interleaved(tasks, 2).shape == (2, 2)
    assert ran == ["a", "b"] * 3
    ran.clear()
    interleaved(tasks, 2, warm=False)
    assert ran == ["a", "b"] * 2


def test_threads_are_limited_and_given_back():
    before = torch.get_num_threads(), numcodecs.blosc.use_threads
    with limited_threads(1):
        assert torch.get_num_threads() == 1
        assert numcodecs.blosc.use_threads is False
    assert (torch.get_num_threads(), numcodecs.blosc.use_threads) == before


def test_report_needs_nothing_outside_itself(tmp_path):
    Image.new("RGB", (4, 3), "red").save(tmp_path / "curve.png")
    table = Table("Bytes & bits", ["codec", "mean"], [["A<B", "-1 %"]], "note")
    path = tmp_path / "report.html"
    write_report(
        path, "bench", ["about"], [Section("One", [table], [("p", tmp_path / "curve.png")])]
    )
    text = path.read_text()
    assert "Bytes &amp; bits" in text
    assert "<td>A&lt;B</td><td>-1 %</td>" in text
    assert_self_contained(text)


def assert_self_contained(text):
    sources = re.findall(r"""(?:src|href|url|srcset)\s*[=(]\s*["']?([^"')\s>]+)""", text)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "//" not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)


def test_tables_in_markdown():
    table = Table("T", ["codec", "mean"], [["JPEG", "-50 %"]], "why")
    assert table.markdown() == "### T\n\n| codec | mean |\n| --- | ---: |\n| JPEG | -50 % |\n\nwhy"


def test_bench_of_a_folder_writes_csv_plots_and_report(stack, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    write_geotiff(stack, data / "berlin.tif")
    scene = {"id": "berlin", "split": "val", "weight": 1, "files": ["berlin.tif"]}
    (data / "index.json").write_text(json.dumps({"scenes": [scene]}))
    words = [str(data), "--split", "val", "--out", str(out), "--workers", "1", "--curves-only"]
    words += ["--codec", "JPEG 8-bit per band"]

    result = CliRunner().invoke(main, words, catch_exceptions=False)

    assert result.exit_code == 0
    row = re.search(r"\| JPEG 8-bit per band \| (-[\d.]+) %", result.output)
    assert float(row[1]) < -20
    with (out / "rate-distortion-val.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["codec"] for row in rows} == {"eocodec", "JPEG 8-bit per band"}
    assert all(
        float(row["bpp"]) == pytest.approx(10 * float(row["bpppb"]), rel=0.01) for row in rows
    )
    assert_self_contained((out / "report-val.html").read_text())


def test_curves_are_computed_once_for_the_same_pixels(stack, tmp_path):
    peer = named("JPEG 8-bit per band")
    words = {"workers": 2, "folder": tmp_path}
    curves = compute_curves({"berlin": stack}, [peer], **words)
    assert curves["berlin"][peer.name] == sweep(peer, stack)
    (kept,) = tmp_path.iterdir()
    kept.write_text("[]")

    assert compute_curves({"berlin": stack}, [peer], **words)["berlin"][peer.name] == []
    words["workers"] = 1
    assert compute_curves({"berlin": stack + 1}, [peer], **words)["berlin"][peer.name] != []


def test_tables_replace_what_stands_between_the_marks(tmp_path):
    readme = tmp_path / "README.md"
    other = f"{readme_begin('bounds')}\nkept\n{README_END}\n"
    readme.write_text(f"before\n{other}{readme_begin('speed')}\nold\n{README_END}\nafter\n")
    table = Table("Title", ["codec", "bytes"], [["one", "2"]])
    for _ in range(2):
        update_readme(readme, [table], "speed")
        text = readme.read_text()
        assert text.startswith(f"before\n{other}")
        assert text.endswith("\nafter\n")
        assert table.markdown() in text
        assert "old" not in text
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="no <!--"):
        update_readme(readme, [table], "speed")
    assert readme.read_text() == "no marks"
