"""Containers as Zarr stores without a copy: kerchunk references, the parser of VirtualiZarr, cut tiles."""

import json

import fsspec
import numpy as np
import pytest
import s3fs
import virtualizarr
import xarray as xr
import zarr
from click.testing import CliRunner
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore, S3Store
from virtualizarr.parsers.typing import Parser

import eocodec
import eocodec.xarray
from eocodec.cli import commands
from eocodec.errors import FormatError, InputError, UnsupportedError
from eocodec.numcodecs import Eocodec
from eocodec.virtual import EocParser, references
from eocodec.zarr import TileSerializer

from .s3_server import BUCKET, s3_server

LOSSLESS = eocodec.EncodeSettings(lossless=True)
RANDOM = np.random.default_rng(8)
# Tiles of few values are quickly encoded.
PIXELS = np.kron(RANDOM.integers(0, 4000, (3, 8, 11)), np.ones((20, 20))).astype("uint16")[:, :150]
PIXELS[:, :30, :45] = 0
FIELDS = np.kron(RANDOM.normal(0, 1, (2, 5, 6, 4, 5)), np.ones((10, 10))).astype("f4")
FIELDS[1, 2, :, 5:9, 11] = np.nan


@pytest.fixture(scope="module")
def container():
    """A raster with all that is known of it, and fields of five axes; neither fills its tiles."""
    raster = eocodec.array_header(
        shape=PIXELS.shape,
        dtype="uint16",
        name="dn",
        dims=("band", "y", "x"),
        tile_size=(3, 64, 64),
        nodata=0,
        crs="EPSG:32633",
        transform=(10, 0, 600000, 0, -10, 5900040),
        bands=[
            eocodec.Band(name=name, wavelength_nm=wavelength, scale=1e-4, offset=-0.1)
            for name, wavelength in (("B02", 490), ("B03", 560), ("B04", 665))
        ],
    )
    fields = eocodec.array_header(
        shape=FIELDS.shape,
        dtype="float32",
        name="t",
        dims=("time", "member", "level", "y", "x"),
        tile_size=(6, 32, 32),
    )
    return written([(raster, PIXELS), (fields, FIELDS)])


def written(arrays):
    fs = fsspec.filesystem("memory")
    headers = [header for header, _ in arrays]
    url = "memory://virtual/x.eoc"
    with eocodec.create(url, arrays=headers, settings=LOSSLESS, overwrite=True) as writer:
        for number, (header, pixels) in enumerate(arrays):
            writer.write(None, pixels.reshape(header.grid.shape), number)
    data = fs.cat_file("/virtual/x.eoc")
    fs.rm("/virtual", recursive=True)
    return data


@pytest.fixture
def local(container, tmp_path):
    (tmp_path / "x.eoc").write_bytes(container)
    return tmp_path / "x.eoc"


def opened(found, *, fs=None, **options):
    """Open references as anybody would; they must survive JSON."""
    storage_options = {"fo": json.loads(json.dumps(found)), **({"fs": fs} if fs else {})}
    return xr.open_dataset(
        "reference://",
        engine="zarr",
        consolidated=False,
        storage_options=storage_options,
        **options,
    )


