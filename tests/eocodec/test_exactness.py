"""The same bytes decode to the same pixels, whatever computes them (rows of the matrix in COMPATIBILITY.md)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import rasterio
import torch
from numpy._core._multiarray_umath import __cpu_features__
from torch.nn import functional as F

from eocodec.integer_networks import IntegerConv, TokenNetwork
from eocodec.model import Model, load_model
from eocodec.onnx_export import export_onnx
from eocodec.payload import PREDICTIVE, parse_head, pixel_crc32c
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

DATA = Path(__file__).parents[1] / "data"

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

DECODE = """
import sys
if "without torch" in sys.argv[2:]:
    sys.modules["torch"] = None
from eocodec.tile import decode_tile
from eocodec.payload import pixel_crc32c
data = open(sys.argv[1], "rb").read()
print(*(pixel_crc32c(decode_tile(data, layers)) for layers in range(1, 7)), "torch" in sys.modules)
"""


@pytest.fixture(scope="module", params=["s2-rvq", "cams-rvq"])
def payload(request: pytest.FixtureRequest) -> bytes:
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        pixels = dataset.read()[:, 96:224, 64:160]
    return encode_tile(pixels, EncodeSettings(layers=6, step_scale=0.7, model=request.param))


@pytest.fixture(scope="module")
def expected(payload: bytes) -> list[int]:
    return [pixel_crc32c(decode_tile(payload, layers)) for layers in range(1, 7)]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "PRESCOTT"},
        {"OPENBLAS_CORETYPE": "HASWELL"},
        {"OPENBLAS_CORETYPE": "ZEN"},
        pytest.param(
            {"OPENBLAS_CORETYPE": "SKYLAKEX"},
            marks=pytest.mark.skipif(
                not __cpu_features__["AVX512_SKX"], reason="the processor has no AVX-512"
            ),
        ),
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX"},
    ],
    ids=lambda environment: " ".join(f"{k}={v}" for k, v in environment.items()),
)
def test_pixels_do_not_depend_on_threads_or_processor(
    environment: dict[str, str], payload: bytes, expected: list[int], tmp_path: Path
) -> None:
    """OpenBLAS sums in another order for every processor it is told to be; numpy likewise without AVX and FMA."""
    path = tmp_path / "tile"
    path.write_bytes(payload)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DECODE, str(path)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [int(crc) for crc in done.stdout.split()[:6]] == expected


def test_decoding_needs_no_torch(payload: bytes, expected: list[int], tmp_path: Path) -> None:
    path = tmp_path / "tile"
    path.write_bytes(payload)
    command = [sys.executable, "-c", DECODE, str(path)]
    free = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert free[6] == "False"
    without = subprocess.run(
        [*command, "without torch"], capture_output=True, text=True, check=True
    )
    assert [int(crc) for crc in without.stdout.split()[:6]] == expected


def test_without_torch_a_loose_bound_takes_the_predictive_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        pixels = dataset.read()[:, :64, :64]
    monkeypatch.setitem(sys.modules, "torch", None)
    payload = encode_tile(pixels, EncodeSettings(max_error=300))
    assert 8 * len(payload) < 0.5 * pixels.size
    assert parse_head(payload).mode == PREDICTIVE
    assert np.abs(decode_tile(payload).astype(int) - pixels).max() <= 300


def test_tile_decodes_alike_in_any_company(payload: bytes, expected: list[int]) -> None:
    """Between other tiles, in a thread, and prefix by prefix: decoding keeps no state."""
    with rasterio.open(DATA / "s2_berlin.tif") as dataset:
        other = encode_tile(dataset.read()[:, :64, :64], EncodeSettings(layers=4))
    for layers in (6, 1, 3):
        decode_tile(other)
        assert pixel_crc32c(decode_tile(payload, layers)) == expected[layers - 1]


def run_torch(
    network: TokenNetwork, embedded: torch.Tensor, conv: Callable[..., torch.Tensor]
) -> torch.Tensor:
    """The scale network in torch, on embedded tokens [B, width, h, w]."""

    def apply(layer: IntegerConv, x: torch.Tensor) -> torch.Tensor:
        weight = torch.from_numpy(layer.weight).to(x)
        bias = torch.from_numpy(layer.bias).to(x)
        factor = torch.from_numpy(layer.multiplier).to(x)[:, None, None]
        total = conv(x, weight, bias, layer.weight.shape[2] // 2)
        return (total * factor).round().clamp(layer.low, layer.high)

    x = apply(network.expand, apply(network.spatial, embedded))
    return apply(network.project, F.pixel_shuffle(x, 2))


def plain(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, reach: int) -> torch.Tensor:
    return F.conv2d(x, w, b, padding=reach)


def through_int8(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, reach: int) -> torch.Tensor:
    """Columns times weights in 8-bit integers, wider inputs as two digits of seven bits."""
    height, width = x.shape[2:]
    columns = F.unfold(x, 2 * reach + 1, padding=reach).movedim(1, -1).flatten(0, 1)
    matrix = w.flatten(1).T.contiguous().to(torch.int8)
    high = (columns / 128).floor()
    total = sum(
        torch._int_mm(digit.to(torch.int8), matrix) * scale
        for digit, scale in ((columns - 128 * high, 1), (high, 128))
    )
    out = total.reshape(len(x), height * width, -1).movedim(-1, 1).float()
    return out.reshape(len(x), -1, height, width) + b[:, None, None]


@pytest.fixture(scope="module")
def tokens(model: Model) -> np.ndarray:
    return np.random.default_rng(5).integers(0, model.config.codebook_size, (16, 2, 6, 8))


@pytest.fixture(scope="module")
def embedded(model: Model, tokens: np.ndarray) -> torch.Tensor:
    tables = model.scale_network.embedding.astype(np.float32)
    total = sum(table[index] for table, index in zip(tables, tokens.swapaxes(0, 1), strict=True))
    return torch.from_numpy(np.moveaxis(total, -1, 1)).clamp(0, 255)


@pytest.fixture(scope="module")
def scales(model: Model, tokens: np.ndarray) -> np.ndarray:
    return np.stack([model.scale_network(index.astype(np.int32)) for index in tokens])


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_torch_gives_the_same_integers(
    model: Model,
    embedded: torch.Tensor,
    scales: np.ndarray,
    number: int,
    onednn: bool,
    batch: int,
) -> None:
    """NNPACK's Winograd convolutions, which torch may use without oneDNN for batches of 16, are not exact."""
    torch.set_num_threads(number)
    with (
        torch.backends.mkldnn.flags(enabled=onednn),
        torch.backends.nnpack.flags(enabled=False),
        torch.inference_mode(),
    ):
        parts = [run_torch(model.scale_network, part, plain) for part in embedded.split(batch)]
    assert np.array_equal(torch.cat(parts).numpy(), scales)


