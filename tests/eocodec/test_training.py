"""Training on one shipped crop, with networks small enough to train in seconds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from eocodec.codec_models import ModelCard, find_card
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import InputError
from eocodec.integer_networks import COEFFICIENT_BITS
from eocodec.model import build_model, load_weights
from eocodec.network_config import NetworkConfig
from eocodec.networks import ResidualVectorQuantizer
from eocodec.refinement import stage_step
from eocodec.rvq import NOISE
from eocodec.tile_transform import TileTransform
from eocodec.training.config import (
    BatchConfig,
    OptimiserConfig,
    TrainingConfig,
    load_config,
    shipped_configs,
)
from eocodec.training.data import Sampler, Scene, load_scenes, stack_native
from eocodec.training.export import ExportSettings, export_model
from eocodec.training.loop import Trainer
from eocodec.training.reference import ReferenceAutoencoder, ReferenceConfig

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    entries = []
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        profile, pixels = source.profile, source.read()
    for split in ("train", "val"):
        with rasterio.open(folder / f"{split}.tif", "w", **profile) as target:
            target.write(pixels)
        entries.append({"id": split, "split": split, "weight": 1.0, "files": [f"{split}.tif"]})
    (folder / "index.json").write_text(json.dumps({"scenes": entries}))
    return folder


def tiny(family: str, steps: int) -> TrainingConfig:
    return TrainingConfig(
        name="tiny",
        family=family,
        optimiser=OptimiserConfig(steps=steps, token_start=2, validate_every=3, warmup=2),
        batches=BatchConfig(sizes=((2, 64), (4, 32))),
        network=NetworkConfig(
            latents=24,
            token_dim=4,
            token_width=8,
            token_stages=2,
            codebook_size=8,
        ),
        reference=ReferenceConfig(channels=8, stages=3, codebook_size=16),
    )


def test_resumed_run_equals_an_uninterrupted_one(scenes: Path, tmp_path: Path) -> None:
    whole = Trainer(tiny("rvq", 6), scenes, tmp_path / "whole", "cpu")
    figures = whole.run(progress=False)
    config = tiny("rvq", 6)
    first = Trainer(config, scenes, tmp_path / "parts", "cpu")
    first.run(progress=False, until=3)
    second = Trainer(config, scenes, tmp_path / "parts", "cpu")
    assert second.step == 3
    resumed = second.run(progress=False)
    assert resumed == figures
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_run_logs_rate_distortion_and_entropy(scenes: Path, tmp_path: Path) -> None:
    Trainer(tiny("rvq", 6), scenes, tmp_path, "cpu").run(progress=False)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6"]
    for name in ("loss", "bpppb@256", "rmse@256", "entropy_token2"):
        assert np.isfinite(float(rows[-1][name]))
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")


def test_reference_architecture_trains_and_is_that_of_d34(scenes: Path, tmp_path: Path) -> None:
    figures = Trainer(tiny("reference", 3), scenes, tmp_path, "cpu").run(progress=False)
    assert figures["rmse_stage3"] <= figures["rmse_stage1"] * 1.05
    assert np.isfinite(figures["entropy_codebook3"])
    model = ReferenceAutoencoder(load_config("d34-reference").reference)
    core = [m for m in model.encoder[1:3].modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(core) == 12
    assert model.quantizer.codebooks.shape == (8, 10_000, 128)
    assert model.encoder(torch.zeros(1, 10, 64, 64)).shape == (1, 128, 32, 32)
    assert model.decoder(torch.zeros(1, 128, 32, 32)).shape == (1, 10, 64, 64)


def test_exported_model_codes_what_it_was_fitted_to(scenes: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny("rvq", 4), scenes, tmp_path / "run", "cpu")
    trainer.run(progress=False)
    settings = ExportSettings(
        crops=((4, 64), (4, 32)),
        stages=3,
    )
    digest = export_model(trainer.average, trainer.sampler, tmp_path / "model", "test", settings)
    card = ModelCard.from_json(
        tmp_path / "model", json.loads((tmp_path / "model" / "card.json").read_text())
    )
    assert card.id == digest
    assert (card.layers, card.token_layers) == (5, 2)
    model = build_model(card, *load_weights(card.weights))
    coefficients = trainer.sampler.draw(1, 64, np.random.default_rng(0))[0]
    latents, vectors = model.encoder(coefficients)
    assert latents.shape == (24, 8, 8)
    indices = model.tokens.quantise(np.moveaxis(vectors, 0, -1), model.codebooks, 0.0)
    for stage, index in enumerate(indices):
        before = indices[stage - 1] if stage else None
        coder = SymbolEncoder()
        model.tokens.encode(coder, stage, index, before)
        reader = SymbolDecoder(coder.finish())
        assert np.array_equal(model.tokens.decode(reader, stage, index.shape, before), index)
    assert model.scale(indices).shape == latents.shape
    error = model.linear(latents) * 2.0**-COEFFICIENT_BITS - coefficients
    assert np.sqrt(np.mean(error**2)) < np.sqrt(np.mean(coefficients**2)) / 2


def test_random_number_of_stages_uses_prefixes_of_the_codebooks() -> None:
    quantizer = ResidualVectorQuantizer(3, 16, 4)
    vectors = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    quantizer.kmeans(vectors)
    indices, totals = quantizer.quantise(vectors)
    errors = [(vectors - total).square().mean().item() for total in totals]
    assert errors[0] > errors[1] > errors[2]
    assert torch.equal(totals[0], quantizer.codebooks[0][indices[0]])


def test_dead_codes_are_revived() -> None:
    quantizer = ResidualVectorQuantizer(1, 4, 2)
    quantizer.codebooks[0] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [900.0, 900.0], [901.0, 900.0]])
    vectors = torch.rand(400, 2)
    for _ in range(600):
        indices, _ = quantizer.quantise(vectors)
        quantizer.update(vectors, indices)
    assert quantizer.codebooks.abs().max() < 2
    assert len(quantizer.quantise(vectors)[0].unique()) == 4


def test_native_bands_are_stacked_in_the_models_order() -> None:
    b10 = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((4, 4, 4), np.uint16)
    b20 = (10 + np.arange(6, dtype=np.uint16))[:, None, None] * np.ones((6, 2, 2), np.uint16)
    stack = stack_native(b10, b20)
    assert stack[:, 0, 0].tolist() == [0, 1, 2, 10, 11, 12, 3, 13, 14, 15]


def test_batches_depend_on_seed_and_number_only() -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (10, 80, 80)).astype(np.uint16)
    sampler = Sampler([Scene("one", pixels, 1.0)], 256.0)
    stream = sampler.stream(((2, 32),), seed=5)
    batches = [next(stream) for _ in range(3)]
    later = next(sampler.stream(((2, 32),), seed=5, start=2))
    assert np.array_equal(batches[2], later)
    assert not np.array_equal(batches[0], batches[1])


def test_crops_larger_than_every_scene_are_explained() -> None:
    sampler = Sampler([Scene("one", np.zeros((10, 80, 96), np.uint16), 1.0)], 256.0)
    with pytest.raises(InputError, match="no scene has 96 rows"):
        sampler.draw(1, 96, np.random.default_rng(0))


def test_a_crop_is_transformed_as_a_tile_of_the_default_quality() -> None:
    pixels = np.random.default_rng(0).integers(3000, 4000, (10, 80, 80)).astype(np.float32)
    config, card = NetworkConfig(), find_card()
    finest = stage_step(card.default_layers - config.token_stages - 1)
    _, expected = TileTransform.fit(pixels, config, config.unit, NOISE * finest)
    prepared = Sampler([], config.unit).prepare(pixels)
    assert np.array_equal(prepared, expected)


@pytest.mark.parametrize("name", [n for n in shipped_configs() if not n.startswith("ssl-")])
def test_shipped_configurations_load(name: str) -> None:
    assert load_config(name).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [("[optimiser\n", "at line 1"), ("[optimiser]\nstepz = 3\n", "stepz"), ("", "steps")],
)
def test_bad_configurations_are_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_config(str(path))


def test_folder_without_scenes_is_explained(tmp_path: Path, scenes: Path) -> None:
    with pytest.raises(InputError, match=r"index\.json"):
        load_scenes(tmp_path, "train")
    with pytest.raises(InputError, match="nowhere"):
        load_scenes(scenes, "nowhere")
