"""One file, many readers, in threads and processes; and writers that are killed."""

import itertools
import multiprocessing
import random
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import eocodec
from eocodec import EncodeSettings
from eocodec.payload import RVQ

LOSSLESS = EncodeSettings(lossless=True)
PIXELS = np.random.default_rng(4).integers(0, 500, (3, 96, 80)).astype("uint16")
WINDOWS = [
    (slice(y, y + 33), slice(x, x + 20)) for y, x in itertools.product((0, 15, 60), (0, 31, 60))
]


# Files of the learned mode too: its matrix products have threads of their own, which a fork loses.
LEARNED = np.random.default_rng(1).integers(900, 1100, (3, 48, 48)).cumsum(axis=2).astype("uint16")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("shared") / "x.eoc"
    path.write_bytes(eocodec.compress(PIXELS, settings=LOSSLESS, tile_size=32))
    return path


def read_windows(reader, threads=1):
    """Tell whether every window comes back right."""
    with reader:
        return [
            np.array_equal(reader.read(window, threads=threads), PIXELS[:, *window])
            for window in WINDOWS
        ]


def open_and_read_windows(path, threads):
    return read_windows(eocodec.open(path), threads)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_read_one_file(path, method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool, eocodec.open(path) as reader:
        tasks = [pool.submit(open_and_read_windows, path, threads) for threads in (1, 2, 1, 2)]
        tasks += [pool.submit(read_windows, reader) for _ in range(2)]
        assert all(all(task.result(300)) for task in tasks)


def test_forked_children_share_an_open_reader(path):
    # A seek in one of them would move the file position of all.
    with eocodec.open(path) as reader:
        np.testing.assert_array_equal(reader.read(threads=2), PIXELS)
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        children = [
            context.Process(target=lambda: answers.put(read_windows(reader))) for _ in range(3)
        ]
        for child in children:
            child.start()
        here = [np.array_equal(reader[:, *window], PIXELS[:, *window]) for window in WINDOWS]
        for child in children:
            child.join(300)
            assert child.exitcode == 0
        assert all(here)
        assert all(all(answers.get()) for _ in children)


def test_learned_tiles_decode_in_forked_children(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(eocodec.compress(LEARNED, settings=EncodeSettings(layers=3), tile_size=16))
    with eocodec.open(path) as reader:
        assert reader.read_tile(0)[0] == RVQ
        decoded = [reader.read(threads=threads) for threads in (1, 2)]
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def read(threads):
            answers.put(np.array_equal(reader.read(threads=threads), decoded[0]))

        children = [context.Process(target=read, args=(threads,)) for threads in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join(300)
            assert child.exitcode == 0
        assert np.array_equal(*decoded)
        assert [answers.get() for _ in children] == [True, True]


def test_readers_see_the_old_or_the_new_file_while_it_is_replaced(tmp_path):
    path = tmp_path / "x.eoc"

    def write(value):
        pixels = np.full((1, 40, 40), value, "uint16")
        pixels[0, ::3] = 2 * value
        with eocodec.create(
            path, shape=pixels.shape, dtype="u2", tile_size=16, settings=LOSSLESS, overwrite=True
        ) as writer:
            writer.write(None, pixels)

    def read(_):
        with eocodec.open(path) as reader:
            pixels = reader.read(threads=1)
        value = int(pixels[0, 1, 0])
        rest = np.delete(pixels[0], np.arange(0, 40, 3), axis=0)
        return value, bool((pixels[0, ::3] == 2 * value).all() and (rest == value).all())

    write(1)
    with ThreadPoolExecutor(3) as pool:
        seen = [pool.submit(read, number) for number in range(30)]
        for value in range(2, 12):
            write(value)
        seen += [pool.submit(read, number) for number in range(30)]
    values = [task.result() for task in seen]
    assert all(whole for _, whole in values)
    assert {value for value, _ in values[30:]} == {11}


WRITER = """
import itertools, sys
import numpy as np
import eocodec
settings = eocodec.EncodeSettings(lossless=True)
print("ready", flush=True)
for value in itertools.count(1):
    with eocodec.create(sys.argv[1], shape=(1, 48, 48), dtype="uint16", tile_size=16, overwrite=True,
                        settings=settings, threads=1 + value % 2) as writer:
        for row in range(0, 48, 16):
            pixels = np.full((1, 16, 48), value, "uint16")
            pixels[0, 3] = value + np.arange(48)
            writer.write((slice(row, row + 16), slice(0, 48)), pixels)
"""


@pytest.mark.parametrize("seed", range(4))
def test_writer_killed_at_any_time_leaves_a_whole_file_or_none(tmp_path, seed):
    path = tmp_path / "x.eoc"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0, 0.5))
        child.kill()
    if path.exists():
        with eocodec.open(path) as reader:
            reader.validate(threads=1)
            pixels = reader.read(threads=1)
        value = int(pixels[0, 0, 0])
        expected = np.full((48, 48), value, "uint16")
        expected[3::16] = value + np.arange(48)
        np.testing.assert_array_equal(pixels[0], expected)
    leftovers = [p.name for p in tmp_path.iterdir() if p != path]
    assert all(name.startswith(".x.eoc.") and name.endswith(".part") for name in leftovers)
    assert len(leftovers) <= 1
