"""The shipped model on real crops."""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eocodec.codec_models import find_card, list_models
from eocodec.errors import (
    ChecksumError,
    EocodecError,
    FormatError,
    InputError,
    LimitError,
    ModelError,
)
from eocodec.integer_networks import LinearMap
from eocodec.model import load_model
from eocodec.payload import PREDICTIVE, RVQ, dtype_code, parse_head
from eocodec.rvq import rvq_applies
from eocodec.tile import EncodeSettings, decode_tile, encode_tile
from tests.fuzz.limits import bounded as limited
from tests.fuzz.payloads import Payload

DATA = Path(__file__).parents[1] / "data"
CARD = find_card()

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.fixture(scope="module")
def berlin() -> np.ndarray:
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        return dataset.read()[:, 100:292, 40:264]


def test_every_prefix_decodes_and_error_falls_with_every_layer(berlin: np.ndarray) -> None:
    payload = encode_tile(berlin, EncodeSettings(layers=CARD.layers))
    ends = parse_head(payload).layer_ends
    assert len(ends) == CARD.layers
    errors = [rmse(decode_tile(payload[:end], layers=k + 1), berlin) for k, end in enumerate(ends)]
    assert all(after < before for before, after in pairwise(errors))
    assert errors[CARD.default_layers - 1] < 75
    assert errors[-1] < 15


def test_file_of_fewer_layers_is_smaller_than_a_prefix_of_its_error(berlin: np.ndarray) -> None:
    whole = encode_tile(berlin, EncodeSettings(layers=CARD.default_layers + 1))
    short = encode_tile(berlin, EncodeSettings(layers=CARD.default_layers, step_scale=1.13))
    end = parse_head(whole).layer_ends[CARD.default_layers - 1]
    assert 0.95 * end < len(short) < 0.99 * end
    prefix = rmse(decode_tile(whole, CARD.default_layers), berlin)
    assert 0.95 * prefix < rmse(decode_tile(short), berlin) < prefix


def test_default_quality_is_far_smaller_than_lossless(berlin: np.ndarray) -> None:
    learned = encode_tile(berlin, EncodeSettings(layers=CARD.default_layers))
    lossless = encode_tile(berlin, EncodeSettings(lossless=True))
    assert len(learned) < len(lossless) / 8


def test_step_scale_trades_rate_for_error(berlin: np.ndarray) -> None:
    scales = (0.5, 1.0, 2.0)
    payloads = [encode_tile(berlin, EncodeSettings(layers=4, step_scale=s)) for s in scales]
    sizes = [len(p) for p in payloads]
    errors = [rmse(decode_tile(p), berlin) for p in payloads]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(1, 10),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["uint8", "int16", "uint16", "int32", "float32"]),
    st.floats(0, 0.6),
)
def test_any_shape_dtype_and_mask_round_trips(
    berlin: np.ndarray, bands: int, height: int, width: int, dtype: str, holes: float
) -> None:
    pixels = (berlin[:bands, :height, :width] // (50 if dtype == "uint8" else 1)).astype(dtype)
    rng = np.random.default_rng(height * 100 + width)
    invalid = np.broadcast_to(rng.random((height, width)) < holes, pixels.shape)
    pixels = np.where(invalid, 0, np.maximum(pixels, 1)).astype(dtype)
    payload = encode_tile(pixels, EncodeSettings(nodata=0, layers=CARD.layers, step_scale=0.5))
    decoded = decode_tile(payload)
    assert (decoded.shape, decoded.dtype) == (pixels.shape, pixels.dtype)
    assert np.array_equal(decoded == 0, invalid)
    if not invalid.all():
        assert rmse(decoded[~invalid], pixels[~invalid]) < 40
    for layers in (1, CARD.token_layers, CARD.token_layers + 1):
        assert np.array_equal(decode_tile(payload, layers) == 0, invalid)


def test_reflectances_as_floats_have_the_error_of_dn(berlin: np.ndarray) -> None:
    reflectance = (berlin / np.float32(10000)).astype(np.float32)
    payload = encode_tile(reflectance, EncodeSettings(layers=CARD.default_layers))
    assert parse_head(payload).mode == RVQ
    assert rmse(decode_tile(payload) * 10000, berlin) < 75


def test_values_beyond_the_network_go_to_the_lossless_mode() -> None:
    pixels = np.random.default_rng(0).normal(0, 1e12, (3, 32, 32)).astype(np.float32)
    assert not rvq_applies(pixels, EncodeSettings())
    payload = encode_tile(pixels, EncodeSettings(layers=4))
    assert parse_head(payload).mode == PREDICTIVE
    assert np.array_equal(decode_tile(payload), pixels)


def test_tiles_too_large_to_decode_are_neither_written_nor_read(berlin: np.ndarray) -> None:
    assert not rvq_applies(np.broadcast_to(berlin[:1, :1, :1], (1, 4096, 4097)), EncodeSettings())
    payload = Payload.parse(encode_tile(berlin[:1, :32, :32], EncodeSettings(layers=2)))
    assert payload.mode == RVQ
    payload.shape = [1, 4096, 4097]
    with limited(), pytest.raises(LimitError, match="4096 x 4097 pixels"):
        decode_tile(payload.build())


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-7, 2e6, 3e38, np.inf, np.nan])
def test_step_scales_that_no_encoder_writes_are_refused(berlin: np.ndarray, scale: float) -> None:
    payload = Payload.parse(encode_tile(berlin[:1, :32, :32], EncodeSettings(layers=2)))
    first = payload.layers[0]
    payload.layers[0] = first[:8] + struct.pack("<f", scale) + first[12:]
    with pytest.raises(FormatError, match="step scale"):
        decode_tile(payload.build())


