"""Codecs in other processes and on Dask: pickled, forked after anything, spawned, on every scheduler."""

import io
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

import eocodec
import eocodec.hdf5
import eocodec.xarray
from eocodec import EncodeSettings
from eocodec.formats.batch_cluster import local_client
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.quality import Target
from eocodec.hdf5.options import ChunkFilter
from eocodec.numcodecs import Eocodec
from eocodec.payload import PREDICTIVE, RVQ
from eocodec.zarr import TileSerializer

with rasterio.open("tests/data/s2_chesapeake.tif") as scene:
    STACK = scene.read(window=((0, 64), (0, 64)))
OPTIONS = {"lossless": {"lossless": True}, "learned": {"quality": 2}}


def through_tiles(options):
    settings = EncodeSettings(lossless="lossless" in options, layers=options.get("quality"))
    payload = eocodec.encode_tile(STACK, settings)
    assert payload[0] == (PREDICTIVE if settings.lossless else RVQ)
    return payload, eocodec.decode_tile(payload)


def through_numcodecs(options):
    data = Eocodec(**options).encode(STACK)
    return data, Eocodec(**options).decode(data)


def through_zarr(options):
    store = {}
    serializer = TileSerializer(**options)
    zarr.create_array(
        store, data=STACK, chunks=STACK.shape, serializer=serializer, compressors=None
    )
    return store["c/0/0/0"].to_bytes(), zarr.open_array(store)[:]


def through_hdf5(options):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        dataset = file.create_dataset(
            "x", data=STACK, chunks=STACK.shape, **eocodec.hdf5.filter(**options)
        )
        return dataset.id.read_direct_chunk((0, 0, 0))[1], dataset[...]


def through_container(options):
    settings = EncodeSettings(lossless="lossless" in options, layers=options.get("quality"))
    data = eocodec.compress(STACK, settings=settings, tile_size=32, threads=2)
    with eocodec.open(data) as reader:
        return data, reader.read(threads=2)


WAYS = [through_tiles, through_numcodecs, through_zarr, through_hdf5, through_container]


def all_ways():
    """Encode and decode in every way, without loss and learned."""
    return [way(options) for options in OPTIONS.values() for way in WAYS]


def same(left, right):
    """Whether two results of `all_ways` are of the same bytes and samples."""
    return all(
        data == other and np.array_equal(pixels, others)
        for (data, pixels), (other, others) in zip(left, right, strict=True)
    )


@pytest.fixture(scope="module")
def here():
    """What this process makes of it, by which its torch, matrix products and pools have all run."""
    return all_ways()


def test_a_spawned_child_encodes_and_decodes_as_its_parent(here):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert same(pool.apply_async(all_ways).get(timeout=300), here)


def fork_after_everything_ran():
    here = all_ways()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert same(pool.apply_async(all_ways).get(timeout=60), here)


def fork_while_pools_run():
    here = all_ways()
    pixels = np.tile(STACK, (1, 2, 2))
    child = None
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    lossy = EncodeSettings(layers=2)
    with eocodec.create(
        io.BytesIO(), shape=pixels.shape, dtype="uint16", tile_size=64, threads=2, settings=lossy
    ) as writer:
        for row in range(0, 128, 64):
            writer.write((slice(row, row + 64), slice(0, 128)), pixels[:, row : row + 64])
            if child is None:
                child = context.Process(target=lambda: answers.put(same(all_ways(), here)))
                child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answers.get()


@pytest.mark.parametrize("scenario", [fork_after_everything_ran, fork_while_pools_run])
def test_a_forked_child_encodes_and_decodes_as_its_parent(scenario):
    """In a fresh process: what other libraries have started in this one, their fork may not survive."""
    folder = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import test_processes as here; here.{scenario.__name__}()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr


def test_samples_are_the_first_bands_whatever_the_way(here):
    lossless, learned = here[: len(WAYS)], here[len(WAYS) :]
    assert all(np.array_equal(pixels, STACK) for _, pixels in lossless)
    assert all(0 < np.abs(pixels.astype(int) - STACK).max() < 2000 for _, pixels in learned)
    assert len({data for data, _ in lossless[:4]}) == len({data for data, _ in learned[:4]}) == 1


