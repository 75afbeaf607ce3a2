"""The parts of SimCLR training: network, loss, optimiser, augmentation, windows, feature bank."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from eocodec.errors import InputError
from eocodec.training.config import read_table
from eocodec.training.data import Scene
from eocodec.training.ssl.augment import AugmentationConfig, augment, blur, displace, jitter, turn
from eocodec.training.ssl.bank import label_distance, neighbour_labels
from eocodec.training.ssl.config import LarsConfig, simclr_config
from eocodec.training.ssl.lars import LARS
from eocodec.training.ssl.loop import learning_rate
from eocodec.training.ssl.loss import nt_xent
from eocodec.training.ssl.patches import Windows
from eocodec.transforms.resnet import ResNet, ResNetConfig


def generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11176512), (50, 23508032), (101, 42500160)])
def test_resnets_have_the_parameters_of_the_paper(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        network = ResNet(ResNetConfig(depth=depth, channels=3))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.config.features == (512 if depth == 18 else 2048)
    expected = "layer3.1.bn2.running_var" if depth == 18 else "layer3.5.conv3.weight"
    assert expected in network.state_dict()


def test_pyramid_ends_with_the_features_of_the_last_stage() -> None:
    network = ResNet(ResNetConfig(depth=50, width=2)).eval()
    images = torch.randn(2, 10, 64, 64, generator=generator())
    with torch.no_grad():
        pyramid, last = network.pyramid(images), network(images)
    assert pyramid.shape == (2, network.config.pyramid) == (2, 8 + 16 + 32 + 64)
    assert torch.equal(pyramid[:, -network.config.features :], last)


@pytest.mark.parametrize(("max_pool", "sides"), [(True, [16, 8, 4, 2]), (False, [32, 16, 8, 4])])
def test_stages_halve_the_maps(max_pool: bool, sides: list[int]) -> None:
    network = ResNet(ResNetConfig(depth=18, width=2, max_pool=max_pool)).eval()
    with torch.no_grad():
        stages = network.stages(torch.zeros(1, 10, 64, 64))
    assert [tuple(maps.shape) for maps in stages] == [
        (1, 2 << stage, side, side) for stage, side in enumerate(sides)
    ]


def test_unknown_depths_are_refused() -> None:
    with pytest.raises(InputError, match="no ResNet of depth 19"):
        ResNetConfig(depth=19)


def test_pretrained_weights_see_grey_images_alike() -> None:
    torch.manual_seed(1)
    colour = ResNet(ResNetConfig(depth=18, width=8, channels=3)).eval()
    bands = ResNet(ResNetConfig(depth=18, width=8)).eval()
    bands.load_pretrained({**colour.state_dict(), "fc.weight": torch.zeros(1000, 64)})
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(bands(grey.expand(-1, 10, -1, -1)), expected)


def test_weights_of_another_network_are_refused() -> None:
    other = ResNet(ResNetConfig(depth=18, width=16))
    message = r"ResNet-18 of width 8: bn1.bias has the shape \(16,\), the network's \(8,\)"
    with pytest.raises(InputError, match=message):
        ResNet(ResNetConfig(depth=18, width=8)).load_pretrained(other.state_dict())


def test_nt_xent_is_the_formula_of_the_paper() -> None:
    views = torch.randn(8, 6, generator=generator()).double()
    unit = (views / views.norm(dim=1, keepdim=True)).numpy()
    total = 0.0
    for i in range(8):
        similar = np.exp(unit @ unit[i] / 0.07)
        total -= math.log(similar[(i + 4) % 8] / (similar.sum() - similar[i]))
    assert nt_xent(views[:4], views[4:], 0.07).item() == pytest.approx(total / 8, rel=1e-4)


def test_lars_scales_weights_and_leaves_biases_alone() -> None:
    layer = nn.Linear(3, 2)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimiser = LARS(layer, learning_rate=0.5, momentum=0.9, weight_decay=0.1, trust=0.01)
    for _ in range(2):
        layer.weight.grad = torch.full_like(weight, 2.0)
        layer.bias.grad = torch.full_like(bias, 2.0)
        optimiser.step()
    velocity, moved = torch.zeros_like(weight), weight
    for _ in range(2):
        size, slope = moved.norm(), math.sqrt(6) * 2
        rate = 0.5 * 0.01 * size / (slope + 0.1 * size)
        velocity = 0.9 * velocity + rate * (2 + 0.1 * moved)
        moved = moved - velocity
    torch.testing.assert_close(layer.weight.detach(), moved)
    torch.testing.assert_close(layer.bias.detach(), bias - 0.5 * 2 * (1 + 1.9))


def test_learning_rate_falls_once_to_zero() -> None:
    config = LarsConfig(steps=100, learning_rate=2.0, warmup=10)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[50] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


def test_views_are_shifted_windows_of_the_image() -> None:
    image = torch.arange(10 * 36.0).reshape(1, 10, 6, 6)
    views = displace(image.repeat(100, 1, 1, 1), 2, generator())
    assert views.shape == (100, 10, 4, 4)
    corners = {(int(view[0, 0, 0]) // 6, int(view[0, 0, 0]) % 6) for view in views}
    assert corners == {(top, left) for top in range(3) for left in range(3)}
    assert all(torch.equal(v[3, -1], v[3, 0] + 18) for v in views)
    assert torch.equal(displace(image, 0, generator()), image)


def test_turns_are_the_eight_symmetries_of_the_square() -> None:
    image = torch.arange(10 * 16.0).reshape(1, 10, 4, 4)
    turned = turn(image.repeat(200, 1, 1, 1), generator())
    seen = {tuple(view[0].flatten().tolist()) for view in turned}
    expected = [np.rot90(image[0, 0], k)[:, ::m] for k in range(4) for m in (1, -1)]
    assert seen == {tuple(view.flatten().tolist()) for view in expected}


def test_jitter_changes_level_and_contrast_of_each_band() -> None:
    images = 1000 + 100 * torch.randn(64, 10, 8, 8, generator=generator(1))
    config = AugmentationConfig(brightness=0.3, contrast=0.0, band_gain=0.0, jitter_probability=0.5)
    ratio = jitter(images, config, generator()) / images
    factors = ratio.mean((1, 2, 3))
    torch.testing.assert_close(ratio, factors[:, None, None, None].expand_as(ratio))
    changed = (factors - 1).abs() > 1e-6
    assert 20 < changed.sum() < 44
    assert factors[changed].log().std().item() == pytest.approx(0.3, rel=0.3)
    config = AugmentationConfig(brightness=0.0, contrast=0.3, band_gain=0.0, jitter_probability=1.0)
    flat = jitter(images, config, generator())
    torch.testing.assert_close(flat.mean((2, 3)), images.mean((2, 3)))
    spread = flat.std((2, 3)) / images.std((2, 3))
    torch.testing.assert_close(spread, spread[:, :1].expand_as(spread))
    assert spread[:, 0].log().std().item() == pytest.approx(0.3, rel=0.3)


def test_blur_is_a_gaussian_that_keeps_constants() -> None:
    images = torch.zeros(2, 10, 33, 33)
    images[:, :, 16, 16] = 1
    blurred = blur(images, torch.tensor([1.0, 2.0]))
    squares = (torch.arange(33) - 16.0) ** 2
    variance = (blurred[:, 0].sum(1) * squares).sum(1)
    torch.testing.assert_close(variance, torch.tensor([1.0, 4.0]), rtol=1e-3, atol=0)
    constant = torch.full((1, 10, 16, 16), 700.0)
    torch.testing.assert_close(blur(constant, torch.tensor([3.0])), constant)


def test_noise_has_at_most_the_deviation_asked_for() -> None:
    images = torch.full((200, 10, 16, 16), 1000.0)
    config = AugmentationConfig(jitter_probability=0, blur=0, noise=40.0, noise_probability=0.5)
    deviations = augment(images, config, generator()).std((1, 2, 3))
    assert deviations.max().item() == pytest.approx(40, rel=0.1)
    assert 70 < (deviations == 0).sum() < 130
    assert (images == 1000).all()


def test_epochs_visit_every_cell_once_and_batches_follow_from_their_number() -> None:
    rng = np.random.default_rng(2)
    scenes = [
        Scene("a", rng.integers(1, 4000, (10, 100, 70)).astype(np.uint16), 1.0),
        Scene("b", rng.integers(1, 4000, (10, 32, 32)).astype(np.uint16), 1.0),
        Scene("too small", np.zeros((10, 31, 80), np.uint16), 1.0),
    ]
    windows = Windows(scenes, 32, seed=9)
    assert len(windows) == 3 * 2 + 1
    first, second = windows.epoch(0), windows.epoch(1)
    assert not np.array_equal(first, second)
    assert np.bincount(first[:, 0]).tolist() == [6, 1]
    assert (first[:, 1] <= 68).all()
    assert (first[:, 2] <= 38).all()
    number, top, left = first[5]
    expected = windows.stacks[number][:, top : top + 32, left : left + 32]
    batch = windows.batch(1, 5)  # windows 5 and 6 of the first epoch, 0 to 2 of the second
    np.testing.assert_array_equal(batch[0], expected)
    number, top, left = second[2]
    expected = windows.stacks[number][:, top : top + 32, left : left + 32]
    np.testing.assert_array_equal(batch[4], expected)
    np.testing.assert_array_equal(Windows(scenes, 32, seed=9).batch(1, 5), batch)


def test_bank_weighs_labels_by_similarity() -> None:
    bank = torch.tensor([[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    queries = torch.tensor([[3.0, 0.0]])
    near = math.sqrt(0.5)
    foretold = neighbour_labels(bank, labels, queries, neighbours=2)
    torch.testing.assert_close(foretold, torch.tensor([[1.0, near / (1 + near)]]))
    opposite = neighbour_labels(bank, labels, queries, neighbours=4)
    torch.testing.assert_close(opposite, foretold)
    distance = label_distance(torch.tensor([[1.0, 0.0]]), foretold)
    assert distance.item() == pytest.approx(near / (1 + near))


def test_no_feature_is_its_own_neighbour_when_left_out() -> None:
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    foretold = neighbour_labels(bank, torch.eye(3), bank, neighbours=1, leave_out=True)
    assert foretold.argmax(1).tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", ["ssl-s2", "ssl-d34"])
def test_shipped_configurations_load(name: str) -> None:
    assert simclr_config(read_table(name)).name == name


def test_reference_configuration_is_table_1_of_d34() -> None:
    config = simclr_config(read_table("ssl-d34"))
    assert (config.network.depth, config.network.width, config.network.channels) == (101, 64, 10)
    assert (config.head.hidden, config.head.outputs, config.head.temperature) == (128, 64, 0.07)
    assert (config.batches.size, config.batches.accumulate) == (128, 8)
    assert config.optimiser.weight_decay == 1e-4
    assert config.optimiser.learning_rate * config.optimiser.trust == pytest.approx(3e-4)
