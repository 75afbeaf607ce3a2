"""Error bounds through containers: what is promised, told and kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
from eocodec import EncodeSettings
from eocodec.bands import MODEL_BANDS, band_names
from eocodec.formats.band_bounds import named_bounds
from eocodec.formats.comparison import compare_rasters
from eocodec.formats.eoc.header_json import Header, dump_header, parse_header
from eocodec.formats.eoc_raster import rasters_of
from eocodec.formats.geotiff import CompressOptions, compress_geotiff
from eocodec.formats.quality import Target

STEPS = np.random.default_rng(8).normal(0, 9, (3, 40, 50))
PIXELS = (3000 + np.cumsum(STEPS, axis=2)).astype("uint16")
PLACED = (10.0, 0.0, 6e5, 0.0, -10.0, 5.9e6)


def header(**changes):
    return replace(eocodec.array_header(shape=(3, 4, 4), dtype="u2"), **changes)


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_error": 0.0},
        {"max_error": 2.5},
        {"max_error": (1.0, None, 4.0)},
        {"max_relative_error": 0.01, "max_error_sqrt": 0.5},
    ],
)
def test_promises_pass_through_the_header(bounds):
    (parsed,) = parse_header(dump_header(Header(arrays=(header(**bounds),)))).arrays
    wanted = dict.fromkeys(("max_error", "max_relative_error", "max_error_sqrt")) | bounds
    assert {name: getattr(parsed, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    "field",
    [
        {"max_error": [1, 2]},
        {"max_error": [1, "2", 3]},
        {"max_error": []},
        {"max_error": -1},
        {"max_error": "10"},
        {"max_error": [1, -2, 3]},
        {"max_relative_error": 1},
        {"max_relative_error": [0.1]},
        {"max_error_sqrt": -0.5},
    ],
)
def test_impossible_promises_are_refused(field):
    document = json.loads(dump_header(Header(arrays=(header(),))))
    document["arrays"][0].update(field)
    with pytest.raises(eocodec.FormatError):
        parse_header(json.dumps(document).encode())


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(
        st.sampled_from([0, 1, 2.5, 50]),
        st.tuples(*[st.sampled_from([0, 1, 3, 20])] * 3),
    ),
    st.sampled_from([None, 0.001, 0.02]),
    st.sampled_from([(3, 16), (1, 32), (2, 64)]),
)
def test_every_sample_lies_within_the_promise(max_error, relative, tiling):
    planes, size = tiling
    asked = EncodeSettings(max_error=max_error, max_relative_error=relative)
    data = eocodec.compress(PIXELS, settings=asked, tile_size=(planes, size, size))
    with eocodec.open(data) as reader:
        decoded = reader.read()
        reader.validate()
        for plane in range(3):
            bounds = reader.header.bounds(plane)
            error = np.abs(decoded[plane].astype(float) - PIXELS[plane])
            assert (error <= bounds.allowed_in(0, PIXELS[plane])).all()
            asked_here = max_error[plane] if isinstance(max_error, tuple) else max_error
            assert bounds.absolute[0] <= asked_here


def test_bounds_of_another_number_of_bands_are_refused():
    with pytest.raises(eocodec.InputError, match=r"array 'data'.*2 bounds for 3 bands"):
        eocodec.compress(PIXELS, settings=EncodeSettings(max_error=(1, 2)))


def test_bounds_of_zero_are_promised_as_lossless():
    data = eocodec.compress(PIXELS, settings=EncodeSettings(max_error=(0, 0, 0)))
    with eocodec.open(data) as reader:
        assert reader.header.max_error == 0
        assert reader.header.codec == "eocodec.predictive-dev"
        np.testing.assert_array_equal(reader.read(), PIXELS)


BANDS = [
    eocodec.Band(name="B02", position=0),
    eocodec.Band(description="height above ground", position=1),
    eocodec.Band(name="B12", position=2),
]


def test_bands_are_named_as_people_do():
    described = [header(bands=tuple(BANDS)), eocodec.array_header(shape=(1, 4, 4), dtype="u1")]
    asked = {"Band 2": 1.0, "height above ground": 2.0, "3": 3.0}
    assert named_bounds(described, asked) == [[1.0, 2.0, 3.0], [None]]
    assert named_bounds(described, {}) == [[None] * 3, [None]]
    with pytest.raises(eocodec.InputError, match="0 bands are called 'B03'; there are B02, height"):
        named_bounds(described, {"B03": 1.0})
    with pytest.raises(eocodec.InputError, match="2 bands are called '1'"):
        named_bounds([header(bands=tuple(BANDS))] * 2, {"1": 1.0})


def described(*descriptions, names=None):
    """A header of bands as a file describes them, with the names found among them."""
    names = names or band_names(descriptions)
    return header(
        shape=(len(descriptions), 4, 4),
        bands=tuple(
            eocodec.Band(name=name, description=text, position=index)
            for index, (name, text) in enumerate(zip(names, descriptions, strict=True))
        ),
    )


def test_a_bound_is_that_of_the_band_as_it_is_written_before_what_it_may_mean():
    force = described("RED", "BROADNIR", "NIR")
    assert named_bounds([force], {"NIR": 1.0}) == [[None, None, 1.0]]
    assert named_bounds([force], {"B8A": 1.0, "broadnir": 2.0}) == [[None, 2.0, 1.0]]
    ga = described("nbart_swir_2", "nbart_swir_3")
    assert named_bounds([ga], {"swir_2": 1.0, "B12": 2.0}) == [[1.0, 2.0]]


def test_bands_that_look_alike_are_named_where_a_bound_is_for_one_of_them():
    alike = described("B02", "blue", "red")
    assert named_bounds([alike], {"blue": 1.0, "B02": 2.0}) == [[2.0, 1.0, None]]
    with pytest.raises(
        eocodec.InputError,
        match=r"no band is called 'Band 2': bands 1 \('B02'\) and 2 \('blue'\) look like B02: .* "
        "--bands B02,other,B04",
    ):
        named_bounds([alike], {"Band 2": 1.0})


def test_a_bound_of_a_stack_of_dates_holds_for_the_band_of_every_date():
    dates = described("20200101_B2", "20200101_B8A", "20200111_B2", "20200111_B8A")
    assert named_bounds([dates], {"B8A": 4.0}) == [[None, 4.0, None, 4.0]]
    assert named_bounds([dates], {"20200111_B2": 4.0}) == [[None, None, 4.0, None]]
    with pytest.raises(eocodec.InputError, match="0 bands are called 'B03'"):
        named_bounds([dates], {"B03": 4.0})


def write_tiff(path, pixels, names):
    profile = {"driver": "GTiff", "count": len(pixels), "dtype": pixels.dtype.name}
    height, width = pixels.shape[1:]
    transform = rasterio.Affine(*PLACED)
    with rasterio.open(
        path, "w", height=height, width=width, transform=transform, **profile
    ) as target:
        target.write(pixels)
        target.descriptions = names


def compressed(path, **options):
    destination = path.with_suffix(".eoc")
    compress_geotiff([path], destination, CompressOptions(overwrite=True, **options))
    return eocodec.open(destination)


def test_bands_outside_the_model_are_bounded_only_when_asked(tmp_path):
    path = tmp_path / "x.tif"
    pixels = np.concatenate([PIXELS[:1]] * 5 + [PIXELS[1:2]] + [PIXELS[2:]] * 5)
    write_tiff(path, pixels, (*MODEL_BANDS[:5], "aerosol", *MODEL_BANDS[5:]))
    with compressed(path, max_error={"aerosol": 5.0}) as reader:
        assert [array.max_error for array in reader.arrays] == [None, 5]
        error = np.abs(reader.array("other").read()[0].astype(int) - pixels[5])
        assert 0 < error.max() <= 5
    with compressed(path, max_error={"B02": 4.0}) as reader:
        assert [array.max_error for array in reader.arrays] == [(4, *[None] * 9), 0]
        np.testing.assert_array_equal(reader.array("other").read()[0], pixels[5])
        error = np.abs(reader.read().astype(int) - pixels[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]])
        assert error[0].max() <= 4 < error.max()
    with compressed(path, settings=EncodeSettings(max_error=7)) as reader:
        assert [array.max_error for array in reader.arrays] == [7, 7]
        assert [array.layers for array in reader.arrays] == [None, None]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": Target(bits_per_sample=1.0)}, "settle the size"),
        ({"ratio": 9.0}, "settle the size"),
        ({"settings": EncodeSettings(lossless=True)}, "no error to bound"),
    ],
)
def test_bounds_that_contradict_the_rest_are_refused(tmp_path, options, words):
    path = tmp_path / "x.tif"
    write_tiff(path, PIXELS, ("B02", "B03", "B12"))
    with pytest.raises(eocodec.InputError, match=words):
        compressed(path, max_error={"B02": 4.0}, **options)
    assert not path.with_suffix(".eoc").exists()


class Original:
    """A raster in memory."""

    def __init__(self, pixels, nodata=None):
        self.name, self.shape, self.dtype = "original", pixels.shape, pixels.dtype
        self.bands, self.nodata = tuple(BANDS), nodata
        self._pixels = pixels

    def read(self, rows, columns, bands=None):
        return self._pixels[slice(None) if bands is None else bands, rows, columns]


def beyond(original, decoded, **promise):
    """Samples that break a promise for what is really lossless."""
    data = eocodec.compress(decoded, settings=EncodeSettings(lossless=True), tile_size=16)
    with eocodec.open(data) as reader:
        raster = rasters_of(reader)[0]
        unbounded = dict.fromkeys(("max_error", "max_relative_error", "max_error_sqrt"))
        first = raster._places[0].array
        first.header = replace(first.header, **(unbounded | promise))
        return compare_rasters(original, raster).beyond


def test_samples_beyond_the_promise_are_counted():
    changed = PIXELS.copy()
    changed[0, 3, 4:8] += 5
    changed[1, 3, 4:8] -= 6
    assert beyond(Original(PIXELS), changed, max_error=5.0) == (0, 4, 0)
    assert beyond(Original(PIXELS), changed, max_error=(4.0, None, 1.0)) == (4, 0, 0)
    assert beyond(Original(PIXELS), changed, max_error_sqrt=0.001) == (4, 4, 0)


def test_invalid_samples_break_no_promise_and_lost_ones_do():
    pixels = PIXELS.astype("float32")
    pixels[0, 0, 0] = np.nan
    pixels[1, 0, 0] = -9999
    pixels[1, 0, 1] = np.inf
    changed = pixels.copy()
    changed[0, 0, 0] = changed[1, 0, 0] = 5
    assert beyond(Original(pixels, -9999), changed, max_error=1.0) == (0, 0, 0)
    changed[2, 0, 0] = np.nan
    assert beyond(Original(pixels, -9999), changed, max_error=1.0) == (0, 0, 1)


def test_large_whole_numbers_are_compared_exactly():
    pixels = np.full((1, 20, 20), 2**60, "uint64")
    pixels[0, 1] = 1
    changed = pixels.copy()
    changed[0, 0, 0] += 1
    assert beyond(Original(pixels), changed, max_error=0.0) == (1,)
    assert beyond(Original(pixels), changed, max_error=1.0) == (0,)