def test_learned_tiles_of_wide_integers_are_refused(berlin: np.ndarray) -> None:
    payload = Payload.parse(encode_tile(berlin[:1, :32, :32], EncodeSettings(layers=2)))
    for dtype in ("u8", "i8"):
        payload.code = dtype_code(dtype)
        with pytest.raises(FormatError, match="int64"):
            decode_tile(payload.build())


@pytest.mark.parametrize("layers", [0, 99])
def test_quality_outside_the_model_is_refused(berlin: np.ndarray, layers: int) -> None:
    with pytest.raises(InputError, match=f"1 to {CARD.layers}"):
        encode_tile(berlin, EncodeSettings(layers=layers))


def test_model_that_is_not_installed_is_named(berlin: np.ndarray) -> None:
    with pytest.raises(ModelError, match="atlantis"):
        encode_tile(berlin, EncodeSettings(model="atlantis"))


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from eocodec import model

    data = bytearray(CARD.weights.read_bytes())
    data[-100] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    broken = replace(CARD, weights=tmp_path / "weights.safetensors")
    monkeypatch.setattr(model, "find_card", lambda name: broken)
    with pytest.raises(ModelError, match="damaged"):
        load_model()


def test_damaged_layers_raise_or_decode_but_never_crash(berlin: np.ndarray) -> None:
    from eocodec.rvq import decode_rvq, encode_rvq

    pixels = berlin[:, :64, :48]
    bodies, expected = encode_rvq(pixels, None, EncodeSettings(layers=CARD.default_layers))
    assert np.array_equal(decode_rvq(bodies, (10, 64, 48), np.dtype("uint16")), expected)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        layer = int(rng.integers(len(bodies)))
        damaged = bytearray(bodies[layer])
        if rng.random() < 0.3:
            damaged = damaged[: int(rng.integers(len(damaged)))]
        else:
            for position in rng.integers(0, len(damaged), 3):
                damaged[position] ^= int(rng.integers(1, 256))
        hurt = [*bodies[:layer], bytes(damaged), *bodies[layer + 1 :]]
        try:
            with np.errstate(all="ignore"):
                decoded = decode_rvq(hurt, (10, 64, 48), np.dtype("uint16"))
            assert decoded.shape == pixels.shape
            outcomes.add("decoded")
        except EocodecError:
            outcomes.add("raised")
    assert outcomes == {"decoded", "raised"}


def test_every_shipped_card_matches_its_weights() -> None:
    for card in list_models():
        model = load_model(card.name)
        assert (model.layers, model.config.token_stages) == (
            card.layers,
            card.token_layers,
        )
        assert card.weights.stat().st_size < 10_000_000


def test_a_decoder_that_disagrees_raises(
    berlin: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = encode_tile(berlin[:, :64, :64], EncodeSettings(layers=4))
    decode_tile(payload)
    exact = LinearMap.__call__
    monkeypatch.setattr(LinearMap, "__call__", lambda *a: exact(*a) + 300)
    with pytest.raises(ChecksumError, match="pixels"):
        decode_tile(payload)
