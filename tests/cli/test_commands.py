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
        (("compress", TEN_METRES, TEN_METRES, "--lossless"), ["are no pair", "128 x 128"]),
        (("compress", SAMPLE, "--model", "nonsense"), ["nonsense", "not installed"]),
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
        (("compress", SAMPLE, "--quality", "0"), ["quality"]),
        (("compress", SAMPLE, "--target-rmse", "-3"), ["target-rmse"]),
        (("compress", SAMPLE, "--nonsense"), ["--nonsense"]),
        (("compress",), ["RASTER"]),
        (("decompress", "-"), ["-o"]),
        (("nonsense",), ["nonsense"]),
        (("compare", SAMPLE, SAMPLE, "--png", "x.png", "--no-png"), ["--no-png"]),
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

    text = run("compare", container, "b.tif").stdout
    figures = json.loads(run("compare", container, "b.tif", "--json", "--no-png").stdout)

    assert Path("b.compare.png").read_bytes()[:4] == b"\x89PNG"
    assert "B02" in text
    assert figures["bands"][0] == {
        "name": "B02",
        "rmse": 3.0,
        "psnr": pytest.approx(20 * np.log10(10000 / 3)),
        "max_error": 3.0,
        "valid": int(np.count_nonzero(pixels_of(SAMPLE)[0])),
    }
    assert figures["bands"][1]["psnr"] is None
    assert figures["invalid_mismatches"] == 0


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
    from eocodec.codec_models import list_models

    text = run("models").stdout
    assert all(card.name in text and card.id in text for card in list_models())
    assert len(json.loads(run("models", "--json").stdout)) == len(list_models())


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
