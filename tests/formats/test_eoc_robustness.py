"""Cut, damaged and hostile containers: a clear error, at once, without large allocations."""

import contextlib
import json
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocodec
from eocodec.formats.eoc.layout import build_footer, build_header_section
from eocodec.payload import build_payload, crc32c, pixel_crc32c, put_varint
from tests.fuzz.limits import TEST_SECONDS
from tests.fuzz.limits import bounded as limited

LOSSLESS = eocodec.EncodeSettings(lossless=True)
RNG = np.random.default_rng(3)
SMALL = {
    "a": np.cumsum(RNG.integers(-2, 3, (2, 9, 12)), axis=2).astype("int16"),
    "b": np.full((5, 4), 200, "uint8"),
}
DATA = eocodec.compress(SMALL, settings=LOSSLESS, tile_size=8, crs="EPSG:4326")


def read_whole(data):
    with eocodec.open(data) as reader:
        reader.validate(threads=1)
    return eocodec.decompress(data, threads=1)


@pytest.fixture
def bounded():
    """Fail when the test takes more than a second of processor time or 32 MiB of Python and numpy memory."""
    tracemalloc.start()
    start = time.process_time()
    yield
    elapsed = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert elapsed < 1
    assert peak < 32 << 20


def test_the_small_file_is_whole():
    out = read_whole(DATA)
    for name, array in SMALL.items():
        np.testing.assert_array_equal(out[name], array)


def test_truncation_at_every_byte_raises():
    for size in range(len(DATA)):
        with pytest.raises(eocodec.FormatError):
            eocodec.open(DATA[:size])


def test_truncated_file_says_so():
    with pytest.raises(eocodec.TruncatedError, match="truncated, or never finished"):
        eocodec.open(DATA[:-1])


def test_missing_front_raises_at_every_byte():
    for size in range(1, len(DATA)):
        with pytest.raises(eocodec.EocodecError):
            eocodec.open(DATA[size:])


def test_every_flipped_bit_raises():
    data = eocodec.compress({"a": SMALL["a"][:1, :6, :6], "b": SMALL["b"]}, settings=LOSSLESS)
    modes = [eocodec.open(data).array(name).read_tile(0)[0] for name in ("a", "b")]
    assert modes == [1, 0]
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(eocodec.EocodecError):
            eocodec.open(damaged).validate(threads=1)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 255)), min_size=1, max_size=8)
)
def test_damaged_bytes_raise_or_leave_the_pixels_right(damage):
    damaged = bytearray(DATA)
    for at, mask in damage:
        damaged[at] ^= mask
    try:
        out = eocodec.decompress(bytes(damaged), threads=1)
    except eocodec.EocodecError:
        return
    for name, array in SMALL.items():
        np.testing.assert_array_equal(out[name], array)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_raise(data, with_magic):
    with pytest.raises(eocodec.EocodecError):
        eocodec.open((DATA[:10] if with_magic else b"") + data)


def test_appended_bytes_raise():
    with pytest.raises(eocodec.FormatError):
        eocodec.open(DATA + b"\0")


def test_text_mode_transfer_is_named():
    with pytest.raises(eocodec.FormatError, match="text mode"):
        eocodec.open(DATA.replace(b"\r\n", b"\n"))


def test_newer_version_is_refused_as_unsupported():
    for at in (8, 9):
        newer = bytearray(DATA)
        newer[at] += 1
        with pytest.raises(eocodec.UnsupportedError, match="version"):
            eocodec.open(bytes(newer))


def test_tile_from_elsewhere_is_refused():
    one, two = (eocodec.compress(np.full((8, 8), v, "uint8"), settings=LOSSLESS) for v in (5, 6))
    place = next(eocodec.open(one).tiles())
    span = slice(place.offset, place.offset + place.size)
    swapped = bytearray(one)
    swapped[span] = two[span]
    with pytest.raises(eocodec.FormatError, match="not the tile that the index describes"):
        eocodec.open(bytes(swapped)).read()


