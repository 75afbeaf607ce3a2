"""Ranged reads: what a window costs over HTTP, and that layers are fetched alone."""

import socket

import fsspec
import numpy as np
import pytest

import eocodec
from eocodec.codec_models import ModelCard
from eocodec.distortion import Distortion
from eocodec.formats.eoc import coding, tile_access, writer
from eocodec.payload import build_payload, layer_bodies, parse_head

from .http_server import http_server

LOSSLESS = eocodec.EncodeSettings(lossless=True)
RASTER = np.random.default_rng(2).integers(0, 4000, (2, 1024, 1300)).astype("uint16")


def count(sent):
    return sum(stop - start for start, stop in sent)


@pytest.fixture(scope="module")
def raster_file():
    return eocodec.compress(RASTER, settings=LOSSLESS, tile_size=128)


def test_window_over_http_fetches_index_and_touched_tiles_only(raster_file):
    with http_server(raster_file) as (url, sent), eocodec.open(url) as reader:
        opening = count(sent)
        assert opening == (4 << 10) + (128 << 10)
        sent.clear()
        pixels = reader.read((slice(300, 556), slice(500, 756)))
        tiles = [
            tile
            for tile in reader.tiles()
            if tile.rows.start < 556
            and tile.rows.stop > 300
            and tile.columns.start < 756
            and tile.columns.stop > 500
        ]
        assert len(tiles) == 3 * 3
        # Three rows of tiles, three neighbours each: one range a row, two leaders between.
        assert len(sent) == 3
        leaders = 2 * 3 * (1 + 1 + 3)
        payloads = sum(tile.size for tile in tiles)
        assert payloads <= count(sent) <= payloads + leaders + 6
    np.testing.assert_array_equal(pixels, RASTER[:, 300:556, 500:756])
    assert opening + count(sent) < len(raster_file) / 5