def test_int8_matrix_products_give_the_same_integers(
    model: Model, embedded: torch.Tensor, scales: np.ndarray
) -> None:
    with torch.inference_mode():
        assert np.array_equal(
            run_torch(model.scale_network, embedded, through_int8).numpy(), scales
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_gives_the_same_integers(
    model: Model, embedded: torch.Tensor, scales: np.ndarray
) -> None:
    torch.backends.cudnn.allow_tf32 = False
    with torch.inference_mode():
        out = run_torch(model.scale_network, embedded.cuda(), plain)
    assert np.array_equal(out.cpu().numpy(), scales)


@pytest.mark.parametrize("name", ["s2-rvq", "cams-rvq"])
def test_onnx_runtime_gives_the_same_integers(name: str, tmp_path: Path) -> None:
    model = load_model(name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = {
        path.stem: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for path in export_onnx(model, tmp_path)
    }
    rng = np.random.default_rng(6)
    grid = (3, 6, 8)[-model.config.ndim :]
    indices = rng.integers(0, model.config.codebook_size + 1, (2, 2, *grid))
    for part, network in (("mean", model.mean_network), ("scale", model.scale_network)):
        out = sessions[part].run(None, {"indices": indices})[0]
        for sample, tokens in zip(out, indices, strict=True):
            assert np.array_equal(sample, network(tokens.astype(np.int32)))
    latents = rng.laplace(0, 4, (2, model.config.latents, *grid)).astype(np.float32)
    out = sessions["synthesis"].run(None, {"latents": latents})[0]
    for sample, tile in zip(out, latents, strict=True):
        assert np.array_equal(sample, model.linear(tile))