# Files made by hand from here on: checksums right, content hostile.


def container(header, records=b"", index=None, *, tiles=(), raw=None):
    """A container of one array with `tiles` (payloads) and a correct index unless one is given."""
    raw = json.dumps(header, separators=(",", ":")).encode() if raw is None else raw
    section, crc = build_header_section(raw)
    if index is None:
        heads, layers, crcs = b"", b"", b""
        for number, payload in enumerate(tiles):
            head = len(payload) - 1
            records += put_varint(1) + put_varint(number) + put_varint(len(payload)) + payload
            heads += put_varint(head)
            layers += put_varint(1)
            crcs += payload[head - 4 : head]
        index = b"\0" + b"\0" * len(tiles) + heads + b"\1" * len(tiles) + layers + crcs
    return section + records + index + build_footer(len(section) + len(records), index, crc)


def one_array(**changes):
    array = {
        "name": "x",
        "shape": [1, 4, 4],
        "dims": ["band", "y", "x"],
        "dtype": "uint8",
        "tile": [1, 4, 4],
        "codec": "eocodec.predictive-dev",
    }
    return {"arrays": [{**array, **changes}]}


PIXELS = np.full((1, 4, 4), 9, "uint8")
TILE = build_payload(0, "u1", (1, 4, 4), [b"\x09"], None, pixel_crc32c(PIXELS))


