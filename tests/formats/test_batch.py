"""Many files at once: what goes where, what is kept, what becomes of failures and killed workers."""

import hashlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import rasterio

import eocodec
from eocodec import EncodeSettings
from eocodec.errors import EocodecError, FormatError, InputError
from eocodec.formats.batch import compress_files, settings_of
from eocodec.formats.batch_cluster import local_client, remote_client
from eocodec.formats.batch_jobs import Job, plan_jobs
from eocodec.formats.batch_task import remove_leftovers
from eocodec.formats.geotiff import CompressOptions, compress_geotiff

DATA = Path(__file__).parents[1] / "data"
LOSSLESS = CompressOptions(settings=EncodeSettings(lossless=True), tile_size=64)
LOSSY = CompressOptions(settings=EncodeSettings(max_error=20), tile_size=64)


def crops(folder, count, size=64):
    """Write crops of a scene; return their paths."""
    with rasterio.open(DATA / "s2_chesapeake.tif") as scene:
        pixels, profile = scene.read(), scene.profile
    profile.update(width=size, height=size)
    paths = []
    for number in range(count):
        at = 8 * number
        paths.append(folder / f"crop{number}.tif")
        with rasterio.open(paths[-1], "w", **profile) as crop:
            crop.write(pixels[:, at : at + size, at : at + size])
    return paths


