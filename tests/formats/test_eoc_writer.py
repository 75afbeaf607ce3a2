"""Writing: one pass, in threads, atomic; nothing under the final name unless it is whole."""

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
from eocodec.formats.eoc import writer as writer_module

LOSSLESS = eocodec.EncodeSettings(lossless=True)
ARRAY = np.random.default_rng(5).integers(0, 300, (2, 40, 50)).astype("uint16")


def start(target, tile_size=16, **keywords):
    return eocodec.create(
        target,
        shape=ARRAY.shape,
        dtype=ARRAY.dtype,
        tile_size=tile_size,
        settings=LOSSLESS,
        **keywords,
    )


def write_half(target, error, **keywords):
    with start(target, **keywords) as writer:
        writer.write((slice(0, 16), slice(0, 50)), ARRAY[:, :16])
        raise error


def write_whole(target, **keywords):
    with start(target, **keywords) as writer:
        writer.write(None, ARRAY)


class Pipe(io.RawIOBase):
    """Write-only, cannot seek or tell, takes at most 7 bytes at a time, as a raw pipe may."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data[:7])
        return min(len(data), 7)


def test_one_pass_into_a_pipe():
    pipe = Pipe()
    with start(pipe) as writer:
        writer.write(None, ARRAY)
    assert not pipe.closed
    np.testing.assert_array_equal(eocodec.decompress(bytes(pipe.data)), ARRAY)


def test_bytes_leave_before_the_last_window(tmp_path):
    pipe = Pipe()
    with start(pipe, tile_size=8, threads=1) as writer:
        sizes = []
        for row in range(0, 40, 8):
            writer.write((slice(row, row + 8), slice(0, 50)), ARRAY[:, row : row + 8])
            sizes.append(len(pipe.data))
    assert len(set(sizes)) == 5


def test_fifo_path_is_streamed(tmp_path):
    fifo = tmp_path / "fifo.eoc"
    os.mkfifo(fifo)
    read = []
    thread = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    thread.start()
    with start(fifo) as writer:
        writer.write(None, ARRAY)
    thread.join(20)
    np.testing.assert_array_equal(eocodec.decompress(read[0]), ARRAY)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_windows_in_any_cut_and_order_give_the_array(data):
    def cut(size):
        inner = data.draw(st.lists(st.integers(1, size - 1), max_size=3, unique=True))
        ends = [0, *sorted(inner), size]
        return [slice(a, b) for a, b in itertools.pairwise(ends)]

    windows = [(p, y, x) for p in cut(2) for y in cut(40) for x in cut(50)]
    buffer = io.BytesIO()
    with start(buffer, threads=1) as writer:
        for window in data.draw(st.permutations(windows)):
            writer.write(window, ARRAY[window])
    np.testing.assert_array_equal(eocodec.decompress(buffer.getvalue()), ARRAY)


def test_caller_may_reuse_its_buffer():
    buffer, block = io.BytesIO(), np.empty((2, 16, 50), "uint16")
    with start(buffer, threads=4) as writer:
        for row in range(0, 40, 16):
            part = block[:, : min(16, 40 - row)]
            part[...] = ARRAY[:, row : row + 16]
            writer.write((slice(row, row + part.shape[1]), slice(0, 50)), part)
            block[...] = 0
    np.testing.assert_array_equal(eocodec.decompress(buffer.getvalue()), ARRAY)


def test_tiles_in_flight_are_bounded(monkeypatch):
    live, most, lock = 0, 0, threading.Lock()
    encode = writer_module.encode_measured

    started = []

    def slow(pixels, settings):
        nonlocal live, most
        with lock:
            live += 1
            most = max(most, live)
        time.sleep(0.002)
        out = encode(pixels, settings)
        with lock:
            live -= 1
            started.append(len(out))
        return out

    monkeypatch.setattr(writer_module, "encode_measured", slow)
    buffer = io.BytesIO()
    with start(buffer, tile_size=4, threads=3) as writer:
        pushed = 0
        for row in range(0, 40, 4):
            for column in range(0, 50, 4):
                window = (slice(row, row + 4), slice(column, min(column + 4, 50)))
                writer.write(window, ARRAY[:, window[0], window[1]])
                pushed += 1
                assert pushed - len(started) <= 2 * 3
    assert 1 < most <= 3
    np.testing.assert_array_equal(eocodec.decompress(buffer.getvalue()), ARRAY)


def test_large_raster_takes_the_memory_of_tiles_in_flight():
    tile = np.zeros((1, 512, 512), "uint16")
    sink = Pipe()
    tracemalloc.start()
    with eocodec.create(
        sink, shape=(1, 16384, 16384), dtype="uint16", settings=LOSSLESS, threads=2
    ) as writer:  # 512 MiB of raster, 0.5 MiB a tile
        for row in range(0, 16384, 512):
            for column in range(0, 16384, 512):
                tile[...] = row + column
                writer.write((slice(row, row + 512), slice(column, column + 512)), tile)
    _, writing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    with eocodec.open(bytes(sink.data)) as reader:
        reader.validate(threads=2)
        assert reader[0, 5000, 9000] == 4608 + 8704
    _, reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert writing < 24 << 20
    assert reading < 24 << 20


def write_all_but_part_of_tile_5(path):
    with start(path) as writer:
        for tile in range(12):
            y, x = tile // 4 * 16, tile % 4 * 16
            rows, columns = slice(y, min(y + 16, 40)), slice(x, min(x + 16, 50))
            if tile == 5:
                columns = slice(x, x + 9)
            writer.write((rows, columns), ARRAY[:, rows, columns])


def test_missing_tile_is_not_published(tmp_path):
    missing = r"1 of 12 tiles .* tile 5 \(rows 16:32, columns 16:32\)"
    with pytest.raises(eocodec.InputError, match=missing):
        write_all_but_part_of_tile_5(tmp_path / "x.eoc")
    assert list(tmp_path.iterdir()) == []


def test_exception_half_way_leaves_nothing(tmp_path):
    path = tmp_path / "x.eoc"
    with pytest.raises(RuntimeError, match="half"):
        write_half(path, RuntimeError("half way"))
    assert list(tmp_path.iterdir()) == []


def test_exception_half_way_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_half(path, KeyboardInterrupt(), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.eoc"]
    assert path.read_bytes() == b"old"


def test_encoder_failure_surfaces_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(pixels, settings):
        raise eocodec.InputError("no such quality")

    monkeypatch.setattr(writer_module, "encode_measured", fail)
    for threads in (1, 3):
        with pytest.raises(eocodec.InputError, match=r"tile 0 \(rows 0:16.*no such quality"):
            write_whole(tmp_path / "x.eoc", threads=threads)
        assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, numpy as np, eocodec
settings = eocodec.EncodeSettings(lossless=True)
writer = eocodec.create(sys.argv[1], shape=(1, 64, 64), dtype="uint8", tile_size=16,
                        settings=settings, overwrite=True)
pixels = np.random.default_rng(0).integers(0, 255, (1, 16, 64)).astype("uint8")
for row in (0, 16, 32):
    writer.write((slice(row, row + 16), slice(0, 64)), pixels)
print("half way", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("old", [None, b"old"])
def test_killed_writer_leaves_the_old_file_or_nothing(tmp_path, old):
    path = tmp_path / "x.eoc"
    if old:
        path.write_bytes(old)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"half way\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait(20) == -signal.SIGKILL
    if old:
        assert path.read_bytes() == old
    else:
        assert not path.exists()
    (left,) = [p for p in tmp_path.iterdir() if p != path]
    assert left.name.startswith(".x.eoc.")
    assert left.suffix == ".part"
    with pytest.raises(eocodec.FormatError):
        eocodec.open(left)


def test_existing_file_is_kept_unless_overwrite(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(b"old")
    with pytest.raises(eocodec.InputError, match="exists"):
        start(path)
    assert path.read_bytes() == b"old"
    with start(path, overwrite=True) as writer:
        writer.write(None, ARRAY)
    with eocodec.open(path) as reader:
        np.testing.assert_array_equal(reader.read(), ARRAY)
    assert [p.name for p in tmp_path.iterdir()] == ["x.eoc"]


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "x.eoc"
    writer = start(path)
    writer.write(None, ARRAY)
    path.write_bytes(b"other")
    with pytest.raises(eocodec.InputError, match="meanwhile"):
        writer.close()
    assert path.read_bytes() == b"other"
    assert [p.name for p in tmp_path.iterdir()] == ["x.eoc"]


def test_published_file_has_the_usual_permissions(tmp_path):
    with start(tmp_path / "x.eoc") as writer:
        writer.write(None, ARRAY)
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "x.eoc").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_impossible_target_is_an_input_error(tmp_path):
    for target in (tmp_path / "no" / "x.eoc", tmp_path, 5, "nosuchprotocol://x.eoc"):
        with pytest.raises(eocodec.InputError, match=r"cannot write|is a folder"):
            start(target)


def test_wrong_arguments_do_not_touch_the_target(tmp_path):
    with pytest.raises(eocodec.InputError):
        start(tmp_path / "x.eoc", tags={"": {"a": "\ud800"}})
    with pytest.raises(eocodec.InputError, match="not both"):
        start(tmp_path / "x.eoc", arrays=[])
    assert list(tmp_path.iterdir()) == []


def test_url_is_written_when_whole():
    url = "memory://eoc-test/x.eoc"
    fs = fsspec.filesystem("memory")
    with pytest.raises(RuntimeError, match="half"):
        write_half(url, RuntimeError("half way"))
    assert not fs.exists(url)
    with start(url) as writer:
        writer.write(None, ARRAY)
        assert not fs.exists(url)
    np.testing.assert_array_equal(eocodec.open(url)[1], ARRAY[1])
    with pytest.raises(eocodec.InputError, match="exists"):
        start(url)
    fs.rm(url)


def test_full_disk_is_a_clear_error():
    class Full(io.RawIOBase):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(eocodec.EocodecError, match="No space left"), start(Full()) as writer:
        writer.write(None, ARRAY)


def test_swallowed_write_failure_is_not_forgotten(tmp_path):
    class Hiccup(Pipe):
        calls = 0

        def write(self, data):
            self.calls += 1
            if self.calls == 40:
                raise OSError(5, "Input/output error")
            return super().write(data)

    writer = start(Hiccup(), threads=1)
    with pytest.raises(eocodec.EocodecError, match="Input/output"):
        writer.write(None, ARRAY)
    with pytest.raises(eocodec.InputError, match="closed"):
        writer.write(None, ARRAY)
    with pytest.raises(eocodec.EocodecError, match="given up"):
        writer.close()


@pytest.mark.parametrize(
    ("window", "pixels", "message"),
    [
        (None, ARRAY[:1], "takes pixels of shape"),
        (None, ARRAY.astype("int32"), "is uint16"),
        (None, ARRAY.astype("float32"), "is uint16"),
        ((slice(0, 41), slice(0, 50)), ARRAY, "outside"),
        ((slice(0, 40), slice(0, 40)), ARRAY, "takes pixels of shape"),
    ],
)
def test_pixels_that_do_not_fit_raise(window, pixels, message):
    with pytest.raises(eocodec.InputError, match=message), start(io.BytesIO()) as writer:
        writer.write(window, pixels)


@pytest.mark.parametrize(
    "window", [(slice(0, 16), slice(0, 16)), (slice(20, 24), slice(0, 8))], ids=["tile", "part"]
)
def test_samples_written_twice_raise(window):
    pixels = ARRAY[:, window[0], window[1]]
    writer = start(io.BytesIO())
    writer.write(window, pixels)
    with pytest.raises(eocodec.InputError, match="already written"):
        writer.write(window, pixels)
    writer.abort()


def test_arrays_are_declared_before_the_first_window():
    buffer = io.BytesIO()
    header = eocodec.array_header(shape=(4, 4), dtype="uint8", name="b", nodata=3)
    with eocodec.create(buffer, arrays=[]) as writer:
        writer.add_array(
            eocodec.array_header(shape=ARRAY.shape, dtype="uint16", name="a"), LOSSLESS
        )
        writer.add_array(header, LOSSLESS)
        writer.write(None, np.full((4, 4), 3, "uint8"), array="b")
        with pytest.raises(eocodec.InputError, match="before the first window"):
            writer.add_array(header, LOSSLESS)
        for missing in ("c", 2, -1):
            with pytest.raises(eocodec.InputError, match="no array"):
                writer.write(None, ARRAY, array=missing)
        writer.write(None, ARRAY)
        assert [array.max_error for array in writer.arrays] == [0.0, 0.0]
    out = eocodec.decompress(buffer.getvalue())
    np.testing.assert_array_equal(out["a"], ARRAY)
    with pytest.raises(eocodec.InputError, match="closed"):
        writer.write(None, ARRAY)
    with pytest.raises(eocodec.InputError, match="closed"):
        writer.add_array(header, LOSSLESS)


def test_names_must_differ():
    header = eocodec.array_header(shape=(4, 4), dtype="uint8")
    with pytest.raises(eocodec.InputError, match="differ"):
        eocodec.create(io.BytesIO(), arrays=[header, header], settings=LOSSLESS)


def test_no_arrays_is_an_input_error(tmp_path):
    with (
        pytest.raises(eocodec.InputError, match="not 0"),
        eocodec.create(tmp_path / "x.eoc", arrays=[]),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_contradicting_nodata_raises():
    settings = eocodec.EncodeSettings(lossless=True, nodata=5)
    with pytest.raises(eocodec.InputError, match="nodata"):
        eocodec.compress(ARRAY, settings=settings, nodata=0)
    assert eocodec.open(eocodec.compress(ARRAY, settings=settings)).nodata == 5


@pytest.mark.parametrize("number", [-1, 4, 2**40, 1.0, "1", None, True])
def test_tiles_that_an_array_does_not_have_are_refused(number):
    pixels = np.arange(64, dtype="u2").reshape(1, 8, 8)
    buffer = io.BytesIO()
    fields = {"shape": (1, 8, 8), "dtype": "u2", "name": "dn", "tile_size": 4}
    payload = eocodec.encode_tile(pixels[:, :4, :4], LOSSLESS)
    with eocodec.create(buffer, settings=LOSSLESS, **fields) as writer:
        with pytest.raises(
            eocodec.InputError, match=r"array 'dn' has no tile .*; its 4 tiles .* 0 to 3"
        ):
            writer.write_tile(number, payload)
        writer.write_tile(np.int64(0), payload)
        for box in (np.s_[0:4, 4:8], np.s_[4:8, 0:8]):
            writer.write(box, pixels[:, *box])
    assert np.array_equal(eocodec.decompress(buffer.getvalue()), pixels)
