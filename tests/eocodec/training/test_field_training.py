"""Training of the 3-D model on small synthetic fields."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from eocodec.codec_models import ModelCard
from eocodec.errors import InputError
from eocodec.model import load_model
from eocodec.network_config import NetworkConfig
from eocodec.networks import RVQVAE, Conv3d, PixelUnshuffle, pixel_shuffle
from eocodec.tile import EncodeSettings, decode_tile, encode_tile
from eocodec.tile_transform import TileTransform
from eocodec.training.config import BatchConfig, OptimiserConfig, TrainingConfig
from eocodec.training.export import ExportSettings
from eocodec.training.fields import FieldSampler, load_fields
from eocodec.training.loop import Trainer

NETWORK = NetworkConfig(
    ndim=3,
    bands=4,
    latents=24,
    token_dim=4,
    token_width=8,
    token_stages=2,
    codebook_size=8,
    unit=0.125,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three fields: global temperature, a skewed tracer with holes, a single level."""
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(0)
    level, row, column = np.mgrid[:10, :40, :48]
    wave = np.sin(row / 7 + level / 3) * np.cos(2 * np.pi * column / 48)
    warm = 280 - 6 * level + 9 * wave + 0.2 * rng.standard_normal(wave.shape)
    tracer = np.exp(2 * wave) * 1e-9
    tracer[2, 5:9, 10:20] = np.nan
    entries = []
    for name, values, split in (
        ("t", warm, "train"),
        ("q", tracer, "train"),
        ("s", warm[:1], "train"),
        ("v", warm[::-1], "val"),
    ):
        with h5py.File(folder / f"{name}.nc", "w") as file:
            file[name] = np.stack([values, values[:, ::-1]]).astype(np.float32)
            file["lon"] = np.arange(48) * 7.5
        entries.append({"file": f"{name}.nc", "split": split, "var": name})
    (folder / "index.json").write_text(json.dumps({"fields": entries}))
    return folder


def config(steps: int) -> TrainingConfig:
    return TrainingConfig(
        name="tiny",
        family="rvq",
        optimiser=OptimiserConfig(steps=steps, token_start=2, validate_every=3, warmup=2),
        batches=BatchConfig(sizes=((2, 32), (4, 16))),
        network=NETWORK,
        export=ExportSettings(
            crops=((4, 32), (4, 16)),
            stages=3,
            calibration_side=32,
        ),
    )


def test_fields_are_loaded_whole_and_holes_filled(folder: Path) -> None:
    fields = load_fields(folder, "train")
    assert [field.values.shape for field in fields] == [(2, 10, 40, 48)] * 2 + [(2, 1, 40, 48)]
    assert all(field.global_grid for field in fields)
    assert all(np.isfinite(field.values).all() for field in fields)
    with pytest.raises(InputError, match="no field of split 'test'"):
        load_fields(folder, "test")
    with pytest.raises(InputError, match=r"index\.json"):
        load_fields(folder / "none", "train")


def test_batches_depend_on_their_number_only(folder: Path) -> None:
    sampler = FieldSampler(load_fields(folder, "train"), NETWORK)
    batches = [sampler.draw(4, 16, np.random.default_rng(n)) for n in range(12)]
    assert {batch.shape[2] for batch in batches} == {1, 2, 3}
    for number, batch in enumerate(batches):
        assert batch.shape[:2] == (4, 256)
        assert batch.shape[3:] == (2, 2)
        assert np.isfinite(batch).all()
        assert np.array_equal(batch, sampler.draw(4, 16, np.random.default_rng(number)))
    level = np.sqrt(np.mean([np.square(batch).mean() for batch in batches]))
    assert 4 < level < 12  # deviations of about 1 in units of 1/8
    assert sampler.alike().draw(3, 32, np.random.default_rng(0)).shape == (3, 256, 2, 4, 4)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_convolution_over_slices_is_the_3d_one(kernel: int, depth: int) -> None:
    torch.manual_seed(0)
    layer = Conv3d(6, 5, kernel, padding=kernel // 2)
    x = torch.randn(2, 6, depth, 4, 7)
    expected = F.conv3d(x, layer.weight, layer.bias, padding=kernel // 2)
    assert torch.allclose(layer(x), expected, atol=1e-5)


def test_unshuffling_keeps_planes_apart() -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    halved = PixelUnshuffle()(x)
    assert halved.shape == (2, 12, 4, 3, 4)
    assert torch.equal(halved[:, :, 2], F.pixel_unshuffle(x[:, :, 2], 2))
    assert torch.equal(pixel_shuffle(halved), x)


def test_principal_components_code_a_field_before_training(folder: Path) -> None:
    field = load_fields(folder, "train")[0].values[0]
    network = NetworkConfig(**{**vars(NETWORK), "latents": 256})
    _, coefficients = TileTransform.fit(field, network, network.unit, 0.1)
    model = RVQVAE(network)
    batch = torch.from_numpy(coefficients)[None]
    model.start_from_pca(batch)
    restored = model.synthesis(model.analysis(batch))
    assert torch.allclose(restored, batch, atol=1e-2)


def test_resumed_run_equals_an_uninterrupted_one_and_exports_a_codec(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trainer(config(6), folder, tmp_path / "whole", "cpu")
    figures = whole.run(progress=False)
    Trainer(config(6), folder, tmp_path / "parts", "cpu").run(progress=False, until=3)
    second = Trainer(config(6), folder, tmp_path / "parts", "cpu")
    assert second.run(progress=False) == figures
    digest = second.export(tmp_path / "model")
    content = json.loads((tmp_path / "model" / "card.json").read_text())
    card = ModelCard.from_json(tmp_path / "model", content)
    assert (card.id, card.ndim, card.bands) == (digest, 3, ())
    monkeypatch.setattr("eocodec.model.find_card", lambda name: card)
    monkeypatch.setattr("eocodec.rvq.find_card", lambda name: card)
    monkeypatch.setattr("eocodec.tile.find_card", lambda name: card)
    assert load_model().config == NETWORK
    field = load_fields(folder, "val")[0].values[0]
    payload = encode_tile(field, EncodeSettings(layers=5))
    errors = [np.abs(decode_tile(payload, k) - field).mean() for k in (1, 3, 5)]
    assert errors[0] > errors[1] > errors[2]
