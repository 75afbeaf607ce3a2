"""What people type wrong: one line that says what to do, an exit code, and nothing left on disk."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

import eocodec
from eocodec.cli import commands

DATA = Path(__file__).parents[1] / "data"
LOSSLESS = eocodec.EncodeSettings(lossless=True)
STACK = np.arange(2 * 32 * 48, dtype="uint16").reshape(2, 32, 48)


def _raster(path, shape):
    pixels = np.arange(np.prod(shape), dtype="uint16").reshape(shape)
    size = {"count": shape[0], "height": shape[1], "width": shape[2], "dtype": "uint16"}
    place = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **size) as target:
        target.write(pixels)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a raster, its pair, one of another size, containers, and what is none of these."""
    folder = tmp_path_factory.mktemp("files")
    _raster(folder / "a.tif", (2, 32, 48))
    _raster(folder / "half.tif", (1, 16, 24))
    _raster(folder / "other.tif", (2, 32, 48))
    shutil.copy(DATA / "cams_co.nc", folder / "c.nc")
    run("compress", folder / "c.nc")
    (folder / "c.nc").unlink()
    (folder / "x.eoc").write_bytes(eocodec.compress(STACK, settings=LOSSLESS))
    (folder / "layers.eoc").write_bytes((DATA.parent / "golden" / "container.eoc").read_bytes())
    (folder / "empty.tif").touch()
    (folder / "text.tif").write_text("no raster")
    whole = (folder / "a.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.tif").mkdir()
    (folder / "out").mkdir()
    return folder


@pytest.fixture(autouse=True)
def _in_the_folder(request, monkeypatch, tmp_path):
    wanted = "files" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("files") if wanted else tmp_path)


def run(*args, status=0):
    result = CliRunner().invoke(commands, [str(arg) for arg in args])
    assert isinstance(result.exception, (SystemExit, type(None))), result.exception
    assert result.exit_code == status, result.output
    return result


def _below(folder):
    return sorted(str(path) for path in Path(folder).rglob("*"))


