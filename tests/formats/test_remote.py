"""Containers behind URLs: S3 and HTTP servers, few requests, changed files, failures in one line."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner

import eocodec
import eocodec.xarray
from eocodec.cli import commands
from eocodec.formats.eoc import fetch, opening, sink
from eocodec.formats.eoc.ends_cache import EndsCache
from eocodec.formats.eoc.source import Ends
from eocodec.formats.raster import GeoTiff

from .http_server import http_server
from .s3_server import BUCKET, s3_server

LOSSLESS = eocodec.EncodeSettings(lossless=True)
RANDOM = np.random.default_rng(5)
RASTER = RANDOM.integers(0, 4000, (2, 384, 512)).astype("uint16")
# Every tile is constant, so that it is quickly encoded.
FLAT = np.kron(RANDOM.integers(0, 4000, (2, 6, 8)), np.ones((64, 64))).astype("uint16")
WINDOW = (slice(100, 300), slice(200, 500))
SCENE = str(Path(__file__).parents[1] / "data" / "s2_chesapeake.tif")
URL = f"s3://{BUCKET}/folder/x.eoc"


@pytest.fixture(scope="module")
def container():
    return eocodec.compress(RASTER, settings=LOSSLESS, tile_size=128)


@pytest.fixture(scope="module")
def moto():
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as served:
        yield served


@pytest.fixture
def s3(moto):
    """The file system of an empty bucket, and the requests since."""
    fs, requests = moto
    for path in fs.find(BUCKET):
        fs.rm_file(path)
    fs.invalidate_cache()
    requests.clear()
    return fs, requests


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch):
    monkeypatch.setattr(opening, "_cache", EndsCache(16 << 20))


def command(*args, status=0):
    result = CliRunner().invoke(commands, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


# Few requests


def test_info_takes_two_requests_of_an_http_server(container):
    with http_server(container) as (url, sent):
        told = json.loads(command("info", url, "--json").stdout)
    assert told["bytes"] == len(container)
    assert told["arrays"][0]["shape"] == [2, 384, 512]
    assert sorted(sent) == [(0, 4 << 10), (len(container) - (128 << 10), len(container))]


def test_info_takes_two_requests_of_s3(container, s3):
    fs, requests = s3
    fs.pipe_file(URL, container)
    requests.clear()
    assert json.loads(command("info", URL, "--json").stdout)["bytes"] == len(container)
    assert sorted(requests) == [
        ("GET", f"/{BUCKET}/folder/x.eoc", "bytes=-131072"),
        ("GET", f"/{BUCKET}/folder/x.eoc", "bytes=0-4095"),
    ]


@pytest.mark.parametrize("size", [40, 250])
def test_info_of_a_small_file_takes_two_requests(size):
    data = eocodec.compress(RASTER[:, :size, :size], settings=LOSSLESS)
    with http_server(data) as (url, sent):
        assert f"{len(data) / 1000:.3g} kB" in command("info", url).stdout
    assert len(sent) == 2


def test_a_large_header_and_index_take_one_round_more(container, monkeypatch):
    monkeypatch.setattr(opening, "_HEAD_BYTES", 40)
    monkeypatch.setattr(opening, "_TAIL_BYTES", 100)
    with http_server(container) as (url, sent), eocodec.open(url) as reader:
        assert reader.info() == eocodec.open(container).info()
        assert len(sent) == 4
        assert [start for start, _ in sorted(sent)[:2]] == [0, 40]


@pytest.mark.parametrize("at", range(-20, 0))
def test_a_damaged_footer_of_a_file_of_unknown_size_is_refused(container, at):
    assert len(container) > opening._TAIL_BYTES
    damaged = bytearray(container)
    damaged[at] ^= 0x80
    with http_server(bytes(damaged)) as (url, sent), pytest.raises(eocodec.EocodecError):
        eocodec.open(url)
    assert len(sent) <= 4


def test_ranges_are_fetched_together_and_ahead(container, monkeypatch):
    monkeypatch.setattr(fetch, "_MAX_BATCH_RANGES", 2)
    with http_server(container, delay=0.05) as (url, sent), eocodec.open(url) as reader:
        sent.most_at_once = 0
        np.testing.assert_array_equal(reader.read(WINDOW), RASTER[:, 100:300, 200:500])
        assert len(sent) == 2 + 3
        assert sent.most_at_once >= 2


def test_the_next_batch_is_fetched_while_one_is_used():
    asked = []

    class Slow:
        remote = True

        def read(self, ranges):
            asked.extend(ranges)
            second.set() if len(asked) == 2 else None
            return [bytes(stop - start) for start, stop in ranges]

    second = threading.Event()
    wanted = [(number, number * 10 << 20, (number * 10 << 20) + (9 << 20)) for number in range(3)]
    tiles = fetch.fetch(Slow(), wanted)
    assert next(tiles)[0] == 0
    assert second.wait(5)
    assert asked == [span[1:] for span in wanted[:2]]
    assert [number for number, _ in tiles] == [1, 2]


# What is known from before


def test_opening_again_fetches_the_footer_alone(container):
    with http_server(container) as (url, sent):
        eocodec.open(url)
        sent.clear()
        reader = eocodec.open(url)
        assert sent == [(len(container) - 20, len(container))]
        np.testing.assert_array_equal(reader.read(WINDOW), RASTER[:, 100:300, 200:500])
        assert not any(stop == len(container) for _, stop in sent[1:])


def test_a_changed_file_is_noticed_when_it_is_opened_again(container, s3):
    fs, requests = s3
    fs.pipe_file(URL, container)
    assert eocodec.open(URL)[0, 3, 4] == RASTER[0, 3, 4]
    fs.pipe_file(URL, eocodec.compress(FLAT, settings=LOSSLESS, tile_size=64))
    requests.clear()
    assert eocodec.open(URL)[0, 3, 4] == FLAT[0, 3, 4]
    ranges = [asked for method, _, asked in requests if method == "GET"]
    assert ranges[0] == "bytes=-20"
    assert sorted(ranges[1:3]) == ["bytes=-131072", "bytes=0-4095"]
    fs.pipe_file(URL, b"no container any more, but not quite short")
    with pytest.raises(eocodec.FormatError, match=r"not an \.eoc file"):
        eocodec.open(URL)


def test_a_removed_file_is_noticed(container, s3):
    fs, _ = s3
    fs.pipe_file(URL, container)
    eocodec.open(URL)
    fs.rm_file(URL)
    with pytest.raises(eocodec.InputError, match="no such file"):
        eocodec.open(URL)


def test_other_options_are_another_file(container):
    with http_server(container) as (url, sent):
        eocodec.open(url, headers={"X-Key": "a"})
        sent.clear()
        eocodec.open(url, headers={"X-Key": "b"})
        assert len(sent) == 2


def test_what_is_kept_is_bounded():
    cache = EndsCache(100)
    for number in range(6):
        cache.put(number, Ends(bytes(10), bytes(20), 30))
    assert [cache.get(number) is not None for number in range(6)] == [False] * 3 + [True] * 3
    cache.get(3)
    cache.put(6, Ends(b"", bytes(60), 60))
    assert [number for number in range(7) if cache.get(number)] == [3, 6]
    cache.put(7, Ends(b"", bytes(101), 101))
    assert cache.get(7) is None


# Servers that cannot do everything


def test_a_server_that_ignores_ranges_is_asked_once_for_the_file(container):
    with http_server(container, ranges=False) as (url, sent):
        with eocodec.open(url) as reader:
            np.testing.assert_array_equal(reader.read(WINDOW), RASTER[:, 100:300, 200:500])
            np.testing.assert_array_equal(reader[1], RASTER[1])
        assert len(sent) == 2
        assert json.loads(command("info", url, "--json").stdout)["bytes"] == len(container)


def test_a_server_without_suffix_ranges_is_asked_for_the_size(container):
    with http_server(container, suffixes=False) as (url, sent), eocodec.open(url) as reader:
        assert sent.count((0, 0)) == 1
        np.testing.assert_array_equal(reader.read(WINDOW), RASTER[:, 100:300, 200:500])


@pytest.mark.parametrize("protocol", ["memory", "simplecache::memory", "file"])
def test_any_file_system_of_fsspec_will_do(container, protocol, tmp_path):
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/remote/x.eoc", container)
    (tmp_path / "x.eoc").write_bytes(container)
    url = f"file://{tmp_path}/x.eoc" if protocol == "file" else f"{protocol}://remote/x.eoc"
    for _ in range(2):
        with eocodec.open(url) as reader:
            np.testing.assert_array_equal(reader.read(WINDOW), RASTER[:, 100:300, 200:500])
    fs.rm("/remote", recursive=True)


# Failures


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"status": 404}, "no such file"),
        ({"status": 403}, "access denied"),
        ({"status": 503}, "the server answers 503 Service Unavailable"),
        ({"missing": 10}, "cannot read"),
    ],
)
def test_a_failing_server_gives_one_line(container, how, message):
    with http_server(container, **how) as (url, _):
        result = command("info", url, status=1)
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: ")
    assert url in line
    assert message in line


def test_answers_cut_while_reading_are_noticed(container):
    served = bytearray(container)
    with http_server(served) as (url, _), eocodec.open(url) as reader:
        del served[150_000:]
        with pytest.raises(eocodec.TruncatedError, match="asked for bytes"):
            reader.read()


@pytest.mark.parametrize("data", [b"", b"\x89EOC\r\n\x1a\n", b"<html>no</html>" * 20])
def test_other_files_give_one_line(data):
    with http_server(data) as (url, _):
        (line,) = command("info", url, status=1).stderr.splitlines()
    assert url in line


def test_a_refused_connection_gives_one_line():
    (line,) = command("info", f"http://127.0.0.1:{free_port()}/x.eoc", status=1).stderr.splitlines()
    assert "Cannot connect" in line


@pytest.mark.parametrize("path", [f"{BUCKET}/none.eoc", "nobucket/x.eoc"])
def test_what_is_not_on_s3_gives_one_line(path, s3):
    (line,) = command("info", f"s3://{path}", status=1).stderr.splitlines()
    assert line == f"eocodec: error: cannot read s3://{path}: no such file"


def test_a_missing_package_is_named():
    code = "import sys; sys.modules['s3fs'] = None; from eocodec.cli import main; main()"
    arguments = [sys.executable, "-c", code, "info", "s3://b/x.eoc"]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("eocodec: error: cannot read s3://b/x.eoc: ")
    assert line.endswith("s3fs to access S3: pip install 'eocodec[s3]'")


# Writing


def write(url, **options):
    return eocodec.create(
        url, shape=FLAT.shape, dtype="uint16", tile_size=64, settings=LOSSLESS, **options
    )


def uploads(fs):
    return fs.call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", [])


def test_s3_objects_appear_whole(s3):
    fs, _ = s3
    with write(URL) as writer:
        writer.write(None, FLAT)
        assert not fs.exists(URL)
    fs.invalidate_cache()
    np.testing.assert_array_equal(eocodec.open(URL).read(), FLAT)
    assert uploads(fs) == []


def test_large_objects_are_sent_in_parts_while_they_are_written(s3, monkeypatch):
    fs, requests = s3
    monkeypatch.setattr(sink.MultipartSink, "_PART_BYTES", 5 << 20)
    data = RANDOM.bytes(12 << 20)
    target = sink.open_sink(URL, overwrite=False, storage_options={})
    for start in range(0, len(data), 1 << 20):
        target.write(data[start : start + (1 << 20)])
    assert [method for method, _, _ in requests].count("PUT") == 2
    assert not fs.exists(URL)
    target.publish()
    assert [method for method, _, _ in requests].count("PUT") == 3
    assert fs.cat_file(URL) == data


@pytest.mark.parametrize("way", ["error", "missing tiles", "dropped"])
def test_an_upload_that_is_given_up_leaves_nothing(way, s3):
    fs, _ = s3
    if way == "error":
        half_way = contextlib.suppress(RuntimeError)
        with half_way, write(URL) as writer:
            writer.write((slice(0, 64), slice(0, 512)), FLAT[:, :64])
            raise RuntimeError("half way")
    elif way == "missing tiles":
        writer = write(URL)
        writer.write((slice(0, 64), slice(0, 512)), FLAT[:, :64])
        with pytest.raises(eocodec.InputError, match="not written"):
            writer.close()
    else:
        write(URL).write((slice(0, 64), slice(0, 512)), FLAT[:, :64])
    fs.invalidate_cache()
    assert not fs.exists(URL)
    if way != "dropped":
        assert uploads(fs) == []
    else:
        (upload,) = uploads(fs)
        fs.call_s3(
            "abort_multipart_upload", Bucket=BUCKET, **{k: upload[k] for k in ("Key", "UploadId")}
        )


def test_an_upload_that_fails_is_a_clear_error(s3):
    with pytest.raises(eocodec.EocodecError, match=r"cannot write .*bucket"):
        eocodec.create("s3://nobucket/x.eoc", shape=(2, 2), dtype="uint8")
    fs, _ = s3
    writer = write(URL)
    writer.write(None, FLAT)
    fs.rm(BUCKET, recursive=True)
    with pytest.raises(eocodec.EocodecError, match="cannot write"):
        writer.close()
    fs.mkdir(BUCKET)


def test_an_existing_object_is_kept(container, s3):
    fs, _ = s3
    fs.pipe_file(URL, container)
    with pytest.raises(eocodec.InputError, match="exists"):
        write(URL)
    fs.rm_file(URL)
    writer = write(URL)
    writer.write(None, FLAT)
    fs.pipe_file(URL, b"written meanwhile")
    with pytest.raises(eocodec.InputError, match="exists"):
        writer.close()
    assert fs.cat_file(URL) == b"written meanwhile"
    with write(URL, overwrite=True) as writer:
        writer.write(None, FLAT)
    fs.invalidate_cache()
    np.testing.assert_array_equal(eocodec.open(URL)[0], FLAT[0])


def test_half_an_upload_is_never_the_file(monkeypatch):
    fs = fsspec.filesystem("memory")
    put = type(fs).put_file

    def put_half(self, local, remote, **options):
        put(self, local, remote, **options)
        self.pipe_file(remote, self.cat_file(remote)[:100])
        raise OSError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "put_file", put_half)
        writer = write("memory://half/x.eoc")
        writer.write(None, FLAT)
        with pytest.raises(eocodec.EocodecError, match="the line is dead"):
            writer.close()
    assert fs.find("/half") == []
    with write("memory://half/x.eoc") as writer:
        writer.write(None, FLAT)
    assert fs.find("/half") == ["/half/x.eoc"]
    np.testing.assert_array_equal(eocodec.open("memory://half/x.eoc")[1], FLAT[1])
    fs.rm("/half", recursive=True)


# The commands and xarray


def test_xarray_opens_urls(container, s3):
    fs, _ = s3
    fs.pipe_file(URL, container)
    with xr.open_dataset(URL, engine="eocodec", chunks={}) as ds:
        np.testing.assert_array_equal(ds["data"][:, 100:300, 200:500], RASTER[:, 100:300, 200:500])
    with http_server(container) as (url, _), xr.open_dataset(url, engine="eocodec") as ds:
        np.testing.assert_array_equal(ds["data"][1], RASTER[1])
    ds = xr.Dataset({"dn": (("band", "y", "x"), FLAT)})
    ds.eoc.to_eoc("memory://remote/ds.eoc", tile_size=64)
    with xr.open_dataset("memory://remote/ds.eoc", engine="eocodec") as back:
        np.testing.assert_array_equal(back.dn, FLAT)
    fsspec.filesystem("memory").rm("/remote", recursive=True)


def test_rasters_are_compressed_from_and_to_s3(s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fs, _ = s3
    with rasterio.open(SCENE) as source:
        pixels = source.read(window=((0, 60), (0, 50)))
        profile = {**source.profile, "height": 60, "width": 50}
    with rasterio.open("crop.tif", "w", **profile) as target:
        target.write(pixels)
    fs.put_file("crop.tif", f"{BUCKET}/scene.tif")
    scene, packed = f"s3://{BUCKET}/scene.tif", f"s3://{BUCKET}/out/scene.eoc"
    command("compress", scene, packed, "--lossless")
    command("compress", scene, "--lossless")
    assert (tmp_path / "scene.eoc").read_bytes() == fs.cat_file(packed)
    assert command("validate", packed).stdout == f"{packed}: ok, 1 arrays, 1 tiles\n"
    shown = json.loads(command("compare", scene, packed, "--no-png", "--json").stdout)
    assert shown["rmse"] == 0
    command("decompress", packed)
    command("export", packed, "cog.tif")
    for name in ("scene.tif", "cog.tif"):
        with rasterio.open(name) as source:
            np.testing.assert_array_equal(source.read(), pixels)


def test_a_raster_that_is_not_there_gives_one_line(s3):
    url = f"s3://{BUCKET}/none.tif"
    (line,) = command("compress", url, "--lossless", status=1).stderr.splitlines()
    assert line == f"eocodec: error: cannot read {url}: no such file"


@pytest.mark.parametrize(
    "name", ['HDF5:"none.h5"://group/a', "zip://none.zip!a.tif", "nosuch://a.tif"]
)
def test_names_that_are_for_gdal_stay_with_gdal(name):
    with pytest.raises(eocodec.InputError, match="as a raster"):
        GeoTiff(name)


@pytest.mark.parametrize("name", ["decompress", "export"])
def test_rasters_are_not_written_to_urls(name):
    (line,) = command(name, "x.eoc", "s3://b/x.tif", status=2).stderr.splitlines()
    assert line == "eocodec: error: cannot write to s3://b/x.tif: name a local file"
