"""The payload's head: exact bytes, exact refusals."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eocodec.errors import (
    ChecksumError,
    EocodecError,
    FormatError,
    InputError,
    LimitError,
    TruncatedError,
    UnsupportedError,
)
from eocodec.payload import (
    CONSTANT,
    RVQ,
    ByteReader,
    build_payload,
    crc32c,
    layer_bodies,
    parse_head,
    put_varint,
)

LAYERS = [b"tokens", b"", b"refinement" * 30]


def sealed(head: bytes) -> bytes:
    return head + struct.pack("<I", crc32c(head))


def test_bytes_are_those_of_the_specification() -> None:
    payload = build_payload(CONSTANT, np.uint16, (2, 3, 300), [b"\x07\x00"], None, 0x01020304)
    head = bytes.fromhex("00 02 02 03 ac02 02 04030201 01 02") + struct.pack(
        "<I", crc32c(b"\x07\x00")
    )
    assert payload == sealed(head) + b"\x07\x00"


def test_crc32c_is_castagnoli() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_head_round_trips_with_mask_and_layers() -> None:
    payload = build_payload(RVQ, ">f4", (10, 512, 7), LAYERS, b"mask", None)
    head = parse_head(payload)
    assert (head.mode, head.dtype, head.shape) == (RVQ, np.dtype("<f4"), (10, 512, 7))
    assert (head.mask, head.pixel_crc) == (b"mask", None)
    assert head.layer_sizes == (6, 0, 300)
    assert head.layer_ends == (head.size + 6, head.size + 6, len(payload))
    assert [bytes(body) for body in layer_bodies(payload, head)] == LAYERS


def test_prefix_up_to_a_layer_end_holds_the_layers_before_it() -> None:
    payload = build_payload(RVQ, "u1", (1, 8, 8), LAYERS, None, None)
    head = parse_head(payload)
    prefix = payload[: head.layer_ends[1]]
    assert [bytes(body) for body in layer_bodies(prefix, head, 2)] == LAYERS[:2]
    with pytest.raises(TruncatedError):
        layer_bodies(prefix, head, 3)


def test_damaged_layer_is_named() -> None:
    payload = bytearray(build_payload(RVQ, "u1", (1, 8, 8), LAYERS, None, None))
    payload[-1] ^= 1
    head = parse_head(payload)
    assert len(layer_bodies(payload, head, 2)) == 2
    with pytest.raises(ChecksumError, match="layer 2"):
        layer_bodies(payload, head)


def test_zero_layers_asked_is_an_input_error() -> None:
    payload = build_payload(RVQ, "u1", (1, 8, 8), LAYERS, None, None)
    with pytest.raises(InputError):
        layer_bodies(payload, parse_head(payload), 0)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        ("09 02 01 01 01 00 00000000 01 00 00000000", UnsupportedError),
        ("01 63 01 01 01 00 00000000 01 00 00000000", UnsupportedError),
        ("01 02 01 01 01 80 00000000 01 00 00000000", UnsupportedError),
        ("01 02 00 01 01 00 00000000 01 00 00000000", FormatError),
        ("01 02 01 01 01 00 00000000 00", FormatError),
        ("01 02 01 01 01 00 00000000 02 00 00 00000000 00000000", FormatError),
        ("01 02 01 8080808001 01 00 00000000 01 00 00000000", LimitError),
        ("01 02 808004 01 01 00 00000000 01 00 00000000", LimitError),
        ("01 02 01 01 01 00 00000000 41", LimitError),
        ("01 02 01 8100 01 00 00000000 01 00 00000000", FormatError),
        ("01 02 01 818080808001 01 00 00000000 01 00 00000000", FormatError),
    ],
)
def test_head_that_no_encoder_writes_is_refused(head: str, error: type[EocodecError]) -> None:
    with pytest.raises(error):
        parse_head(sealed(bytes.fromhex(head)))


@pytest.mark.parametrize(
    ("shape", "layers"),
    [((1, 1, 1), []), ((1, 1, 1), [b""] * 65), ((1, 0, 1), [b""]), ((1, 2**14, 2**14), [b""])],
)
def test_what_the_format_cannot_hold_is_an_input_error(
    shape: tuple[int, int, int], layers: list[bytes]
) -> None:
    with pytest.raises(InputError):
        build_payload(CONSTANT, "u1", shape, layers, None, None)


@given(value=st.integers(0, 2**35 - 1))
def test_varint_round_trips(value: int) -> None:
    reader = ByteReader(put_varint(value), "test")
    assert reader.varint() == value
    assert reader.pos == len(reader.view)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_truncation_and_flipped_bit_of_a_head_is_refused(data: st.DataObject) -> None:
    payload = build_payload(RVQ, "u1", (3, 300, 8), LAYERS, b"m" * 20, 5)
    size = parse_head(payload).size
    cut = data.draw(st.integers(0, size - 1))
    with pytest.raises(TruncatedError):
        parse_head(payload[:cut])
    bit = data.draw(st.integers(0, 8 * size - 1))
    damaged = bytearray(payload)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(EocodecError):
        parse_head(damaged)