MISUSED = [
    # outputs of another format
    ("compress a.tif -o b.zip", [".zip is another format", "end in .eoc"]),
    ("compress a.tif -o b.nc", [".nc is another format", ".eoc"]),
    ("compress a.tif -o a.tif --overwrite", [".tif is another format", ".eoc"]),
    ("decompress x.eoc -o b.png", [".png", ".tif, .tiff, .nc or .zarr"]),
    ("decompress x.eoc b.jp2", [".jp2", ".tif"]),
    ("decompress x.eoc -o x.eoc --overwrite", [".eoc is another format", ".tif"]),
    ("decompress c.eoc -o b.tif", ["fields", ".nc or .zarr"]),
    ("decompress c.eoc -o b.txt", [".txt", ".nc or .zarr"]),
    ("export x.eoc b.nc", [".nc", ".tif or .tiff"]),
    ("features x.eoc -o b.csv", [".csv", ".parquet, .npy or .zarr"]),
    ("references x.eoc -o b.zarr", [".zarr", ".json"]),
    # what is compressed
    ("compress a.tif b.tif", ["b.tif does not exist", ".eoc"]),
    ("compress a.tif a.tif", ["a.tif is named twice"]),
    ("compress a.tif ./a.tif", ["a.tif is named twice"]),
    ("compress a.tif other.tif", ["(32 x 48)", "no pair", "20 m", "half", "--output-dir"]),
    ("compress half.tif a.tif", ["no pair", "the other way round"]),
    ("compress a.tif half.tif other.tif", ["3 rasters", "--output-dir"]),
    ("compress .", [". is a folder", "--output-dir", "*.tif"]),
    ("compress folder.tif", ["folder.tif is a folder", "folder.tif/*.tif"]),
    ("compress --output-dir out .", [". is a folder"]),
    ("compress *.jp2", ["no file matches *.jp2"]),
    ("compress x.eoc", ["x.eoc is compressed already", "decompress"]),
    ("compress ''", ["name of a file is empty"]),
    ("compress a.tif -o ''", ["name of the output is empty"]),
    # what is there already
    ("decompress a.eoc", ["a.tif exists", "-o FILE", "--overwrite"]),
    ("compress a.tif x.eoc", ["x.eoc exists", "-o FILE.eoc", "--overwrite"]),
    ("export x.eoc a.tif", ["a.tif exists", "--overwrite"]),
    # layers
    ("decompress layers.eoc b.tif --layers 99", ["layers.eoc has", "layers", "99"]),
    ("export layers.eoc b.tif --layers 99", ["layers.eoc has", "layers", "99"]),
    ("features layers.eoc -o b.npy --layers 99", ["layers.eoc has", "layers", "99"]),
    ("decompress x.eoc b.tif --layers 2", ["x.eoc has 1 layer", "lossless"]),
    ("decompress c.eoc b.nc --layers 2", ["c.eoc has 1 layer", "lossless"]),
    # numbers
    ("compress a.tif --quality 0", ["--quality", "1 to 7"]),
    ("compress a.tif --quality 1e9", ["--quality", "not a valid integer"]),
    ("compress a.tif --tile-size 8", ["--tile-size", "16 to 8192"]),
    ("compress a.tif --threads 0", ["--threads", "1 or more"]),
    ("compress a.tif --workers 0", ["--workers", "1 or more"]),
    *(
        (f"compress a.tif {option} {value}", [option])
        for option in (
            "--target-rmse",
            "--target-bpppb",
            "--ratio",
            "--max-error",
            "--max-error-sqrt",
        )
        for value in ("nan", "inf", "-1", "1e400", "x")
    ),
    *(
        (f"compress c.nc {option} {value}", [option])
        for option in ("--max-relative-error", "--max-range-error", "--keep-real-information")
        for value in ("nan", "inf", "-1", "2", "x", "co=x", "=1")
    ),
    ("decompress x.eoc b.tif --layers 0", ["--layers"]),
    ("features x.eoc -o b.npy --patch 0", ["--patch"]),
]
FAILED = [
    ("compress empty.tif", ["empty.tif is empty"]),
    ("compress text.tif", ["text.tif", "not recognized"]),
    ("compress cut.tif", ["cut.tif"]),
    ("compress absent.tif", ["absent.tif", "No such file"]),
    ("compress a::b.tif", ["a::b.tif", "No such file"]),
    ("compress simplecache::absent.tif", ["simplecache::absent.tif", "no such file"]),
    ("compress zip://absent.zip!b.tif", ["zip://absent.zip!b.tif"]),
    ("compress memory://b.tif", ["memory://b.tif"]),
    ("compress foo://b.tif", ["foo://b.tif"]),
    ("compress https://nowhere.invalid/b.tif", ["nowhere.invalid"]),
    ("compress /vsizip/absent.zip", ["/vsizip/absent.zip"]),
    ("compress a.tif --bands B02", ["1 bands", "has 2"]),
    ("compress a.tif none/b.eoc", ["none/b.eoc", "there is no folder none"]),
    ("compress a.tif -o none/", ["there is no folder none"]),
    ("compress a.tif /proc/b.eoc", ["cannot write /proc/b.eoc"]),
    ("compress a.tif -o /dev/full", ["cannot write", "No space left"]),
    ("decompress x.eoc none/b.tif", ["there is no folder none"]),
    ("decompress c.eoc none/b.nc", ["there is no folder none"]),
    ("decompress c.eoc none/b.zarr", ["there is no folder none"]),
    ("decompress x.eoc folder.tif", ["folder.tif", "is a folder"]),
    ("decompress x.eoc /proc/b.tif", ["cannot write /proc/b.tif"]),
    ("export x.eoc /proc/b.tif", ["cannot write /proc/b.tif"]),
    ("references x.eoc -o /proc/b.json", ["cannot write /proc/b.json"]),
    ("info a.tif", ["a.tif", "not an .eoc file"]),
    ("info absent.eoc", ["absent.eoc", "No such file"]),
    ("info out", ["out", "Is a directory"]),
    ("info a::b.eoc", ["a::b.eoc"]),
]


@pytest.mark.parametrize(
    ("typed", "words", "status"),
    [(*case, 2) for case in MISUSED] + [(*case, 1) for case in FAILED],
)
def test_a_mistake_is_one_line_and_leaves_nothing(typed, words, status, files):
    if typed == "decompress a.eoc":
        shutil.copy("x.eoc", "a.eoc")
    before = _below(files)
    result = run(*("" if word == "''" else word for word in typed.split()), status=status)
    (line,) = result.stderr.splitlines()
    assert result.stdout == ""
    assert line.startswith("eocodec: error: ")
    assert "internal error" not in line
    assert [word for word in words if word not in line] == []
    assert _below(files) == before
    Path("a.eoc").unlink(missing_ok=True)