def test_handmade_container_is_read():
    data = container(one_array(), tiles=[TILE])
    np.testing.assert_array_equal(read_whole(data), PIXELS)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"shape": [1, 2**31 - 1, 2**31 - 1]}, eocodec.LimitError),
        ({"shape": [2**20, 2**31 - 1, 2**31 - 1], "tile": [1, 1, 1]}, eocodec.LimitError),
        ({"shape": [1, 2**62, 4]}, eocodec.LimitError),
        ({"shape": [1, 2**700, 4]}, eocodec.LimitError),
        ({"shape": [2**20 + 1, 4, 4]}, eocodec.LimitError),
        ({"shape": [1, 4096, 4096]}, eocodec.LimitError),
        ({"shape": [1, 2**20, 2**20], "tile": [1, 2**31 - 1, 2**31 - 1]}, eocodec.LimitError),
        ({"shape": [1, 0, 4]}, eocodec.LimitError),
        ({"shape": [1, -4, 4]}, eocodec.LimitError),
        ({"shape": [4]}, eocodec.LimitError),
        ({"shape": [1] * 9, "dims": list("abcdefghi")}, eocodec.LimitError),
        ({"shape": [1, 4.5, 4]}, eocodec.FormatError),
        ({"shape": [True, 4, 4]}, eocodec.FormatError),
        ({"shape": "big"}, eocodec.FormatError),
        ({"shape": None}, eocodec.FormatError),
        ({"tile": [1, 0, 4]}, eocodec.LimitError),
        ({"tile": [4]}, eocodec.LimitError),
        ({"dims": ["y", "y", "x"]}, eocodec.FormatError),
        ({"dims": [1, 2, 3]}, eocodec.FormatError),
        ({"dtype": "object"}, eocodec.UnsupportedError),
        ({"codec": "eocodec.future"}, eocodec.UnsupportedError),
        ({"codec": None}, eocodec.UnsupportedError),
        ({"model": "../../etc"}, eocodec.FormatError),
        ({"model": "0" * 16}, eocodec.FormatError),
        ({"model": "0123ABCD"}, eocodec.FormatError),
        ({"layers": 65}, eocodec.FormatError),
        ({"nodata": "zero"}, eocodec.FormatError),
        ({"transform": [1, 2]}, eocodec.FormatError),
        ({"transform": [1, 2, 3, 4, 5, "6"]}, eocodec.FormatError),
        ({"tags": {"a": "b"}}, eocodec.FormatError),
        ({"bands": [{}, {}]}, eocodec.FormatError),
        ({"bands": [{"native_factor": 3}]}, eocodec.FormatError),
        ({"bands": [[]]}, eocodec.FormatError),
        (
            {"bands": [{}] * 2**17, "shape": [2**17, 4, 4], "tile": [2**17, 4, 4]},
            eocodec.LimitError,
        ),
        ({"gcps": [[1, 2, 3]]}, eocodec.FormatError),
        ({"crs": 32633}, eocodec.FormatError),
        ({"area_or_point": "line"}, eocodec.FormatError),
        # Right by itself, wrong for the tile in the file.
        ({"shape": [1, 4, 3]}, eocodec.FormatError),
        ({"dtype": "int8"}, eocodec.FormatError),
    ],
)
def test_impossible_array_is_refused(bounded, changes, error):
    with pytest.raises(error):
        read_whole(container(one_array(**changes), tiles=[TILE]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"arrays":[]}',
        b'{"arrays":[1]}',
        b'{"arrays":{}}',
        b"\xff\xfe",
        json.dumps(one_array()).encode("utf-16"),
        json.dumps(one_array()).encode("utf-8-sig"),
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"arrays":[{"nodata":NaN}]}',
        b'{"arrays":[{"nodata":' + b"9" * 5000 + b"}]}",
        b'{"arrays":[' + b"{}," * 100_000 + b"{}]}",
        b'{"arrays":[],"arrays":[]}',
    ],
)
def test_malformed_header_is_refused(bounded, raw):
    with pytest.raises(eocodec.EocodecError):
        eocodec.open(container(None, raw=raw, tiles=[TILE]))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["NaN", "uint16", "EPSG:4326", "point", 1, 2, 1.0, -1]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["name", "tags"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
FIELDS = [
    "name",
    "shape",
    "dims",
    "dtype",
    "tile",
    "codec",
    "model",
    "layers",
    "max_error",
    "bands",
    "nodata",
    "crs",
    "transform",
    "gcps",
    "gcps_crs",
    "rpcs",
    "area_or_point",
    "tags",
    "extra",
]


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
def test_any_json_in_the_fields_is_read_or_refused(changes):
    header = {"arrays": [{**one_array()["arrays"][0], **changes}]}
    try:
        reader = eocodec.open(container(header, tiles=[TILE]))
        np.testing.assert_array_equal(reader.read(threads=1).ravel(), PIXELS.ravel())
    except eocodec.EocodecError:
        return
    info = reader.info()
    assert info["arrays"][0]["shape"] == list(reader.shape)


@settings(max_examples=200, deadline=None)
@given(st.text('-[]{},:0123456789.eE"aNlu\\ ', max_size=60))
def test_any_text_as_header_is_refused(text):
    with pytest.raises(eocodec.EocodecError):
        eocodec.open(container(None, raw=text.encode(), tiles=[TILE]))


def test_unknown_required_feature_is_refused_and_optional_skipped():
    with pytest.raises(eocodec.UnsupportedError, match="holograms"):
        eocodec.open(container({**one_array(), "required_features": ["holograms"]}, tiles=[TILE]))
    document = {**one_array(surplus=1), "optional_features": ["holograms"], "later": {}}
    np.testing.assert_array_equal(read_whole(container(document, tiles=[TILE])), PIXELS)


FULL = (4 << 20) - 1000


def with_extra(text):
    """The text of a header with something of 4 MiB that no reader looks at."""
    return json.dumps(one_array()).encode()[:-1] + b',"extra":{"a":' + text + b"}}"


def filled(unit):
    return b"[" + unit * (FULL // len(unit)) + b"0]"


def many_arrays(number, **changes):
    arrays = [{"name": str(i), **changes} for i in range(number)]
    arrays = [one_array(**array)["arrays"][0] for array in arrays]
    return json.dumps({"arrays": arrays}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "raw",
    [
        with_extra(filled(b"[],")),
        with_extra(filled(b"{},")),
        with_extra(filled(b'{"":0},')),
        with_extra(filled(b"1.5,")),
        with_extra(filled(b"9" * 4000 + b",")),
        with_extra(filled(b'"\xf0\x9f\x98\x80",')),
        with_extra(b"[" + b"[],[0]," * (2**18 - 9) + b"{}]"),
        with_extra(b"[" + b'{"":0},' * (2**19 - 99) + b"{}]"),
        with_extra(b'"' + b"," * (2**20) + b'"'),
        many_arrays(4096),
        many_arrays(20, bands=[{}] * 2**16, shape=[2**16, 4, 4], tile=[2**16, 4, 4]),
        many_arrays(2, bands=[{}] * 2**15, shape=[2**15, 4, 4], tile=[2**15, 4, 4]),
        many_arrays(3, gcps=[[0, 0, 0, 0, 0, "", ""]] * 21_000),
        b'{"arrays":[],"required_features":["' + b'","'.join(b"%d" % i for i in range(400_000)),
    ],
)
def test_header_that_unfolds_costs_little(raw):
    data = container(None, raw=raw, tiles=[TILE])
    with limited(TEST_SECONDS), contextlib.suppress(eocodec.FormatError):
        eocodec.open(data)


@pytest.mark.parametrize(
    "raw",
    [
        with_extra(filled(b"0,")),
        many_arrays(2, bands=[{}] * 40_000, shape=[40_000, 4, 4], tile=[40_000, 4, 4]),
        many_arrays(1, name="x" * 1025),
    ],
)
def test_header_beyond_a_limit_is_refused(raw):
    with pytest.raises(eocodec.LimitError, match="allowed"):
        eocodec.open(container(None, raw=raw, tiles=[TILE]))


def test_no_writer_goes_beyond_the_limits_of_a_header():
    small = np.zeros((4, 4), "uint8")
    with pytest.raises(eocodec.InputError, match="lists"):
        eocodec.compress(small, settings=LOSSLESS, extra={"a": [0] * 2**20})
    points = [eocodec.Gcp(row=0, col=0, x=0, y=0)] * 40_000
    with pytest.raises(eocodec.InputError, match="80000 bands and ground control points"):
        eocodec.compress({"a": small, "b": small}, settings=LOSSLESS, gcps=points)
    with pytest.raises(eocodec.InputError, match="1025 characters"):
        eocodec.compress(small, settings=LOSSLESS, name="x" * 1025)


def test_long_text_of_a_header_is_not_quoted_whole():
    with pytest.raises(eocodec.UnsupportedError, match="codec id") as caught:
        eocodec.open(container(one_array(codec="x" * 10**6), tiles=[TILE]))
    assert len(str(caught.value)) < 1100


def prefix(stored, flags, declared=None):
    size = len(stored) if declared is None else declared
    start = struct.pack("<8sBBHI", b"\x89EOC\r\n\x1a\n", 0, 3, flags, size)
    return start + struct.pack("<I", crc32c(start + stored)) + stored


def deflate(data, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def with_prefix(start):
    """A container of this prefix and header, without a tile."""
    crc = int.from_bytes(start[16:20], "little")
    return start + b"\0" + build_footer(len(start), b"\0", crc)


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        (prefix(b"{}", 0, declared=2**32 - 1), eocodec.LimitError, "declares a header"),
        (prefix(b"{}", 1, declared=2**32 - 1), eocodec.LimitError, "declares a header"),
        (prefix(b"{}", 0, declared=(4 << 20) + 1), eocodec.LimitError, "declares a header"),
        (prefix(b"{}", 0, declared=4 << 20), eocodec.TruncatedError, "inside header or footer"),
        # 64 MiB of zeros in 64 KiB, one byte more than is allowed, and just what is allowed.
        (prefix(deflate(bytes(64 << 20)), 1), eocodec.LimitError, "inflates to more"),
        (prefix(deflate(b" " * ((4 << 20) + 1)), 1), eocodec.LimitError, "inflates to more"),
        (prefix(deflate(b" " * (4 << 20)), 1), eocodec.FormatError, "not valid JSON"),
        (prefix(deflate(b" " * 1000)[:-1], 1), eocodec.FormatError, "does not end"),
        (prefix(deflate(b" " * 1000) + b"x", 1), eocodec.FormatError, "does not end"),
        (prefix(deflate(b" ") * 2, 1), eocodec.FormatError, "does not end"),
        (prefix(b"", 1), eocodec.FormatError, "does not end"),
        (prefix(b"no deflate", 1), eocodec.FormatError, "does not inflate"),
        (prefix(b"{}", 1), eocodec.FormatError, "does not"),
        (prefix(b"{}", 2), eocodec.FormatError, "flags"),
        (prefix(deflate(b"{}"), 0x8001), eocodec.FormatError, "flags"),
    ],
)
def test_header_bomb_is_refused(bounded, start, error, message):
    with pytest.raises(error, match=message):
        eocodec.open(with_prefix(start))


def test_header_that_deflating_makes_longer_is_read():
    raw = json.dumps(one_array()).encode()
    stored = deflate(raw, level=0)
    assert len(stored) > len(raw)
    with pytest.raises(eocodec.LimitError, match="1 tiles, but the index has only 1 bytes"):
        eocodec.open(with_prefix(prefix(stored, 1)))


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        *[(at, eocodec.FormatError, "text mode" if at == 0 else "magic") for at in range(8)],
        *[(at, eocodec.UnsupportedError, "version") for at in (8, 9)],
        (10, eocodec.ChecksumError, "header"),
        (11, eocodec.FormatError, "flags"),
        (12, eocodec.ChecksumError, "header"),
        *[(at, eocodec.LimitError, "declares a header") for at in (14, 15)],
        *[(at, eocodec.ChecksumError, "header") for at in range(16, 20)],
        *[(at, eocodec.FormatError, "the footer|the index does not end") for at in range(-20, -8)],
        *[(at, eocodec.ChecksumError, "index, footer and header") for at in range(-8, -4)],
        *[(at, eocodec.TruncatedError, "end with a footer") for at in range(-4, 0)],
    ],
)
def test_damaged_field_of_prefix_or_footer_is_named(at, error, message):
    damaged = bytearray(DATA)
    damaged[at] ^= 0x81 if at in (14, 15) else 1
    with pytest.raises(error, match=message):
        eocodec.open(bytes(damaged))