def command(*args, status=0):
    result = CliRunner().invoke(commands, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_references_are_the_dataset_of_the_engine(local, zarr_format):
    with xr.open_dataset(local, engine="eocodec") as ds:
        with opened(references(local, zarr_format=zarr_format)) as virtual:
            xr.testing.assert_identical(virtual.load(), ds.load())
        assert virtual.dn.attrs["grid_mapping"] == "spatial_ref"
        assert virtual.spatial_ref.attrs["crs_wkt"] == ds.spatial_ref.attrs["crs_wkt"]
        assert virtual.wavelength.values.tolist() == [490, 560, 665]
        assert float(virtual.x[0]) == 600005


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_samples_are_exact_up_to_the_far_edges(local, zarr_format):
    options = {"mask_and_scale": False}
    with opened(references(local, zarr_format=zarr_format), **options) as virtual:
        np.testing.assert_array_equal(virtual.dn, PIXELS)
        np.testing.assert_array_equal(virtual.dn[:, 140:, 200:], PIXELS[:, 140:, 200:])
        np.testing.assert_array_equal(virtual.t, FIELDS)
        assert virtual.dn.attrs["_FillValue"] == 0
        assert virtual.dn.attrs["scale_factor"] == 1e-4
        assert virtual.t.encoding["chunks"] == (1, 1, 6, 32, 32)


def test_plain_zarr_reads_the_references(local):
    fs = fsspec.filesystem("reference", fo=references(local), asynchronous=False)
    group = zarr.open_group(zarr.storage.FsspecStore.from_mapper(fs.get_mapper("")), mode="r")
    np.testing.assert_array_equal(group["dn"][1:, 100:, 60:70], PIXELS[1:, 100:, 60:70])
    assert group["dn"].attrs["_ARRAY_DIMENSIONS"] == ["band", "y", "x"]
    assert group["t"].shape == FIELDS.shape


def test_references_hold_the_places_of_the_tiles(local, container):
    refs = references(local, url="https://example.org/x.eoc")["refs"]
    with eocodec.open(container) as reader:
        tile = list(reader.array("t").tiles())[(1 * 5 + 4) * 4 + 3]
    assert refs["t/1.4.0.1.1"] == ["https://example.org/x.eoc", tile.offset, tile.size]
    assert json.loads(refs["t/.zarray"])["compressor"]["chunk_shape"] == [1, 1, 6, 32, 32]


def test_references_of_memory(container):
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/virtual/x.eoc", container)
    with opened(references("memory://virtual/x.eoc"), mask_and_scale=False) as virtual:
        np.testing.assert_array_equal(virtual.dn, PIXELS)
    memory.rm("/virtual", recursive=True)


@pytest.fixture
def on_s3(container):
    url = f"s3://{BUCKET}/x.eoc"
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as (fs, requests):
        fs.pipe_file(url, container)
        requests.clear()
        yield url, fs, requests


def test_references_of_s3_fetch_the_tiles_they_touch(on_s3, container):
    url, fs, requests = on_s3
    command("references", url, "-o", f"s3://{BUCKET}/x.json")
    found = json.loads(fs.cat_file(f"{BUCKET}/x.json"))
    requests.clear()
    # zarr works asynchronously, and so must the file system; nobody closes its connections then.
    remote = s3fs.S3FileSystem(asynchronous=True)
    with opened(found, fs={"s3": remote}, mask_and_scale=False) as virtual:
        window = virtual.dn[:, 60:70, 128:192].values
        np.testing.assert_array_equal(window, PIXELS[:, 60:70, 128:192])
        with eocodec.open(container) as reader:
            tiles = list(reader.array("dn").tiles())
        spans = [f"bytes={t.offset}-{t.offset + t.size - 1}" for t in (tiles[2], tiles[6])]
        assert sorted(asked for _, _, asked in requests) == sorted(spans)
        np.testing.assert_array_equal(virtual.t, FIELDS)
    session = zarr.core.sync.sync(remote.set_session())
    zarr.core.sync.sync(session.close())


def test_the_parser_reads_from_s3(on_s3):
    url, fs, _ = on_s3
    endpoint = fs.s3.meta.endpoint_url
    bucket = S3Store(BUCKET, endpoint=endpoint, client_options={"allow_http": True})
    store = EocParser()(url, ObjectStoreRegistry({f"s3://{BUCKET}": bucket}))
    with xr.open_zarr(store, consolidated=False, zarr_format=3, chunks=None) as virtual:
        np.testing.assert_array_equal(virtual.t, FIELDS)


def test_axes_in_another_order_are_kept(tmp_path):
    fields = FIELDS[:, 0, :, :20, :30]
    ds = xr.Dataset(
        {"t": (("time", "latitude", "longitude", "level"), fields.transpose(0, 2, 3, 1))}
    )
    ds.eoc.to_eoc(tmp_path / "t.eoc", tile_size=16)
    for zarr_format in (2, 3):
        with opened(references(tmp_path / "t.eoc", zarr_format=zarr_format)) as virtual:
            xr.testing.assert_equal(virtual.load(), ds)


def header(shape, planes, **fields):
    return eocodec.array_header(
        shape=shape, dtype="uint8", tile_size=(planes, 16, 16), **{"name": "a", **fields}
    )


@pytest.mark.parametrize(
    ("shape", "planes", "chunk"),
    [
        ((20, 20), 1, (16, 16)),
        ((7, 20, 20), 3, (3, 16, 16)),
        ((1, 7, 20, 20), 3, (1, 3, 16, 16)),
        ((5, 3, 8, 8), 6, (2, 3, 8, 8)),
        ((2, 6, 8, 8), 3, (1, 3, 8, 8)),
        ((2, 6, 8, 8), 12, (2, 6, 8, 8)),
    ],
)
def test_tiles_that_are_boxes_of_all_axes_become_chunks(shape, planes, chunk, tmp_path):
    pixels = np.broadcast_to(np.arange(np.prod(shape[:-2])).reshape(*shape[:-2], 1, 1), shape)
    dims = tuple("abcdyx"[-len(shape) :]) if len(shape) < 4 else ("time", "level", "y", "x")
    (tmp_path / "x.eoc").write_bytes(
        written([(header(shape, planes, dims=dims), pixels.astype("uint8"))])
    )
    for zarr_format in (2, 3):
        with opened(references(tmp_path / "x.eoc", zarr_format=zarr_format)) as virtual:
            assert virtual["a"].encoding["chunks"] == chunk
            np.testing.assert_array_equal(virtual["a"], pixels)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": (2, 6, 8, 8), "planes": 4}, "tiles of 4 planes are not boxes"),
        ({"shape": (2, 5, 8, 8), "planes": 3}, "tiles of 3 planes are not boxes"),
        ({"shape": (8, 8), "planes": 1, "name": "a/b"}, "'a/b' has a name that no Zarr array"),
    ],
)
def test_what_zarr_cannot_say_is_refused(fields, message, tmp_path):
    array = header(**fields)
    data = written([(array, np.zeros(array.shape, "uint8"))])
    (tmp_path / "x.eoc").write_bytes(data)
    with pytest.raises(UnsupportedError, match=message):
        references(tmp_path / "x.eoc")