@pytest.fixture
def paths(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return crops(folder, 3)


@pytest.fixture(scope="module")
def cluster():
    with local_client(2) as client:
        yield client


def lines(folder):
    entries = map(json.loads, (Path(folder) / "manifest.jsonl").read_text().splitlines())
    return {entry["output"]: entry for entry in entries}


def names(entries):
    return sorted(entry.output for entry in entries)


def pixels_of(path):
    with rasterio.open(path) as source:
        return source.read()


def test_every_raster_and_every_native_pair_gives_a_file():
    listed = ["/in/b.10m.tif", "/in/a.tif", "/in/b.20m.tif", "/in/c_10m.tif", "s3://x/y/d.tif"]
    assert plan_jobs(listed, "/out/") == [
        Job(("/in/b.10m.tif", "/in/b.20m.tif"), "/out/b.eoc"),
        Job(("/in/a.tif",), "/out/a.eoc"),
        Job(("/in/c_10m.tif",), "/out/c_10m.eoc"),
        Job(("s3://x/y/d.tif",), "/out/d.eoc"),
    ]
    assert plan_jobs(["a.tif"]) == [Job((os.path.abspath("a.tif"),), os.path.abspath("a.eoc"))]


@pytest.mark.parametrize(
    ("listed", "folder", "message"),
    [
        (["/a/x.tif", "/b/x.tif"], "/out", "/a/x.tif and /b/x.tif would both be .* /out/x.eoc"),
        (["/a/x.tif", "/a/x.jp2"], None, "would both be written to /a/x.eoc"),
        (["/a/x.10m.tif", "/a/x.20m.tif", "/a/x.tif"], None, "x.20m.tif and /a/x.tif would"),
        (["/a/x.tif", "/b/y.tif"], None, "several folders"),
        ([], "/out", "no raster"),
    ],
)
def test_outputs_that_are_not_clear_are_refused_before_anything_starts(listed, folder, message):
    with pytest.raises(InputError, match=message):
        plan_jobs(listed, folder)


def test_the_manifest_has_sizes_and_checksums(tmp_path, paths):
    report = compress_files(paths, tmp_path / "out", LOSSLESS)
    assert names(report.written) == ["crop0.eoc", "crop1.eoc", "crop2.eoc"]
    assert report.manifest == str(tmp_path / "out/manifest.jsonl")
    for path in paths:
        data = (tmp_path / "out" / f"{path.stem}.eoc").read_bytes()
        entry = lines(tmp_path / "out")[f"{path.stem}.eoc"]
        assert entry["status"] == "done"
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["raw_bytes"] == pixels_of(path).nbytes
        assert entry["sources"][0]["path"] == str(path)
        assert entry["settings"]["settings"]["lossless"] is True
        np.testing.assert_array_equal(eocodec.decompress(data), pixels_of(path))


def test_finished_files_are_kept_and_what_changed_is_done_again(tmp_path, paths):
    out = tmp_path / "out"
    compress_files(paths, out, LOSSLESS)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.eoc")}
    assert names(compress_files(paths, out, LOSSLESS).kept) == sorted(before)
    (out / "crop0.eoc").write_bytes((out / "crop0.eoc").read_bytes()[:-1])
    os.utime(paths[1], ns=(1, 1))
    report = compress_files([*paths, *crops(tmp_path, 4)[3:]], out, LOSSLESS)
    assert names(report.written) == ["crop0.eoc", "crop1.eoc", "crop3.eoc"]
    assert names(report.kept) == ["crop2.eoc"]
    assert (out / "crop2.eoc").stat().st_mtime_ns == before["crop2.eoc"]
    np.testing.assert_array_equal(
        eocodec.decompress((out / "crop0.eoc").read_bytes()), pixels_of(paths[0])
    )


def test_files_of_other_settings_or_of_no_batch_are_not_replaced_unasked(tmp_path, paths):
    out = tmp_path / "out"
    compress_files(paths[:1], out, LOSSLESS)
    (out / "crop1.eoc").write_bytes(b"mine")
    for _ in range(2):
        report = compress_files(paths[:2], out, LOSSY)
        assert names(report.failed) == ["crop0.eoc", "crop1.eoc"]
        assert all("of other settings or of no batch" in entry.error for entry in report.failed)
        assert (out / "crop1.eoc").read_bytes() == b"mine"
    assert names(compress_files(paths[:1], out, LOSSLESS).kept) == ["crop0.eoc"]
    replacing = CompressOptions(settings=LOSSY.settings, tile_size=64, overwrite=True)
    assert len(compress_files(paths[:2], out, replacing).written) == 2
    assert len(compress_files(paths[:2], out, LOSSY).kept) == 2


def test_settings_are_the_same_whatever_threads_write_them():
    given = CompressOptions(max_error={"B02": 4.0}, bands=("B02",), threads=3, overwrite=True)
    assert settings_of(given) == settings_of(
        CompressOptions(
            max_error={"B02": 4.0}, bands=["B02"], settings=EncodeSettings(model="s2-rvq")
        )
    )
    assert settings_of(given) != settings_of(CompressOptions(max_error={"B02": 5.0}, bands=["B02"]))


def test_a_file_that_fails_leaves_the_others_and_its_reason(tmp_path, paths):
    paths[1].write_bytes(b"no raster")
    missing = tmp_path / "missing.tif"
    report = compress_files([*paths, missing], tmp_path / "out", LOSSLESS)
    assert names(report.written) == ["crop0.eoc", "crop2.eoc"]
    assert names(report.failed) == ["crop1.eoc", "missing.eoc"]
    found = lines(tmp_path / "out")
    assert "not recognized" in found["crop1.eoc"]["error"]
    assert found["missing.eoc"]["error"] == f"cannot read {missing}: No such file or directory"
    assert sorted(os.listdir(tmp_path / "out")) == ["crop0.eoc", "crop2.eoc", "manifest.jsonl"]
    paths[1].write_bytes(paths[0].read_bytes())
    again = compress_files(paths, tmp_path / "out", LOSSLESS)
    assert (names(again.written), len(again.kept)) == (["crop1.eoc"], 2)


def test_an_interrupted_batch_keeps_what_it_finished(tmp_path, paths):
    class Interrupt:
        def tiles(self, job, done):
            pass

        def file(self, entry):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_files(paths, tmp_path / "out", LOSSLESS, progress=Interrupt())
    statuses = [entry["status"] for entry in lines(tmp_path / "out").values()]
    assert statuses == ["done", "pending", "pending"]
    report = compress_files(paths, tmp_path / "out", LOSSLESS)
    assert (len(report.kept), len(report.written)) == (1, 2)


def test_what_a_killed_writer_left_is_removed(tmp_path, paths):
    out = tmp_path / "out"
    out.mkdir()
    stale = out / ".crop0.eoc.0123456789ab.part"
    other = out / ".crop00.eoc.0123456789ab.part"
    for path in (stale, other):
        path.write_bytes(b"half")
    remove_leftovers(plan_jobs(paths, out))
    assert (stale.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "{", '{"output": 1}', "\xff\n"])
