"""Band descriptions as providers write them find their Sentinel-2 bands."""

from __future__ import annotations

import pytest

from eocodec.bands import (
    BANDS,
    MODEL_BANDS,
    band,
    band_names,
    match_band,
    option_names,
    plainly_sentinel2,
    select_bands,
)
from eocodec.errors import InputError


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("B2", "B02"),
        ("B02", "B02"),
        ("b8a", "B8A"),
        ("B08A", "B8A"),
        ("Band 8A", "B8A"),
        ("Band_08", "B08"),
        ("B8A, central wavelength 865 nm", "B8A"),
        ("B12 (SWIR 2190 nm)", "B12"),
        ("Red (B4)", "B04"),
        ("S2A_B11", "B11"),
        ("B1", "B01"),
        ("B10", "B10"),
        ("red", "B04"),
        ("Red Edge 2", "B06"),
        ("rededge3", "B07"),
        ("nir", "B08"),
        ("nir08", "B8A"),
        ("swir16", "B11"),
        ("SWIR-22", "B12"),
        ("coastal", "B01"),
        ("B13", None),
        ("B2 - B4", None),
        ("NDVI", None),
        ("QA60", None),
        ("AOT", None),
        ("WVP", None),
        ("B10K", None),
        ("cloud mask B2?", None),
        ("blue_qa", None),
        ("red_std", None),
        ("alpha", None),
        ("Band 1", None),
        ("TCI_R", None),
        ("MSK_CLDPRB", None),
        ("nir_mask", None),
        ("B02_mask", None),
        ("B2_stddev", None),
        ("SR_B4", None),
        ("rededge", None),
        ("swir", None),
        ("yellow", None),
        ("B02.tif", "B02"),
        ("rhos_865", "B8A"),
        ("rhos_592", None),
        ("Red (620 nm)", None),
        ("Blue 458-523 nm", "B02"),
        ("20200101_B2", "B02"),
        ("B8A_20200101", "B8A"),
        ("nbart_nir_2", "B8A"),
        ("SCL", None),
        ("665 nm", None),
        ("", None),
        (None, None),
    ],
)
def test_description_matches(description: str | None, name: str | None) -> None:
    assert match_band(description) == name


def test_table_knows_every_canonical_name_by_number_and_common_name() -> None:
    for entry in BANDS:
        assert match_band(entry.name) == entry.name
        assert [match_band(name) for name in entry.common_names] == [entry.name] * len(
            entry.common_names
        )
    assert band("B8A").resolution_m == 20
    assert band("B12").wavelength_nm == {"S2A": 2202.4, "S2B": 2185.7}


def test_unknown_band_name_is_an_input_error() -> None:
    with pytest.raises(InputError, match="B99"):
        band("B99")


def test_stack_is_found_in_any_order_with_the_rest_kept() -> None:
    descriptions = ["B12", "B01", "B11", "B8A", "B08", "B07", "B06", "B05", "B04", "B03", "B02"]
    stack, others = select_bands([*descriptions, "SCL"], None, 12)
    assert [[*descriptions, "SCL"][index] for index in stack] == list(MODEL_BANDS)
    assert others == (1, 11)


def test_incomplete_stack_leaves_everything_to_the_generic_path() -> None:
    assert select_bands(["red", "red", "blue"], None, 3) == ((), (0, 1, 2))
    assert select_bands(None, None, 4) == ((), (0, 1, 2, 3))


def test_two_bands_of_one_name_are_an_input_error_that_names_them() -> None:
    with pytest.raises(
        InputError,
        match=r"bands 1 \('B02'\) and 11 \('blue'\) look like B02: .* --bands B02,.*,B12,other",
    ):
        select_bands([*MODEL_BANDS, "blue"], None, 11)


def test_option_overrides_descriptions_and_can_exclude() -> None:
    stack, others = select_bands(["x"] * 11, [*MODEL_BANDS, "other"], 11)
    assert stack == tuple(range(10))
    assert others == (10,)


def test_option_of_wrong_length_or_with_unknown_name_is_an_input_error() -> None:
    with pytest.raises(InputError, match="names 2 bands; the raster has 3"):
        select_bands(None, ["B02", "B03"], 3)
    with pytest.raises(InputError, match="'purple'"):
        select_bands(None, ["purple", "B03"], 2)
    with pytest.raises(InputError, match=r"bands 1 \('blue'\) and 2 \('B2'\) are all named as B02"):
        select_bands(None, ["blue", "B2"], 2)


def test_option_is_understood_as_a_whole_and_its_numbers_are_sentinel2s() -> None:
    force = [
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
        "other",
    ]
    assert option_names(force) == [*MODEL_BANDS, None]
    assert option_names(["Band 1", "Band 2", "3", "-"][:2]) == ["B01", "B02"]
    assert option_names(["b5", "b4", "b3"]) == ["B05", "B04", "B03"]
    assert select_bands(["x"] * 11, force, 11).stack == tuple(range(10))


def test_band_names_of_no_descriptions_are_none() -> None:
    assert band_names(None) == []
    assert band_names(["B2", None]) == ["B02", None]


def test_known_names_of_bands_replace_those_of_their_descriptions() -> None:
    assert select_bands([None] * 10, None, 10, MODEL_BANDS).stack == tuple(range(10))
    assert select_bands(MODEL_BANDS, None, 10, [None] * 10).stack == ()
    with pytest.raises(InputError, match="9 band descriptions for a raster of 10 bands"):
        select_bands([None] * 10, None, 10, MODEL_BANDS[:9])


@pytest.mark.parametrize("word", ["_mad", "_iqr", " importance", " radiance", "_xyzzy"])
def test_words_after_a_number_may_say_that_values_are_no_reflectances(word):
    names = [f"{name}{word}" for name in MODEL_BANDS]
    assert not plainly_sentinel2(band_names(names), names)


@pytest.mark.parametrize(
    "word", [", central wavelength 490 nm", "_median", "_20m.jp2", " (Blue)", ""]
)
def test_usual_words_after_a_number_change_nothing(word):
    names = [f"{name}{word}" for name in MODEL_BANDS]
    assert plainly_sentinel2(list(MODEL_BANDS), names)
