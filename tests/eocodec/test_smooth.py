import numpy as np
import pytest

from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.first_stage import decode_first_stage, encode_first_stage
from eocodec.smooth import PASSES, SCALE_FLOOR, SmoothLatents, neighbour_mean, passes
from eocodec.training.latents import LatentSample
from eocodec.training.tables import fit_smooth, initial_tables

NONE = SmoothLatents(
    np.zeros(0, np.int32), np.zeros((PASSES, 0), np.float32), np.zeros((PASSES, 0), np.int32)
)


def sample(seed: int, height: int = 24, width: int = 20) -> LatentSample:
    """Latent 0 varies slowly, latent 1 is noise, both with a deviation of about 40 units."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 8
    phase = rng.uniform(0, 6, 4)
    slow = np.sin(y + phase[0]) * np.cos(x + phase[1]) + np.sin(x - y + phase[2])
    residual = np.stack([40 * slow, 40 * rng.standard_normal((height, width))]).astype(np.float32)
    log_scale = np.full(residual.shape, 35, np.int32)
    return LatentSample(residual, log_scale, np.zeros((1, height // 2, width // 2), np.int32))


@pytest.fixture(scope="module")
def smooth() -> SmoothLatents:
    return fit_smooth([sample(seed) for seed in range(6)])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (8, 8), (9, 17), (24, 20)])
def test_passes_cover_every_position_once(shape: tuple[int, int]) -> None:
    count = np.zeros(shape, int)
    for where in passes(*shape):
        np.add.at(count, (where.rows, where.columns), 1)
    assert len(passes(*shape)) == PASSES
    assert (count == 1).all()


def test_neighbours_belong_to_earlier_passes() -> None:
    known = np.zeros((1, 19, 23), np.float32)
    for number, where in enumerate(passes(19, 23)):
        if number:
            assert (neighbour_mean(known, where) == 1).all()
        known[:, where.rows, where.columns] = 1


def test_fit_finds_the_smooth_latent_only(smooth: SmoothLatents) -> None:
    assert smooth.channels.tolist() == [0]
    assert 0.9 < smooth.weight[-1, 0] < 1.1
    assert smooth.offset[0, 0] == 0
    assert smooth.offset[-1, 0] < -10


def test_prediction_saves_bits_at_the_same_error(smooth: SmoothLatents) -> None:
    one, tables = sample(9), initial_tables()
    sizes, errors = [], []
    for predictor in (NONE, smooth):
        coder = SymbolEncoder()
        log_scale = predictor.lower(one.log_scale)
        out = encode_first_stage(tables, predictor, one.residual, log_scale, 0.15, coder)
        sizes.append(len(coder.finish()))
        errors.append(float(np.abs(out.prediction + out.values - one.residual).max()))
    assert sizes[1] < 0.85 * sizes[0]
    assert max(errors) < 3


@pytest.mark.parametrize("shape", [(2, 2), (10, 6), (24, 20)])
def test_decoder_repeats_the_encoder(smooth: SmoothLatents, shape: tuple[int, int]) -> None:
    one, tables = sample(11, *shape), initial_tables()
    log_scale = smooth.lower(one.log_scale)
    coder = SymbolEncoder()
    ours = encode_first_stage(tables, smooth, one.residual, log_scale, 0.15, coder)
    theirs = decode_first_stage(tables, smooth, log_scale, SymbolDecoder(coder.finish()))
    for name in ("integers", "prediction", "values"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_small_scales_are_not_lowered(smooth: SmoothLatents) -> None:
    small = np.full((2, 16, 16), SCALE_FLOOR - 5, np.int32)
    assert np.array_equal(smooth.lower(small), small)
    assert smooth.lower(small + 20).min() >= SCALE_FLOOR
