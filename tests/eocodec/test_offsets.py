import numpy as np
import pytest

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.model import load_model
from eocodec.offsets import (
    REACH,
    choose_offsets,
    decode_offsets,
    encode_offsets,
    shift_scales,
)
from eocodec.refinement import CLASS_WIDTH, UNITS_PER_STAGE


def size(offsets: np.ndarray) -> int:
    coder = SymbolEncoder()
    encode_offsets(coder, offsets)
    data = coder.finish()
    assert np.array_equal(decode_offsets(SymbolDecoder(data), len(offsets)), offsets)
    return len(data)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_offsets_come_back(share: float) -> None:
    rng = np.random.default_rng(0)
    offsets = rng.integers(-REACH, REACH + 1, 384).astype(np.int32)
    offsets[rng.random(384) >= share] = 0
    assert size(offsets) <= 5 * 384 / 8


def test_no_offsets_take_no_byte() -> None:
    assert size(np.zeros(384, np.int32)) == 0


def test_channels_that_are_stronger_than_predicted_are_found() -> None:
    """Latents drawn from scales that are four times the predicted ones in two channels, a quarter in another."""
    rng = np.random.default_rng(1)
    relative = np.full((6, 40, 40), 2, np.int32)
    true = 2.0 ** np.array([0.0, 2, 0, -2, 2, 0])[:, None, None]
    unit = 2.0 ** (2 * np.log2(3) / UNITS_PER_STAGE)
    units = (rng.logistic(0, unit, relative.shape) * true).astype(np.float32)
    previous = np.zeros(relative.shape, np.int32)
    offsets = choose_offsets(load_model().stages[0], relative, previous, units, 0.1)
    assert offsets[1] == offsets[4] > 1
    assert offsets[3] < -1
    assert np.abs(offsets[[0, 2, 5]]).max() <= 1
    shifted = shift_scales(relative, offsets)
    assert np.array_equal(shifted[:, 0, 0], 2 + CLASS_WIDTH * offsets)
