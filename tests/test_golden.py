"""Published bitstreams decode to what they decoded to when they were written."""

from pathlib import Path

import numpy as np
import pytest

import eocodec
from eocodec import decode_tile, verify_tile
from eocodec.payload import parse_head

GOLDEN = Path(__file__).parent / "golden"
TILES = sorted(path.stem for path in GOLDEN.glob("*.tile"))


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "expected.npz") as file:
        return dict(file)


def assert_decodes_to(decoded: np.ndarray, expected: np.ndarray) -> None:
    assert (decoded.dtype, decoded.shape) == (expected.dtype, expected.shape)
    assert decoded.tobytes() == expected.tobytes()


def test_there_is_a_golden_tile_of_every_mode() -> None:
    modes = {parse_head((GOLDEN / f"{name}.tile").read_bytes()).mode for name in TILES}
    assert modes == {0, 1, 2}


@pytest.mark.parametrize("name", TILES)
def test_golden_tile_decodes_as_before(name: str, expected: dict[str, np.ndarray]) -> None:
    payload = (GOLDEN / f"{name}.tile").read_bytes()
    verify_tile(payload)
    assert_decodes_to(decode_tile(payload), expected[name])


def test_golden_container_decodes_as_before(expected: dict[str, np.ndarray]) -> None:
    with eocodec.open(GOLDEN / "container.eoc") as reader:
        reader.validate()
        assert reader.crs == "EPSG:32618"
        assert_decodes_to(reader.read(), expected["container"])


def test_golden_mask_is_exact_at_every_layer(expected: dict[str, np.ndarray]) -> None:
    payload = (GOLDEN / "learned-nodata.tile").read_bytes()
    invalid = expected["learned-nodata"] == 0
    assert invalid.mean() > 0.05
    for layers in range(1, len(parse_head(payload).layer_sizes) + 1):
        assert np.array_equal(decode_tile(payload, layers) == 0, invalid)
