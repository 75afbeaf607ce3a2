"""The trained peers with networks too small to be good: their bytes alone must give back what the encoder saw."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import torch

from bench.peers.trained import (
    TrainedHyperprior,
    TrainedReference,
    _decode_integers,
    _encode_integers,
    _gaussian_table,
    trained_peers,
)
from eocodec.entropy import SymbolDecoder, SymbolEncoder
from eocodec.errors import InputError
from eocodec.training.config import load_config
from eocodec.training.hyperprior import Hyperprior, HyperpriorConfig, HyperpriorObjective
from eocodec.training.reference import ReferenceAutoencoder, ReferenceConfig

HYPERPRIOR = HyperpriorConfig(width=40, latents=80, levels=3, lambda_low=2, lambda_high=2000)
REFERENCE = ReferenceConfig(channels=40, stages=3, codebook_size=64)


@pytest.fixture(scope="module")
def stack() -> npt.NDArray[np.uint16]:
    with rasterio.open(Path(__file__).parents[1] / "data" / "s2_chesapeake.tif") as source:
        return source.read()[:, :101, :90].astype(np.uint16)


@pytest.fixture(scope="module")
def sample(stack: npt.NDArray[np.uint16]) -> torch.Tensor:
    return torch.as_tensor(stack[:, :64, :64].astype(np.float32) / 1000)[None]


@pytest.fixture(scope="module")
def hyperprior(tmp_path_factory: pytest.TempPathFactory, sample: torch.Tensor) -> TrainedHyperprior:
    torch.manual_seed(0)
    model = Hyperprior(HYPERPRIOR)
    model.start_from_pca(sample)
    path = tmp_path_factory.mktemp("hyperprior") / "checkpoint.pt"
    torch.save({"average": model.state_dict()}, path)
    return TrainedHyperprior(path, HYPERPRIOR)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, sample: torch.Tensor) -> TrainedReference:
    torch.manual_seed(0)
    model = ReferenceAutoencoder(REFERENCE)
    model.start_from_pca(sample)
    with torch.no_grad():
        model.quantizer.kmeans(model.encoder(sample).movedim(1, -1).flatten(0, -2))
    path = tmp_path_factory.mktemp("reference") / "checkpoint.pt"
    torch.save({"average": model.state_dict()}, path)
    return TrainedReference(path, REFERENCE)


def rmse(decoded: npt.NDArray[np.uint16], stack: npt.NDArray[np.uint16]) -> float:
    return float(np.sqrt(np.mean((decoded.astype(np.float64) - stack) ** 2)))


def test_hyperprior_decodes_the_pixels_that_its_encoder_meant(
    hyperprior: TrainedHyperprior, stack: npt.NDArray[np.uint16]
) -> None:
    sizes, errors = [], []
    for setting in (0.0, 1.0, 2.0):
        data = hyperprior.encode(stack, setting)
        decoded = hyperprior.decode(data, stack.shape)
        assert decoded.shape == stack.shape
        sizes.append(len(data))
        errors.append(rmse(decoded, stack))
    assert sizes == sorted(sizes)
    assert errors[0] > 1.2 * errors[1]
    assert errors[2] < 150  # the principal components that the untrained networks start from


def test_hyperprior_spends_the_bits_of_its_model(
    hyperprior: TrainedHyperprior, stack: npt.NDArray[np.uint16]
) -> None:
    inner = stack[:, :64, :64]
    model = Hyperprior(HYPERPRIOR)
    model.load_state_dict(torch.load(hyperprior.checkpoint, weights_only=True)["average"])
    figures = HyperpriorObjective(model).validate([inner.astype(np.float32) / 1000], ())
    for level in range(HYPERPRIOR.levels):
        bits = 8 * len(hyperprior.encode(inner, float(level))) / inner.size
        assert bits == pytest.approx(figures[f"bpppb@{level}"], rel=0.02, abs=0.003)
        decoded = hyperprior.decode(hyperprior.encode(inner, float(level)), inner.shape)
        assert rmse(decoded, inner) == pytest.approx(figures[f"rmse@{level}"], rel=0.01)


def test_reference_improves_with_stages_below_the_bits_of_plain_indices(
    reference: TrainedReference, stack: npt.NDArray[np.uint16]
) -> None:
    errors = []
    for stages in reference.settings:
        data = reference.encode(stack, stages)
        vectors = 51 * 45
        assert len(data) <= 5 + stages * vectors * np.log2(REFERENCE.codebook_size) / 8
        decoded = reference.decode(data, stack.shape)
        assert decoded.shape == stack.shape
        errors.append(rmse(decoded, stack))
    assert errors[0] > errors[1] > errors[2]


def test_integers_beyond_a_table_are_escaped() -> None:
    values = np.array([0, 1, -1, 3, -40, 2**20, 0, -(2**20)], np.int64)
    coder = SymbolEncoder()
    _encode_integers(coder, values, _gaussian_table(0))
    decoded = _decode_integers(SymbolDecoder(coder.finish()), len(values), _gaussian_table(0))
    assert decoded.tolist() == values.tolist()


def test_missing_checkpoints_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_peers(None) == ()
    folder = tmp_path / "d34-reference"
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"")
    (peer,) = trained_peers(tmp_path)
    assert peer.settings == tuple(range(1, load_config("d34-reference").reference.stages + 1))
    assert "mean-scale hyperprior is left out" in capsys.readouterr().out


def test_checkpoint_of_another_configuration_is_refused(
    hyperprior: TrainedHyperprior, stack: npt.NDArray[np.uint16]
) -> None:
    other = TrainedHyperprior(hyperprior.checkpoint, HyperpriorConfig(width=8, latents=8))
    with pytest.raises(InputError, match="another configuration"):
        other.encode(stack, 0.0)