def test_a_malformed_manifest_is_an_error_that_names_it(tmp_path, paths, text):
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(FormatError, match=r"manifest\.jsonl is no manifest"):
        compress_files(paths, tmp_path, LOSSLESS)


def test_outputs_may_be_remote(paths):
    report = compress_files(paths, "memory://batch/out", LOSSLESS)
    assert len(report.written) == 3
    assert len(compress_files(paths, "memory://batch/out", LOSSLESS).kept) == 3
    assert len(compress_files(paths, "memory://batch/out", LOSSY).failed) == 3
    with eocodec.open("memory://batch/out/crop1.eoc") as reader:
        np.testing.assert_array_equal(reader.read(), pixels_of(paths[1]))


class Record:
    """Keeps what a batch tells."""

    def __init__(self):
        self.files, self.counts = [], {}

    def tiles(self, job, done):
        self.counts[job] = done

    def file(self, entry):
        self.files.append(entry.output)


def test_a_cluster_writes_the_same_bytes(tmp_path, paths, cluster):
    paths[2].write_bytes(b"no raster")
    options = CompressOptions(settings=EncodeSettings(layers=3), tile_size=32)
    told = Record()
    report = compress_files(paths, tmp_path / "out", options, client=cluster, progress=told)
    assert names(report.written) == ["crop0.eoc", "crop1.eoc"]
    assert names(report.failed) == ["crop2.eoc"]
    for path in paths[:2]:
        compress_geotiff([path], tmp_path / "one.eoc", options)
        one = (tmp_path / "one.eoc").read_bytes()
        assert (tmp_path / "out" / f"{path.stem}.eoc").read_bytes() == one
        (tmp_path / "one.eoc").unlink()
    assert sorted(told.files) == ["crop0.eoc", "crop1.eoc", "crop2.eoc"]
    assert told.counts == {0: 4, 1: 4}
    again = compress_files(paths[:2], tmp_path / "out", options, client=cluster)
    assert len(again.kept) == 2


class KillsAWorker(Record):
    """Kills a worker at work once the first file is finished."""

    def __init__(self, client):
        super().__init__()
        self._client = client
        self.killed = None

    def file(self, entry):
        super().file(entry)
        if self.killed is None:
            pids = self._client.run(os.getpid)
            busy = [worker for worker, keys in self._client.processing().items() if keys]
            self.killed = pids[busy[0]]
            os.kill(self.killed, signal.SIGKILL)


def test_a_worker_killed_half_way_loses_no_finished_file(tmp_path, cluster):
    paths = crops(tmp_path, 8)
    out = tmp_path / "out"
    killer = KillsAWorker(cluster)
    options = CompressOptions(settings=EncodeSettings(lossless=True), tile_size=32)
    report = compress_files(paths, out, options, client=cluster, progress=killer)
    assert killer.killed is not None
    assert len(report.written) == 8
    assert sorted(os.listdir(out)) == sorted([*names(report.written), "manifest.jsonl"])
    for path in paths:
        data = (out / f"{path.stem}.eoc").read_bytes()
        assert lines(out)[f"{path.stem}.eoc"]["sha256"] == hashlib.sha256(data).hexdigest()
        np.testing.assert_array_equal(eocodec.decompress(data), pixels_of(path))


def test_a_running_cluster_is_used_by_its_address(cluster):
    with remote_client(cluster.scheduler.address) as client:
        assert client.submit(sum, [1, 2]).result() == 3


def test_clusters_that_cannot_be_are_errors(monkeypatch):
    monkeypatch.setattr("eocodec.formats.batch_cluster._PATIENCE", "200ms")
    with pytest.raises(EocodecError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        remote_client("tcp://127.0.0.1:9").__enter__()
    with pytest.raises(EocodecError, match="no Dask scheduler answers at nonsense"):
        remote_client("nonsense://x").__enter__()
    with pytest.raises(InputError, match="at least 1 worker"):
        local_client(0).__enter__()


def test_workers_have_a_thread_each_and_their_share_of_the_memory(cluster):
    workers = cluster.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["nthreads"] for worker in workers] == [1, 1]
    assert all(worker["memory_limit"] > 0 for worker in workers)