def test_one_sample_fetches_one_tile(raster_file):
    with http_server(raster_file) as (url, sent), eocodec.open(url) as reader:
        sent.clear()
        assert reader[1, 700, 900] == RASTER[1, 700, 900]
        tile = list(reader.tiles())[700 // 128 * 11 + 900 // 128]
        assert sent == [(tile.offset, tile.offset + tile.size)]


def test_server_without_ranges_still_gives_the_pixels():
    data = eocodec.compress(RASTER[:, :300, :300], settings=LOSSLESS, tile_size=128)
    with http_server(data, ranges=False) as (url, _), eocodec.open(url) as reader:
        np.testing.assert_array_equal(reader[0, 5:200, 3], RASTER[0, 5:200, 3])


def test_http_failures_are_clear_errors():
    served = http_server(b"not a container, but long enough for a prefix")
    wrong = pytest.raises(eocodec.FormatError, match=r"x\.eoc: not an \.eoc file")
    with served as (url, _), wrong:
        eocodec.open(url)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(eocodec.InputError, match="cannot read"):
        eocodec.open(f"http://127.0.0.1:{port}/x.eoc")


def test_file_replaced_on_the_server_is_noticed(raster_file):
    other = eocodec.compress(RASTER[:, ::-1], settings=LOSSLESS, tile_size=128)
    served = bytearray(raster_file)
    with http_server(served) as (url, _), eocodec.open(url) as reader:
        served[5000:-40000] = other[5000 : len(raster_file) - 40000]
        with pytest.raises(eocodec.FormatError, match="tile"):
            reader.read((slice(300, 556), slice(500, 756)))


def test_file_shortened_on_the_server_is_noticed(raster_file):
    served = bytearray(raster_file)
    with http_server(served) as (url, _), eocodec.open(url) as reader:
        del served[100_000:]
        with pytest.raises(eocodec.EocodecError):
            reader.read((slice(300, 556), slice(500, 756)))


def test_local_and_memory_urls_read_the_same(raster_file, tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(raster_file)
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/ranges/x.eoc", raster_file)
    for target in (path, f"file://{path}", "memory://ranges/x.eoc"):
        with eocodec.open(target) as reader:
            np.testing.assert_array_equal(reader[:, 100:200, 64:70], RASTER[:, 100:200, 64:70])
    fs.rm("/ranges/x.eoc")


def test_replaced_local_file_is_read_as_it_was(tmp_path):
    path = tmp_path / "x.eoc"
    path.write_bytes(eocodec.compress(RASTER[:, :300, :300], settings=LOSSLESS, tile_size=64))
    with eocodec.open(path) as reader:
        header = eocodec.array_header(shape=(4, 4), dtype="uint8")
        with eocodec.create(path, arrays=[header], settings=LOSSLESS, overwrite=True) as again:
            again.write(None, np.zeros((4, 4), "uint8"))
        np.testing.assert_array_equal(reader[0], RASTER[0, :300, :300])


# Layers: a stand-in for the learned mode, one bit plane a layer, so that any prefix decodes.

PLANES = 12


def encode_planes(pixels, settings):
    layers = [np.packbits(pixels >> (PLANES - 1 - k) & 1).tobytes() for k in range(settings.layers)]
    payload = build_payload(2, pixels.dtype, pixels.shape, layers, None, None)
    return payload, Distortion.of(pixels, None, None, learned=True)


def decode_planes(data, layers=None):
    head = parse_head(data)
    pixels = np.zeros(head.shape, "uint16")
    for k, body in enumerate(layer_bodies(data, head, layers)):
        bits = np.unpackbits(np.frombuffer(body, np.uint8), count=pixels.size)
        pixels |= bits.reshape(head.shape).astype("uint16") << (PLANES - 1 - k)
    return pixels


@pytest.fixture
def layered(monkeypatch, tmp_path):
    card = ModelCard(
        name="planes",
        id="0" * 64,
        description="",
        ndim=2,
        bands=("a", "b"),
        layers=PLANES,
        default_layers=PLANES,
        token_layers=1,
        licence="",
        weights=tmp_path,
    )
    monkeypatch.setattr(coding, "find_card", lambda name: card)
    monkeypatch.setattr(writer, "encode_measured", encode_planes)
    monkeypatch.setattr(tile_access, "decode_tile", decode_planes)
    settings = eocodec.EncodeSettings(layers=PLANES)
    return eocodec.compress(RASTER, settings=settings, tile_size=256)


@pytest.mark.parametrize("layers", [1, 4, PLANES])
def test_first_layers_of_a_window_are_fetched_alone(layered, layers):
    with http_server(layered) as (url, sent), eocodec.open(url) as reader:
        assert reader.layers == PLANES
        sent.clear()
        pixels = reader.read((slice(256, 768), slice(512, 1000)), layers=layers)
        tiles = [list(reader.tiles())[n] for n in (8, 9, 14, 15)]
        wanted = [(t.offset, t.offset + t.layer_ends[layers - 1]) for t in tiles]
        fetched = set()
        for start, stop in sent:
            fetched.update(range(start, stop))
        needed = {at for start, stop in wanted for at in range(start, stop)}
        assert needed <= fetched
        leaders = 2 * 6 if layers == PLANES else 0
        assert len(fetched) <= len(needed) + leaders
    kept = 0xFFF >> (PLANES - layers) << (PLANES - layers)
    np.testing.assert_array_equal(pixels, RASTER[:, 256:768, 512:1000] & kept)


def test_info_gives_the_rate_of_every_prefix(layered):
    reader = eocodec.open(layered)
    (array,) = reader.info()["arrays"]
    assert array["codec"] == "eocodec.rvq2d-dev"
    assert array["model"] == "0" * 8
    tiles = list(reader.tiles())
    for layer in array["layers"]:
        assert layer["bytes"] == sum(tile.layer_ends[layer["layers"] - 1] for tile in tiles)
    assert [layer["layers"] for layer in array["layers"]] == list(range(1, PLANES + 1))


def test_prefix_of_a_tile_is_read_and_decodes(layered):
    reader = eocodec.open(layered)
    prefix = reader.read_tile(3, layers=2)
    assert len(prefix) == list(reader.tiles())[3].layer_ends[1]
    np.testing.assert_array_equal(decode_planes(prefix, 2), RASTER[:, :256, 768:1024] & 0xC00)


def test_damage_beyond_the_asked_layers_does_no_harm(layered):
    tile = next(eocodec.open(layered).tiles())
    damaged = bytearray(layered)
    damaged[tile.offset + tile.layer_ends[5] + 10] ^= 4
    reader = eocodec.open(bytes(damaged))
    window = (slice(0, 100), slice(0, 100))
    np.testing.assert_array_equal(reader.read(window, layers=6), RASTER[:, :100, :100] & 0xFC0)
    with pytest.raises(eocodec.ChecksumError, match="tile 0"):
        reader.read(window, layers=7)


def test_too_many_layers_for_the_model_raise(layered):
    with pytest.raises(eocodec.InputError, match="1 to 12"):
        eocodec.compress(RASTER, settings=eocodec.EncodeSettings(layers=13))
