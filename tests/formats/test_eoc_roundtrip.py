"""Arrays through containers: indexing, windows, dtypes, metadata, public functions."""

import io
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec

LOSSLESS = eocodec.EncodeSettings(lossless=True)
RNG = np.random.default_rng(1)
STACK = (np.cumsum(RNG.integers(-5, 6, (4, 61, 83)), axis=1) + 2000).astype("uint16")


@pytest.fixture(scope="module")
def reader():
    data = eocodec.compress(
        STACK, settings=LOSSLESS, tile_size=(3, 16, 20), bands=["B02", "B03", "B04", "B08"]
    )
    return eocodec.open(data)


def axis_key(size):
    index = st.integers(-size, size - 1)
    end = st.none() | st.integers(-size - 3, size + 3)
    step = st.none() | st.sampled_from([1, 2, 3, 7, -1, -2, -5])
    return index | st.builds(slice, end, end, step)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_indexing_is_that_of_numpy(data):
    axes = data.draw(st.integers(0, 3))
    key = tuple(data.draw(axis_key(size)) for size in STACK.shape[:axes])
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, axes))
        tail = STACK.shape[len(STACK.shape) - (axes - at) :]
        key = (*key[:at], ..., *(data.draw(axis_key(size)) for size in tail))
    with eocodec.open(WHOLE) as opened:
        got = opened[key]
    expected = STACK[key]
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


WHOLE = eocodec.compress(STACK, settings=LOSSLESS, tile_size=(3, 24, 30))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_windows(data):
    spans = []
    for size in STACK.shape[1:]:
        start = data.draw(st.integers(0, size - 1))
        spans.append(slice(start, data.draw(st.integers(start + 1, size))))
    bands = data.draw(st.lists(st.integers(-4, 3), min_size=1, max_size=6))
    window = (spans[0], spans[1])
    with eocodec.open(WHOLE) as opened:
        np.testing.assert_array_equal(opened.read(window), STACK[:, spans[0], spans[1]])
        np.testing.assert_array_equal(
            opened.read(window, bands=bands), STACK[:, spans[0], spans[1]][bands]
        )


@pytest.mark.parametrize(
    "key",
    [4, -5, (0, 61), (0, 0, 83), (0, 0, 0, 0), 1.5, None, True, [0, 1], "B02x", (..., ...)],
)
def test_index_beyond_the_array_raises(reader, key):
    with pytest.raises(eocodec.InputError):
        reader[key]


def test_index_error_ends_iteration(reader):
    assert [band.shape for band in reader] == [(61, 83)] * 4
    with pytest.raises(IndexError):
        reader[4]


@pytest.mark.parametrize(
    "window",
    [
        (slice(0, 62), slice(0, 5)),
        (slice(5, 5), slice(0, 5)),
        (slice(-5, 5), slice(0, 5)),
        (slice(0, 5, 2), slice(0, 5)),
        (slice(0, 5),),
        (slice(0.5, 5), slice(0, 5)),
        ("a", "b"),
        5,
        ((0, 5, 6), (0, 5)),
    ],
)
def test_window_outside_the_array_raises(reader, window):
    with pytest.raises(eocodec.InputError):
        reader.read(window)


def test_window_forms_agree(reader):
    from rasterio.windows import Window

    expected = STACK[:, 10:40, 5:25]
    for window in (
        (slice(10, 40), slice(5, 25)),
        ((10, 40), (5, 25)),
        Window(5, 10, 20, 30),
        (..., slice(10, 40), slice(5, 25)),
    ):
        np.testing.assert_array_equal(reader.read(window), expected)
    np.testing.assert_array_equal(reader.read((2, (10, 40), (5, 25))), expected[2:3])


def test_bands_by_name_and_number(reader):
    np.testing.assert_array_equal(reader.read(bands=["B08", "B02"]), STACK[[3, 0]])
    np.testing.assert_array_equal(reader.read(bands="B03"), STACK[1])
    np.testing.assert_array_equal(reader.read(bands=-1), STACK[3])
    for bands in ("B99", 4, [-5]):
        with pytest.raises(eocodec.InputError):
            reader.read(bands=bands)


