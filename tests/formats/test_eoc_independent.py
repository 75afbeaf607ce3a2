"""A parser written from SPEC.md alone: it imports nothing of eocodec to read the bytes."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import eocodec

MODES = {
    "eocodec.predictive-dev": (0, 1),
    "eocodec.rvq2d-dev": (0, 1, 2),
    "eocodec.rvq3d-dev": (0, 1, 2),
}


def preset_dictionary() -> bytes:
    """The block of section 2.2 of SPEC.md."""
    spec = (Path(__file__).parents[2] / "SPEC.md").read_text()
    block = spec.split("from a preset dictionary", 1)[1].split("```")[1].strip().split("\n")
    names = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    repeated = [
        ",{".join(line.replace("@", n).replace("#", str(i)) for i, n in enumerate(names))
        if "@" in line or "#" in line
        else line
        for line in block
    ]
    return "".join(repeated).encode()


def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Cursor:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, size):
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                assert byte or shift == 7, "not in shortest form"
                assert shift <= 63
                return value

    def zigzag(self):
        value = self.varint()
        return -(value + 1) // 2 if value & 1 else value // 2


def parse_container(data):
    """Return the header object, the index as lists of dicts, and the records in file order."""
    magic, major, minor, flags, stored, crc = struct.unpack_from("<8sBBHII", data)
    assert magic == bytes.fromhex("89454f430d0a1a0a")
    assert (major, minor) == (0, 3)
    assert flags in (0, 1)
    assert stored <= 4194304
    section = data[20 : 20 + stored]
    assert crc == crc32c(data[:16] + section)
    if flags:
        inflater = zlib.decompressobj(-15, preset_dictionary())
        section = inflater.decompress(section)
        assert inflater.eof
        assert inflater.unused_data == b""
    assert len(section) <= 4194304
    header = json.loads(section.decode("utf-8"))

    footer = data[-20:]
    index_offset, index_size, footer_crc = struct.unpack_from("<QII", footer)
    assert footer[16:] == bytes.fromhex("89454f58")
    assert index_offset >= 20 + stored
    assert index_size >= 1
    assert index_offset + index_size + 20 == len(data)
    index = data[index_offset : index_offset + index_size]
    assert footer_crc == crc32c(index + data[16:20] + footer[:12])

    records = list(parse_records(data, 20 + stored, index_offset))
    arrays = parse_index(Cursor(index), header["arrays"], 20 + stored, records)
    return header, arrays, records


def grid(array):
    *leading, height, width = array["shape"]
    planes = int(np.prod(leading)) if leading else 1
    p, h, w = array["tile"]
    boxes = []
    for i in range(-(-planes // p)):
        for j in range(-(-height // h)):
            for k in range(-(-width // w)):
                boxes.append(
                    (
                        slice(i * p, min((i + 1) * p, planes)),
                        slice(j * h, min((j + 1) * h, height)),
                        slice(k * w, min((k + 1) * w, width)),
                    )
                )
    return (planes, height, width), boxes


def parse_records(data, start, end):
    cursor = Cursor(data, start)
    while True:
        at = cursor.at
        array = cursor.varint()
        if array == 0:
            assert at == end, "the end-of-records byte is the first of the index"
            return
        tile, size = cursor.varint(), cursor.varint()
        yield {"start": at, "array": array - 1, "tile": tile, "offset": cursor.at, "size": size}
        cursor.take(size)


def parse_index(cursor, arrays, start, records):
    placed = {(record["array"], record["tile"]): record for record in records}
    assert len(placed) == len(records)
    assert cursor.u8() == 0
    end = start
    out = []
    for number, array in enumerate(arrays):
        n = len(grid(array)[1])
        deltas = [cursor.zigzag() for _ in range(n)]
        heads = [cursor.varint() for _ in range(n)]
        counts = [cursor.varint() for _ in range(n)]
        layers = [[cursor.varint() for _ in range(count)] for count in counts]
        crcs = [cursor.u32() for _ in range(n)]
        entries = []
        for tile in range(n):
            record = placed.pop((number, tile))
            assert end + deltas[tile] == record["start"]
            assert record["size"] == heads[tile] + sum(layers[tile])
            end = record["offset"] + record["size"]
            entries.append(
                {**record, "head": heads[tile], "layers": layers[tile], "crc": crcs[tile]}
            )
        out.append(entries)
    assert not placed
    assert cursor.at == len(cursor.data)
    return out


def check_payload_head(data, entry, array, box):
    """The fixed start of a payload, its shape and the CRCs of head and layers."""
    payload = data[entry["offset"] : entry["offset"] + entry["size"]]
    head = payload[: entry["head"]]
    assert crc32c(head[:-4]) == entry["crc"] == struct.unpack("<I", head[-4:])[0]
    cursor = Cursor(head)
    mode, _dtype = cursor.u8(), cursor.u8()
    assert mode in MODES[array["codec"]]
    shape = tuple(cursor.varint() for _ in range(3))
    assert shape == tuple(s.stop - s.start for s in box)
    cursor.take(5)
    count = cursor.u8()
    sizes = [cursor.varint() for _ in range(count)]
    assert sizes == entry["layers"]
    at = entry["head"]
    for size, crc in zip(sizes, [cursor.u32() for _ in range(count)], strict=True):
        assert crc32c(payload[at : at + size]) == crc
        at += size
    assert at == len(payload)
    return payload


@pytest.fixture
def arrays():
    rng = np.random.default_rng(7)
    smooth = np.cumsum(rng.integers(-3, 4, (3, 50, 70)), axis=2) + 1000
    stack = smooth.astype("uint16")
    stack[:, :20, :30] = 0
    return {"stack": stack, "scl": np.full((40, 33), 4, "uint8")}


def check_container(data, arrays):
    header, index, _ = parse_container(data)
    assert [array["name"] for array in header["arrays"]] == list(arrays)
    for array, entries in zip(header["arrays"], index, strict=True):
        assert array["dtype"] == arrays[array["name"]].dtype.name
        shape, boxes = grid(array)
        pixels = np.zeros(shape, array["dtype"])
        for entry, box in zip(entries, boxes, strict=True):
            payload = check_payload_head(data, entry, array, box)
            pixels[box] = eocodec.decode_tile(payload)
        np.testing.assert_array_equal(pixels.reshape(array["shape"]), arrays[array["name"]])
    return header


def test_own_crc_matches_the_published_check_value():
    assert crc32c(b"123456789") == 0xE3069283


def test_spec_parser_reads_two_arrays(arrays):
    data = eocodec.compress(
        arrays, settings=eocodec.EncodeSettings(lossless=True), tile_size=32, nodata=0
    )
    header = check_container(data, arrays)
    first = header["arrays"][0]
    assert first["tile"] == [3, 32, 32]
    assert first["max_error"] == 0
    assert first["nodata"] == 0
    assert "required_features" not in header


def test_spec_parser_reads_tiles_written_out_of_order(arrays, tmp_path):
    stack = arrays["stack"]
    path = tmp_path / "x.eoc"
    settings = eocodec.EncodeSettings(lossless=True)
    with eocodec.create(
        path,
        shape=stack.shape,
        dtype="uint16",
        tile_size=(2, 16, 24),
        settings=settings,
        name="stack",
    ) as writer:
        for rows in (slice(32, 50), slice(0, 32)):
            for columns in (slice(24, 70), slice(0, 24)):
                writer.write((rows, columns), stack[:, rows, columns])
    _, index, records = parse_container(path.read_bytes())
    assert [record["tile"] for record in records] != sorted(record["tile"] for record in records)
    assert len(index[0]) == len(records) == 2 * 4 * 3
    check_container(path.read_bytes(), {"stack": stack})


def test_spec_parser_reads_a_full_header():
    band = eocodec.Band(
        name="B8A",
        description="Band 8A, 865 nm",
        wavelength_nm=864.7,
        scale=1e-4,
        offset=-0.1,
        unit="1",
        colour="undefined",
        mask_flags=("nodata",),
        position=3,
        native_factor=2,
        tags={"": {"a": "ä"}},
        extra={"geotiff": {"photometric": 1}},
    )
    data = eocodec.compress(
        np.zeros((1, 4, 4), "float32"),
        settings=eocodec.EncodeSettings(lossless=True),
        bands=[band],
        nodata=float("nan"),
        crs="EPSG:32633",
        transform=(10.0, 0, 399960.5, 0, -10, 5000040),
        gcps=[eocodec.Gcp(row=0, col=1.5, x=12, y=45, id="1")],
        gcps_crs="EPSG:4326",
        rpcs={"LINE_OFF": 1.5, "LINE_NUM_COEFF": [1.0, 2.25]},
        area_or_point="point",
        tags={"IMAGERY": {"CLOUDS": "3"}, "plain": "text"},
        extra={"room": [1, None]},
    )
    header, _, _ = parse_container(data)
    assert header == {
        "arrays": [
            {
                "name": "data",
                "shape": [1, 4, 4],
                "dims": ["band", "y", "x"],
                "dtype": "float32",
                "tile": [1, 512, 512],
                "codec": "eocodec.predictive-dev",
                "max_error": 0,
                "bands": [
                    {
                        "name": "B8A",
                        "description": "Band 8A, 865 nm",
                        "wavelength_nm": 864.7,
                        "scale": 0.0001,
                        "offset": -0.1,
                        "unit": "1",
                        "colour": "undefined",
                        "mask_flags": ["nodata"],
                        "position": 3,
                        "native_factor": 2,
                        "tags": {"": {"a": "ä"}},
                        "extra": {"geotiff": {"photometric": 1}},
                    }
                ],
                "nodata": "NaN",
                "crs": "EPSG:32633",
                "transform": [10, 0, 399960.5, 0, -10, 5000040],
                "gcps": [[0, 1.5, 12, 45, 0, "1", ""]],
                "gcps_crs": "EPSG:4326",
                "rpcs": {"LINE_OFF": 1.5, "LINE_NUM_COEFF": [1, 2.25]},
                "area_or_point": "point",
                "tags": {"IMAGERY": {"CLOUDS": "3"}, "": {"plain": "text"}},
                "extra": {"room": [1, None]},
            }
        ]
    }
    with eocodec.open(data) as reader:
        assert reader.bands == (band,)
        assert np.isnan(reader.nodata)
        assert reader.header.gcps == (eocodec.Gcp(row=0, col=1.5, x=12, y=45, id="1"),)
        assert reader.header.rpcs == {"LINE_OFF": 1.5, "LINE_NUM_COEFF": [1, 2.25]}
        assert reader.affine == (10.0, 0.0, 399960.5, 0.0, -10.0, 5000040.0)
        assert reader.tags == {"IMAGERY": {"CLOUDS": "3"}, "": {"plain": "text"}}
        assert reader.crs == "EPSG:32633"
        assert reader.header.gcps_crs == "EPSG:4326"
        assert reader.header.area_or_point == "point"
        assert reader.header.extra == {"room": [1, None]}
