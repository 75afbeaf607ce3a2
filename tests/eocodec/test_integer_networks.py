from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from eocodec.codec_models import find_card
from eocodec.errors import ModelError
from eocodec.integer_networks import (
    COEFFICIENT_BITS,
    EXACT_LIMIT,
    LATENT_BITS,
    LATENT_LIMIT_BITS,
    WEIGHT_BITS,
    IntegerConv,
    LinearMap,
    per_channel,
    pixel_shuffle2,
)
from eocodec.model import load_model
from eocodec.training.quantisation import quantise_conv


def random_conv(kernel: int, ndim: int = 2, seed: int = 0) -> IntegerConv:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (8, 12, *[kernel] * ndim)).astype(np.int8)
    bias = rng.integers(-5000, 5000, 8).astype(np.int32)
    return IntegerConv(weight, bias, rng.uniform(1e-4, 1e-2, 8).astype(np.float32), 0, 255)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("grid", [(9, 7), (5, 9, 7), (1, 4, 300), (2, 90, 70)])
def test_integer_convolution_equals_exact_arithmetic(kernel: int, grid: tuple[int, ...]) -> None:
    layer = random_conv(kernel, len(grid))
    x = np.random.default_rng(1).integers(0, 256, (12, *grid))
    convolve = F.conv2d if len(grid) == 2 else F.conv3d
    exact = convolve(
        torch.as_tensor(x, dtype=torch.float64)[None],
        torch.as_tensor(layer.weight, dtype=torch.float64),
        torch.as_tensor(layer.bias, dtype=torch.float64),
        padding=kernel // 2,
    )[0].numpy()
    scaled = exact.astype(np.float32) * per_channel(layer.multiplier, exact.ndim)
    assert np.array_equal(layer(x.astype(np.float32)), np.clip(np.rint(scaled), 0, 255))


def test_convolution_that_could_leave_the_exact_range_is_refused() -> None:
    layer = random_conv(3)
    limit = EXACT_LIMIT // (9 * 12)
    with pytest.raises(ModelError, match=r"2\*\*24"):
        layer.check(limit)
    assert layer.check(255) == 255


def test_quantised_convolution_is_close_to_the_float_one() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.1, (8, 12, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 0.1, 8).astype(np.float32)
    x = rng.integers(0, 256, (12, 10, 10)).astype(np.float32)
    layer = quantise_conv(weight, bias, 0.01, 0.05, 255, -1000, 1000)
    exact = F.conv2d(
        torch.from_numpy(x)[None] * 0.01,
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        padding=1,
    )[0].numpy()
    assert np.abs(layer(x) * 0.05 - exact).max() < 0.05


def test_pixel_shuffle_is_torchs() -> None:
    x = np.arange(2 * 4 * 3 * 5, dtype=np.float32).reshape(8, 3, 5)
    assert np.array_equal(
        pixel_shuffle2(x), F.pixel_shuffle(torch.from_numpy(x)[None], 2)[0].numpy()
    )


def test_pixel_shuffle_keeps_blocks_of_levels() -> None:
    x = np.arange(8 * 3 * 2 * 5, dtype=np.float32).reshape(8, 3, 2, 5)
    planes = [pixel_shuffle2(x[:, plane]) for plane in range(3)]
    assert np.array_equal(pixel_shuffle2(x), np.stack(planes, axis=1))


def test_shipped_networks_stay_in_the_exact_range() -> None:
    """The proof from the weights: no partial sum of any layer can reach what its carrier holds exactly."""
    model = load_model(find_card().id[:16])
    model.check()
    for network in (model.mean_network, model.scale_network):
        assert 2**10 < network.spatial.worst_sum(255) < EXACT_LIMIT
        assert 2**10 < network.expand.worst_sum(255) < EXACT_LIMIT
        assert 2**10 < network.project.worst_sum(255) < EXACT_LIMIT
    rows = np.abs(model.linear.weight.astype(np.int64)).sum(axis=1)
    assert int(rows.max()) * 2**LATENT_LIMIT_BITS < 2**53


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_linear_map_is_exact_and_inverted_whether_it_is_sparse_or_not(share: float) -> None:
    rng = np.random.default_rng(5)
    weight = np.rint(rng.normal(0, 500, (96, 64)) * (rng.random((96, 64)) < share))
    weight[:64] += 8192 * np.eye(64)
    linear = LinearMap(weight.astype(np.int16))
    latents = rng.normal(0, 300, (64, 5, 700)).astype(np.float32)
    fixed = np.rint(latents.reshape(64, -1).astype(np.float64) * 2**LATENT_BITS).astype(np.int64)
    exact = (weight.astype(np.int64) @ fixed) / 2 ** (WEIGHT_BITS + LATENT_BITS - COEFFICIENT_BITS)
    assert np.array_equal(linear(latents), np.rint(exact).reshape(96, 5, 700))
    coefficients = (linear(latents) / 2**COEFFICIENT_BITS).astype(np.float32)
    assert np.abs(linear.invert(coefficients) - latents).max() < 0.5


def test_weights_that_could_leave_the_exact_range_are_refused() -> None:
    model = load_model(find_card().id[:16])
    heavy = np.full((1, 384), 32767, np.int16)
    with pytest.raises(ModelError, match=r"2\*\*53"):
        replace(model, linear=LinearMap(heavy)).check()
