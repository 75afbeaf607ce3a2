"""Finding settings for a target, on a stand-in for the tile codec whose curves are known."""

import struct
from dataclasses import dataclass

import numpy as np
import pytest

from eocodec.errors import InputError
from eocodec.formats import quality
from eocodec.formats.quality import Target, choose_settings
from eocodec.payload import PREDICTIVE, RVQ, parse_head
from eocodec.tile import EncodeSettings, encode_tile

LAYERS = 9
TILE = np.zeros((2, 32, 32), np.uint16)


@dataclass(frozen=True)
class Head:
    mode: int
    layer_ends: tuple[int, ...]


def error_of(layers, step_scale, *, last=True):
    return 400 * 0.6**layers * step_scale**0.8 * (0.92 if last else 1)


def size_of(layers, step_scale, *, last=True):
    return int(200 * 1.5**layers * step_scale**-0.7 * (1.11 if last else 1))


@pytest.fixture
def encodings(monkeypatch):
    """Replace the tile codec by power laws; return the settings that were tried."""
    tried = []

    def encode(_, settings):
        tried.append(settings)
        return struct.pack("<Bd", settings.layers or 6, settings.step_scale)

    def head(payload):
        layers, scale = struct.unpack("<Bd", payload)
        return Head(RVQ, tuple(size_of(k, scale, last=k == layers) for k in range(1, layers + 1)))

    def decode(payload, layers):
        total, scale = struct.unpack("<Bd", payload)
        return TILE + np.float64(error_of(layers, scale, last=layers == total))

    monkeypatch.setattr(quality, "encode_tile", encode)
    monkeypatch.setattr(quality, "parse_head", head)
    monkeypatch.setattr(quality, "decode_tile", decode)
    return tried


def chosen(target, tiles=(TILE,)):
    return choose_settings(tiles, target, EncodeSettings(), most_layers=LAYERS, threads=1)


@pytest.mark.parametrize("rmse", [5.0, 12.0, 20.0, 33.0, 60.0, 140.0])
def test_an_error_is_met_closely(rmse, encodings):
    point = chosen(Target(rmse=rmse))
    reached = error_of(point.settings.layers, point.settings.step_scale)
    assert point.rmse == pytest.approx(reached)
    assert 0.97 * rmse <= reached <= rmse
    assert len(encodings) <= 5


@pytest.mark.parametrize("bits", [1.0, 2.0, 5.0, 9.0, 20.0])
def test_a_size_is_met_closely(bits, encodings):
    point = chosen(Target(bits_per_sample=bits))
    reached = 8 * size_of(point.settings.layers, point.settings.step_scale) / TILE.size
    assert point.bits_per_sample == pytest.approx(reached)
    assert 0.97 * bits <= reached <= bits
    assert len(encodings) <= 5


def test_many_tiles_are_sampled(encodings):
    chosen(Target(rmse=30.0), (TILE for _ in range(100)))
    assert len(encodings) % quality.MAX_SAMPLED_TILES == 0


def test_a_target_out_of_reach_is_refused(encodings):
    with pytest.raises(InputError, match="lossless"):
        chosen(Target(rmse=0.01))
    with pytest.raises(InputError, match="larger size"):
        chosen(Target(bits_per_sample=0.01))


def test_a_generous_target_takes_the_best_there_is(encodings):
    point = chosen(Target(bits_per_sample=1000.0))
    assert point.settings.layers == LAYERS
    assert point.settings.step_scale == pytest.approx(quality.STEP_SCALES[0])


def test_exact_tiles_meet_any_error_but_not_any_size():
    settings = EncodeSettings(lossless=True)
    noise = np.random.default_rng(2).integers(0, 4000, (2, 40, 40)).astype(np.uint16)
    assert parse_head(encode_tile(noise, settings)).mode == PREDICTIVE
    point = choose_settings([noise], Target(rmse=1.0), settings, most_layers=1)
    assert point.rmse == 0
    with pytest.raises(InputError, match="no model applies"):
        choose_settings([noise], Target(bits_per_sample=2.0), settings, most_layers=1)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_targets_that_make_no_sense_are_refused(value):
    with pytest.raises(InputError, match="above 0"):
        Target(rmse=value)


def test_an_empty_sample_is_refused():
    with pytest.raises(InputError, match="no samples"):
        chosen(Target(rmse=3.0), ())
