"""The fuzzer's corpus and past findings, replayed; and the fuzzer's own parts."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

import eocodec
from eocodec.formats.chunks import decode_tiles, tile_ranges
from eocodec.payload import build_payload, parse_head
from tests.fuzz import limits
from tests.fuzz.chunks import mutate_chunk, stack
from tests.fuzz.containers import Container, mutate_container, repair
from tests.fuzz.limits import TooSlowError, bounded
from tests.fuzz.payloads import Payload, mutate_payload
from tests.fuzz.seeds import chunks, containers, payloads
from tests.fuzz.targets import TARGETS, warm_up

HERE = Path(__file__).parent
INPUTS = {
    target: sorted(HERE.glob(f"corpus/{target}/*")) + sorted(HERE.glob(f"findings/{target}/*"))
    for target in TARGETS
}


@pytest.fixture(scope="module")
def seeds():
    """Fresh seeds: those in the corpus may be of an older format."""
    return {
        "payload": dict(payloads()),
        "container": dict(containers()),
        "chunk": dict(chunks()),
    }


@pytest.fixture(scope="module", autouse=True)
def loaded():
    warm_up()


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_and_findings_hold_the_promises(target, monkeypatch):
    assert INPUTS[target]
    monkeypatch.setattr(limits, "MAX_SECONDS", limits.TEST_SECONDS)
    for path in INPUTS[target]:
        try:
            TARGETS[target](path.read_bytes())
        except BaseException as error:
            error.add_note(f"input: {path}")
            raise


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for paths in INPUTS.values() for path in paths) < 128 << 10


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_are_whole(target, seeds):
    for name, data in seeds[target].items():
        if target == "payload":
            eocodec.verify_tile(data)
            assert Payload.parse(data).build() == data, name
        elif target == "chunk":
            spans = tile_ranges(data, len(data))
            assert len(decode_tiles(data)) == len(spans)
            if len(spans) > 1:
                assert stack([data[slice(*span)] for span in spans]) == data
        else:
            with eocodec.open(data) as reader:
                reader.validate(threads=1)
            assert Container.parse(data).build() == data, name


def flip(chance):
    def mutate(part):
        changed = bytearray(part)
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return mutate


def test_most_mutated_payloads_pass_the_checksums_of_head_and_layers(seeds):
    several = list(seeds["payload"].values())
    chance = random.Random(5)
    passed = 0
    for number in range(300):
        data = several[number % len(several)]
        try:
            eocodec.decode_tile(mutate_payload(data, chance, flip(chance)))
        except eocodec.ChecksumError as error:
            passed += "pixel" in str(error)
        except eocodec.EocodecError:
            passed += 1
        else:
            passed += 1
    assert passed == 300


def test_mutated_chunks_pass_the_checksum_of_the_table(seeds):
    chance = random.Random(7)
    several = list(seeds["chunk"].values())
    passed = 0
    for number in range(200):
        data = mutate_chunk(several[number % len(several)], chance, flip(chance))
        try:
            tile_ranges(data, len(data))
        except eocodec.ChecksumError:
            continue
        except eocodec.EocodecError:
            pass
        passed += 1
    assert passed == 200


def test_mutated_containers_pass_the_checksums_of_header_and_index(seeds):
    several = list(seeds["container"].values())
    chance = random.Random(6)
    for number in range(300):
        data = several[number % len(several)]
        try:
            eocodec.open(mutate_container(data, chance, flip(chance))).close()
        except eocodec.ChecksumError:
            pytest.fail("a checksum stopped the mutation")
        except eocodec.EocodecError:
            continue


def test_repair_makes_damaged_checksums_right(seeds):
    data = bytearray(seeds["container"]["two-arrays"])
    whole = bytes(data)
    for at in (16, -12, -5):
        data[at] ^= 1
    assert repair(bytes(data)) == whole


def test_limits_catch_a_slow_and_a_greedy_run():
    def spin():
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    with pytest.raises(TooSlowError), bounded(seconds=0.01):
        spin()
    with pytest.raises(MemoryError), bounded(extra_bytes=64 << 20):
        np.zeros(1 << 30, np.uint8)
    with bounded(extra_bytes=64 << 20):
        assert np.zeros(1 << 20, np.uint8).sum() == 0


@pytest.mark.parametrize("target", TARGETS)
def test_targets_pass_foreign_exceptions_on(target, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("eocodec.tile._decode_bodies", fail)
    tile = build_payload(0, "u1", (1, 1, 1), [b"\x09"], None, 0)
    whole = eocodec.compress(np.full((1, 1), 9, "u1"))
    data = {"container": whole, "payload": tile, "chunk": stack([tile, tile])}[target]
    assert parse_head(tile).shape == (1, 1, 1)
    with pytest.raises(ZeroDivisionError):
        TARGETS[target](data)