def with_footer(offset, size):
    """The small file with another place of its index, the checksum right."""
    front = len(DATA) - 20
    prefix_crc = DATA[16:20]
    place = struct.pack("<QI", offset, size)
    crc = crc32c(DATA[max(offset, 0) : front] + prefix_crc + place)
    return DATA[:front] + place + struct.pack("<I", crc) + DATA[-4:]


def test_place_of_the_index_is_checked():
    offset, size = struct.unpack("<QI", DATA[-20:-8])
    header_end = 20 + struct.unpack("<I", DATA[12:16])[0]
    assert with_footer(offset, size) == DATA
    assert offset + size + 20 == len(DATA)
    for place in ((offset, size + 1), (offset - 1, size), (0, 2**32 - 1), (2**64 - 1, size)):
        with pytest.raises(eocodec.FormatError, match="the index does not end at the footer"):
            eocodec.open(with_footer(*place))
    for place in ((0, offset + size), (header_end - 1, offset + size + 1 - header_end)):
        with pytest.raises(eocodec.FormatError, match="index inside the header"):
            eocodec.open(with_footer(*place))
    with pytest.raises(eocodec.FormatError, match="it is empty"):
        eocodec.open(with_footer(offset + size, 0))
    # One byte of the records taken for a byte of the index, and the other way round.
    for shift in (-1, 1):
        with pytest.raises(eocodec.FormatError):
            eocodec.open(with_footer(offset + shift, size - shift))