def test_layers_must_be_positive(reader):
    np.testing.assert_array_equal(reader.read(layers=99), STACK)
    with pytest.raises(eocodec.InputError, match="layers"):
        reader.read(layers=0)


def test_reader_is_an_array_for_numpy(reader):
    np.testing.assert_array_equal(np.asarray(reader), STACK)
    assert np.asarray(reader, "float32").dtype == np.float32
    assert (reader.ndim, reader.shape, reader.dtype) == (3, STACK.shape, np.dtype("uint16"))


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        ">f8",
        ">u2",
    ],
)
def test_every_dtype(dtype):
    array = (RNG.integers(0, 100, (2, 30, 21)) * 1.25).astype(dtype)
    out = eocodec.decompress(eocodec.compress(array, settings=LOSSLESS, tile_size=16))
    assert out.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(out, array)


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (1, 1, 1), (3, 1, 40), (2, 3, 4, 17, 18)])
def test_every_rank(shape):
    array = RNG.integers(0, 50, shape).astype("uint8")
    data = eocodec.compress(array, settings=LOSSLESS, tile_size=8)
    np.testing.assert_array_equal(eocodec.decompress(data), array)
    opened = eocodec.open(data)
    assert opened.dims[-2:] == ("y", "x")
    np.testing.assert_array_equal(opened[..., -1, :], array[..., -1, :])
    np.testing.assert_array_equal(opened[0], array[0])


def test_nan_and_nodata_come_back_exactly():
    array = STACK[:1].astype("float32")
    array[0, 3:9, 4:30] = np.nan
    out = eocodec.decompress(
        eocodec.compress(array, settings=LOSSLESS, nodata=float("nan"), tile_size=32)
    )
    np.testing.assert_array_equal(out, array)


def test_several_arrays():
    arrays = {"fine": STACK, "coarse": STACK[:, ::2, ::2], "flags": np.ones((5, 6), "uint8")}
    data = eocodec.compress(arrays, settings=LOSSLESS, tile_size=32)
    out = eocodec.decompress(data)
    assert list(out) == list(arrays)
    with eocodec.open(data) as opened:
        assert [header.name for header in opened.arrays] == list(arrays)
        for number, (name, array) in enumerate(arrays.items()):
            np.testing.assert_array_equal(out[name], array)
            np.testing.assert_array_equal(opened[name][...], array)
            np.testing.assert_array_equal(opened.array(number).read(), array)
        opened.validate()
        for missing in ("medium", 3, -1):
            with pytest.raises(eocodec.InputError, match="there are"):
                opened.array(missing)


def test_thread_counts_give_the_same_bytes_and_pixels():
    one, four = (
        eocodec.compress(STACK, settings=LOSSLESS, tile_size=16, threads=n) for n in (1, 4)
    )
    assert one == four
    for n in (1, 4):
        np.testing.assert_array_equal(eocodec.open(one).read(threads=n), STACK)
    with pytest.raises(eocodec.InputError, match="threads"):
        eocodec.open(one).read(threads=0)


