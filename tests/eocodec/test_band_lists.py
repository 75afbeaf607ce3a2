"""The bands of a raster seen together: context, look-alikes, tags, other sensors and dates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eocodec.bands import (
    BANDS,
    MODEL_BANDS,
    band_names,
    date_groups,
    look_alikes,
    match_band,
    match_bands,
    plainly_sentinel2,
    select_bands,
)
from eocodec.errors import InputError

TEN = ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"]
FORCE = [
    "BLUE",
    "GREEN",
    "RED",
    "REDEDGE1",
    "REDEDGE2",
    "REDEDGE3",
    "BROADNIR",
    "NIR",
    "SWIR1",
    "SWIR2",
]


@pytest.mark.parametrize(
    ("descriptions", "names"),
    [
        ("NIR RED", "B08 B04"),
        ("BROADNIR NIR", "B08 B8A"),
        ("nir nir08", "B08 B8A"),
        ("nir_1 nir_2", "B08 B8A"),
        ("swir1 swir2", "B11 B12"),
        ("swir_2 swir_3", "B11 B12"),
        ("swir_1 swir_2 swir_3", "- - -"),
        ("nbart_swir_1 nbart_swir_2", "B11 B12"),
        ("nbart_swir_2", "B11"),
        ("rededge rededge2 rededge3", "B05 B06 B07"),
        ("rededge rededge1", "- B05"),
        ("b1 b2 b3", "- - -"),
        ("b2 b3 b4 b8", "B02 B03 B04 B08"),
        ("B01 B02 B03", "B01 B02 B03"),
    ],
)
def test_a_name_means_what_the_others_tell(descriptions: str, names: str) -> None:
    found = band_names(descriptions.split())
    assert found == [None if name == "-" else name for name in names.split()]


def test_band_numbers_that_only_count_are_no_names() -> None:
    counted = [f"Band {number}" for number in range(1, 13)]
    matches = match_bands(counted)
    assert set(matches.names) == {None}
    assert matches.reasons[1] == "its number may only count the bands"
    assert band_names(["Band 4", "Band 3", "Band 2"]) == [None] * 3
    numbered = ["Band 2", "Band 3", "Band 8A"]
    assert band_names(numbered) == ["B02", "B03", "B8A"]
    tags = {"": {"PLATFORM": "Sentinel-2B"}}
    assert band_names(["Band 4", "Band 3", "Band 2"], tags=tags) == ["B04", "B03", "B02"]


def test_bands_that_look_alike_get_no_name_and_are_told() -> None:
    descriptions = ["B02", "blue", "red", None]
    matches = match_bands(descriptions)
    assert matches.names == (None, None, "B04", None)
    assert matches.candidates == ("B02", "B02", "B04", None)
    assert matches.alike == {"B02": (0, 1)}
    assert matches.reasons == dict.fromkeys((0, 1), "looks like B02, as another band does")
    assert look_alikes(matches, descriptions) == (
        "bands 1 ('B02') and 2 ('blue') look like B02: name every band in the file's order, 'other' for "
        "those outside the stack, as --bands B02,other,B04,other"
    )
    assert look_alikes(matches, descriptions, "B04") is None
    assert look_alikes(match_bands(FORCE), FORCE) is None


def test_two_look_alikes_in_a_complete_stack_are_an_error() -> None:
    with pytest.raises(
        InputError, match=r"bands 1 \('B02_10m'\) and 11 \('B02_20m'\) look like B02"
    ):
        select_bands(["B02_10m", *MODEL_BANDS[1:], "B02_20m"], None, 11)
    assert select_bands(["B01", "coastal", *MODEL_BANDS], None, 12).stack == tuple(range(2, 12))


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.sampled_from([name for band in BANDS for name in (band.name, *band.common_names)]),
            st.sampled_from(
                ["rededge", "swir3", "Band 3", "b4", "NDVI", "rhos_865", "20200101_B2"]
            ),
            st.text(max_size=6),
        ),
        max_size=15,
    )
)
def test_no_raster_has_two_bands_of_one_name_unless_it_has_dates(texts: list[str | None]) -> None:
    names = [name for name in band_names(texts) if name]
    assert len(names) == len(set(names)) or date_groups(texts)
    matches = match_bands(texts)
    unnamed = [i for i, name in enumerate(matches.names) if name is None and matches.candidates[i]]
    assert set(unnamed) <= set(matches.reasons)


@pytest.mark.parametrize(
    "tags",
    [
        {"wavelength": "664.6", "wavelength_unit": "nm"},
        {"": {"WAVELENGTH": "0.665"}},
        {"": {"wavelength": "665.000000", "wavelength_units": "Nanometers"}},
        {"IMAGERY": {"CENTRAL_WAVELENGTH_UM": "0.665", "FWHM_UM": "0.03"}},
        {"FORCE": {"Wavelength": "0.665", "Wavelength_unit": "micrometers", "Domain": "RED"}},
        {"central_wavelength": "665 nm"},
        {"eo:center_wavelength": 0.665},
        {"wavelength": "0.665 µm"},
    ],
)
def test_wavelength_in_tags_tells_where_the_description_does_not(tags: dict) -> None:
    for silent in (None, "", "Band 1", "665 nm"):
        assert band_names([silent], [tags]) == ["B04"]
    assert band_names(["B02"], [tags]) == ["B02"]
    assert band_names(["NDVI"], [tags]) == [None]
    assert band_names(["SCL"], [tags]) == [None]


def test_wavelength_in_tags_tells_which_of_the_bands_of_a_general_name() -> None:
    tags = [{"wavelength": text} for text in ("705", "740", "783", "865", "1610", "2190")]
    general = ["rededge", "rededge", "rededge", "nir", "swir", "swir"]
    assert band_names(general, tags) == ["B05", "B06", "B07", "B8A", "B11", "B12"]
    assert band_names(["nir"], [{"wavelength": "1240"}]) == [None]
    assert band_names([None], [{"wavelength": "x"}]) == [None]
    assert band_names([None, None], [{"wavelength": "864"}, {"wavelength": "866"}]) == [None, None]


SENTINEL2_TAGS = [
    {"": {"SPACECRAFT_NAME": "Sentinel-2A"}},
    {"": {"PRODUCT_URI": "S2B_MSIL1C_20200105T092309_N0208_R093_T34TFL_20200105T105326.SAFE"}},
    {"constellation": "sentinel-2"},
    {"FORCE": {"Sensor": "SEN2A"}},
    {"TIFFTAG_IMAGEDESCRIPTION": "Sentinel-2 L1C T18SVG 2016-01-12, crop"},
]
OTHER_TAGS = [
    {"SPACECRAFT_ID": "LANDSAT_8", "note": "harmonised to Sentinel-2"},
    {"LANDSAT_PRODUCT_ID": "LC08_L1TP_193024_20200101"},
    {"SENSOR": "OLI"},
    {"": {"instrument": "PSB.SD", "provider": "PlanetScope"}},
    {"satellite": "SkySat-12"},
    {"imageId": "WV03"},
    {"SHORTNAME": "MOD09GA"},
    {"title": "NAIP 2020"},
    {"MISSION": "SPOT 7"},
    {"platform": "Pleiades-HR 1A"},
    {"platform": "Pléiades"},
]


@pytest.mark.parametrize("tags", SENTINEL2_TAGS)
def test_tags_make_common_names_plainly_sentinel2s(tags: dict) -> None:
    rgbn = ["blue", "green", "red", "nir"]
    assert not plainly_sentinel2(band_names(rgbn), rgbn)
    assert plainly_sentinel2(band_names(rgbn), rgbn, tags)
    assert not plainly_sentinel2(["B04", None], ["red", "SCL"], tags)


@pytest.mark.parametrize("tags", OTHER_TAGS)
def test_tags_of_another_sensor_forbid_sentinel2(tags: dict) -> None:
    assert plainly_sentinel2(MODEL_BANDS, MODEL_BANDS)
    assert not plainly_sentinel2(MODEL_BANDS, MODEL_BANDS, tags)


def test_numbers_that_only_sentinel2_has_are_plain() -> None:
    for plain in (["B02", "B8A"], ["B11", "B12"], ["B2", "B3", "B4", "B8"], ["B04", "B8A", "SCL"]):
        assert plainly_sentinel2(band_names(plain), plain)
    for open_ in (["B02", "B03", "B04"], ["B8A"], ["nir08", "swir22"], ["rhos_665", "rhos_865"]):
        assert not plainly_sentinel2(band_names(open_), open_)
    assert not plainly_sentinel2([], None)


def test_what_software_says_of_itself_names_no_sensor() -> None:
    rgbn = ["blue", "green", "red", "nir"]
    assert not plainly_sentinel2(band_names(rgbn), rgbn, {"TIFFTAG_SOFTWARE": "Sentinel-2 Toolbox"})
    parameters = "SENSORS = LND08 SEN2A " * 40
    assert plainly_sentinel2(band_names(FORCE), FORCE, {"FORCE": {"FORCE_param": parameters}})
    assert plainly_sentinel2(band_names(TEN), TEN, {"source": "Microsoft Planetary Computer"})


def dated(pattern: str, dates: list[str], bands: list[str]) -> list[str]:
    return [pattern.format(date=date, band=band) for date in dates for band in bands]


@pytest.mark.parametrize(
    ("pattern", "dates"),
    [
        ("{date}_{band}", ["20200101", "20200111"]),
        ("{date}_{band}", ["20200101T103021_20200101T103020_T32TQM", "20200104T103421_20200104T103420_T32TQM"]),
        ("{date}_{band}", ["1_20200101", "2_20200101"]),
        ("{date}_{band}", ["0", "1", "2"]),
        ("{date}_{band}", ["2020-01-01", "2020-02-01"]),
        ("{date}_{band}", [f"S2{x}_MSIL2A_20200101T103021_N0213_R108_T32TQM_20200101T120000" for x in "AB"]),
        ("{date}_{band}", ["T32TQM_20200101T103021", "T32TQM_20200111T103021"]),
        ("{band}_{date}", ["20200101", "20200111"]),
        ("{band}_{date}", ["2020-01-01", "2020-01-11"]),
        ("{band} {date}", ["2020-01-01", "2020-01-11"]),
        ("{band} {date}", ["2020-01-01T10:30:21Z", "2020-01-11T10:30:21Z"]),
        ("{band}_{date}", ["1", "2"]),
        ("{band}.{date}", ["2020_01_01", "2020_02_01"]),
    ],
)  # fmt: skip
def test_stack_of_dates_is_split_and_its_bands_are_named(pattern: str, dates: list[str]) -> None:
    bands = [*TEN, "SCL", "MSK_CLDPRB"]
    names = dated(pattern, dates, bands)
    count = len(bands)
    expected = [(date, tuple(range(i * count, i * count + count))) for i, date in enumerate(dates)]
    assert date_groups(names) == expected
    matches = match_bands(names)
    assert matches.names == (*MODEL_BANDS, None, None) * len(dates)
    assert matches.alike == {}
    assert plainly_sentinel2(matches.names, names)
    by_band = sorted(names, key=lambda name: [band in name for band in bands])
    groups = date_groups(by_band)
    assert groups is not None
    for date, positions in groups:
        assert list(positions) == sorted(positions)
        assert {by_band[index] for index in positions} == set(dated(pattern, [date], bands))


def test_bands_of_a_second_image_are_numbered_by_earth_engine() -> None:
    assert date_groups(["B2", "B3", "B2_1", "B3_1"]) == [("0", (0, 1)), ("1", (2, 3))]
    assert band_names(["B2", "B3", "B2_1", "B3_1"]) == ["B02", "B03"] * 2
    assert date_groups(["20200101_red", "20200101_nir", "20200201_red", "20200201_nir"]) == [
        ("20200101", (0, 1)),
        ("20200201", (2, 3)),
    ]
    assert band_names(["red_20200101", "red_20200201"]) == ["B04", "B04"]


@pytest.mark.parametrize(
    "names",
    [
        None,
        [],
        TEN,
        FORCE,
        ["20200101_B2", "20200101_B3"],
        ["20200101_B2", "20200101_B3", "20200111_B2"],
        ["20200101_B2", "20200101_B2", "20200111_B2"],
        ["20200101_B2", "B3"],
        ["20201301_B2", "20201302_B2"],
        [None, "20200101_B2"],
        ["Band 1", "Band 2", "Band 3"],
        ["lyr.1", "lyr.2"],
        ["nir_1", "nir_2"],
        ["red_edge_1", "red_edge_2", "nir_1", "nir_2"],
        ["swir_1", "swir_2", "nir_1", "nir_2"],
        ["rhos_492", "rhos_560", "rhot_492", "rhot_560"],
        ["sur_refl_b01", "sur_refl_b02"],
    ],
)
def test_other_names_are_no_stack_of_dates(names: list[str | None] | None) -> None:
    assert date_groups(names) is None


def test_date_beside_a_single_name_is_passed_over() -> None:
    assert match_band("20200101T103021_20200101T103020_T32TQM_B8A") == "B8A"
    assert match_band("nir_20200101") == "B08"
    assert match_band("2020-01-01 red") == "B04"
