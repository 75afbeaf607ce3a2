"""What happens without options: only plain Sentinel-2 reflectances are learned, everything else is exact."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from rasterio.enums import ColorInterp

import eocodec
import eocodec.hdf5
import eocodec.xarray
from eocodec.formats.compression import compress_file
from eocodec.formats.geotiff import CompressOptions, rasters_of
from eocodec.numcodecs import Eocodec
from eocodec.zarr import TileSerializer

DATA = Path(__file__).parents[1] / "data"
RNG = np.random.default_rng(17)
PLACE = {"crs": "EPSG:32618", "transform": Affine(10, 0, 449010, 0, -10, 4177460)}
STACK = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]


def dn() -> np.ndarray:
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        pixels: np.ndarray = source.read(window=((0, 128), (0, 128)))
    return pixels


DN = dn()
SCL = (DN[3] // 900).astype("u1")
RGB = (DN[[2, 1, 0]] // 14).clip(0, 255).astype("u1")
L1C = [*STACK[:0], "B01", *STACK, "B09", "B10"]
SAR = (DN[:2] / 1e4 * RNG.gamma(4, 0.25, (2, 128, 128))).astype("f4")


def write(path, pixels, names=None, *, scale=None, offset=None, colours=None):
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    shape = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, **shape, **PLACE) as target:
        if colours:
            target.colorinterp = [ColorInterp[name] for name in colours]
        target.write(pixels)
        if names:
            target.descriptions = names
        if scale is not None:
            target.scales, target.offsets = [scale] * len(pixels), [offset] * len(pixels)
    return path


KINDS = {
    "S2 DN": (DN, {"names": STACK}, "learned"),
    "S2 float": ((DN * 1e-4).astype("f4"), {"names": STACK}, "learned"),
    "S2 packed": (DN + 1000, {"names": STACK, "scale": 1e-4, "offset": -0.1}, "learned"),
    "S2 of 10 m": (DN[[0, 1, 2, 6]], {"names": ["B02", "B03", "B04", "B08"]}, "learned"),
    "L1C": (np.concatenate([DN[:1], DN, DN[:2]]), {"names": L1C}, "B01, B09, B10"),
    "S2 and SCL": (np.concatenate([DN, SCL[None].astype("u2")]), {"names": [*STACK, "SCL"]}, "SCL"),
    "S2 without names": (DN, {}, "exact"),
    "S2 in percent": ((DN / 100).astype("f4"), {"names": STACK}, "exact"),
    "S2 of 8 bit": ((DN // 16).clip(0, 255).astype("u1"), {"names": STACK}, "exact"),
    "one band": (DN[2], {"names": ["B04"]}, "exact"),
    "common names alone": (DN[[0, 1, 2, 6]], {"names": ["blue", "green", "red", "nir"]}, "exact"),
    "Landsat": (DN[:7], {"names": [f"SR_B{n}" for n in range(1, 8)]}, "exact"),
    "SCL": (SCL, {"names": ["SCL"]}, "exact"),
    "QA": (RNG.integers(0, 3, (128, 128)).astype("u2") * 1024, {"names": ["QA60"]}, "exact"),
    "RGB": (RGB, {"colours": ["red", "green", "blue"]}, "exact"),
    "RGBA": (
        np.concatenate([RGB, RGB[:1] // 128 * 255]),
        {"colours": ["red", "green", "blue", "alpha"]},
        "exact",
    ),
    "DEM": ((DN[0] / 7 - 20).astype("f4"), {}, "exact"),
    "SAR": (SAR, {"names": ["VV", "VH"]}, "exact"),
}


def compressed(tmp_path, pixels, layout, **options):
    """Return what a raster decodes to, in the order of its file, and the report."""
    source = write(tmp_path / "x.tif", pixels, **layout)
    options = CompressOptions(overwrite=True, **options)
    report = compress_file([source], tmp_path / "x.eoc", options)
    with eocodec.open(tmp_path / "x.eoc") as reader:
        (raster,) = rasters_of(reader)
        return raster.read(slice(0, 128), slice(0, 128)), report


@pytest.mark.parametrize("kind", KINDS)
def test_a_raster_without_options_loses_only_what_the_model_knows(tmp_path, kind):
    pixels, layout, kept = KINDS[kind]
    decoded, report = compressed(tmp_path, pixels, layout)
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    exact = [part.name for part in report.parts if part.mode == "exact"]
    differ = (decoded != pixels).any(axis=(1, 2))
    if kept == "exact":
        np.testing.assert_array_equal(decoded, pixels)
        assert len(exact) == len(report.parts)
        return
    unit = {"S2 float": 1e-4}.get(kind, 1.0)
    error = np.sqrt(np.square(decoded.astype(float) - pixels).mean(axis=(1, 2)))
    assert (error < 60 * unit).all()
    learned = [name in STACK for name in layout["names"]]
    assert differ.tolist() == learned
    assert exact == ([] if kept == "learned" else [kept])
    (part,) = [part for part in report.parts if part.mode == "learned"]
    assert part.detail == "quality 4"
    assert part.rmse == pytest.approx(np.sqrt(np.square(error[learned]).mean()))
    assert part.max_error == pytest.approx(np.abs(decoded.astype(float) - pixels).max())


def test_bands_that_look_like_anything_else_are_told(tmp_path):
    _, report = compressed(tmp_path, (DN / 100).astype("f4"), {"names": STACK})
    assert "do not look like reflectances: the model is not used" in " ".join(report.warnings)
    _, report = compressed(tmp_path, DN, {})
    assert "10 bands have no names, so they are kept exactly" in " ".join(report.warnings)


def test_names_that_a_user_gives_count(tmp_path):
    decoded, report = compressed(tmp_path, DN, {}, bands=STACK)
    assert [part.mode for part in report.parts] == ["learned"]
    assert 0 < np.abs(decoded - DN.astype(float)).max() < 1000


def test_ten_bands_without_names_that_look_like_reflectances_have_a_quality_in_dn(tmp_path):
    asked = eocodec.EncodeSettings(layers=4)
    decoded, report = compressed(tmp_path, DN, {}, settings=asked)
    assert [part.detail for part in report.parts] == ["quality 4"]
    named, _ = compressed(tmp_path, DN, {"names": STACK})
    np.testing.assert_array_equal(decoded, named)


@pytest.mark.parametrize("kind", ["DEM", "RGB", "SAR", "S2 in percent"])
def test_a_quality_of_other_rasters_is_by_their_spread_and_says_so(tmp_path, kind):
    pixels, layout, _ = KINDS[kind]
    asked = eocodec.EncodeSettings(layers=4)
    decoded, report = compressed(tmp_path, pixels, layout, settings=asked)
    (part,) = report.parts
    assert part.mode == "learned"
    assert part.detail == "quality 4, by the spread of the samples"
    error = np.sqrt(np.square(decoded.astype(float) - pixels).mean())
    assert 0 < error < 0.12 * pixels.astype(float).std()


@pytest.mark.parametrize("asked", [{"layers": 2}, {"max_error": 9.0}])
def test_flags_and_alpha_are_exact_whatever_is_asked_of_the_raster(tmp_path, asked):
    settings = eocodec.EncodeSettings(**asked)
    for kind, band in (("RGBA", 3), ("S2 and SCL", 10), ("SCL", 0)):
        pixels, layout, _ = KINDS[kind]
        decoded, report = compressed(tmp_path, pixels, layout, settings=settings)
        pixels = pixels if pixels.ndim == 3 else pixels[None]
        np.testing.assert_array_equal(decoded[band], pixels[band])
        assert (decoded != pixels).any() == (band > 0)
    if "layers" in asked:
        assert "quality was asked for, but every sample is kept exactly" in report.warnings[0]


def test_a_bound_that_names_flags_holds_for_them(tmp_path):
    pixels, layout, _ = KINDS["S2 and SCL"]
    decoded, _ = compressed(tmp_path, pixels, layout, max_error={"SCL": 1.0})
    assert np.abs(decoded[10].astype(int) - pixels[10]).max() == 1


def test_bands_of_different_spreads_have_units_of_their_own(tmp_path):
    pixels = np.stack([280 + DN[0] / 300, DN[3] / 1e4, DN[3] / 1e4 * 1.1]).astype("f4")
    asked = eocodec.EncodeSettings(layers=4)
    decoded, report = compressed(tmp_path, pixels, {}, settings=asked)
    assert [part.name for part in report.parts] == ["band 1", "bands 2 to 3"]
    error = np.sqrt(np.square(decoded.astype(float) - pixels).mean(axis=(1, 2)))
    assert (error < 0.1 * pixels.std(axis=(1, 2))).all()
    assert (error > 0).all()


@pytest.mark.parametrize("model", ["cams-rvq", "ssl-s2"])
def test_a_model_of_other_data_is_refused(tmp_path, model):
    with pytest.raises(eocodec.EocodecError, match=model):
        compressed(
            tmp_path, DN, {"names": STACK}, settings=eocodec.EncodeSettings(model=model, layers=2)
        )
    assert not (tmp_path / "x.eoc").exists()


@pytest.mark.parametrize("ratio", [0.1, 2, 3])
def test_a_ratio_that_lossless_coding_meets_loses_nothing(tmp_path, ratio):
    decoded, report = compressed(tmp_path, DN, {"names": STACK}, ratio=ratio)
    np.testing.assert_array_equal(decoded, DN)
    assert report.raw_bytes / report.size > ratio


def test_a_ratio_between_lossless_and_the_finest_quality_is_told(tmp_path):
    smooth = np.cumsum(RNG.integers(-200, 201, (10, 128, 128)), axis=2).clip(-4000, 9000) + 4000
    decoded, report = compressed(tmp_path, smooth.astype("u2"), {}, ratio=2)
    assert any("a ratio of 2 was asked for; the finest quality" in text for text in report.warnings)
    assert (decoded != smooth).any()


def test_a_stack_of_dates_is_a_learned_stack_a_date(tmp_path):
    names = [
        f"{date}_{name.replace('B0', 'B')}" for date in ("20200101", "20200111") for name in STACK
    ]
    pixels = np.concatenate([DN, DN[:, ::-1]])
    decoded, report = compressed(tmp_path, pixels, {"names": names})
    assert [part.mode for part in report.parts] == ["learned"] * 2
    assert [part.name.partition(":")[0] for part in report.parts] == ["20200101", "20200111"]
    assert np.sqrt(np.square(decoded - pixels.astype(float)).mean()) < 60
    bound = eocodec.EncodeSettings(max_error=10)
    decoded, _ = compressed(tmp_path, pixels, {"names": names}, settings=bound)
    assert np.abs(decoded - pixels.astype(float)).max() == 10


def test_flags_on_the_20_m_grid_are_never_interpolated(tmp_path):
    coarse = np.concatenate([DN[[3, 4, 5, 7, 8, 9], ::2, ::2], SCL[None, ::2, ::2].astype("u2")])
    write(tmp_path / "x.10m.tif", DN[[0, 1, 2, 6]], ["B02", "B03", "B04", "B08"])
    path = tmp_path / "x.20m.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", count=7, height=64, width=64, crs=PLACE["crs"],
        transform=Affine(20, 0, 449010, 0, -20, 4177460),
    ) as target:  # fmt: skip
        target.write(coarse)
        target.descriptions = ["B05", "B06", "B07", "B8A", "B11", "B12", "SCL"]
    report = compress_file([tmp_path / "x.10m.tif", path], tmp_path / "x.eoc", CompressOptions())
    assert [part.mode for part in report.parts] == ["learned", "exact"]
    with eocodec.open(tmp_path / "x.eoc") as reader:
        np.testing.assert_array_equal(reader.array("exact").read_native()[0], coarse[6])
        np.testing.assert_array_equal(
            reader.array("exact").read()[0], SCL[::2, ::2].repeat(2, 0).repeat(2, 1)
        )


OTHERS = [kind for kind in KINDS if KINDS[kind][2] == "exact"]


@pytest.mark.parametrize("kind", OTHERS)
def test_arrays_that_the_model_does_not_know_are_exact_in_python(kind):
    pixels, layout, _ = KINDS[kind]
    names = layout.get("names") if pixels.ndim == 3 else None
    data = eocodec.compress(pixels, bands=names)
    np.testing.assert_array_equal(eocodec.decompress(data), pixels)
    with eocodec.open(data) as reader:
        assert reader.header.max_error in (0, None)


def test_python_takes_the_model_where_the_bands_are_plainly_sentinel_2s():
    for pixels, unit in ((DN, 1.0), ((DN * 1e-4).astype("f4"), 1e-4)):
        decoded = eocodec.decompress(eocodec.compress(pixels, bands=STACK))
        assert 0 < np.sqrt(np.square(decoded - pixels.astype(float)).mean()) < 60 * unit
    nameless = eocodec.decompress(eocodec.compress(DN))
    np.testing.assert_array_equal(nameless, DN)


@pytest.mark.parametrize("kind", [*OTHERS, "S2 DN"])
def test_chunks_without_options_are_exact(tmp_path, kind):
    pixels = KINDS[kind][0]
    np.testing.assert_array_equal(Eocodec().decode(Eocodec().encode(pixels)), pixels)
    three = {"serializer": TileSerializer(), "compressors": None}
    for layout in (three, {"compressors": Eocodec(), "zarr_format": 2}):
        store: dict[str, object] = {}
        zarr.create_array(store, data=pixels, chunks=pixels.shape, **layout)
        np.testing.assert_array_equal(zarr.open_array(store)[:], pixels)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options = eocodec.hdf5.filter()
        written = file.create_dataset("x", data=pixels, chunks=pixels.shape, **options)
        np.testing.assert_array_equal(written[...], pixels)
    dims = ("band", "y", "x")[3 - pixels.ndim :]
    coords = {"band": STACK} if kind == "S2 DN" else {}
    array = xr.DataArray(pixels, dims=dims, coords=coords, name="x")
    array.eoc.to_eoc(tmp_path / "x.eoc")
    with xr.open_dataset(tmp_path / "x.eoc") as back:
        np.testing.assert_array_equal(back["x"].values, pixels)
