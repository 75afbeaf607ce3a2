"""The band names of each producer, as its code or its product definitions list them, find their bands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eocodec.bands import MODEL_BANDS, band_names, plainly_sentinel2, select_bands

L1C = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
L2A = [name for name in L1C if name != "B10"]


def listed(
    names: str, *, others: str = "", of: Sequence[str | None] = MODEL_BANDS
) -> dict[str, str | None]:
    """Names of bands in the order of `of`, and after them names that are no bands."""
    bands = names.split()
    return {**dict(zip(bands, of, strict=True)), **dict.fromkeys(others.split())}


PRODUCERS: dict[str, dict[str, str | None]] = {
    # OSGeo/gdal 07802801, frmts/sentinel2/sentinel2dataset.cpp: asBandDesc, asL2ABandDesc
    "GDAL SENTINEL2": {
        "B1, central wavelength 443 nm": "B01",
        "B2, central wavelength 490 nm": "B02",
        "B3, central wavelength 560 nm": "B03",
        "B4, central wavelength 665 nm": "B04",
        "B5, central wavelength 705 nm": "B05",
        "B6, central wavelength 740 nm": "B06",
        "B7, central wavelength 783 nm": "B07",
        "B8, central wavelength 842 nm": "B08",
        "B8A, central wavelength 865 nm": "B8A",
        "B9, central wavelength 945 nm": "B09",
        "B10, central wavelength 1375 nm": "B10",
        "B11, central wavelength 1610 nm": "B11",
        "B12, central wavelength 2190 nm": "B12",
        "AOT, Aerosol Optical Thickness map (at 550nm)": None,
        "WVP, Scene-average Water Vapour map": None,
        "SCL, Scene Classification": None,
        "CLD, Raster mask values range from 0 for high confidence clear sky to 100 for high "
        "confidence cloudy": None,
        "SNW, Raster mask values range from 0 for high confidence NO snow/ice to 100 for high "
        "confidence snow/ice": None,
    },
    # ESA, Sentinel-2 Products Specification Document 14.9: IMG_DATA/R20m of a level 2A product
    "SAFE": {
        **{f"T32TQM_20230101T101031_{name}_20m.jp2": name for name in L2A if name != "B08"},
        "T32TQM_20230101T101031_SCL_20m.jp2": None,
        "T32TQM_20230101T101031_AOT_20m.jp2": None,
        "T32TQM_20230101T101031_WVP_20m.jp2": None,
        "T32TQM_20230101T101031_TCI_20m.jp2": None,
    },
    "SAFE, whole paths": {
        f"S2A_MSIL1C_X.SAFE/GRANULE/L1C_T33UUP/IMG_DATA/T33UUP_20230101T101031_{name}.jp2": name
        for name in L1C
    },
    # opendatacube/datacube-dataset-config 5b2d7b61, products/s2_granules.yaml: s2a_sen2cor_granule
    "Sen2Cor": {
        **{f"{name}_20m": name for name in L2A if name != "B09"},
        "B09_60m": "B09",
        "SCL_20m": None,
    },
    "files": {"B02.tif": "B02", "B8A.jp2": "B8A", "B11.TIF": "B11", "SCL.tif": None},
    # davidfrantz/force 3.10.01, misc/runtime-data/sensors/SEN2A.json and sen2a.json
    "FORCE": listed("BLUE GREEN RED REDEDGE1 REDEDGE2 REDEDGE3 BROADNIR NIR SWIR1 SWIR2"),
    "FORCE, 10 m": listed("BLUE GREEN RED BROADNIR", of=["B02", "B03", "B04", "B08"]),
    # ... src/modules/lower-level/meta-ll.c: domains of level 1C
    "FORCE, level 1": listed(
        "ULTRABLUE BLUE GREEN RED REDEDGE1 REDEDGE2 REDEDGE3 BROADNIR NIR CIRRUS SWIR1 SWIR2",
        others="WVP",
        of=[name for name in L1C if name != "B09"],
    ),
    # ... abbreviations of the higher level (INDEX = BLU GRN ...)
    "FORCE, time series": listed("BLU GRN RED RE1 RE2 RE3 BNR NIR SW1 SW2"),
    # GeoscienceAustralia/dea-config 1ef91032, products/baseline_satellite_data/c3/ga_s2am_ard_3.odc-product.yaml
    "GA ARD": listed(
        "nbart_coastal_aerosol nbart_blue nbart_green nbart_red nbart_red_edge_1 nbart_red_edge_2 "
        "nbart_red_edge_3 nbart_nir_1 nbart_nir_2 nbart_swir_2 nbart_swir_3",
        others="oa_fmask oa_nbart_contiguity oa_azimuthal_exiting oa_combined_terrain_shadow "
        "oa_satellite_view oa_s2cloudless_mask oa_s2cloudless_prob",
        of=[name for name in L2A if name != "B09"],
    ),
    "GA ARD, aliases": listed(
        "coastal_aerosol blue green red red_edge_1 red_edge_2 red_edge_3 nir_1 nir_2 swir_2 swir_3",
        others="fmask nbart_contiguity",
        of=[name for name in L2A if name != "B09"],
    ),
    "GA ARD, nbar": listed("nbar_blue nbar_nir_2 nbar_swir_2", of=["B02", "B8A", "B11"]),
    "GA ARD, numbers": listed(
        "nbart_band02 nbart_band03 nbart_band04 nbart_band05 nbart_band06 nbart_band07 nbart_band08 "
        "nbart_band8a nbart_band11 nbart_band12"
    ),
    "GA ARD, long": listed(
        "nbart_near_infrared_1 nbart_near_infrared_2 nbart_shortwave_infrared_2 nbart_shortwave_infrared_3",
        of=["B08", "B8A", "B11", "B12"],
    ),
    # opendatacube/datacube-dataset-config 5b2d7b61, products/s2_l2a.odc-product.yaml
    "ODC s2_l2a": listed(
        "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 swir16 swir22",
        others="scl aot wvp",
        of=L2A,
    ),
    "ODC s2_l2a, aliases": listed(
        "band_01 band_02 band_03 band_04 band_05 band_06 band_07 band_08 band_8a band_09 band_11 band_12",
        others="mask qa aerosol_optical_thickness scene_average_water_vapour",
        of=L2A,
    ),
    "ODC s2_l2a, more aliases": listed(
        "coastal_aerosol red_edge_1 red_edge_2 red_edge_3 nir_1 nir_narrow water_vapour swir_16 swir_22",
        of=["B01", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"],
    ),
    # acolite/acolite d218a3a6: acolite/shared/rsr_dict.py names bands by the response-weighted wavelength of
    # data/RSR/S2A_MSI.txt and S2B_MSI.txt
    "ACOLITE, S2A": listed(
        "rhos_443 rhos_492 rhos_560 rhos_665 rhos_704 rhos_740 rhos_783 rhos_833 rhos_865 rhos_945 rhos_1373 "
        "rhos_1614 rhos_2202",
        others="SZA VZA raa l2_flags chl_oc3 SPM_Nechad2016",
        of=L1C,
    ),
    "ACOLITE, S2B": listed(
        "rhot_442 rhot_492 rhot_559 rhot_665 rhot_704 rhot_739 rhot_780 rhot_833 rhot_864 rhot_943 rhot_1377 "
        "rhot_1610 rhot_2186",
        of=L1C,
    ),
    "ACOLITE, Rrs": listed("Rrs_492 Rrs_560 Rrs_665 Rrs_704", of=["B02", "B03", "B04", "B05"]),
    "ACOLITE, add_band_name": listed("rhos_B_0 rhos_2_492 rhos_8A_865", of=[None, "B02", "B8A"]),
    # CNES, MUSCATE format (Theia): names as in e.g. SENTINEL2A_20220417-104906-443_L2A_T31TCJ_C_V3-0
    "THEIA": {
        **{
            f"SENTINEL2A_20220417-104906-443_L2A_T31TCJ_C_V3-0_FRE_{short}.tif": name
            for short, name in zip(
                ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"],
                MODEL_BANDS,
                strict=True,
            )
        },
        "SENTINEL2A_20220417-104906-443_L2A_T31TCJ_C_V3-0_CLM_R1.tif": None,
        "SENTINEL2A_20220417-104906-443_L2A_T31TCJ_C_V3-0_EDG_R1.tif": None,
        "SENTINEL2A_20220417-104906-443_L2A_T31TCJ_C_V3-0_ATB_R1.tif": None,
    },
    "THEIA, short": listed("FRE_B2 FRE_B8A SRE_B11", of=["B02", "B8A", "B11"]),
    # senbox-org/s2tbx 33f36f16, s2tbx-muscate-reader/.../MuscateProductReader.java
    "SNAP, THEIA reader": listed(
        "Surface_Reflectance_B2 Surface_Reflectance_B8A Surface_Reflectance_B11",
        others="Aux_Mask_Cloud_R1",
        of=["B02", "B8A", "B11"],
    ),
    # ... s2tbx-s2msi-reader/.../S2BandConstants.java, S2SpecificBandConstants.java, Sentinel2OrthoProductReader.java
    "SNAP": listed(
        "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12",
        others="quality_aot quality_wvp quality_cloud_confidence quality_snow_confidence "
        "quality_scene_classification view_zenith_mean view_azimuth_mean sun_zenith sun_azimuth "
        "view_zenith_B1 view_zenith_B2 view_azimuth_B8A",
        of=L2A,
    ),
    # NASA LP DAAC, HLS User Guide 2.0: HLSS30; e-sensing/sits 1.5.3, config_source_hls.yml
    "HLS S30": {
        **{f"HLS.S30.T17SLU.2020209T155956.v2.0.{name}.tif": name for name in L1C},
        "HLS.S30.T17SLU.2020209T155956.v2.0.Fmask.tif": None,
        "HLS.S30.T17SLU.2020209T155956.v2.0.SZA.tif": None,
    },
    # sentinel-hub/sentinelhub-py 3.11.5, sentinelhub/data_collections_bands.py
    "Sentinel Hub HLS": listed(
        "CoastalAerosol Blue Green Red RedEdge1 RedEdge2 RedEdge3 NIR_Broad NIR_Narrow SWIR1 SWIR2 WaterVapor "
        "Cirrus",
        others="ThermalInfrared1 ThermalInfrared2 QA",
        of=[*(name for name in L2A if name != "B09"), "B09", "B10"],
    ),
    # ... SENTINEL2_L1C and MetaBands
    "Sentinel Hub": listed(
        " ".join(L1C),
        others="CLM CLP CLD SNW SCL sunAzimuthAngles sunZenithAngles viewAzimuthMean viewZenithMean dataMask",
        of=L1C,
    ),
    # Earth Engine Data Catalog, COPERNICUS/S2_SR_HARMONIZED
    "Earth Engine": listed(
        "B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12",
        others="AOT WVP SCL TCI_R TCI_G TCI_B MSK_CLDPRB MSK_SNWPRB QA10 QA20 QA60 MSK_CLASSI_OPAQUE "
        "MSK_CLASSI_CIRRUS MSK_CLASSI_SNOW_ICE",
        of=L2A,
    ),
    "Earth Engine, one date": {
        f"20200101T103021_20200101T103020_T32TQM_{name}": name for name in L2A
    },
    "Earth Engine, reduced": listed(
        "B2_median B3_median B8A_mean", others="B2_stddev B3_count", of=["B02", "B03", "B8A"]
    ),
    # BigEarthNet-S2 v1.0 and reBEN v2.0: patch files
    "BigEarthNet": {
        **{f"S2A_MSIL2A_20170613T101031_87_48_{name}.tif": name for name in L2A[:6]},
        **{
            f"S2B_MSIL2A_20170709T094029_N9999_R036_T35VNK_26_57_{name}.tif": name
            for name in L2A[6:]
        },
    },
    # stac-extensions/eo v2.0.0, README.md: common band names
    "STAC eo 2.0": listed(
        "coastal blue green red rededge071 rededge075 rededge078 nir nir08 nir09 cirrus swir16 swir22",
        others="pan green05 yellow rededge lwir lwir11 lwir12",
        of=L1C,
    ),
    # stactools-packages/sentinel2 b48dbb71, constants.py: SENTINEL_BANDS; the assets of Earth Search v1
    "Earth Search v1": listed(
        "coastal blue green red rededge1 rededge2 rededge3 nir nir08 nir09 cirrus swir16 swir22",
        others="aot wvp scl visual cloud snow",
        of=L1C,
    ),
    # microsoft/planetary-computer-tasks efe20072, datasets/sentinel-2/collection/template.json: titles
    "Planetary Computer": {
        "Band 1 - Coastal aerosol - 60m": "B01",
        "Band 2 - Blue - 10m": "B02",
        "Band 3 - Green - 10m": "B03",
        "Band 4 - Red - 10m": "B04",
        "Band 5 - Vegetation red edge 1 - 20m": "B05",
        "Band 6 - Vegetation red edge 2 - 20m": "B06",
        "Band 7 - Vegetation red edge 3 - 20m": "B07",
        "Band 8 - NIR - 10m": "B08",
        "Band 9 - Water vapor - 60m": "B09",
        "Band 11 - SWIR (1.6) - 20m": "B11",
        "Band 12 - SWIR (2.2) - 20m": "B12",
        "Band 8A - Vegetation red edge 4 - 20m": "B8A",
        "Scene classfication map (SCL)": None,
        "Water vapour (WVP)": None,
        "Aerosol optical thickness (AOT)": None,
    },
    # ranghetti/sen2r e47a78d6, R/fix_envi_format.R
    "sen2r": {
        "B1 Aerosol": "B01",
        "B2 Blue": "B02",
        "B3 Green": "B03",
        "B4 Red": "B04",
        "B5 Red-edge 1": "B05",
        "B6 Red-edge 2": "B06",
        "B7 Red-edge 3": "B07",
        "B8 NIR": "B08",
        "B8a narrow NIR": "B8A",
        "B9 Water vapour": "B09",
        "B10 Cirrus": "B10",
        "B11 SWIR1": "B11",
        "B12 SWIR2": "B12",
    },
    # e-sensing/sits 1.5.3: names of bands in all its sources; file names of its cubes
    "sits": {f"SENTINEL-2_MSI_20LKP_{name}_2020-06-04.tif": name for name in L2A},
    # VITO TerraScope, Sentinel-2 TOC V2: bandNames of its catalogue
    "TerraScope": {
        **{f"TOC-{name}_20M": name for name in L2A if name not in ("B08", "B09")},
        "TOC-B08_10M": "B08",
        "SCENECLASSIFICATION_20M": None,
    },
    "TerraScope, files": {
        f"S2B_20200405T104619_31UDS_TOC-{name}_20M_V210.tif": name for name in L2A[1:]
    },
    # EOPF-Explorer/data-model 5443117d, s2_optimization/s2_band_mapping.py
    "EOPF": listed(
        "b01 b02 b03 b04 b05 b06 b07 b08 b8a b09 b10 b11 b12",
        others="scl aot wvp cld snw tci",
        of=L1C,
    ),
    # ESA, Sentinel-2 User Handbook 1.2, table 1, as analysts write it into files
    "words and wavelengths": {
        "Coastal aerosol (443 nm)": "B01",
        "Blue (490nm)": "B02",
        "Green (560nm)": "B03",
        "Red (665 nm)": "B04",
        "Red edge 1 (705 nm)": "B05",
        "Vegetation Red Edge (740 nm)": "B06",
        "Red Edge (0.783 µm)": "B07",
        "NIR (842nm)": "B08",
        "Narrow NIR (865nm)": "B8A",
        "Water vapour (945 nm)": "B09",
        "SWIR - Cirrus (1375 nm)": "B10",
        "SWIR (1610 nm)": "B11",
        "SWIR (2190nm)": "B12",
    },
    # awesome-spectral-indices 92697326, output/bands.json: long names
    "spectral indices": listed("RE1 RE2 RE3", others="A G R N N2 S1 S2", of=["B05", "B06", "B07"]),
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_names_of_a_producer_find_their_bands(producer: str) -> None:
    names = PRODUCERS[producer]
    assert dict(zip(names, band_names(list(names)), strict=True)) == names


@pytest.mark.parametrize("producer", PRODUCERS)
def test_stack_of_a_producer_is_found_in_any_order(producer: str) -> None:
    names = PRODUCERS[producer]
    backwards = list(names)[::-1]
    assert band_names(backwards) == [names[name] for name in backwards]
    stack, others = select_bands(backwards, None, len(backwards))
    if set(MODEL_BANDS) <= set(names.values()):
        assert [names[backwards[index]] for index in stack] == list(MODEL_BANDS)
        assert plainly_sentinel2(band_names(backwards), backwards)
    else:
        assert (stack, others) == ((), tuple(range(len(backwards))))


OTHER_SENSORS = {
    # Earth Engine Data Catalog, LANDSAT/LC09/C02/T1_L2
    "Landsat 9": "SR_B1 SR_B2 SR_B3 SR_B4 SR_B5 SR_B6 SR_B7 SR_QA_AEROSOL ST_B10 QA_PIXEL QA_RADSAT",
    # USGS, Landsat Collection 2 file names
    "Landsat 8, files": " ".join(
        f"LC08_L2SP_044034_20200101_20200823_02_T1_SR_B{number}.TIF" for number in range(1, 8)
    ),
    # Earth Engine Data Catalog, LANDSAT/LC08/C02/T1_TOA
    "Landsat 8 TOA": "B1 B2 B3 B4 B5 B6 B7 B8 B9 B10 B11 QA_PIXEL QA_RADSAT SAA SZA VAA VZA",
    "Landsat 8, six": "B2 B3 B4 B5 B6 B7",
    # NASA LP DAAC, HLS User Guide 2.0: HLSL30
    "HLS L30": "B01 B02 B03 B04 B05 B06 B07 B09 B10 B11 Fmask SZA",
    "HLS L30, files": " ".join(
        f"HLS.L30.T17SLU.2020209T155956.v2.0.B{number:02}.tif" for number in range(1, 8)
    ),
    # davidfrantz/force 3.10.01, misc/runtime-data/sensors/LND08.json
    "FORCE LND08": "BLUE GREEN RED NIR SWIR1 SWIR2",
    # GeoscienceAustralia/dea-config, ga_ls8c_ard_3
    "GA Landsat": "nbart_coastal_aerosol nbart_blue nbart_green nbart_red nbart_nir nbart_swir_1 nbart_swir_2",
    # Planet, PlanetScope product specification: PSB.SD and PS2
    "PlanetScope 8": "coastal_blue blue green_i green yellow red rededge nir",
    "PlanetScope 4": "blue green red nir",
    "NAIP": "R G B N",
    "NAIP, words": "Red Green Blue NIR",
    # Earth Engine Data Catalog, MODIS/061/MOD09GA and MCD43A4
    "MODIS": "sur_refl_b01 sur_refl_b02 sur_refl_b03 sur_refl_b04 sur_refl_b05 sur_refl_b06 sur_refl_b07",
    "MODIS NBAR": "Nadir_Reflectance_Band1 Nadir_Reflectance_Band2 Nadir_Reflectance_Band7",
    "aerial": "Red Green Blue",
    # acolite/acolite d218a3a6, data/RSR/L8_OLI.txt
    "ACOLITE, L8": "rhos_443 rhos_483 rhos_561 rhos_655 rhos_865 rhos_1609 rhos_2201",
    # Earth Engine Data Catalog, COPERNICUS/S3/OLCI
    "OLCI": "Oa01_radiance Oa06_radiance Oa08_radiance Oa17_radiance",
    # sentinel-hub/sentinelhub-py 3.11.5: SENTINEL3_OLCI
    "Sentinel Hub OLCI": " ".join(f"B{number:02}" for number in range(1, 22)),
    "WorldView": "Coastal Blue Green Yellow Red RedEdge NIR1 NIR2",
    "uploaded to Earth Engine": "b1 b2 b3 b4 b5 b6 b7 b8 b9 b10 b11 b12",
}


@pytest.mark.parametrize("sensor", OTHER_SENSORS)
def test_stack_of_another_sensor_is_not_plainly_sentinel2(sensor: str) -> None:
    descriptions = OTHER_SENSORS[sensor].split()
    names = band_names(descriptions)
    assert not plainly_sentinel2(names, descriptions)
    assert select_bands(descriptions, None, len(names)) == ((), tuple(range(len(names))))


@pytest.mark.parametrize(
    "sensor",
    ["Landsat 9", "Landsat 8, files", "Landsat 8 TOA", "Landsat 8, six", "HLS L30", "HLS L30, files", "MODIS", "OLCI"],
)  # fmt: skip
def test_numbers_of_another_sensor_are_no_sentinel2_bands(sensor: str) -> None:
    assert set(band_names(OTHER_SENSORS[sensor].split())) == {None}


def test_words_of_another_sensor_beside_a_number_show_its_numbering() -> None:
    assert set(band_names(["B4 (Red)", "B5 (NIR)", "B6 (SWIR 1)", "B7 (SWIR 2)"])) == {None}
    assert set(band_names(["Band 4, 655 nm", "Band 5, 865 nm"])) == {None}
