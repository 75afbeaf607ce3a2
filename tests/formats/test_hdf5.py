"""The HDF5 filter: plain h5py reads and writes, direct chunks, netCDF-4, and the same bytes as everywhere."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
import eocodec.hdf5
from eocodec.errors import EocodecError, FormatError, InputError
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.hdf5.options import MAX_CLIENT_DATA, client_data, parse_client_data
from eocodec.zarr import TileSerializer

SCENE = "tests/data/s2_chesapeake.tif"
SERIES = np.random.default_rng(4).integers(0, 100, (4, 3, 25, 41)).astype("uint16")


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        yield file


@pytest.fixture(scope="module")
def stack():
    with rasterio.open(SCENE) as scene:
        return scene.read()[:, :128, :128]


def reopened(file):
    """Return the file read anew, past every cache."""
    name = file.filename
    file.close()
    return h5py.File(name)


def test_a_chunk_is_the_payload_of_its_tile_and_decodes_as_in_zarr(stack, file):
    chunks = (10, 64, 64)
    file.create_dataset("dn", data=stack, chunks=chunks, **eocodec.hdf5.filter(quality=2))
    array = zarr.create_array(
        {}, data=stack, chunks=chunks, serializer=TileSerializer(quality=2), compressors=None
    )
    with reopened(file) as back:
        mask, payload = back["dn"].id.read_direct_chunk((0, 64, 0))
        own = eocodec.encode_tile(stack[:, 64:, :64], eocodec.EncodeSettings(layers=2))
        assert (mask, payload) == (0, own)
        assert np.array_equal(back["dn"][...], array[:])
        assert np.array_equal(eocodec.hdf5.read(back["dn"], threads=2), array[:])


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", ">i4", "<f4", ">f8", "i8"])
@pytest.mark.parametrize("chunks", [(2, 3, 16, 16), (1, 1, 25, 20)])
def test_dtypes_byte_orders_and_cut_edges(dtype, chunks, file):
    data = SERIES[..., :17].astype(dtype)
    chunks = tuple(min(pair) for pair in zip(chunks, data.shape, strict=True))
    file.create_dataset("x", data=data, chunks=chunks, **eocodec.hdf5.filter())
    with reopened(file) as back:
        assert np.array_equal(back["x"][...], data)
        assert np.array_equal(back["x"][2, ::2, 5:20, 16], data[2, ::2, 5:20, 16])
        assert back["x"].dtype == np.dtype(dtype)
        assert np.array_equal(eocodec.hdf5.read(back["x"]), data)


def test_writing_directly_gives_the_same_bytes(file):
    options = {"chunks": (2, 3, 16, 16), "fillvalue": 9, **eocodec.hdf5.filter(max_error=2)}
    plain = file.create_dataset("plain", data=SERIES, **options)
    direct = file.create_dataset("direct", shape=SERIES.shape, dtype=SERIES.dtype, **options)
    eocodec.hdf5.write(direct, SERIES, threads=2)
    file.flush()
    assert plain.id.get_num_chunks() == direct.id.get_num_chunks() == 12
    for number in range(12):
        offset = plain.id.get_chunk_info(number).chunk_offset
        assert plain.id.read_direct_chunk(offset) == direct.id.read_direct_chunk(offset)
    errors = np.abs(eocodec.hdf5.read(direct).astype(int) - SERIES)
    assert 0 < errors.max() <= 2


def test_chunks_never_written_are_the_fill_value(file):
    dataset = file.create_dataset(
        "x", (4, 32, 32), "i2", chunks=(4, 16, 16), fillvalue=-7, **eocodec.hdf5.filter()
    )
    dataset[:, :16, :16] = 5
    file.flush()
    expected = np.full((4, 32, 32), -7)
    expected[:, :16, :16] = 5
    assert np.array_equal(dataset[...], expected)
    assert np.array_equal(eocodec.hdf5.read(dataset), expected)


def test_chunks_that_hdf5_left_as_they_are_can_be_read(file):
    dataset = file.create_dataset("x", (2, 8, 8), ">u2", chunks=(2, 8, 8), **eocodec.hdf5.filter())
    raw = np.arange(128, dtype=">u2").reshape(2, 8, 8)
    dataset.id.write_direct_chunk((0, 0, 0), raw.tobytes(), filter_mask=1)
    with reopened(file) as back:
        assert np.array_equal(back["x"][...], raw)
        assert np.array_equal(eocodec.hdf5.read(back["x"]), raw)


@pytest.mark.parametrize("kind", ["damaged", "cut", "other"])
def test_bytes_that_are_no_such_chunk_are_an_error(kind, file, caplog):
    dataset = file.create_dataset("x", data=SERIES, chunks=SERIES.shape, **eocodec.hdf5.filter())
    file.flush()
    _, payload = dataset.id.read_direct_chunk((0, 0, 0, 0))
    wrong = {
        "damaged": payload[:-1] + bytes([payload[-1] ^ 1]),
        "cut": payload[:-9],
        "other": eocodec.encode_tile(SERIES[0], eocodec.EncodeSettings(lossless=True)),
    }[kind]
    dataset.id.write_direct_chunk((0, 0, 0, 0), wrong)
    with reopened(file) as back:
        with pytest.raises(FormatError):
            eocodec.hdf5.read(back["x"])
        with pytest.raises(OSError, match="filter"):
            back["x"][...]
    assert "a chunk cannot be decoded" in caplog.text


@pytest.mark.parametrize(
    ("dtype", "options", "message"),
    [
        ("c8", {}, "integers and floats"),
        ("?", {}, "integers and floats"),
        ("S3", {}, "integers and floats"),
        ([("a", "i4"), ("b", "f4")], {}, "integers and floats"),
        (("f4", (3,)), {}, "integers and floats"),
        (h5py.enum_dtype({"land": 1}, "u1"), {}, "integers and floats"),
        (h5py.opaque_dtype("M8[s]"), {}, "integers and floats"),
        ("f2", {}, "float16"),
        ("u2", {"dims": ["y", "x"]}, "name 2 axes"),
        ("u2", {"max_error": [1.0, 2.0]}, "bands"),
    ],
)
def test_datasets_that_cannot_be_coded_are_refused(dtype, options, message, file, caplog):
    chosen = eocodec.hdf5.filter(**options)
    with pytest.raises(ValueError, match=f"create dataset .eocodec: .*{message}"):
        file.create_dataset("x", (4, 8, 8), dtype, chunks=(4, 8, 8), **chosen)
    assert message in caplog.text
    assert "x" not in file


@pytest.mark.parametrize("before", [{"shuffle": True}, {"scaleoffset": 3}])
def test_a_filter_before_is_refused_as_it_would_hide_the_samples(before, file):
    (name,) = before
    with pytest.raises(ValueError, match=f"the filter '{name}' comes before eocodec's: leave it"):
        file.create_dataset(
            "x", data=SERIES, chunks=SERIES.shape, **before, **eocodec.hdf5.filter()
        )
    assert "x" not in file


def test_a_checksum_after_is_fine_but_not_for_direct_access(file):
    options = {"data": SERIES, "chunks": SERIES.shape, **eocodec.hdf5.filter()}
    summed = file.create_dataset("s", fletcher32=True, **options)
    plain = file.create_dataset("p", **options)
    assert np.array_equal(summed[...], SERIES)
    with pytest.raises(InputError, match="alone"):
        eocodec.hdf5.read(summed)
    with pytest.raises(InputError, match="do not fit"):
        eocodec.hdf5.write(plain, SERIES[:2])


def test_chunks_that_h5py_guesses_are_correct(file):
    file.create_dataset("x", data=SERIES, **eocodec.hdf5.filter())
    file.create_dataset("grows", data=SERIES, maxshape=(None, 3, 25, 41), **eocodec.hdf5.filter())
    file["grows"].resize(6, axis=0)
    file["grows"][4:] = SERIES[:2]
    with reopened(file) as back:
        assert np.array_equal(back["x"][...], SERIES)
        assert np.array_equal(back["grows"][...], np.concatenate([SERIES, SERIES[:2]]))


@pytest.mark.parametrize("data", [np.uint16(3), h5py.Empty("f4")])
def test_datasets_without_chunks_are_refused_by_h5py(data, file):
    with pytest.raises(TypeError, match="datasets don't support chunk/filter options"):
        file.create_dataset("x", data=data, **eocodec.hdf5.filter())


def test_text_of_any_length_passes_the_filter_by(file):
    file.create_dataset(
        "x", data=["a", "longer"], dtype=h5py.string_dtype(), chunks=(2,), **eocodec.hdf5.filter()
    )
    with reopened(file) as back:
        assert back["x"].asstr()[...].tolist() == ["a", "longer"]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_without_options_every_bit_is_kept(dtype, file):
    size = np.dtype(dtype).itemsize
    raw = np.random.default_rng(size).integers(0, 256, (3, 20, 30 * size), "u1")
    file.create_dataset("x", data=raw.view(dtype), chunks=(3, 16, 16), **eocodec.hdf5.filter())
    with reopened(file) as back:
        np.testing.assert_array_equal(back["x"][...], raw.view(dtype))


def test_bands_in_a_short_last_axis_are_bands(stack, file):
    last = np.ascontiguousarray(stack.transpose(1, 2, 0))
    options = eocodec.hdf5.filter(max_error=[4.0] * 10)
    file.create_dataset("x", data=last, chunks=(64, 64, 10), **options)
    with reopened(file) as back:
        assert 0 < np.abs(back["x"][...].astype(int) - last).max() <= 4
        own = eocodec.encode_tile(stack[:, :64, 64:], eocodec.EncodeSettings(max_error=(4.0,) * 10))
        assert back["x"].id.read_direct_chunk((0, 64, 0)) == (0, own)
        assert np.array_equal(eocodec.hdf5.read(back["x"]), back["x"][...])


def test_the_shape_of_a_chunk_is_no_option():
    with pytest.raises(InputError, match="pass chunks to create_dataset"):
        eocodec.hdf5.filter(chunk_shape=[3, 16, 16])


def test_client_data_of_another_shape_are_found(file, tmp_path):
    options = {"data": SERIES, "chunks": SERIES.shape, **eocodec.hdf5.filter()}
    file.create_dataset("x", **options)
    file.close()
    told, other = (
        np.array(client_data(ChunkOptions(), shape, "u2"), "<u4").tobytes()
        for shape in (SERIES.shape, (*SERIES.shape[:3], 20))
    )
    raw = (tmp_path / "x.h5").read_bytes()
    assert raw.count(told) == 1
    (tmp_path / "x.h5").write_bytes(raw.replace(told, other))
    with h5py.File(tmp_path / "x.h5") as back, pytest.raises(FormatError, match="another kind"):
        eocodec.hdf5.read(back["x"])


def test_a_file_left_open_at_exit_is_whole(tmp_path):
    path = tmp_path / "x.h5"
    program = (
        "import h5py, numpy as np, eocodec.hdf5\n"
        f"f = h5py.File({str(path)!r}, 'w')\n"
        "f.create_dataset('x', data=np.arange(512, dtype='u2').reshape(2, 16, 16),"
        " chunks=(2, 16, 16), **eocodec.hdf5.filter())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(path) as back:
        assert np.array_equal(back["x"][...].ravel(), np.arange(512))
        assert back["x"].id.get_storage_size() < 1024


def test_netcdf_takes_the_filter_and_keeps_bounds(tmp_path):
    field = (280 + np.cumsum(np.random.default_rng(1).normal(0, 0.2, (2, 3, 30, 40)), 3)).astype(
        "f4"
    )
    dims = ("time", "level", "lat", "lon")
    ds = xr.Dataset({"t": (dims, field)}, {"time": np.array([0, 3]), "lat": np.arange(30.0)})
    encoding = {"t": {"chunksizes": (1, 3, 30, 40), **eocodec.hdf5.filter(max_error=0.1)}}
    ds.to_netcdf(tmp_path / "x.nc", engine="h5netcdf", encoding=encoding)
    with xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf") as back:
        assert 0 < np.abs(back.t - field).max() <= 0.1
        assert np.array_equal(back.lat, ds.lat)
    assert (tmp_path / "x.nc").stat().st_size < field.nbytes


@pytest.mark.parametrize(
    "options", [{}, {"quality": 3}, {"max_error": [1.0, None], "dims": ["b", "y", "x"]}]
)
def test_client_data_come_back(options):
    chosen = parse_client_data(eocodec.hdf5.filter(**options)["compression_opts"]).options
    chunks = parse_client_data(client_data(chosen, (2, 30, 40), ">f4"))
    assert (chunks.options, chunks.shape, chunks.dtype) == (chosen, (2, 30, 40), np.dtype(">f4"))
    assert chosen.to_json() == options


def test_options_beyond_what_hdf5_keeps_are_refused():
    with pytest.raises(InputError, match="more than HDF5 keeps"):
        eocodec.hdf5.filter(max_error=[1.25] * MAX_CLIENT_DATA)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=12))
@settings(max_examples=200)
def test_any_client_data_parse_or_raise(values):
    for head in ([], [1], [1, 2, 3, 4]):
        try:
            chunks = parse_client_data([*head, *values])
        except EocodecError:
            continue
        assert chunks.dtype.itemsize in (1, 2, 4, 8)