def test_a_folder_gets_the_file_under_its_default_name(files):
    run("compress", "a.tif", "out", "--lossless")
    run("decompress", "x.eoc", "-o", "out/")
    run("export", "x.eoc", "out", "--overwrite")
    assert {path.name for path in Path("out").iterdir()} == {"a.eoc", "x.tif"}
    shutil.rmtree("out")
    Path("out").mkdir()


def test_a_name_that_begins_with_a_dash_is_explained(tmp_path):
    _raster("-a.tif", (1, 16, 16))
    assert "written ./-a.tif" in run("compress", "-a.tif", status=2).stderr
    run("compress", "./-a.tif", "--lossless")
    assert Path("-a.eoc").exists()


def test_names_may_be_in_any_script(tmp_path):
    _raster("雪 ü.tif", (1, 16, 16))
    run("compress", "雪 ü.tif", "--lossless")
    run("decompress", "雪 ü.eoc", "戻.tif")
    assert sorted(os.listdir()) == ["戻.tif", "雪 ü.eoc", "雪 ü.tif"]


def _run_without(packages, *args):
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({packages!r})); "
        "from eocodec.cli import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("package", "typed", "extra"),
    [
        ("torch", "train s2-rvq --data . --out run", "train"),
        ("matplotlib", "train s2-rvq --data . --out run", "train"),
        ("onnx", "models --onnx graphs", "onnx"),
        ("xarray", f"compress {DATA / 'cams_co.nc'} -o b.eoc", "fields"),
        ("xarray", f"compress {DATA / 'era5_levels.grib'} -o b.eoc", "fields"),
        ("xarray", "decompress c.eoc", "fields"),
        ("xarray", "references x.eoc", "xarray"),
        ("xarray", f"compare {DATA / 'cams_co.nc'} c.eoc", "fields"),
        ("distributed", "compress a.tif --output-dir batch --workers 1 --lossless", "dask"),
        ("s3fs", "info s3://bucket/x.eoc", "s3"),
    ],
)
def test_a_missing_package_is_named_with_what_to_install(package, typed, extra, files):
    before = _below(files)
    result = _run_without([package], *typed.split())
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert package in line
    assert f"pip install 'eocodec[{extra}]'" in line
    assert _below(files) == before


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("xarray", "eocodec.xarray", "xarray"),
        ("dask", "eocodec.virtual; eocodec.virtual.references('x.eoc')", "xarray"),
        ("virtualizarr", "eocodec.virtual; eocodec.virtual.EocParser", "virtual"),
    ],
)
def test_an_import_without_its_package_says_what_to_install(package, module, extra, files):
    code = f"""
import sys
sys.modules[{package!r}] = None
import eocodec
try:
    import {module}
except ImportError as error:
    assert isinstance(error, eocodec.MissingPackageError)
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert result.stderr == ""
    assert result.stdout.endswith(f" needs {package}: pip install 'eocodec[{extra}]'\n")


def test_a_fault_of_the_program_is_one_line_and_its_traceback_is_to_be_had(monkeypatch, files):
    def fail(*_):
        raise RuntimeError("two lines\nof text")

    monkeypatch.setattr("eocodec.formats.compression.compress_file", fail)
    before = _below(files)
    (line,) = run("compress", "a.tif", "-o", "b.eoc", status=70).stderr.splitlines()
    assert "internal error: RuntimeError: two lines of text (in test_mistakes.py, line " in line
    assert "EOCODEC_DEBUG=1" in line
    monkeypatch.setenv("EOCODEC_DEBUG", "1")
    result = CliRunner().invoke(commands, ["compress", "a.tif", "-o", "b.eoc"])
    assert isinstance(result.exception, RuntimeError)
    assert _below(files) == before


def test_an_interrupted_run_leaves_nothing(monkeypatch, files):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("eocodec.formats.eoc.writer.Writer.write", interrupt)
    before = _below(files)
    result = run("compress", "a.tif", "-o", "b.eoc", "--lossless", status=130)
    assert result.stderr.strip() == "eocodec: error: interrupted"
    assert _below(files) == before