def test_header_of_another_file_is_refused():
    whole = container(one_array(), tiles=[TILE])
    offset, size = struct.unpack("<QI", whole[-20:-8])
    records, index = whole[whole.index(TILE) - 3 : offset], whole[offset : offset + size]
    files = []
    for name in "vw":
        section = prefix(json.dumps(one_array(name=name)).encode(), 0)
        crc = int.from_bytes(section[16:20], "little")
        files.append((section, build_footer(len(section) + len(records), index, crc)))
    (first, footer), (second, other) = files
    assert len(first) == len(second)
    np.testing.assert_array_equal(read_whole(first + records + index + footer), PIXELS)
    with pytest.raises(eocodec.ChecksumError, match="index, footer and header"):
        eocodec.open(first + records + index + other)


HUGE = b"\xff" * 8 + b"\x7f"


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"\0",
        b"\1" + b"\0" * 40,
        b"\0" + b"\0" + HUGE + b"\1\1" + b"crc!",
        b"\0" + HUGE + b"\1\1\1" + b"crc!",
        b"\0" + b"\0" + b"\1" + HUGE + b"\1" + b"crc!",
        b"\0" + b"\0" + b"\1" + b"\x40" + b"\1" + b"crc!",
        b"\0" + b"\0" + b"\1" + b"\0" + b"crc!" * 2,
        b"\0" + b"\0" + b"\1" + b"\1" + HUGE + b"crc!",
        b"\0" + b"\xff" * 30,
        b"\0" + b"\x80" * 9 + b"\0" + b"\1\1\1" + b"crc!",
        b"\0" + b"\x80\0" + b"\1\1\1" + b"crc!",
        b"\0" + b"\0\1\1\1" + b"crc!" + b"?",
        b"\0" + b"\0\1\1\1" + b"cr" * 1,
    ],
)
def test_impossible_index_is_refused(bounded, index):
    record = b"\1\0" + put_varint(len(TILE)) + TILE
    with pytest.raises(eocodec.EocodecError):
        eocodec.open(container(one_array(), records=record, index=index))


