"""Transforms: their features, and how they are applied to arrays."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

import eocodec
from eocodec.bands import MODEL_BANDS
from eocodec.errors import InputError, MissingPackageError, UnsupportedError
from eocodec.formats import feature_grid, features
from eocodec.transforms import PixelTransform, find_transform, registry
from eocodec.transforms.simclr import SimclrFeatures
from tests.formats.http_server import http_server

DATA = Path(__file__).parents[1] / "data"
LOSSLESS = eocodec.EncodeSettings(lossless=True)
PLACE = {"crs": "EPSG:32618", "transform": (10.0, 0.0, 449010.0, 0.0, -10.0, 4177460.0)}


def pixels_of(name):
    with rasterio.open(DATA / f"{name}.tif") as source:
        return source.read()


STACK = pixels_of("s2_chesapeake")


SMALL = STACK[:, :100, :80]


def opened(stack, settings=LOSSLESS, **fields):
    fields = {"bands": MODEL_BANDS, "tile_size": 128, **fields}
    return eocodec.open(eocodec.compress(stack, settings=settings, **fields))


@pytest.fixture(scope="module")
def lossless():
    return eocodec.compress(SMALL, settings=LOSSLESS, bands=MODEL_BANDS, **PLACE)


@pytest.fixture(scope="module")
def tiled():
    return eocodec.compress(SMALL, settings=LOSSLESS, bands=MODEL_BANDS, tile_size=(48, 36))


class Mean(PixelTransform):
    """The means of all bands."""

    name = "mean"
    description = "means"
    patch = 32

    def names(self, bands):
        return tuple(f"{band}_mean" for band in bands)

    def __call__(self, patches):
        return np.nanmean(patches, axis=(2, 3), dtype=np.float64)


def test_indices_are_their_formulae(lossless):
    reflectance = dict(zip(MODEL_BANDS, SMALL[:, 32:64, 32:64] / 10000, strict=True))
    blue, green, red, nir = (reflectance[name] for name in ("B02", "B03", "B04", "B08"))
    edge, narrow, swir1, swir2 = (reflectance[name] for name in ("B05", "B8A", "B11", "B12"))
    expected = {
        "ndvi": (nir - red) / (nir + red),
        "ndre": (narrow - edge) / (narrow + edge),
        "evi": 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1),
        "ndwi": (green - nir) / (green + nir),
        "mndwi": (green - swir1) / (green + swir1),
        "ndmi": (narrow - swir1) / (narrow + swir1),
        "ndbi": (swir1 - nir) / (swir1 + nir),
        "nbr": (narrow - swir2) / (narrow + swir2),
        "bsi": (swir1 + red - nir - blue) / (swir1 + red + nir + blue),
    }
    with eocodec.open(lossless) as reader:
        found = reader.transform("indices", patch=32)
    assert found.values.shape == (4, 3, 2 * len(expected))
    for name, values in expected.items():
        assert found[f"{name}_mean"][1, 1] == pytest.approx(values.mean(), abs=1e-5)
        assert found[f"{name}_std"][1, 1] == pytest.approx(values.std(), abs=1e-5)


def test_indices_of_patches_of_one_pixel_are_maps(lossless):
    with eocodec.open(lossless) as reader:
        ndvi = reader.transform("indices", patch=1)["ndvi_mean"]
    nir, red = SMALL[6].astype(float), SMALL[2].astype(float)
    np.testing.assert_allclose(ndvi, (nir - red) / (nir + red), atol=1e-6)


def test_indices_take_scale_and_offset_of_the_file(lossless):
    shifted = [eocodec.Band(name=name, scale=1e-4, offset=-0.1) for name in MODEL_BANDS]
    with eocodec.open(lossless) as reader, opened(SMALL + 1000, bands=shifted) as later:
        expected, found = reader.transform("indices"), later.transform("indices")
    np.testing.assert_allclose(found.values, expected.values, atol=2e-5)
    with opened(SMALL + 1000) as reader:
        assert abs(reader.transform("indices").values - expected.values).max() > 0.1


@pytest.mark.parametrize("options", [{}, {"patch": 25, "stride": 15}, {"patch": 120}])
def test_features_of_pixels_do_not_depend_on_tiles_blocks_or_threads(
    options, lossless, tiled, monkeypatch
):
    with eocodec.open(lossless) as reader:
        expected = reader.transform(Mean(), threads=1, **options)
    monkeypatch.setattr(feature_grid, "_BLOCK_SAMPLES", 10 * 70 * 40)
    monkeypatch.setattr(features, "_BATCH_SAMPLES", 3 * 10 * 32**2)
    with eocodec.open(tiled) as reader:
        found = reader.transform(Mean(), threads=3, **options)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.valid, expected.valid)


def test_patches_cover_the_raster_and_know_their_places(lossless):
    with eocodec.open(lossless) as reader:
        found = reader.transform(Mean(), patch=64, stride=32)
    assert found.row.tolist() == [0, 32, 64]
    assert found.column.tolist() == [0, 32]
    assert found.x[0].tolist() == [449010 + 320, 449010 + 640]
    assert found.y[:, 0].tolist() == [4177460 - 320, 4177460 - 640, 4177460 - 960]
    assert found.crs == "EPSG:32618"
    assert found.valid[:, 0].tolist() == [1, 1, 36 / 64]
    inside = STACK[:, 64:100, 32:80].mean(axis=(1, 2))
    np.testing.assert_allclose(found.values[2, 1], inside, rtol=1e-6)


def test_invalid_pixels_are_left_out_and_patches_without_others_are_nan():
    stack = STACK[:, :64, :96].copy()
    stack[3, :, :40] = 0
    with opened(stack, nodata=0) as reader:
        found = reader.transform(Mean())
    assert found.valid.tolist() == [[0, 0.75, 1], [0, 0.75, 1]]
    assert np.isnan(found.values[:, 0]).all()
    np.testing.assert_allclose(found.values[0, 1], stack[:, :32, 40:64].mean((1, 2)), rtol=1e-6)
    floats = stack.astype("float32")
    floats[0, 5, 70] = np.nan
    with opened(floats, nodata=0) as reader:
        assert reader.transform(Mean()).valid[0, 2] == 1 - 1 / 1024


def test_a_transform_may_ask_for_invalid_pixels_filled():
    class Largest(Mean):
        fills = True

        def __call__(self, patches):
            assert not np.isnan(patches).any()
            return patches[:, :, 0, 0]

    stack = STACK[:, :32, :32].copy()
    stack[:, 0, 0] = 0
    with opened(stack, nodata=0) as reader:
        found = reader.transform(Largest()).values[0, 0]
    np.testing.assert_allclose(found, stack.reshape(10, -1)[:, 1:].mean(axis=1), rtol=1e-6)


def test_bands_are_found_by_name_or_told(lossless):
    order = ["B8A", "B04", "B03", "B02", "B08", "B05", "B11", "B12"]
    stack = SMALL[[MODEL_BANDS.index(name) for name in order]]
    with eocodec.open(lossless) as reader, opened(stack, bands=order) as other:
        expected = reader.transform("indices").values
        np.testing.assert_array_equal(other.transform("indices").values, expected)
    with opened(stack, bands=None) as reader:
        with pytest.raises(
            InputError, match=r"needs bands B02, .*, which array 'data' lacks; it has 1, 2"
        ):
            reader.transform("indices")
        told = reader.transform("indices", bands=["Band 8A", "red", "green", "blue", *order[4:]])
        np.testing.assert_array_equal(told.values, expected)
        with pytest.raises(InputError, match="3 bands are named, array 'data' has 8"):
            reader.transform("indices", bands=order[:3])


@pytest.fixture(scope="module")
def learned():
    return eocodec.compress(STACK, bands=MODEL_BANDS, tile_size=128, **PLACE)


def test_features_of_tokens_tell_about_the_pixels(learned):
    with eocodec.open(learned) as reader:
        found = reader.transform("tokens")
    assert found.values.shape == (4, 4, 90)
    assert np.isfinite(found.values).all()
    patches = STACK.reshape(10, 4, 64, 4, 64).astype(float)
    for number, band in enumerate(MODEL_BANDS):
        means, deviations = patches[number].mean((1, 3)), patches[number].std((1, 3))
        assert abs(2 ** found[f"{band}_mean"] - 1 - means).mean() < 60
        bright = deviations > 100
        ratio = (2 ** found[f"{band}_std"] - 1)[bright] / deviations[bright]
        assert 0.6 < np.median(ratio) < 1.1


def test_features_of_tokens_fetch_the_token_layers_alone(learned):
    with eocodec.open(learned) as reader:
        expected = reader.transform("tokens").values
        tiles = list(reader.tiles())
    with http_server(learned) as (url, sent), eocodec.open(url) as reader:
        sent.clear()
        np.testing.assert_array_equal(reader.transform("tokens").values, expected)
        wanted = [(tile.offset, tile.offset + tile.layer_ends[1]) for tile in tiles]
    assert sorted(sent) == wanted
    assert sum(stop - start for start, stop in wanted) < 0.4 * len(learned)


def test_patches_of_tokens_may_straddle_tiles(learned):
    with eocodec.open(learned) as reader:
        whole = reader.transform("tokens", patch=64)
        shifted = reader.transform("tokens", patch=128, stride=64, threads=2)
        one_layer = reader.transform("tokens", layers=1)
    assert shifted.values.shape == (3, 3, 90)
    for band in MODEL_BANDS:
        quarters = (2 ** whole[f"{band}_mean"][1:3, 1:3] - 1).mean()
        assert 2 ** shifted[f"{band}_mean"][1, 1] - 1 == pytest.approx(quarters, rel=1e-4)
    assert (one_layer.values != whole.values).mean() > 0.5


def test_tiles_without_tokens_have_no_features_of_tokens(lossless):
    half = STACK.copy()
    half[:, :, 128:] = 7
    with opened(half, settings=eocodec.EncodeSettings()) as reader:
        found = reader.transform("tokens")
    assert found.valid.tolist() == [[1, 1, 0, 0]] * 4
    assert np.isnan(found.values[:, 2:]).all()
    with (
        eocodec.open(lossless) as reader,
        pytest.raises(InputError, match="has no tile with tokens"),
    ):
        reader.transform("tokens")


def test_a_guarantee_layer_is_no_token_layer():
    with (
        opened(
            SMALL[:, :48, :48], settings=eocodec.EncodeSettings(layers=1, max_error=20.0)
        ) as bounded,
        opened(SMALL[:, :48, :48], settings=eocodec.EncodeSettings(layers=1)) as plain,
    ):
        found, expected = bounded.transform("tokens"), plain.transform("tokens")
    np.testing.assert_array_equal(found.values, expected.values)


def test_tokens_skip_nodata():
    stack = pixels_of("s2_chesapeake_nodata")
    with opened(stack, settings=eocodec.EncodeSettings(nodata=0), nodata=0) as reader:
        tokens, means = reader.transform("tokens"), reader.transform(Mean(), patch=64)
    np.testing.assert_array_equal(tokens.valid, means.valid)
    assert tokens.valid[0, 0] < 0.2


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"tile_size": 50}, {}, "sides are multiples of 16 pixels; .* are 50 x 50"),
        ({"tile_size": (5, 100, 100)}, {}, "all planes in one tile; array 'data' has 2 tiles"),
        ({}, {"patch": 40}, "patch of 40 pixels: .* multiples of 16"),
        ({}, {"stride": 8}, "stride of 8 pixels"),
        ({}, {"patch": 16000}, "patch of 16000 pixels: it holds more than 67108864 samples"),
        ({}, {"layers": 0}, "layers must be at least 1"),
    ],
)
def test_features_of_tokens_that_cannot_be_are_refused(fields, options, message):
    with opened(SMALL[:, :60, :60], **fields) as reader, pytest.raises(InputError, match=message):
        reader.transform("tokens", **options)


def test_unknown_transforms_and_features_are_refused(lossless):
    with eocodec.open(lossless) as reader:
        with pytest.raises(InputError, match=r"no transform 'ndvi'; installed: .*indices.*tokens"):
            reader.transform("ndvi")
        with pytest.raises(InputError, match="no feature 'ndvi'; there are ndvi_mean"):
            reader.transform("indices")["ndvi"]


def test_other_packages_bring_transforms_by_entry_points(lossless, monkeypatch):
    def entries(**values):
        found = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(
            registry, "entry_points", lambda group, name: [e for e in found if e.name == name]
        )

    entries(mean=f"{__name__}:Mean", lost="no_such_package:Thing", other="builtins:dict")
    with eocodec.open(lossless) as reader:
        assert reader.transform("mean").names[0] == "B02_mean"
    with pytest.raises(
        UnsupportedError, match=r"transform 'lost' cannot be loaded: .*no_such_package"
    ):
        find_transform("lost")
    with pytest.raises(UnsupportedError, match="builtins:dict is no transform but a dict"):
        find_transform("other")


def test_features_of_another_shape_are_refused(lossless):
    class Short(Mean):
        name = "short"

        def __call__(self, patches):
            return patches.mean((1, 2, 3))

    with (
        eocodec.open(lossless) as reader,
        pytest.raises(
            UnsupportedError, match=r"'short' gave features of shape \(12,\), not \(12, 10\)"
        ),
    ):
        reader.transform(Short())


def test_self_supervised_features_leave_the_threads_of_torch_as_they_were(lossless):
    threads = torch.get_num_threads()
    with eocodec.open(lossless) as reader:
        found = reader.transform("ssl-s2", patch=48, threads=2)
    assert torch.get_num_threads() == threads
    assert found.names[0] == "ssl_000"
    first = np.ascontiguousarray(SMALL[None, :, :48, :48])
    one, other = (SimclrFeatures()(first + shift)[0] for shift in (0, 100))
    assert np.abs(found.values[0, 0] - one).max() < 1e-3 * np.abs(one - other).max()


def test_self_supervised_features_without_torch_say_what_is_missing(lossless, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with (
        eocodec.open(lossless) as reader,
        pytest.raises(MissingPackageError, match=r"eocodec\[torch\]"),
    ):
        reader.transform("ssl-s2")
