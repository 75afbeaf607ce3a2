"""What is lossy by default: fields, never coordinates, flags, counts, classes or identifiers."""

import numpy as np
import pytest
import xarray as xr

import eocodec
import eocodec.xarray
from eocodec.errors import InputError
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file
from eocodec.formats.field_kinds import field_names, whole_or_few
from eocodec.formats.fields import open_fields
from eocodec.formats.netcdf import write_netcdf
from eocodec.tile import EncodeSettings
from eocodec.xarray.stored import field_axes

CAMS = "tests/data/cams_co.nc"
GRIB = "tests/data/era5_levels.grib"
RANDOM = np.random.default_rng(5)
LAT, LON = np.linspace(60, 41, 40), np.linspace(0, 29, 50)
SMOOTH = (280 + 20 * np.sin(LAT[:, None] / 9 + LON / 7)).astype("f4")
SMOOTH += RANDOM.normal(0, 0.01, SMOOTH.shape).astype("f4")
PLANE = ("lat", "lon")


def plane(**attrs):
    return (PLANE, SMOOTH, attrs)


KEPT = {
    "qa_value": plane(),
    "cloudMask": plane(),
    "surface_class": plane(),
    "tracer_qc": plane(),
    "basin_id": plane(),
    "lsm": plane(long_name="Land-sea mask"),
    "a1": plane(standard_name="air_temperature status_flag"),
    "a2": plane(standard_name="quality_flag"),
    "a3": plane(flag_values=np.float32([1, 2]), flag_meanings="a b"),
    "a4": plane(flag_masks=np.float32([1, 2])),
    "a5": plane(cf_role="timeseries_id"),
    "a6": plane(axis="Z"),
    "a7": plane(positive="up", units="m"),
    "a8": plane(units="degrees_north"),
    "a9": plane(units="seconds since 2000-01-01"),
    "b1": plane(standard_name="longitude"),
    "b2": plane(standard_name="air_temperature number_of_observations"),
    "t_error": plane(),
    "surface": plane(),
    "area": plane(),
    "slat": plane(),
    "line": ("n", np.tile(SMOOTH.ravel(), 3)),
    "stations": (PLANE, RANDOM.integers(10_000, 99_999, SMOOTH.shape).astype("f4")),
    "cover": (PLANE, np.round(SMOOTH / 5).astype("f4") / 4),
    "u": (PLANE, np.where(SMOOTH > 285, np.nan, 3).astype("f4")),
    "small": (("x", "y"), SMOOTH[:20, :30]),
    "whole": (PLANE, (SMOOTH * 10).astype("i4")),
}
LOSSY = {
    "t": plane(
        ancillary_variables="t_error", coordinates="slat", cell_measures="area: area", units="K"
    ),
    "sw": plane(positive="up", units="W m-2", standard_name="toa_outgoing_longwave_flux"),
    "qc": plane(units="kg kg-1"),
    "wet": plane(standard_name="integral_wrt_time_of_surface_downward_eastward_stress"),
    "columns": (PLANE, (SMOOTH.astype("f8") * 1e13).astype("f4")),
    "doubles": (PLANE, SMOOTH.astype("f8")),
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "kinds.nc"
    level = xr.Variable(("lev",), [0.5], {"formula_terms": "ps: surface", "positive": "down"})
    write_netcdf(xr.Dataset(KEPT | LOSSY | {"lev": level}), path)
    return path


def report_of(source, folder, **options):
    return compress_file([source], folder / "x.eoc", CompressOptions(**options, overwrite=True))


def test_only_fields_are_lossy_by_default(everything, tmp_path):
    report = report_of(everything, tmp_path)
    modes = {part.name: part.mode for part in report.parts}
    assert modes == dict.fromkeys(KEPT, "exact") | dict.fromkeys(LOSSY, "within a bound")
    details = {part.name: part.detail for part in report.parts}
    assert (
        details["t"]
        == "99 % of the real information (6 mantissa bits: errors up to 0.781 % of a value)"
    )
    assert details["stations"] == "all of its values are whole numbers"
    assert details["cover"].startswith("it has only ")
    assert details["whole"] == "whole numbers"
    assert details["qa_value"] == details["line"] == "no field"
    assert details["small"] == "fewer than 1024 samples"
    with xr.open_dataset(everything, decode_times=False) as one:
        other = xr.open_dataset(tmp_path / "x.eoc", engine="eocodec", decode_times=False)
        for part in report.parts:
            error = np.abs(one[part.name].astype("f8") - other[part.name].astype("f8"))
            largest = float(error.max())
            assert (largest == 0) == (part.mode == "exact"), part
            assert part.max_error == largest
            assert part.rmse == pytest.approx(float(np.sqrt((error**2).mean())))
            assert part.raw_bytes == one[part.name].nbytes
            assert part.samples == one[part.name].size
        assert sum(part.size for part in report.parts) < report.size
    assert next(part.unit for part in report.parts if part.name == "t") == "K"


def test_a_bound_is_for_fields_and_for_what_it_names(everything, tmp_path):
    report = report_of(everything, tmp_path, settings=EncodeSettings(max_error=0.3))
    lossy = {part.name for part in report.parts if part.mode != "exact"}
    # Whole or few numbers are not spared from what is asked of every field.
    assert lossy == set(LOSSY) | {"stations", "cover", "u", "small"}
    report = report_of(everything, tmp_path, max_error={"qa_value": 0.3, "line": 0.2})
    parts = {part.name: part for part in report.parts}
    assert parts["qa_value"].detail == "max error 0.3"
    assert 0.1 < parts["qa_value"].max_error <= 0.3
    assert 0.1 < parts["line"].max_error <= 0.2
    assert parts["lsm"].mode == "exact"


def test_real_files_say_what_was_done(tmp_path):
    (co,) = report_of(CAMS, tmp_path).parts
    assert (co.name, co.mode, co.detail, co.max_error) == ("co", "exact", "packed", 0)
    with open_fields(CAMS) as (ds, _):
        step = float(ds.co.attrs["scale_factor"])
    (co,) = report_of(CAMS, tmp_path, settings=EncodeSettings(max_error=3.4 * step)).parts
    assert co.max_error == pytest.approx(3 * step)
    assert 0 < co.rmse < co.max_error
    assert co.unit == "kg kg**-1"
    (co,) = report_of(CAMS, tmp_path, settings=EncodeSettings(max_error=0.5 * step)).parts
    assert (co.mode, co.max_error) == ("exact", 0)
    report = report_of(GRIB, tmp_path)
    assert {part.detail[:27] for part in report.parts} == {"99 % of the real informatio"}
    report = report_of(GRIB, tmp_path, settings=EncodeSettings(lossless=True))
    assert {(part.mode, part.detail, part.max_error) for part in report.parts} == {
        ("exact", "as asked", 0)
    }


def test_fields_without_real_information_are_exact_and_said_to_be(tmp_path):
    noise = RANDOM.random((60, 70)).astype("f4")
    write_netcdf(xr.Dataset({"noise": (PLANE, noise)}), tmp_path / "n.nc")
    report = report_of(tmp_path / "n.nc", tmp_path)
    assert report.warnings == ("noise is kept exactly: no real information was found in it",)
    assert report.parts[0].max_error == 0


def test_samples_of_large_floats_are_whole_for_want_of_digits():
    axes = field_axes(xr.Variable(PLANE, SMOOTH))

    def said(samples, special=()):
        return whole_or_few(xr.Variable(PLANE, samples), axes, special)

    assert said((SMOOTH * 1e6).astype("f4")) == ""
    assert said(np.round(SMOOTH * 1000)) == "all of its values are whole numbers"
    assert said(np.where(SMOOTH > 280, SMOOTH, 7)) == ""
    assert said(np.where(SMOOTH > 280, np.float32(0.5), np.float32(1e20)), [1e20]) == (
        "all of its values are alike"
    )
    assert said(np.full_like(SMOOTH, np.nan)) == "all of its values are whole numbers"
    late = np.zeros_like(SMOOTH)
    late[-1] = SMOOTH[-1]
    assert said(late) == ""


def test_datasets_are_exact_unless_asked_and_then_only_their_fields_are_lossy(tmp_path):
    attrs = {"flag_values": np.int8([0, 1]), "flag_meanings": "a b"}
    flags = (PLANE, (10 * SMOOTH).astype("i2"), attrs)
    times = (PLANE, SMOOTH.astype("M8[s]").astype("M8[ns]"))
    ds = xr.Dataset({"t": plane(), "flags": flags, "cloud_mask": plane(), "when": times})
    assert field_names(ds) == {"t"}
    ds.eoc.to_eoc(tmp_path / "d.eoc")
    with xr.open_dataset(tmp_path / "d.eoc", engine="eocodec") as back:
        xr.testing.assert_identical(back.load(), ds)
    ds.eoc.to_eoc(tmp_path / "d.eoc", max_error=2, overwrite=True)
    with xr.open_dataset(tmp_path / "d.eoc", engine="eocodec") as back:
        xr.testing.assert_identical(back.load().drop_vars("t"), ds.drop_vars("t"))
        assert 1 < np.abs(back.t - ds.t).max() <= 2
    ds.eoc.to_eoc(tmp_path / "d.eoc", max_error={"flags": 2}, overwrite=True)
    ds.cloud_mask.eoc.to_eoc(tmp_path / "m.eoc", max_error=2)
    for name, path in (("flags", "d.eoc"), ("cloud_mask", "m.eoc")):
        with xr.open_dataset(tmp_path / path, engine="eocodec") as back:
            assert 1 < np.abs(back[name] - ds[name]).max() <= 2


def test_models_of_rasters_are_refused(tmp_path):
    for asked in ({"model": "s2-rvq"}, {"model": "s2-rvq", "layers": 2}):
        with pytest.raises(
            InputError, match="s2-rvq is for rasters of bands; fields take cams-rvq"
        ):
            report_of(CAMS, tmp_path, settings=EncodeSettings(**asked))
    assert list(tmp_path.iterdir()) == []


def test_a_quality_that_has_no_effect_is_said_to_have_none(tmp_path):
    narrow = np.repeat(SMOOTH[None, :, :4], 10, axis=0)
    write_netcdf(xr.Dataset({"t": (("time", *PLANE), narrow)}), tmp_path / "n.nc")
    report = report_of(tmp_path / "n.nc", tmp_path, settings=EncodeSettings(layers=3))
    assert report.warnings == ("t is exact: the model cannot code it, so quality 3 has no effect",)
    assert (report.parts[0].mode, report.parts[0].max_error) == ("exact", 0)
    with eocodec.open(tmp_path / "x.eoc") as reader:
        assert np.array_equal(reader["t"][:], narrow)
