"""Mutations of containers whose checksums and sizes stay right, so that they reach what lies behind them."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass
from typing import Any

from eocodec.errors import EocodecError
from eocodec.formats.eoc.index import TileEntry, build_index
from eocodec.formats.eoc.layout import (
    FOOTER_SIZE,
    PREFIX_SIZE,
    build_footer,
    build_header_section,
    header_bytes,
    parse_footer,
    parse_prefix,
    record_leader,
)
from eocodec.payload import ByteReader, crc32c, parse_head
from tests.fuzz.payloads import Mutate, mutate_payload

_LEAVES: tuple[Any, ...] = (
    *(None, True, False, "", "NaN", "Infinity", "x", "EPSG:4326", [], {}, [[]], [{}]),
    *(-1, 0, 1, 2, 3, 64, 65, 2**16, 2**20, 2**27, 2**31 - 1, 2**31, 2**53, 2**63, 2**64),
    *(0.5, -0.0, 1e308, 1e-308, "uint8", "float64", "int64", "point", "eocodec.rvq2d-dev"),
)
_FIELDS = (
    *("name", "shape", "dims", "dtype", "tile", "codec", "model", "layers", "max_error", "bands"),
    *("nodata", "crs", "transform", "gcps", "gcps_crs", "rpcs", "area_or_point", "tags", "extra"),
    *("arrays", "required_features", "optional_features", "native_factor", "position", "scale"),
)
_MAX_HEADER = 1 << 16


@dataclass
class Container:
    """The parts of a container, whatever they hold."""

    header: bytes
    records: list[tuple[int, int, bytes]]

    @classmethod
    def parse(cls, data: bytes) -> Container:
        """Take a container apart; raises `EocodecError` where it is none."""
        prefix = parse_prefix(data)
        header = header_bytes(prefix, data[PREFIX_SIZE : prefix.end])
        footer = parse_footer(data[-FOOTER_SIZE:], len(data))
        reader = ByteReader(data[prefix.end : footer.index_offset], "records")
        records = []
        while reader.pos < len(reader.view):
            array, tile, size = reader.varint() - 1, reader.varint(), reader.varint()
            records.append((max(array, 0), tile, bytes(reader.take(size))))
        return cls(header, records)

    def index(self, start: int) -> bytes:
        """Return an index that describes the records as they are."""
        arrays: dict[int, dict[int, TileEntry]] = {}
        at = start
        for array, tile, payload in self.records:
            at += len(record_leader(array, tile, len(payload)))
            arrays.setdefault(array, {})[tile] = _entry(at, payload)
            at += len(payload)
        columns = [[arrays[a][tile] for tile in sorted(arrays[a])] for a in sorted(arrays)]
        return build_index(columns, start)

    def build(self, index: bytes | None = None) -> bytes:
        """Return the container, all its checksums right, with its own index unless one is given."""
        section, crc = build_header_section(self.header)
        records = b"".join(
            record_leader(array, tile, len(payload)) + payload
            for array, tile, payload in self.records
        )
        if index is None:
            index = self.index(len(section))
        return section + records + finish(index, len(section) + len(records), crc)


def finish(index: bytes, offset: int, header_crc: int) -> bytes:
    """Return index and footer."""
    return index + build_footer(offset, index, header_crc)


def _entry(offset: int, payload: bytes) -> TileEntry:
    try:
        head = parse_head(payload)
    except EocodecError:
        size = max(len(payload) - 1, 0)
        return TileEntry(offset, size, (len(payload) - size,), crc32c(payload))
    crc = int.from_bytes(payload[head.size - 4 : head.size], "little")
    return TileEntry(offset, head.size, head.layer_sizes, crc)


def mutate_container(data: bytes, chance: random.Random, mutate: Mutate) -> bytes:
    """Return a container with one part changed, its checksums right."""
    try:
        container = Container.parse(data)
    except EocodecError:
        return repair(mutate(data))
    kind = chance.random()
    if kind < 0.1:
        return repair(mutate(data))
    if kind < 0.25:
        start = len(data) - FOOTER_SIZE - len(container.index(PREFIX_SIZE))
        return container.build(mutate(container.index(max(start, PREFIX_SIZE))))
    if kind < 0.3:
        container.header = mutate(container.header)
    elif kind < 0.65:
        container.header = _change_json(container.header, chance)
    elif kind < 0.75:
        _change_records(container, chance)
    elif container.records:
        at = chance.randrange(len(container.records))
        array, tile, payload = container.records[at]
        container.records[at] = array, tile, mutate_payload(payload, chance, mutate)
    try:
        return container.build()
    except EocodecError:
        return data


def repair(data: bytes) -> bytes:
    """Return `data` with the checksums and sizes of prefix, index and footer set to what they cover."""
    if len(data) < PREFIX_SIZE + FOOTER_SIZE:
        return data
    stored = struct.unpack_from("<I", data, 12)[0]
    end = min(PREFIX_SIZE + stored, len(data) - FOOTER_SIZE)
    start = data[: PREFIX_SIZE - 4]
    crc = crc32c(start + data[PREFIX_SIZE:end])
    front = start + struct.pack("<I", crc)
    tail = len(data) - FOOTER_SIZE
    offset = min(max(struct.unpack_from("<Q", data, tail)[0], end), tail)
    return front + data[PREFIX_SIZE:offset] + finish(data[offset:tail], offset, crc)


def _change_json(header: bytes, chance: random.Random) -> bytes:
    """Change one value of the header, somewhere."""
    try:
        document = json.loads(header)
    except (ValueError, RecursionError):
        return header
    node, way = document, 0
    while isinstance(node, (dict, list)) and node and way < 8:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        inner = node[key]
        if isinstance(inner, (dict, list)) and inner and chance.random() < 0.85:
            node, way = inner, way + 1
            continue
        _change_item(node, key, chance)
        break
    text = json.dumps(document, separators=(",", ":")).encode()
    return text if len(text) < _MAX_HEADER else header


def _change_item(node: Any, key: Any, chance: random.Random) -> None:
    kind = chance.random()
    value = node[key]
    if isinstance(value, int) and kind < 0.4:
        node[key] = value + chance.choice((-2, -1, 1, 2, 7))
    elif kind < 0.7:
        node[key] = chance.choice(_LEAVES)
    elif isinstance(node, list):
        if kind < 0.85:
            node.insert(key, value)
        else:
            node.pop(key)
    elif kind < 0.9:
        node[chance.choice(_FIELDS)] = chance.choice((value, chance.choice(_LEAVES)))
    else:
        del node[key]


def _change_records(container: Container, chance: random.Random) -> None:
    records = container.records
    if not records:
        return
    at = chance.randrange(len(records))
    array, tile, payload = records[at]
    kind = chance.randrange(5)
    if kind == 0:
        records.pop(at)
    elif kind == 1:
        records.insert(chance.randrange(len(records)), (array, tile + 1, payload))
    elif kind == 2:
        records[at] = chance.choice((array, array + 1)), chance.choice((0, 1, 2**40)), payload
    elif kind == 3:
        chance.shuffle(records)
    else:
        other = chance.randrange(len(records))
        records[at] = array, tile, records[other][2]
