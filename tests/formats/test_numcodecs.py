"""The numcodecs codec, by numcodecs' own checks and in Zarr v2."""

import pickle

import numpy as np
import pytest
import rasterio
import zarr
from numcodecs.registry import get_codec
from numcodecs.tests import common

import eocodec
from eocodec.errors import InputError
from eocodec.numcodecs import Eocodec

SCENE = "tests/data/s2_chesapeake.tif"
RANDOM = np.random.default_rng(5)

ARRAYS = [
    np.arange(1000, dtype="i4"),
    np.linspace(1000, 1001, 1000, dtype="f8").reshape(100, 10),
    RANDOM.normal(1000, 1, (10, 10, 10)).astype("f4"),
    RANDOM.integers(0, 200, (4, 30, 20)).astype("u2"),
    RANDOM.integers(0, 2**60, (2, 3, 10, 20), dtype="u8"),
    RANDOM.integers(-100, 100, 1000, dtype="i8").view("M8[ns]"),
    np.full((5, 20, 20), np.nan, "f4"),
]
CONFIGURATIONS = [
    {},
    {"quality": 2},
    {"max_error": 4.0, "nodata": 0},
    {"max_error": [1.0, None], "max_relative_error": 0.1},
    {"lossless": True, "dims": ["time", "y", "x"]},
]


@pytest.fixture(scope="module")
def stack():
    with rasterio.open(SCENE) as scene:
        return scene.read()[:, :128, :128]


@pytest.mark.parametrize("array", ARRAYS[:-2] + ARRAYS[-1:], ids=lambda a: f"{a.dtype}{a.ndim}")
def test_encode_decode(array):
    common.check_encode_decode_array(array, Eocodec())
    common.check_encode_decode(array, Eocodec())


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_config_repr_and_pickle(config, monkeypatch):
    monkeypatch.setattr(common, "Eocodec", Eocodec, raising=False)
    codec = Eocodec(**config)
    common.check_config(codec)
    common.check_repr(repr(codec))
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert codec.get_config() == {"id": "eocodec", **config}


def test_codecs_of_different_options_differ():
    assert Eocodec(quality=2) != Eocodec(quality=3)
    assert len({Eocodec(quality=2), Eocodec(quality=2), Eocodec()}) == 2


def test_object_arrays_are_refused():
    common.check_err_encode_object_buffer(Eocodec())
    common.check_err_decode_object_buffer(Eocodec())


def test_the_registry_knows_the_codec():
    assert type(get_codec({"id": "eocodec", "quality": 2})) is Eocodec
    with pytest.raises(InputError, match="unknown keys level"):
        get_codec({"id": "eocodec", "level": 2})


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 20, 30), "u2", order="F"), "order="),
        (np.ones((3, 20, 30), ">u2"), "<u2"),
        (np.ones((3, 20, 30), "c8"), "dtype"),
        (np.ones((0, 20), "u2"), "samples"),
    ],
)
def test_chunks_that_would_not_come_back_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        Eocodec().encode(array)


def test_dims_that_need_the_shape_to_unfold_are_refused():
    with pytest.raises(InputError, match="neighbours"):
        Eocodec(dims=["band", "time", "level", "y", "x"])


def test_a_chunk_is_the_payload_of_its_tile(stack):
    settings = eocodec.EncodeSettings(layers=2)
    assert Eocodec(quality=2).encode(stack) == eocodec.encode_tile(stack, settings)


def test_bands_in_the_last_axis_are_bands(stack):
    codec = Eocodec(dims=["y", "x", "band"], max_error=[4.0] * 10)
    chunk = np.ascontiguousarray(stack.transpose(1, 2, 0))
    data = codec.encode(chunk)
    assert data == Eocodec(max_error=4.0).encode(stack)
    decoded = codec.decode(data).reshape(chunk.shape)
    assert 0 < np.abs(decoded.astype(int) - chunk).max() <= 4


def test_zarr_2_keeps_bounds_nodata_and_metadata(stack):
    with_gaps = np.where(stack % 97 == 0, 0, stack).astype("uint16")
    codec = Eocodec(max_error=6.0, nodata=0)
    store = {}
    zarr.create_array(
        store, data=with_gaps, chunks=(10, 64, 64), zarr_format=2, compressors=codec, fill_value=0
    )
    array = zarr.open_array(store, mode="r")
    assert array.metadata.compressor == codec
    assert array.nbytes_stored() < stack.nbytes / 2
    errors = np.abs(array[:].astype(int) - with_gaps)
    assert 0 < errors.max() <= 6
    assert np.array_equal(array[:] == 0, with_gaps == 0)
