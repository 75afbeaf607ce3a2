"""Files that are something else than their names say, and packages that are missing."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from eocodec.errors import InputError
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file, holds_fields

CAMS = Path("tests/data/cams_co.nc")
GRIB = Path("tests/data/era5_levels.grib")


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(6):
            archive.writestr(f"stream_{number}.nc", CAMS.read_bytes()[:100])
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(CAMS)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", [".nc", ".grib"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            zipped(),
            "is a zip archive of stream_0.nc, stream_1.nc, stream_2.nc, stream_3.nc and 2 more, as the "
            "Climate Data Store delivers several files: unpack it first",
        ),
        (zipped()[:50], "is a zip archive, as"),
        (tarred(), "is a tar archive: unpack it first"),
        (gzip.compress(CAMS.read_bytes()), "is a gzip file: unpack it first"),
        (bz2.compress(b"CDF"), "is a bzip2 file: unpack it first"),
        (lzma.compress(b"CDF"), "is an xz file: unpack it first"),
        (b"\n<!DOCTYPE html><html>404", "is a web page .HTML or XML."),
        (b'<?xml version="1.0"?><Error/>', "is a web page"),
        (b'{"error": "no such key"}', "is JSON text"),
    ],
)
def test_what_a_file_is_instead_is_said(data, said, ending, tmp_path):
    source = tmp_path / f"era5{ending}"
    source.write_bytes(data)
    with pytest.raises(InputError, match=f"era5{ending} {said}"):
        compress_file([source], tmp_path / "x.eoc", CompressOptions())
    assert list(tmp_path.iterdir()) == [source]


def test_packed_fields_are_known_by_their_names(tmp_path):
    assert holds_fields("a.nc.gz")
    assert holds_fields("a.grib2.zip")
    assert not holds_fields("a.tif.gz")
    (tmp_path / "a.nc.gz").write_bytes(gzip.compress(CAMS.read_bytes()))
    with pytest.raises(InputError, match="gzip file: unpack it first"):
        compress_file([tmp_path / "a.nc.gz"], tmp_path / "x.eoc", CompressOptions())


BLOCKED = """
import sys
sys.modules[{package!r}] = None
sys.argv = ["eocodec", "compress", {source!r}, "-o", {target!r}]
from eocodec.cli import main
main()
"""


@pytest.mark.parametrize(
    ("package", "source"),
    [("xarray", CAMS), ("xarray", GRIB), ("netCDF4", CAMS), ("cfgrib", GRIB), ("eccodes", GRIB)],
)
def test_a_missing_package_is_said_in_one_line(package, source, tmp_path):
    code = BLOCKED.format(package=package, source=str(source), target=str(tmp_path / "x.eoc"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"needs {package}: pip install 'eocodec[fields]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_module_of_xarray_says_what_to_install():
    code = "import sys; sys.modules['xarray'] = None; import eocodec.xarray"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingPackageError: eocodec.xarray needs xarray: pip install" in done.stderr
