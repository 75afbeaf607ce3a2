"""A disk that fills up while a file is written: a clear error, and nothing left behind."""

import resource
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio

import eocodec
from eocodec.formats.geotiff import rasters_of, write_cog, write_geotiff, write_native
from eocodec.formats.picture import save_png, side_by_side

LOSSLESS = eocodec.EncodeSettings(lossless=True)
PIXELS = np.random.default_rng(9).integers(0, 4000, (2, 300, 280)).astype("uint16")
NATIVE = [eocodec.Band(name="B02"), eocodec.Band(name="B05", native_factor=2)]


@contextmanager
def room_for(size):
    """Let no file of this process grow beyond `size` bytes; what is beyond fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def raster():
    placed = (10.0, 0.0, 6e5, 0.0, -10.0, 5.9e6)
    data = eocodec.compress(
        PIXELS, settings=LOSSLESS, tile_size=128, bands=NATIVE, transform=placed
    )
    with eocodec.open(data) as reader:
        yield rasters_of(reader, threads=1)[0]


def write_container(path):
    with eocodec.create(
        path, shape=PIXELS.shape, dtype="u2", tile_size=64, settings=LOSSLESS, overwrite=True
    ) as writer:
        writer.write(None, PIXELS)


@pytest.mark.parametrize("size", [10, 5_000, 100_000])
def test_container_is_not_published(tmp_path, size):
    path = tmp_path / "x.eoc"
    with room_for(size), pytest.raises(eocodec.EocodecError, match=r"cannot write.*x\.eoc"):
        write_container(path)
    assert list(tmp_path.iterdir()) == []


def test_older_container_is_kept(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(b"old")
    with room_for(5_000), pytest.raises(eocodec.EocodecError, match="File too large"):
        write_container(path)
    assert [p.name for p in tmp_path.iterdir()] == ["x.eoc"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("write", [write_geotiff, write_cog])
@pytest.mark.parametrize("missing", [1, 400, 4_000, 40_000, 200_000])
def test_geotiff_is_not_published(tmp_path, raster, write, missing):
    # The last bytes are written while GDAL closes the file, which reports nothing.
    path = tmp_path / "x.tif"
    write(raster, path, threads=1)
    with rasterio.open(path) as written:
        np.testing.assert_array_equal(written.read(), PIXELS)
    size = path.stat().st_size
    path.unlink()
    with (
        room_for(size - missing),
        pytest.raises(eocodec.InputError, match=r"cannot write .*x\.tif"),
    ):
        write(raster, path, threads=1)
    assert list(tmp_path.iterdir()) == []


def test_native_files_are_not_published(tmp_path, raster):
    fine, coarse = tmp_path / "10m.tif", tmp_path / "20m.tif"
    with room_for(20_000), pytest.raises(eocodec.InputError, match=r"cannot write .*10m\.tif"):
        write_native(raster, fine, coarse, threads=1)
    assert list(tmp_path.iterdir()) == []


def test_picture_is_not_published(tmp_path):
    picture = side_by_side([("a", PIXELS[:1]), ("b", PIXELS[1:])])
    with room_for(1_000), pytest.raises(eocodec.InputError, match=r"cannot write .*x\.png"):
        save_png(picture, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
