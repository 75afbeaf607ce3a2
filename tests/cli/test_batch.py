"""`eocodec compress` for many files: messages, exit codes, manifest, and an interrupted run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio
from click.testing import CliRunner

from eocodec.cli import commands
from eocodec.formats.batch_cluster import local_client

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def _rasters(tmp_path, monkeypatch):
    """A folder with a.tif, b.tif, the pair p.10m.tif and p.20m.tif, and broken.tif."""
    monkeypatch.chdir(tmp_path)
    for name, source, size in (
        ("a", "s2_chesapeake", 64),
        ("b", "s2_chesapeake_nodata", 64),
        ("p.10m", "s2_chesapeake_10m", 64),
        ("p.20m", "s2_chesapeake_20m", 32),
    ):
        with rasterio.open(DATA / f"{source}.tif") as scene:
            profile = {**scene.profile, "width": size, "height": size}
            with rasterio.open(f"{name}.tif", "w", **profile) as crop:
                crop.write(scene.read(window=((0, size), (0, size))))
    Path("broken.tif").write_text("no raster")


def run(*args, status=0):
    result = CliRunner().invoke(commands, ["compress", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def statuses(folder="out"):
    lines = (Path(folder) / "manifest.jsonl").read_text().splitlines()
    return {entry["output"]: entry["status"] for entry in map(json.loads, lines)}


def test_failures_are_listed_and_the_other_files_written():
    rasters = ["a.tif", "broken.tif", "missing.tif", "p.10m.tif", "p.20m.tif"]
    result = run(*rasters, "--output-dir", "out", "--lossless", status=1)
    first, second, last = result.stderr.splitlines()
    assert first.startswith("broken.eoc: cannot read")
    assert second.startswith("missing.eoc: cannot read")
    assert last == "eocodec: error: 2 of 4 files failed"
    told = result.stdout.splitlines()
    assert told[0].startswith("a.eoc: ")
    assert told[-1].startswith("2 written (")
    assert statuses() == {
        "a.eoc": "done",
        "broken.eoc": "failed",
        "missing.eoc": "failed",
        "p.eoc": "done",
    }
    again = run("a.tif", "p.10m.tif", "p.20m.tif", "--output-dir", "out", "--lossless")
    assert again.stdout.startswith("0 written, 2 kept; ")
    info = CliRunner().invoke(commands, ["info", "out/p.eoc", "--json"])
    assert [array["shape"] for array in json.loads(info.stdout)["arrays"]] == [
        [4, 64, 64],
        [6, 32, 32],
    ]


def test_a_cluster_by_its_address_writes_beside_the_rasters():
    with local_client(1) as client:
        result = run("a.tif", "b.tif", "--lossless", "--dask", client.scheduler.address)
    assert result.stdout.splitlines()[-1].startswith("2 written (")
    assert statuses(".") == {"a.eoc": "done", "b.eoc": "done"}


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["a.tif", "b.tif", "p.10m.tif"], 2, "name a folder for many by --output-dir"),
        (["a.tif", "--workers", "1", "--dask", "tcp://x:1"], 2, "exclude each other"),
        (["a.tif", "--output-dir", "out", "-o", "x.eoc"], 2, "-o names one file"),
        (["a.tif", "x.eoc", "--output-dir", "out"], 2, "x.eoc is no raster"),
        (["-", "--output-dir", "out"], 2, "not standard input"),
        (["a.tif", "./a.tif", "--output-dir", "out"], 1, "would both be written"),
        (["a.tif", "--output-dir", "a.tif"], 2, "a.tif is a file; name a folder"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(args, status, message):
    before = sorted(os.listdir())
    result = run(*args, "--lossless", status=status)
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: ")
    assert message in line
    assert sorted(os.listdir()) == before


# Also where whoever runs the tests ignores the signal, which children inherit.
INTERRUPTIBLE = """
import signal
from eocodec.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_an_interrupted_run_keeps_what_is_finished():
    names = [f"c{number}.tif" for number in range(12)]
    for name in names:
        os.link("a.tif", name)
    command = [sys.executable, "-c", INTERRUPTIBLE, "compress", *names]
    command += ["--output-dir", "out", "--lossless", "--tile-size", "32", "--workers", "2"]
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with child:
        while not (Path("out/manifest.jsonl").exists() and "done" in statuses().values()):
            assert child.poll() is None
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: workers get it too
        _, errors = child.communicate(timeout=300)
    assert child.returncode == 130, errors
    assert errors.strip() == "eocodec: error: interrupted"
    found = statuses()
    assert len(found) == len(names)
    done = [name for name, status in found.items() if status == "done"]
    assert 0 < len(done) < len(names)
    assert not list(Path("out").glob(".*.part"))
    result = run(*names, "--output-dir", "out", "--lossless", "--tile-size", "32")
    assert f" {len(done)} kept; " in result.stdout
    assert set(statuses().values()) == {"done"}
