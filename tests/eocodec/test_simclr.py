"""The shipped SimCLR features: reproducible, close after compression, clear about mistakes."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from eocodec import decode_tile, encode_tile
from eocodec.bands import MODEL_BANDS
from eocodec.cli.models import command
from eocodec.codec_models import find_feature_card, list_feature_models, list_models
from eocodec.errors import InputError, ModelError
from eocodec.transforms import simclr
from eocodec.transforms.simclr import SimclrFeatures

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def tile() -> np.ndarray:
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        pixels: np.ndarray = source.read()
    return pixels[:, :256, :256]


def cut(tile: np.ndarray) -> np.ndarray:
    """Windows (16, 10, 64, 64)."""
    return tile.reshape(10, 4, 64, 4, 64).transpose(1, 3, 0, 2, 4).reshape(16, 10, 64, 64)


def test_features_of_a_patch_do_not_depend_on_the_others(tile: np.ndarray) -> None:
    features = SimclrFeatures()
    patches = np.concatenate([cut(tile), cut(tile)[:3, :, ::-1]])
    together = features(patches)
    assert together.dtype == np.float32
    assert together.shape == (19, features.features)
    order = np.random.default_rng(4).permutation(19)
    np.testing.assert_array_equal(features(patches[order]), together[order])
    np.testing.assert_array_equal(features(patches[18:]), together[18:])
    np.testing.assert_array_equal(SimclrFeatures()(patches.astype(np.float32)), together)


def test_large_patches_are_taken_whole(tile: np.ndarray) -> None:
    features = SimclrFeatures()
    whole = np.stack([tile, tile[:, ::-1]])
    found = features(whole)
    np.testing.assert_array_equal(features(whole[1:]), found[1:])
    mean = features(cut(tile)).mean(axis=0)
    cosine = found[0] @ mean / np.linalg.norm(found[0]) / np.linalg.norm(mean)
    assert 0.8 < cosine < 0.9999


def test_features_of_decoded_tiles_stay_close(tile: np.ndarray) -> None:
    features = SimclrFeatures()
    before = features(cut(tile))
    after = features(cut(decode_tile(encode_tile(tile))))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    assert ((before * after).sum(axis=1) / lengths).min() > 0.99


def test_no_patches_have_no_features() -> None:
    features = SimclrFeatures()
    assert features(np.zeros((0, 10, 64, 64), np.uint16)).shape == (0, features.features)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10, 64, 64), r"shape \(N, 10, H, W\), not \(10, 64, 64\)"),
        ((1, 4, 64, 64), r"not \(1, 4, 64, 64\)"),
        ((1, 10, 64, 16), "at least 32 x 32 pixels, not 64 x 16"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SimclrFeatures()(np.zeros(shape, np.uint16))


def test_features_can_be_pickled(tile: np.ndarray) -> None:
    features = SimclrFeatures()
    copy = pickle.loads(pickle.dumps(features))
    np.testing.assert_array_equal(copy(cut(tile)[:1]), features(cut(tile)[:1]))


def test_card_is_a_feature_model_and_no_codec() -> None:
    card = find_feature_card("ssl-s2")
    assert find_feature_card(card.id[:8]) == card
    assert card in list_feature_models()
    assert card.bands == MODEL_BANDS
    assert card.side == 64
    assert "ssl-s2" not in [model.name for model in list_models()]
    assert f"ssl-s2 (features): {card.description}" in CliRunner().invoke(command).output
    with pytest.raises(ModelError, match=r"'ssl-s3' is not installed \(installed: ssl-s2"):
        SimclrFeatures("ssl-s3")


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = find_feature_card("ssl-s2")
    damaged = bytearray(card.weights.read_bytes())
    damaged[-100] ^= 1
    path = tmp_path / "weights.safetensors"
    path.write_bytes(damaged)
    monkeypatch.setattr(simclr, "find_feature_card", lambda _: replace(card, weights=path))
    with pytest.raises(ModelError, match="weights of model ssl-s2 are damaged"):
        SimclrFeatures()(np.zeros((1, 10, 64, 64), np.uint16))


def test_torch_is_imported_at_the_first_call_only() -> None:
    code = """
import sys
import numpy as np
from eocodec.errors import MissingPackageError
from eocodec.transforms.simclr import SimclrFeatures
features = SimclrFeatures()
assert "torch" not in sys.modules
sys.modules["torch"] = None
try:
    features(np.zeros((1, 10, 64, 64), np.uint16))
except MissingPackageError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "model ssl-s2 needs torch: pip install 'eocodec[torch]'\n"