def test_overlapping_records_are_refused(bounded):
    # Both entries point at the first of two records.
    records = b"".join(
        put_varint(1) + put_varint(tile) + put_varint(len(TILE)) + TILE for tile in (0, 1)
    )
    back = put_varint(2 * (len(records) // 2) - 1)
    head = put_varint(len(TILE) - 1)
    index = b"\0" + b"\0" + back + head * 2 + b"\1\1" + b"\1\1" + TILE[-5:-1] * 2
    header = one_array(shape=[1, 8, 4])
    with pytest.raises(eocodec.FormatError, match="exactly"):
        eocodec.open(container(header, records=records, index=index))


def test_gap_between_records_is_refused():
    leader = b"\1\0" + put_varint(len(TILE))
    index = b"\0" + put_varint(2 * 5) + put_varint(len(TILE) - 1) + b"\1\1" + TILE[-5:-1]
    with pytest.raises(eocodec.FormatError, match="exactly"):
        eocodec.open(container(one_array(), records=b"holes" + leader + TILE, index=index))


def test_wrong_leader_is_found_by_validate():
    data = container(one_array(), tiles=[TILE])
    at = data.index(TILE)
    wrong = bytearray(data)
    wrong[at - 2] ^= 1
    reader = eocodec.open(bytes(wrong))
    np.testing.assert_array_equal(reader.read(), PIXELS)
    with pytest.raises(eocodec.FormatError, match="leader"):
        reader.validate()


def test_learned_tile_in_a_predictive_array_is_refused():
    tile = build_payload(2, "u1", (1, 4, 4), [b"\x09"], None, 0)
    with pytest.raises(eocodec.FormatError, match="no learned tiles"):
        eocodec.open(container(one_array(), tiles=[tile])).read()


def test_large_index_of_many_tiles_is_read_quickly():
    count = 50_000
    header = one_array(shape=[1, count, 1], tile=[1, 1, 1])
    tile = build_payload(0, "u1", (1, 1, 1), [b"\x09"], None, pixel_crc32c(PIXELS[:, :1, :1]))
    data = container(header, tiles=[tile] * count)
    start = time.process_time()
    reader = eocodec.open(data)
    assert time.process_time() - start < 1
    np.testing.assert_array_equal(reader[0, 37_000:37_010], np.full((10, 1), 9))
