"""Encodings of datasets and trees that were opened from stores, in both formats of Zarr."""

import warnings

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
import zarr.codecs.numcodecs

import eocodec.xarray
from eocodec.errors import InputError
from eocodec.numcodecs import Eocodec
from eocodec.xarray.zarr_codecs import translated
from eocodec.zarr import TileSerializer

RANDOM = np.random.default_rng(9)
TIMES = np.array(["2025-10-08", "2025-10-13"], "M8[ns]")


def product():
    """What an EOPF product of Sentinel-2 is made of: reflectances packed in groups, a picture, angles."""
    digital = np.cumsum(RANDOM.integers(-9, 10, (64, 96)), axis=1) + 3000
    attrs = {"grid_mapping": "spatial_ref", "proj:epsg": 32632, "long_name": "band b02"}
    b02 = xr.Variable(("y", "x"), digital * 1e-4 - 0.1, attrs)
    packing = {"dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}
    b02.encoding = {**packing, "chunks": (32, 48)}
    b02[:3, :5] = np.nan
    coords = {
        "y": 4700040.0 - 10 * np.arange(64),
        "x": 699960 + 10 * np.arange(96),
        "time": ("time", TIMES),
        "place": (("y", "x"), RANDOM.random((64, 96))),
        "spatial_ref": ((), 0, {"crs_wkt": "LOCAL_CS[]"}),
    }
    reflectance = xr.Dataset({"b02": b02, "mean": ("time", [0.1, np.nan])}, coords)
    tci = xr.Dataset(
        {"tci": (("band", "y", "x"), RANDOM.integers(0, 255, (3, 20, 30), "u1"))},
        {"band": [1, 2, 3]},
    )
    geometry = xr.Dataset(
        {"sun_angles": (("angle", "y", "x"), RANDOM.random((2, 23, 23)))},
        {"angle": np.array(["zenith", "azimuth"])},
    )
    return xr.DataTree.from_dict(
        {
            "/measurements/reflectance/r10m": reflectance,
            "/quality/l2a_quicklook/r10m": tci,
            "/conditions/geometry": geometry,
        }
    )


def compressors(zarr_format, itemsize=8):
    if zarr_format == 2:
        return numcodecs.Blosc("zstd", 3, 2)
    return zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=itemsize)


