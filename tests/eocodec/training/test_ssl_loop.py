"""SimCLR runs on one shipped crop, with a network small enough to train in seconds."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from eocodec.cli.train import command
from eocodec.codec_models import FeatureCard
from eocodec.errors import InputError
from eocodec.training.ssl.augment import AugmentationConfig
from eocodec.training.ssl.config import BatchesConfig, LarsConfig, SimclrConfig
from eocodec.training.ssl.export import quantise_filters
from eocodec.training.ssl.loop import SimclrTrainer, read_state
from eocodec.training.ssl.patches import load_labelled
from eocodec.transforms import simclr
from eocodec.transforms.resnet import ResNet, ResNetConfig

DATA = Path(__file__).parents[2] / "data"
TINY = SimclrConfig(
    name="tiny",
    optimiser=LarsConfig(steps=6, warmup=2, validate_every=2, learning_rate=1.0),
    network=ResNetConfig(depth=18, width=4),
    batches=BatchesConfig(size=4, accumulate=2, side=24),
    augmentation=AugmentationConfig(noise=20.0, shift=8),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes and labelled patches: 0 for the darker half, 1 for the brighter, two without a label."""
    folder = tmp_path_factory.mktemp("scenes")
    with rasterio.open(DATA / "s2_chesapeake.tif") as source:
        profile, pixels = source.profile, source.read()
    patches = np.stack(
        [pixels[:, y : y + 32, x : x + 32] for y in (0, 32, 64) for x in (0, 32, 64, 96)]
    )
    brightness = patches.mean((1, 2, 3))
    labels = (brightness > np.median(brightness)).astype(np.uint8)
    labels[:2] = 255
    entries = []
    for split in ("train", "val"):
        with rasterio.open(folder / f"{split}.tif", "w", **profile) as target:
            target.write(pixels)
        with h5py.File(folder / f"{split}.h5", "w") as file:
            file["b10"] = patches[:, [0, 1, 2, 6]]
            file["b20"] = patches[:, [3, 4, 5, 7, 8, 9], ::2, ::2]
            file["label"] = labels
            file["label"].attrs["classes"] = ["dark", "bright"]
        entries.append({"id": split, "split": split, "weight": 1.0, "files": [f"{split}.tif"]})
        entries.append({"id": f"{split}-patches", "split": split, "files": [f"{split}.h5"]})
    (folder / "index.json").write_text(json.dumps({"scenes": entries}))
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in r.items() if k != "seconds"} for r in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SimclrTrainer:
    trainer = SimclrTrainer(TINY, data, tmp_path_factory.mktemp("finished"), "cpu")
    trainer.run(progress=False)
    return trainer


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(
    data: Path, finished: SimclrTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    update = SimclrTrainer.update

    def dying(trainer: SimclrTrainer) -> float:
        losses.append(update(trainer))
        if trainer.step == 5:
            raise KeyboardInterrupt
        return losses[-1]

    killed = SimclrTrainer(TINY, data, tmp_path, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(SimclrTrainer, "update", dying)
        with pytest.raises(KeyboardInterrupt):
            killed.run(progress=False)
    resumed = SimclrTrainer(TINY, data, tmp_path, "cpu")
    assert resumed.step == 4
    assert resumed.update() == losses[4]

    resumed = SimclrTrainer(TINY, data, tmp_path, "cpu")
    resumed.run(progress=False)
    assert rows(tmp_path) == rows(finished.folder)
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6"]
    ours, theirs = resumed.model.state_dict(), finished.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_validation_reports_the_feature_bank(finished: SimclrTrainer) -> None:
    last = rows(finished.folder)[-1]
    assert float(last["bank_accuracy"]) >= 0.5
    assert 0 < float(last["bank_distance"]) < 2**0.5
    assert (finished.folder / "log.png").stat().st_size > 1000


def test_accumulated_gradients_are_those_of_the_mean_loss(data: Path, tmp_path: Path) -> None:
    trainer = SimclrTrainer(TINY, data, tmp_path, "cpu")
    trainer.model.eval()  # batch norm of one batch must not see the other
    parts = [trainer.contrastive_loss(trainer.windows, number) for number in (0, 1)]
    (sum(parts) / 2).backward()
    expected = trainer.model.network.conv1.weight.grad.clone()
    loss = trainer.update()
    assert loss == pytest.approx(sum(part.item() for part in parts) / 2)
    torch.testing.assert_close(trainer.model.network.conv1.weight.grad, expected)


def test_patches_without_a_label_are_left_out(data: Path) -> None:
    patches = load_labelled(data, "val")
    assert patches is not None
    assert patches.pixels.shape == (10, 10, 32, 32)
    assert patches.classes == ("dark", "bright")
    assert (patches.labels.sum(1) == 1).all()
    assert load_labelled(data, "test") is None


def test_checkpoint_of_another_network_is_refused(
    data: Path, finished: SimclrTrainer, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(finished.checkpoint.read_bytes())
    other = replace(TINY, network=ResNetConfig(depth=18, width=8))
    with pytest.raises(InputError, match="belongs to another configuration"):
        SimclrTrainer(other, data, tmp_path, "cpu")


def test_filters_of_eight_bits_are_within_half_a_level() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    levels, scale = quantise_filters(weight)
    assert levels.dtype == torch.int8
    assert levels.abs().amax((1, 2, 3)).tolist() == [127] * 5
    error = (levels * scale[:, None, None, None] - weight).abs()
    assert (error <= scale[:, None, None, None] * 0.501).all()


def test_exported_features_are_those_of_the_run(
    finished: SimclrTrainer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny"
    finished.export(folder)
    card = FeatureCard.from_json(folder, json.loads((folder / "card.json").read_text()))
    monkeypatch.setattr(simclr, "find_feature_card", lambda _: card)
    features = simclr.SimclrFeatures("tiny")
    patches = load_labelled(data, "val")
    assert patches is not None
    finished.model.eval()
    with torch.no_grad():
        expected = finished.embed(patches)
    ours = torch.as_tensor(features(patches.pixels))
    assert ours.shape == (10, 4 + 8 + 16 + 32)
    assert torch.cosine_similarity(ours, expected).min() > 0.995


def test_command_trains_from_given_weights_and_exports(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'family = "simclr"\n[optimiser]\nsteps = 9\n[network]\ndepth = 18\nwidth = 4\n'
        "[batches]\nsize = 4\naccumulate = 1\nside = 32\n"
    )
    torch.manual_seed(3)
    start = ResNet(ResNetConfig(depth=18, width=4, channels=3))
    save_file(start.state_dict(), tmp_path / "start.safetensors")
    arguments = ["--data", data, "--out", tmp_path / "run", "--export", tmp_path / "model"]
    arguments += ["--steps", 1, "--pretrained", tmp_path / "start.safetensors"]
    result = CliRunner().invoke(command, [str(config), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "bank_accuracy" in result.output
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["training"].startswith("small, 1 steps")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["model"]
    moved = state["network.layer1.0.conv1.weight"] - start.layer1[0].conv1.weight.detach()
    assert 0 < moved.abs().max() < 0.01


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "empty.pth", "list.pth"])
def test_files_without_a_state_dict_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"no tensors here")
    if name.startswith("list"):
        torch.save([torch.zeros(2)], path)
    with pytest.raises(InputError, match=f"{name} holds no state dict"):
        read_state(path)


def test_pretrained_weights_of_a_codec_are_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"")
    arguments = ["s2-rvq", "--data", tmp_path, "--out", tmp_path / "run"]
    arguments += ["--pretrained", tmp_path / "x.pth"]
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == 2
    assert "feature networks" in result.output