@pytest.mark.parametrize(
    "thing",
    [
        Eocodec(quality=2, dims=("band", "y", "x")),
        TileSerializer(max_error=[1.0, None], nodata=0),
        EncodeSettings(max_error=(1.0, None), nodata=0.0),
        CompressOptions(target=Target(rmse=30), max_error={"B02": 4.0}, bands=["B02"]),
        ChunkFilter.__new__(ChunkFilter),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_codecs_and_options_can_be_pickled(thing):
    if isinstance(thing, ChunkFilter):
        with h5py.File(io.BytesIO(), "w") as file:
            options = eocodec.hdf5.filter(quality=2)
            dataset = file.create_dataset("x", data=STACK, chunks=STACK.shape, **options)
            thing = eocodec.hdf5.plugin.chunk_filter(dataset)
    assert pickle.loads(pickle.dumps(thing)) == thing


@pytest.fixture(scope="module")
def cluster():
    with local_client(1) as client:
        yield client


@pytest.fixture(scope="module")
def process_pool():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(params=["threads", "processes", "distributed"])
def scheduler(request):
    if request.param == "threads":
        with dask.config.set(scheduler="threads", num_workers=2):
            yield
    elif request.param == "processes":
        pool = request.getfixturevalue("process_pool")
        with dask.config.set(scheduler="processes", pool=pool):
            yield
    else:
        client = request.getfixturevalue("cluster")
        with client.as_current(), dask.config.set(scheduler=client):
            yield


@pytest.fixture
def scene():
    """A dataset on Dask, in chunks that are neither tiles nor divided by them."""
    dims, bands = ("band", "y", "x"), [f"B{number}" for number in range(len(STACK))]
    ds = xr.Dataset({"dn": (dims, STACK)}, {"band": bands})
    return ds.chunk(band=4, y=24, x=40)


@pytest.mark.usefixtures("scheduler")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_dask_writes_the_bytes_of_one_process_and_reads_them(scene, options, tmp_path):
    scene.eoc.to_eoc(tmp_path / "dask.eoc", tile_size=32, **options)
    scene.compute(scheduler="sync").eoc.to_eoc(tmp_path / "one.eoc", tile_size=32, **options)
    assert (tmp_path / "dask.eoc").read_bytes() == (tmp_path / "one.eoc").read_bytes()
    with eocodec.open(tmp_path / "one.eoc") as reader:
        decoded = reader.read()
    with xr.open_dataset(tmp_path / "dask.eoc", engine="eocodec", chunks={}) as lazy:
        assert lazy.dn.chunks[1:] == ((32, 32), (32, 32))
        assert np.array_equal(lazy.dn.compute(), decoded)


def test_an_array_on_dask_is_written_too(tmp_path):
    array = xr.DataArray(STACK[:2], dims=("band", "y", "x")).chunk(y=32)
    array.eoc.to_eoc(tmp_path / "x.eoc", lossless=True)
    with eocodec.open(tmp_path / "x.eoc") as reader:
        assert reader.name == "data"
        assert np.array_equal(reader.read(), STACK[:2])


def test_an_error_on_a_worker_names_the_tile_and_leaves_no_file(tmp_path):
    def fail(block):
        raise eocodec.InputError("as asked")

    array = xr.DataArray(STACK, dims=("band", "y", "x")).chunk(y=32)
    broken = array.copy(data=array.data.map_blocks(fail, dtype="uint16"))
    with pytest.raises(eocodec.InputError, match="as asked"):
        broken.eoc.to_eoc(tmp_path / "x.eoc", lossless=True)
    assert list(tmp_path.iterdir()) == []


def test_tiles_encoded_elsewhere_are_checked():
    buffer = io.BytesIO()
    settings = EncodeSettings(max_error=(1.0,) * 10)
    with eocodec.create(
        buffer, shape=STACK.shape, dtype="uint16", tile_size=32, settings=settings
    ) as writer:
        for number in (3, 1, 0, 2):
            rows, columns = writer.arrays[0].grid.box(number)[1:]
            payload = eocodec.encode_tile(STACK[:, rows, columns], writer.tile_settings(number))
            writer.write_tile(number, payload)
            with pytest.raises(eocodec.InputError, match="already written"):
                writer.write_tile(number, payload)
    assert 0 < np.abs(eocodec.decompress(buffer.getvalue()).astype(int) - STACK).max() <= 1
    with eocodec.create(
        io.BytesIO(), shape=STACK.shape, dtype="uint16", tile_size=64, settings=settings
    ) as writer:
        with pytest.raises(eocodec.InputError, match=r"the payload is one of \(10, 32, 32\)"):
            writer.write_tile(0, payload)
        writer.write(None, STACK)