# Chunks with cut tiles


@pytest.mark.parametrize("shape", [(3, 10, 16), (3, 16, 7), (2, 9, 9), (1, 1, 1)])
def test_codecs_fill_cut_tiles_up_with_zeros_where_they_are_told_to(shape):
    tile = RANDOM.integers(1, 200, shape).astype("uint8")
    data = Eocodec().encode(tile)
    whole = np.zeros((3, 16, 16), "uint8")
    whole[tuple(slice(n) for n in shape)] = tile
    np.testing.assert_array_equal(Eocodec(chunk_shape=(3, 16, 16)).decode(data), whole)
    for codec in (TileSerializer(chunk_shape=(3, 16, 16)), TileSerializer()):
        store = zarr.storage.MemoryStore()
        array = zarr.create_array(
            store, shape=(3, 16, 16), chunks=(3, 16, 16), dtype="uint8", serializer=codec,
            compressors=None,
        )  # fmt: skip
        store._store_dict["c/0/0/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(data)
        if codec.options.chunk_shape:
            np.testing.assert_array_equal(array[:], whole)
            np.testing.assert_array_equal(array[:, 3:8, :5], whole[:, 3:8, :5])
        else:
            with pytest.raises(FormatError, match=r"not \(3, 16, 16\)"):
                array[:]


def test_tiles_larger_than_the_chunk_are_refused():
    data = Eocodec().encode(np.ones((3, 16, 17), "uint8"))
    with pytest.raises(FormatError, match=r"\(3, 16, 17\) uint8 samples, not \(3, 16, 16\)"):
        Eocodec(chunk_shape=(3, 16, 16)).decode(data)


def test_a_chunk_shape_that_is_not_that_of_the_chunks_is_refused():
    with pytest.raises(InputError, match="chunk_shape"):
        zarr.create_array(
            {}, shape=(3, 32, 32), chunks=(3, 16, 16), dtype="uint8",
            serializer=TileSerializer(chunk_shape=(3, 16, 32)), compressors=None,
        )  # fmt: skip
    for wrong in ([], [0, 3], "16"):
        with pytest.raises(InputError, match="chunk_shape"):
            Eocodec(chunk_shape=wrong)


# VirtualiZarr


def test_the_parser_gives_a_store_and_a_virtual_dataset(local):
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = EocParser()
    assert isinstance(parser, Parser)
    with xr.open_dataset(local, engine="eocodec") as ds:
        store = parser(f"file://{local}", registry)
        with xr.open_zarr(store, consolidated=False, zarr_format=3, chunks=None) as virtual:
            xr.testing.assert_identical(virtual.load(), ds.load())
        vds = virtualizarr.open_virtual_dataset(f"file://{local}", registry=registry, parser=parser)
    assert vds.dn.data.chunks == (3, 64, 64)
    entry = vds.dn.data.manifest.dict()["0.2.3"]
    assert entry["path"] == f"file://{local}"
    with eocodec.open(local) as reader:
        tile = list(reader.array("dn").tiles())[11]
    assert (entry["offset"], entry["length"]) == (tile.offset, tile.size)
    assert vds.wavelength.values.tolist() == [490, 560, 665]
    assert "crs_wkt" in vds.spatial_ref.attrs
    twice = xr.concat([vds[["t"]], vds[["t"]]], "time", coords="minimal", compat="override")
    assert twice.t.data.manifest.shape_chunk_grid == (4, 5, 1, 2, 2)


def test_a_file_that_the_parser_cannot_read_is_an_input_error(tmp_path):
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with pytest.raises(InputError, match=r"cannot read file:///none\.eoc"):
        EocParser()("file:///none.eoc", registry)
    (tmp_path / "x.eoc").write_bytes(b"no container at all")
    with pytest.raises(FormatError, match="not an"):
        EocParser()(f"file://{tmp_path}/x.eoc", registry)


# The command


def test_the_command_writes_json(local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = command("references", "x.eoc", "-o", "x.json").stdout
    assert out == f"x.json: {12 + 2 * 5 * 4} chunks in x.eoc\n"
    found = json.loads((tmp_path / "x.json").read_text())
    assert found == references(local)
    assert json.loads(command("references", "x.eoc").stdout) == found
    with opened(found, mask_and_scale=False) as virtual:
        np.testing.assert_array_equal(virtual.dn, PIXELS)
    third = command("references", "x.eoc", "--zarr-format", 3, "--url", "s3://b/x.eoc").stdout
    assert json.loads(third)["refs"]["dn/c/0/0/0"][0] == "s3://b/x.eoc"
    (line,) = command("references", "x.eoc", "-o", "x.json", status=2).stderr.splitlines()
    assert (
        line
        == "eocodec: error: x.json exists; name another file with -o FILE.json, or pass --overwrite to replace it"
    )
    (line,) = command("references", "none.eoc", status=1).stderr.splitlines()
    assert line == "eocodec: error: cannot read none.eoc: No such file or directory"
