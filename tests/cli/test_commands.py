"""The commands as people call them: files, messages and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from eocodec.cli import commands

DATA = Path(__file__).parents[1] / "data"
SAMPLE = str(DATA / "s2_chesapeake_nodata.tif")
TEN_METRES = str(DATA / "s2_chesapeake_10m.tif")
FIELDS = str(DATA / "cams_co.nc")
TWENTY_METRES = str(DATA / "s2_chesapeake_20m.tif")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args, status=0, stdin=None):
    result = CliRunner().invoke(commands, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def error_of(*args, status=2):
    """Run a command that must fail; return its one line of error."""
    result = run(*args, status=status)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: ")
    return line


@pytest.fixture
def container():
    run("compress", SAMPLE, "-o", "x.eoc", "--lossless", "--tile-size", 128)
    return "x.eoc"


def pixels_of(path):
    with rasterio.open(path) as source:
        return source.read()


def test_compress_and_decompress_restore_the_file(tmp_path):
    result = run("compress", SAMPLE, "scene.eoc", "--lossless")
    size = Path("scene.eoc").stat().st_size
    assert f"ratio {200 * 231 * 20 / size:.2f} " in result.stdout
    assert f"{8 * size / (200 * 231):.4g} bpp, " in result.stdout
    assert f"{8 * size / (200 * 231 * 10):.4g} bpppb" in result.stdout
    run("decompress", "scene.eoc")
    np.testing.assert_array_equal(pixels_of("scene.tif"), pixels_of(SAMPLE))
    assert sorted(os.listdir(tmp_path)) == ["scene.eoc", "scene.tif"]


def test_the_default_output_lies_beside_the_raster(tmp_path):
    Path("tile.tif").write_bytes(Path(SAMPLE).read_bytes())
    run("compress", "tile.tif", "--lossless")
    assert Path("tile.eoc").exists()


def test_standard_output_and_input_carry_a_container():
    run("compress", SAMPLE, "-o", "x.eoc", "--lossless")
    piped = run("compress", SAMPLE, "-", "--lossless")
    assert piped.stdout_bytes == Path("x.eoc").read_bytes()
    assert "bpppb" in piped.stderr
    run("decompress", "-", "-o", "y.tif", stdin=piped.stdout_bytes)
    np.testing.assert_array_equal(pixels_of("y.tif"), pixels_of(SAMPLE))
    assert "EPSG:32618" in run("info", "-", stdin=piped.stdout_bytes).stdout
    assert "-: ok" in run("validate", "-", stdin=piped.stdout_bytes).stdout


def test_a_named_pipe_is_written_to():
    os.mkfifo("pipe")
    with open("x.eoc", "wb") as copy, subprocess.Popen(["cat", "pipe"], stdout=copy) as reader:
        text = run("compress", SAMPLE, "-o", "pipe", "--lossless").stdout
        assert reader.wait(20) == 0
    assert f"ratio {200 * 231 * 20 / Path('x.eoc').stat().st_size:.2f} " in text
    assert "ok" in run("validate", "x.eoc").stdout


@pytest.mark.parametrize("target", ["/dev/full", "-"])
def test_a_full_device_is_said_in_a_line(target):
    code = "from eocodec.cli import main; main()"
    command = [sys.executable, "-c", code, "compress", SAMPLE, "-o", target, "--lossless"]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("eocodec: error: cannot write")
    assert "No space left on device" in result.stderr


def test_existing_files_are_not_replaced_unasked(container):
    before = Path(container).read_bytes()
    message = error_of("compress", TEN_METRES, "-o", container, "--lossless")
    assert "--overwrite" in message
    assert Path(container).read_bytes() == before
    run("compress", TEN_METRES, "-o", container, "--lossless", "--overwrite")
    assert Path(container).read_bytes() != before


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("compress", "absent.tif", "--lossless"), ["absent.tif", "No such file"]),
        (("decompress", "absent.eoc"), ["absent.eoc"]),
        (("info", SAMPLE), [SAMPLE]),
        (("decompress", SAMPLE, "-o", "y.tif"), [SAMPLE]),
        (("compare", SAMPLE, TEN_METRES), ["one size"]),
        (("compress", SAMPLE, "-o", "no/such/folder/x.eoc", "--lossless"), ["no/such/folder"]),
        (("compare", SAMPLE, "absent.tif"), ["absent.tif", "No such file"]),
        (("compare", "absent.eoc", SAMPLE), ["absent.eoc"]),
        (("compare", SAMPLE, FIELDS), ["is a raster", FIELDS, "holds fields"]),
        (("compare", FIELDS, SAMPLE), ["is a raster", FIELDS, "holds fields"]),
        (("compress", SAMPLE, "--model", "nonsense"), ["nonsense", "not installed"]),
        (("compress", SAMPLE, "--max-error", "B02=1,B99=2"), ["0 bands", "'B99'", "B8A"]),
    ],
)
def test_what_is_wrong_with_files_is_said_in_a_line(args, words, tmp_path):
    message = error_of(*args, status=1)
    assert all(word in message for word in words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("compress", SAMPLE, "--lossless", "--ratio", "9"), ["--ratio", "--lossless", "exclude"]),
        (("compress", SAMPLE, "-q", "1", "--target-rmse", "9"), ["--quality", "--target-rmse"]),
        (("compress", SAMPLE, "a.eoc", "-o", "b.eoc"), ["a.eoc", "b.eoc"]),
        (("compress", SAMPLE, SAMPLE, SAMPLE), ["3 rasters"]),
        (("compress", TEN_METRES, TEN_METRES), ["named twice"]),
        (("compress", TEN_METRES, SAMPLE), ["are no pair", "(256 x 256)", "--output-dir"]),
        (("compress", SAMPLE, "--quality", "0"), ["quality"]),
        (("compress", SAMPLE, "--max-error", "x"), ["--max-error", "no number"]),
        (("compress", SAMPLE, "--max-error", "-1"), ["--max-error", "at least 0"]),
        (("compress", SAMPLE, "--max-error", "B02=1,B02=2"), ["B02=2", "again"]),
        (("compress", SAMPLE, "--max-error", "B02=1,=2"), ["=2", "BAND=ERROR"]),
        (("compress", SAMPLE, "--max-relative-error", "1"), ["--max-relative-error"]),
        (("compress", SAMPLE, "--max-error", "3", "--lossless"), ["--max-error", "--lossless"]),
        (("compress", SAMPLE, "--max-error-sqrt", "3", "--ratio", "9"), ["sqrt", "--ratio"]),
        (("compress", SAMPLE, "--target-rmse", "-3"), ["target-rmse"]),
        (("compress", SAMPLE, "--nonsense"), ["--nonsense"]),
        (("compress",), ["RASTER"]),
        (("decompress", "-"), ["-o"]),
        (("nonsense",), ["nonsense"]),
        (("compare", SAMPLE, SAMPLE, "--png", "x.png", "--no-png"), ["--no-png"]),
        (("compare", SAMPLE, SAMPLE, "--png", "no/such/x.png"), ["--png", "no folder no/such"]),
        (("compare", SAMPLE, SAMPLE, "--png", "/tmp"), ["--png /tmp", "folder"]),
        (("compare", SAMPLE, SAMPLE, "--peak", "0"), ["--peak"]),
    ],
)
def test_misuse_is_said_in_a_line(args, words, tmp_path):
    message = error_of(*args)
    assert all(word in message for word in words)
    assert os.listdir(tmp_path) == []


def test_info_tells_people_and_programs(container):
    text = run("info", container).stdout
    assert "EPSG:32618" in text
    assert "B8A" in text
    info = json.loads(run("info", container, "--json").stdout)
    assert info["bytes"] == Path(container).stat().st_size
    assert info["arrays"][0]["shape"] == [10, 200, 231]
    assert info["arrays"][0]["max_error"] == 0


def test_validate_finds_damage(container):
    assert "ok" in run("validate", container).stdout
    damaged = bytearray(Path(container).read_bytes())
    damaged[len(damaged) // 2] ^= 4
    Path("damaged.eoc").write_bytes(damaged)
    result = run("validate", container, "damaged.eoc", status=1)
    assert "x.eoc: ok" in result.stdout
    assert "damaged.eoc: ChecksumError" in result.stderr


def test_compare_measures_and_draws(container):
    changed = pixels_of(SAMPLE)
    changed[0][changed[0] > 0] += 3
    with rasterio.open(SAMPLE) as source, rasterio.open("b.tif", "w", **source.profile) as target:
        target.write(changed)
        target.descriptions = source.descriptions

    text = run("compare", container, "b.tif", status=1).stdout
    figures = json.loads(run("compare", container, "b.tif", "--json", "--no-png", status=1).stdout)

    assert Path("b.compare.png").read_bytes()[:4] == b"\x89PNG"
    assert "B02" in text
    assert figures["bands"][0] == {
        "name": "B02",
        "rmse": 3.0,
        "psnr": pytest.approx(20 * np.log10(10000 / 3)),
        "max_error": 3.0,
        "valid": int(np.count_nonzero(pixels_of(SAMPLE)[0])),
        "promised": None,
        "beyond_promise": 0,
    }
    assert figures["bands"][1]["psnr"] is None
    assert figures["invalid_mismatches"] == 0
    assert (figures["psnr_peak"], figures["psnr_peak_chosen"]) == (
        10000,
        "reflectance 1 by the scale of the file",
    )
    assert "PSNR peak: 10000 (reflectance 1 by the scale of the file)\n" in text
    assert "unit of all bands ('reflectance', None)" in figures["differing"]
    assert "differs: unit of all bands ('reflectance', None)\n" in text


@pytest.mark.parametrize("name", ["s2_chesapeake_10m.tif", "s2_chesapeake_20m.tif"])
def test_compare_finds_no_difference_after_a_round_trip(name):
    run("compress", DATA / name, "x.eoc", "--max-error", 10)
    assert "metadata that differ: none\n" in run("compare", DATA / name, "x.eoc").stdout
    run("decompress", "x.eoc", "x.tif")
    assert "metadata that differ: none\n" in run("compare", DATA / name, "x.tif", "--no-png").stdout
    few = run("compare", DATA / name, "x.eoc", "--no-png", "--peak", 500).stdout
    assert "PSNR peak: 500 (given)\n" in few


def test_compare_tells_what_differs_and_exits_with_one(container):
    with rasterio.open(SAMPLE) as source:
        profile = {**source.profile, "nodata": None}
        with rasterio.open("b.tif", "w", **profile) as target:
            target.write(source.read())
    text = run("compare", "b.tif", container, "--no-png", status=1).stdout
    assert "differs: nodata (None, 0)\n" in text
    figures = json.loads(run("compare", "b.tif", container, "--no-png", "--json", status=1).stdout)
    assert "nodata (None, 0)" in figures["differing"]


def test_a_prefix_has_no_promise_and_layers_must_exist():
    run("compress", TEN_METRES, "x.eoc", "--lossless")
    text = run("compare", TEN_METRES, "x.eoc", "--no-png", "--layers", 1).stdout
    assert "promised max error of all bands: 0 (lossless); kept" in text  # it has one layer
    message = error_of("compare", TEN_METRES, "x.eoc", "--no-png", "--layers", 9)
    assert "--layers 9 is more than there are: x.eoc has 1" in message
    message = error_of("compare", TEN_METRES, TEN_METRES, "--no-png", "--layers", 1)
    assert "neither file is one" in message


def test_bounds_are_kept_told_and_checked():
    run("compress", SAMPLE, "x.eoc", "--max-error", 10, "--max-relative-error", 0.02)
    text = run("info", "x.eoc").stdout
    assert "max error  10 and 2 % of the sample\n" in text
    (array,) = json.loads(run("info", "x.eoc", "--json").stdout)["arrays"]
    assert (array["max_error"], array["max_relative_error"]) == (10, 0.02)

    text = run("compare", SAMPLE, "x.eoc", "--no-png").stdout
    assert "promised max error of all bands: 10 and 2 % of the sample; kept\n" in text
    figures = json.loads(run("compare", SAMPLE, "x.eoc", "--no-png", "--json").stdout)
    assert 0 < max(band["max_error"] for band in figures["bands"]) <= 10
    promised = {"max_error": 10, "max_relative_error": 0.02, "max_error_sqrt": None}
    assert all(band["promised"] == promised for band in figures["bands"])

    run("decompress", "x.eoc", "-o", "x.tif")
    original, decoded = pixels_of(SAMPLE).astype(int), pixels_of("x.tif").astype(int)
    error = np.abs(decoded - original)
    assert (error <= np.minimum(10, 0.02 * original)).all()


def test_a_broken_promise_is_found():
    run("compress", SAMPLE, "x.eoc", "--max-error", "B02=3,B12=20", "--max-error-sqrt", 0.4)
    text = run("info", "x.eoc").stdout
    assert "max error  B02 3, B12 20 and 0.4 times its square root\n" in text
    other = pixels_of(SAMPLE)
    other[0, 100:102, 70:75] += 40
    other[3, 100, 70] += 400
    with rasterio.open(SAMPLE) as source, rasterio.open("b.tif", "w", **source.profile) as target:
        target.write(other)
        target.descriptions = source.descriptions
    text = run("compare", "b.tif", "x.eoc", "--no-png", status=1).stdout
    assert (
        "promised max error of B02: 3 and 0.4 times its square root; NOT kept by 10 samples" in text
    )
    assert "promised max error of B12: 20 and 0.4 times its square root; kept" in text
    figures = run("compare", "b.tif", "x.eoc", "--no-png", "--json", status=1).stdout
    beyond = [band["beyond_promise"] for band in json.loads(figures)["bands"]]
    assert beyond == [10, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_a_bounded_pair_keeps_the_samples_of_both_files():
    run("compress", TEN_METRES, TWENTY_METRES, "pair.eoc", "--max-error", "B02=2,B11=6")
    for label, original in (("10m", TEN_METRES), ("20m", TWENTY_METRES)):
        text = run("compare", original, "pair.eoc", "--array", label, "--no-png").stdout
        assert f"promised max error of {'B02: 2' if label == '10m' else 'B11: 6'}; kept" in text
    assert "10m, 20m" in error_of("compare", TEN_METRES, "pair.eoc", "--no-png", status=1)


def test_export_writes_a_cog(container):
    run("export", container, "cog.tif")
    with rasterio.open("cog.tif") as cog:
        assert cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(cog.read(), pixels_of(SAMPLE))


def test_a_lossless_pair_comes_back_as_two_files():
    run("compress", TEN_METRES, TWENTY_METRES, "pair.eoc", "--lossless")
    run("decompress", "pair.eoc", "-o", "out.tif")
    np.testing.assert_array_equal(pixels_of("out.10m.tif"), pixels_of(TEN_METRES))
    np.testing.assert_array_equal(pixels_of("out.20m.tif"), pixels_of(TWENTY_METRES))


def test_models_lists_what_the_registry_has():
    from eocodec.codec_models import list_feature_models, list_models

    text = run("models").stdout
    cards = [*list_models(), *list_feature_models()]
    assert all(card.name in text and card.id in text for card in cards)
    assert len(json.loads(run("models", "--json").stdout)) == len(cards)


def test_help_and_version():
    assert "compress" in run().stdout
    assert "--target-rmse" in run("compress", "--help").stdout
    assert run("--version").stdout.startswith("eocodec ")


def test_info_loads_no_torch(container):
    code = (
        "import sys; sys.argv = ['eocodec', 'info', 'x.eoc']\n"
        "from eocodec.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    status = end.code\n"
        "sys.exit(status or ('torch' in sys.modules) * 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_models_writes_onnx_graphs(tmp_path):
    run("models", "--onnx", str(tmp_path / "graphs"))
    names = {path.name for path in (tmp_path / "graphs").iterdir()}
    assert names == {"mean.onnx", "scale.onnx", "synthesis.onnx"}