def written_product(path, zarr_format):
    """Write the product as its producers do: Blosc with Zstd for every variable, in groups."""
    tree = product()
    encoding = {
        node.path: {
            str(name): {
                **{k: v for k, v in variable.encoding.items() if zarr_format == 2 or v is not None},
                "compressors": compressors(zarr_format),
            }
            for name, variable in node.variables.items()
            if variable.dtype.kind in "iuf"
        }
        for node in tree.subtree
        if node.variables
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree.to_zarr(path, encoding=encoding, zarr_format=zarr_format, consolidated=False)
    return tree


@pytest.mark.parametrize("target", [2, 3])
@pytest.mark.parametrize("source", [2, 3])
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_a_product_opened_from_one_format_is_written_in_the_other(source, target, tmp_path):
    written_product(tmp_path / "source", source)
    with xr.open_datatree(
        tmp_path / "source", engine="zarr", chunks={}, consolidated=False
    ) as opened:
        encoding = eocodec.xarray.encoding(opened, zarr_format=target)
        opened.to_zarr(tmp_path / "t", encoding=encoding, zarr_format=target, consolidated=False)
        group = zarr.open_group(tmp_path / "t", mode="r")
        assert group.metadata.zarr_format == target
        for name in (
            "measurements/reflectance/r10m/b02",
            "quality/l2a_quicklook/r10m/tci",
            "conditions/geometry/sun_angles",
        ):
            array = group[name]
            codecs = array.compressors if target == 2 else (array.serializer,)
            assert isinstance(codecs[0], (Eocodec, TileSerializer))
        x = group["measurements/reflectance/r10m/x"]
        assert isinstance(x.compressors[0], type(compressors(target)))
        with xr.open_datatree(tmp_path / "t", engine="zarr", chunks={}, consolidated=False) as back:
            for node in opened.subtree:
                xr.testing.assert_identical(back[node.path].to_dataset(), node.to_dataset())
            b02 = back["measurements/reflectance/r10m/b02"]
            assert b02.attrs["grid_mapping"] == "spatial_ref"
            assert b02.encoding["scale_factor"] == 1e-4


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_auxiliary_coordinates_survive_in_both_formats(zarr_format, tmp_path):
    ds = product()["measurements/reflectance/r10m"].to_dataset()
    ds.to_zarr(tmp_path / "a", zarr_format=zarr_format, consolidated=False)
    with xr.open_zarr(tmp_path / "a", consolidated=False, decode_coords="all") as opened:
        assert "place" in opened.b02.encoding["coordinates"]
        assert opened.b02.encoding["grid_mapping"] == "spatial_ref"
        encoding = eocodec.xarray.encoding(opened, zarr_format=zarr_format)
        opened.to_zarr(
            tmp_path / "b", encoding=encoding, zarr_format=zarr_format, consolidated=False
        )
        with xr.open_zarr(tmp_path / "b", consolidated=False, decode_coords="all") as back:
            xr.testing.assert_identical(back.load(), opened.load())
            assert "place" in back.coords


def test_options_of_a_tree_name_variables_or_paths():
    tree = xr.DataTree.from_dict(
        {"/r10m": product()["quality/l2a_quicklook/r10m"].to_dataset(), "/": xr.Dataset()}
    )
    tree["r20m"] = tree["r10m"].copy()
    for bounds, expected in (
        (2, (2, 2)),
        ({"tci": 3}, (3, 3)),
        ({"/r20m/tci": 4}, (None, 4)),
        ({"tci": 3, "r20m/tci": 4}, (3, 4)),
    ):
        encoding = eocodec.xarray.encoding(tree, max_error=bounds)
        found = [encoding[path]["tci"]["serializer"] for path in ("/r10m", "/r20m")]
        assert found == [TileSerializer(max_error=bound) for bound in expected]
        assert encoding.keys() == {"/r10m", "/r20m"}
    with pytest.raises(InputError, match="max_error is a number, not 'x'"):
        eocodec.xarray.encoding(tree, max_error={"/r20m/tci": "x"})


def files_in(folder):
    return sum(path.is_file() and path.name != "zarr.json" for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("chunks", "shards", "dask", "expected"),
    [
        ((64, 64), (256, 256), {}, ((300, 256), (300, 256))),
        ((64, 64), (256, 256), {"y": 256, "x": 256}, ((256, 256), (256, 256))),
        ((61, 61), (244, 244), {"y": 244, "x": 244}, ((244, 244), (244, 244))),
        ((32, 64), (64, 128), {"y": 64, "x": 128}, ((64, 128), (64, 128))),
    ],
)
def test_shards_are_kept(chunks, shards, dask, expected, tmp_path):
    big = xr.Dataset({"b02": (("y", "x"), RANDOM.random((300, 256)).astype("f4"))})
    encoding = {"b02": {"chunks": chunks, "shards": shards}}
    big.to_zarr(tmp_path / "a", encoding=encoding, consolidated=False)
    with xr.open_zarr(tmp_path / "a", consolidated=False, chunks=dask or None) as opened:
        found = eocodec.xarray.encoding(opened)
        assert (found["b02"]["chunks"], found["b02"]["shards"]) == expected
        opened.to_zarr(tmp_path / "b", encoding=found, consolidated=False)
        assert "shards" not in eocodec.xarray.encoding(opened, zarr_format=2)["b02"]
        second = eocodec.xarray.encoding(opened, tile_size=64)
        assert second["b02"]["shards"] >= shards
    assert files_in(tmp_path / "b") <= files_in(tmp_path / "a")
    with xr.open_zarr(tmp_path / "b", consolidated=False) as back:
        xr.testing.assert_identical(back.load(), big)


SCALING = {"offset": -0.1, "scale": 10000, "dtype": "<f4", "astype": "<u2"}


@pytest.mark.parametrize("target", [2, 3])
@pytest.mark.parametrize("source", [2, 3])
@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr")
def test_filters_that_scale_are_kept_unless_a_bound_is_asked_for(source, target, tmp_path):
    field = (RANDOM.integers(0, 9000, (60, 50)) / np.float32(1e4) - np.float32(0.1)).astype("f4")
    ds = xr.Dataset({"b02": (("y", "x"), field)})
    chosen = numcodecs if source == 2 else zarr.codecs.numcodecs
    scaling, delta = chosen.FixedScaleOffset(**SCALING), chosen.Delta(dtype="<u2")
    encoding = {"b02": {"chunks": (30, 50), "filters": [scaling, delta]}}
    ds.to_zarr(tmp_path / "a", encoding=encoding, zarr_format=source, consolidated=False)
    with xr.open_zarr(tmp_path / "a", consolidated=False) as opened:
        for options, bound in (({}, 0), ({"max_error": 0.01}, 0.01)):
            found = eocodec.xarray.encoding(opened, zarr_format=target, **options)
            path = tmp_path / f"b{bound}"
            opened.to_zarr(path, encoding=found, zarr_format=target, consolidated=False)
            array = zarr.open_group(path, mode="r")["b02"]
            names = [type(one).__name__ for one in array.filters or ()]
            assert names == (["FixedScaleOffset"] if bound == 0 else [])
            with xr.open_zarr(path, consolidated=False) as back:
                error = float(np.abs(back.b02 - opened.b02).max())
            assert (error == 0) if bound == 0 else (0 < error <= bound)


@pytest.mark.parametrize(
    ("codec", "zarr_format", "expected"),
    [
        (numcodecs.Blosc("lz4", 4, -1), 3, ("lz4", 4, "shuffle")),
        (numcodecs.Zstd(7), 3, zarr.codecs.ZstdCodec(level=7)),
        (numcodecs.GZip(2), 3, zarr.codecs.GzipCodec(level=2)),
        (numcodecs.LZMA(), 3, None),
        (Eocodec(), 3, None),
        (zarr.codecs.BloscCodec(typesize=4), 2, numcodecs.Blosc("zstd", 5, 2)),
        (zarr.codecs.ZstdCodec(level=7), 2, numcodecs.Zstd(7)),
        (zarr.codecs.GzipCodec(level=2), 2, numcodecs.GZip(2)),
        (zarr.codecs.Crc32cCodec(), 2, None),
        (numcodecs.Zstd(3), 2, numcodecs.Zstd(3)),
    ],
)
def test_compressors_are_those_of_the_other_format(codec, zarr_format, expected):
    found = translated({"compressors": (codec,)}, 4, zarr_format)
    if expected is None:
        assert found == {}
        return
    made = found["compressors"] if zarr_format == 2 else found["compressors"][0]
    if isinstance(expected, tuple):
        assert (made.cname.value, made.clevel, made.shuffle.value) == expected
    else:
        assert made == expected


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_numbers_of_any_type_are_exact_or_left_to_xarray(zarr_format, tmp_path):
    kinds = ["u1", "i2", "u4", "i8", "f2", "f4", "f8", "?", "c8", "M8[ns]", "m8[ns]"]
    raw = RANDOM.integers(0, 2, (20, 30))
    ds = xr.Dataset({kind: (("y", "x"), raw.astype(kind)) for kind in kinds})
    encoding = eocodec.xarray.encoding(ds, zarr_format=zarr_format)
    assert set(kinds) - encoding.keys() == {"f2", "?", "c8", "M8[ns]", "m8[ns]"}
    ds.to_zarr(tmp_path / "a", encoding=encoding, zarr_format=zarr_format, consolidated=False)
    with xr.open_zarr(tmp_path / "a", consolidated=False) as back:
        xr.testing.assert_equal(back.load(), ds)