def test_many_threads_read_one_reader(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(WHOLE)
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(10):
            y, x = rng.integers(0, 50, 2)
            if not np.array_equal(
                opened[:, y : y + 11, x : x + 30], STACK[:, y : y + 11, x : x + 30]
            ):
                failures.append((seed, y, x))

    with eocodec.open(path) as opened:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_reader_can_be_pickled_when_it_has_a_path(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(WHOLE)
    with eocodec.open(path) as opened, pickle.loads(pickle.dumps(opened)) as again:
        np.testing.assert_array_equal(again[1], STACK[1])
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(eocodec.open(io.BytesIO(WHOLE)))


def test_sources_agree(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(WHOLE)
    with path.open("rb") as file:
        for source in (path, str(path), f"file://{path}", WHOLE, bytearray(WHOLE), file):
            with eocodec.open(source) as opened:
                np.testing.assert_array_equal(opened[2, 5:9], STACK[2, 5:9])
        assert not file.closed


def test_reading_from_a_pipe():
    code = "import eocodec, sys; print(eocodec.open(sys.stdin.buffer)[1, 3:5, 7].tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code], input=WHOLE, capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode().strip() == str(STACK[1, 3:5, 7].tolist())


def test_missing_file_is_an_input_error(tmp_path):
    for target in (tmp_path / "none.eoc", "memory://none.eoc", "nosuchprotocol://x", 5):
        with pytest.raises(eocodec.InputError, match=r"cannot read|pass a path"):
            eocodec.open(target)


def test_closed_reader_raises(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(WHOLE)
    with eocodec.open(path) as opened:
        pass
    with pytest.raises(eocodec.EocodecError):
        opened.read()


def test_info_counts_every_byte():
    info = eocodec.open(WHOLE).info()
    sizes = [tile.size for tile in eocodec.open(WHOLE).tiles()]
    assert max(sizes) < 2**14
    leaders = sum(3 + (size >= 2**7) for size in sizes)
    assert info["bytes"] == len(WHOLE)
    assert info["overhead_bytes"] + info["arrays"][0]["bytes"] + leaders == len(WHOLE)
    (layer,) = info["arrays"][0]["layers"]
    assert layer["bits_per_sample"] == 8 * info["arrays"][0]["bytes"] / STACK.size
    assert info["arrays"][0]["codec"] == "eocodec.predictive-dev"
    assert info["arrays"][0]["tiles"] == 2 * 3 * 3


def test_tiles_say_where_they_lie(reader):
    boxes = np.zeros(STACK.shape, int)
    for tile in reader.tiles():
        boxes[tile.planes, tile.rows, tile.columns] += 1
        payload = reader.read_tile(tile.number)
        assert len(payload) == tile.size == tile.layer_ends[-1]
        np.testing.assert_array_equal(
            eocodec.decode_tile(payload), STACK[tile.planes, tile.rows, tile.columns]
        )
    assert (boxes == 1).all()
    with pytest.raises(eocodec.InputError):
        reader.read_tile(10**6)


def test_one_tile_file_costs_little():
    # A Sentinel-2 patch with names, wavelengths, CRS and transform.
    names = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    wavelengths = [492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1613.7, 2202.4]
    bands = [
        eocodec.Band(name=name, wavelength_nm=nm)
        for name, nm in zip(names, wavelengths, strict=True)
    ]
    data = eocodec.compress(
        np.tile(STACK[:2, :60, :60], (5, 2, 2)),
        settings=LOSSLESS,
        bands=bands,
        crs="EPSG:32633",
        transform=(10, 0, 399960, 0, -10, 5000040),
        nodata=0,
    )
    (tile,) = eocodec.open(data).tiles()
    assert len(data) - tile.size < 450


def test_header_forms():
    from affine import Affine
    from rasterio.crs import CRS

    odd = CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=5 +ellps=WGS84")
    header = eocodec.array_header(
        shape=[2, 5, 6],
        dtype=">u2",
        crs=CRS.from_epsg(32633),
        gcps_crs=odd,
        transform=Affine(10, 0, 3, 0, -10, 4),
        nodata=0.0,
        tile_size=[4, 4],
        tags={"a": 1, "IMD": {"b": "c"}},
        bands=["x", None],
    )
    assert header.crs == "EPSG:32633"
    assert header.gcps_crs.startswith("PROJCRS[")
    assert header.transform == (10, 0, 3, 0, -10, 4)
    assert header.dtype == np.dtype("uint16")
    assert isinstance(header.nodata, int)
    assert header.tile_size == (2, 4, 4)
    assert header.tags == {"": {"a": "1"}, "IMD": {"b": "c"}}
    assert header.band_names == ("x", "2")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": "uint8"}, "shape is missing"),
        ({"shape": (4, 4)}, "dtype is missing"),
        ({"shape": (4,), "dtype": "uint8"}, "2 to 8 axes"),
        ({"shape": (0, 4), "dtype": "uint8"}, "empty axis"),
        ({"shape": (4, 4), "dtype": "complex64"}, "dtype"),
        ({"shape": (4, 4), "dtype": "uint8", "colour": 1}, "colour"),
        ({"shape": (4, 4), "dtype": "uint8", "tile_size": 0}, "tile size"),
        ({"shape": (4, 4), "dtype": "uint8", "tile_size": (1, 1, 1, 1)}, "three"),
        ({"shape": (1, 10**5, 10**5), "dtype": "uint8", "tile_size": 10**5}, "smaller tile_size"),
        ({"shape": (1, 10**5, 10**5), "dtype": "uint8", "tile_size": 1}, "larger tile_size"),
        ({"shape": (2, 4, 4), "dtype": "uint8", "bands": ["a"]}, "bands described"),
        ({"shape": (4, 4), "dtype": "uint8", "transform": (1, 2)}, "six numbers"),
        ({"shape": (4, 4), "dtype": "uint8", "dims": ("x", "x")}, "dims"),
        ({"shape": (4, 4), "dtype": "uint8", "crs": 1.5}, "CRS"),
        ({"shape": (4, 4), "dtype": "uint8", "area_or_point": "line"}, "area_or_point"),
        ({"shape": (4, 4), "dtype": "uint8", "bands": [eocodec.Band(native_factor=3)]}, "native"),
    ],
)
def test_impossible_header_is_an_input_error(fields, message):
    with pytest.raises(eocodec.InputError, match=message):
        eocodec.array_header(**fields)


def test_importing_the_package_loads_neither_numpy_nor_torch():
    code = (
        "import eocodec, sys; assert not {'numpy', 'torch', 'scipy'} & set(sys.modules); "
        "eocodec.create; assert 'torch' not in sys.modules; "
        "assert all(hasattr(eocodec, name) for name in eocodec.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_unknown_attribute_raises():
    with pytest.raises(AttributeError, match="compresss"):
        getattr(eocodec, "compresss")  # noqa: B009


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int64", -(2**63)), ("int64", 2**63 - 1), ("uint64", 2**64 - 1)]
)
@pytest.mark.parametrize("bound", [0, 100])
@pytest.mark.parametrize("where", ["header", "settings"])
def test_nodata_at_an_end_of_64_bits_is_exact(dtype, nodata, bound, where):
    array = np.random.default_rng(0).integers(0, 10**6, (1, 40, 40)).astype(dtype)
    array[0, :9] = nodata
    given = {where: nodata}
    settings = eocodec.EncodeSettings(max_error=bound, nodata=given.get("settings"))
    reader = eocodec.open(
        eocodec.compress(array, settings=settings, nodata=given.get("header"), name="x")
    )
    assert reader.nodata == nodata
    assert isinstance(reader.nodata, int)
    decoded = reader.read()
    np.testing.assert_array_equal(decoded == nodata, array == nodata)
    assert np.abs(decoded[:, 9:].astype(float) - array[:, 9:].astype(float)).max() <= bound


@pytest.mark.parametrize("nodata", [-9999, 70000, 0.5, float("nan"), float("-inf"), 1e30])
def test_nodata_that_the_dtype_cannot_hold_is_told_and_marks_nothing(nodata):
    array = np.arange(1600, dtype="uint16").reshape(1, 40, 40)
    settings = eocodec.EncodeSettings(max_error=3)
    plain = eocodec.open(eocodec.compress(array, settings=settings))
    reader = eocodec.open(eocodec.compress(array, settings=settings, nodata=nodata))
    np.testing.assert_array_equal(reader.nodata, nodata)
    np.testing.assert_array_equal(reader.read(), plain.read())


def test_nodata_that_is_no_number_is_refused():
    for nodata in (10**400, "none"):
        with pytest.raises(eocodec.InputError, match="no number"):
            eocodec.array_header(shape=(4, 4), dtype="uint8", nodata=nodata)
