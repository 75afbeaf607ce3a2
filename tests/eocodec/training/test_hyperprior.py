"""The hyperprior family: rates, gains and the start from principal components, with tiny networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from eocodec.training.config import BatchConfig, OptimiserConfig, TrainingConfig, load_config
from eocodec.training.hyperprior import (
    GDN,
    Hyperprior,
    HyperpriorConfig,
    HyperpriorObjective,
    SidePrior,
    gaussian_bits,
    interpolate,
)
from eocodec.training.loop import Trainer
from eocodec.training.reference import ReferenceAutoencoder, ReferenceConfig

DATA = Path(__file__).parents[2] / "data"
TINY = HyperpriorConfig(width=40, latents=80, levels=3, lambda_low=2, lambda_high=2000)


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        stack = source.read()[:, :128, :128].astype(np.float32)
    return torch.as_tensor(stack / 1000)[None]


@pytest.fixture
def started(pixels: torch.Tensor) -> Hyperprior:
    torch.manual_seed(0)
    model = Hyperprior(TINY)
    model.start_from_pca(pixels)
    return model


def test_gaussian_bits_are_those_of_a_distribution_over_the_integers() -> None:
    integers = torch.arange(-40.0, 41.0, dtype=torch.float64)
    for scale in (0.3, 1.0, 6.0):
        bits = gaussian_bits(integers, torch.tensor(scale, dtype=torch.float64))
        assert torch.exp2(-bits).sum().item() == pytest.approx(1, abs=1e-6)
    assert gaussian_bits(torch.tensor(0.0), torch.tensor(10.0)).item() == pytest.approx(
        np.log2(10 * np.sqrt(2 * np.pi)), abs=1e-3
    )


def test_side_prior_sums_to_one_at_fractional_levels() -> None:
    torch.manual_seed(0)
    prior = SidePrior(3, 4)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter))
        values = torch.arange(-200.0, 201.0).expand(2, 4, -1)
        total = prior.probability(values, torch.tensor([0.4, 2.0])).sum(-1)
    assert torch.allclose(total, torch.ones(2, 4), atol=1e-3)


def test_levels_interpolate_between_rows() -> None:
    table = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 9.0]])
    assert interpolate(table, torch.tensor([0.5, 2.0])).tolist() == [[1.0, 2.0], [4.0, 9.0]]


def test_inverse_normalisation_undoes_a_weak_normalisation() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 5, 5)
    assert torch.allclose(GDN(8, inverse=True)(GDN(8)(x)), x, atol=1e-3)


def test_transforms_start_as_principal_components(pixels: torch.Tensor) -> None:
    blocks = nn.functional.pixel_unshuffle(pixels, 16).flatten(2)[0]
    energies = torch.linalg.eigvalsh((blocks @ blocks.T).double())
    torch.manual_seed(0)
    model = Hyperprior(HyperpriorConfig(width=40, latents=20, levels=2))
    model.start_from_pca(pixels)
    missed = energies[:-20].sum().item()
    with torch.no_grad():
        latents = model.latents(pixels)
        error = (model.synthesis(latents) - pixels).square().sum().item()
    assert latents.shape == (1, 20, 8, 8)
    assert 0.9 * missed < error < 1.5 * missed  # a little is lost in each of the four levels


def test_short_training_of_random_weights_lowers_the_cost(pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = Hyperprior(TINY)
    objective = HyperpriorObjective(model)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    costs = []
    for _ in range(15):
        torch.manual_seed(1)  # the same noise and levels at every step
        loss = objective.loss(pixels[..., :64, :64], quantise_tokens=False)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        costs.append(loss.item())
    assert costs[-1] < costs[0] - 1  # half the cost: the loss is its binary logarithm
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


def test_a_higher_level_costs_bits_and_lowers_the_error(
    started: Hyperprior, pixels: torch.Tensor
) -> None:
    figures = HyperpriorObjective(started).validate([pixels[0].numpy()], ())
    assert figures["bpppb@0"] < figures["bpppb@1"] < figures["bpppb@2"]
    assert figures["rmse@0"] > figures["rmse@1"]


def test_run_resumes_and_logs(tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    entries = []
    for split in ("train", "val"):
        (scenes / f"{split}.tif").write_bytes((DATA / "s2_chesapeake.tif").read_bytes())
        entries.append({"id": split, "split": split, "weight": 1.0, "files": [f"{split}.tif"]})
    (scenes / "index.json").write_text(json.dumps({"scenes": entries}))
    config = TrainingConfig(
        name="tiny",
        family="hyperprior",
        optimiser=OptimiserConfig(steps=2, token_start=-1, validate_every=1, warmup=1),
        batches=BatchConfig(sizes=((1, 64),)),
        hyperprior=HyperpriorConfig(width=8, latents=12, levels=2),
    )
    Trainer(config, scenes, tmp_path / "run", "cpu").run(progress=False, until=1)
    trainer = Trainer(config, scenes, tmp_path / "run", "cpu")
    assert trainer.step == 1
    assert trainer.run(progress=False)["rmse@1"] > 0
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "1", "2"]


def test_shipped_configuration_has_the_strides_and_width_of_terracodec() -> None:
    config = load_config("hyperprior").hyperprior
    model = Hyperprior(config)
    assert (config.width, config.downscale) == (128, 16)
    with torch.no_grad():
        latents = model.latents(torch.zeros(1, 10, 64, 64))
        side = model.side(latents, torch.zeros(1))
    assert latents.shape == (1, config.latents, 4, 4)
    assert side.shape == (1, config.width, 1, 1)


@pytest.mark.parametrize("downscale", [1, 2, 4])
def test_reference_starts_as_principal_components(downscale: int, pixels: torch.Tensor) -> None:
    torch.manual_seed(0)
    size = 10 * downscale**2
    model = ReferenceAutoencoder(
        ReferenceConfig(channels=size + 8, downscale=downscale, stages=1, codebook_size=4)
    )
    model.start_from_pca(pixels)
    with torch.no_grad():
        latents = model.encoder(pixels)
        decoded = model.decoder(latents)
    assert not latents[:, size:].any()
    assert torch.allclose(latents.square().sum(), pixels.square().sum(), rtol=1e-3)
    assert torch.allclose(decoded, pixels, atol=1e-2)
