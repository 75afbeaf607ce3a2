"""The 3-D model on the sample of CAMS."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import eocodec
from eocodec.codec_models import FIELD_MODEL, find_card
from eocodec.formats.compress_options import CompressOptions
from eocodec.formats.compression import compress_file
from eocodec.payload import RVQ, parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

SAMPLE = Path(__file__).parents[1] / "data" / "cams_co.nc"
FILL = -32767


def packed(path: Path | str = SAMPLE) -> np.ndarray:
    with xr.open_dataset(path, mask_and_scale=False) as ds:
        return ds.co.values


def test_a_quality_of_a_field_takes_the_3d_model(tmp_path: Path) -> None:
    path = tmp_path / "co.eoc"
    options = CompressOptions(settings=EncodeSettings(layers=5))
    compress_file([SAMPLE], path, options)
    original = packed()
    valid = original != FILL
    assert not valid.all()
    with eocodec.open(path) as reader:
        array = reader.info()["arrays"][0]
        assert array["codec"] == "eocodec.rvq3d-dev"
        assert array["model"] == find_card(FIELD_MODEL).id[:8]
        errors = []
        for layers in range(1, 6):
            decoded = reader.read(layers=layers).reshape(original.shape)
            assert np.array_equal(decoded == FILL, ~valid)
            errors.append(float(np.abs(decoded[valid].astype(float) - original[valid]).mean()))
    spread = float(original[valid].std())
    assert errors[0] < spread
    assert all(after < 0.8 * before for before, after in itertools.pairwise(errors[1:]))
    assert errors[4] < 0.02 * spread
    assert np.array_equal(packed(path) == FILL, ~valid)


def test_a_bound_holds_on_top_of_the_layers() -> None:
    field = packed()
    settings = EncodeSettings(model=FIELD_MODEL, layers=3, max_error=20, nodata=FILL)
    payload = encode_tile(field, settings)
    head = parse_head(payload)
    assert head.mode == RVQ
    assert head.guaranteed
    assert np.abs(decode_tile(payload).astype(int) - field).max() <= 20
    rough = decode_tile(payload, layers=3).astype(int) - field
    assert np.abs(rough).max() > 20
    lossless = encode_tile(field, replace(settings, max_error=0))
    assert np.array_equal(decode_tile(lossless), field)


@pytest.mark.parametrize("levels", [1, 5, 8, 11, 19])
def test_any_number_of_levels_decodes(levels: int) -> None:
    level, row, column = np.mgrid[:levels, :21, :34]
    field = (280 - 5.5 * level + 8 * np.sin(row / 6 + level / 5) * np.cos(column / 7)).astype("f4")
    payload = encode_tile(field, EncodeSettings(model=FIELD_MODEL, layers=7))
    assert parse_head(payload).mode == RVQ
    error = np.abs(decode_tile(payload) - field).max(axis=(1, 2))
    assert (error < 0.05 * field.std(axis=(1, 2))).all()


def test_tiny_grids_and_extreme_values_are_kept_exactly() -> None:
    rng = np.random.default_rng(0)
    settings = EncodeSettings(model=FIELD_MODEL, layers=3)
    for field in (
        rng.standard_normal((60, 3, 30)).astype("f4"),
        rng.standard_normal((4, 20, 20)).astype("f4") * np.float32(3e37),
        rng.standard_normal((4, 20, 20)).astype("f4") * np.float32(1e-38),
        rng.standard_normal((4, 20, 20)) * 1e200,
    ):
        assert np.array_equal(decode_tile(encode_tile(field, settings)), field)
