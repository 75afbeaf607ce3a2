"""Speeds of codecs of fields, in the layout and at the tolerance in which each is smallest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from bench.fields.codecs import Coding, FieldCodec, smallest
from bench.fields.data import Field
from bench.timing import interleaved, limited_threads

SPEED_BOUND = 1e-3
"""Bound relative to the range at which speeds are measured."""
ROUNDS = 3
_LEAST_VALUES = 200_000

Speeds = dict[str, tuple[float, float]]
"""MB of float32 values encoded and decoded a second, by codec."""


def large_fields(fields: Sequence[Field]) -> list[Field]:
    """Return the fields on which speed is measured: those of many values that the bound suits, or else all."""
    suited = [field for field in fields if field.noise <= SPEED_BOUND]
    return [field for field in suited if field.values.size >= _LEAST_VALUES] or suited


def measure_speeds(
    codecs: Sequence[FieldCodec], fields: Sequence[Field], *, rounds: int = ROUNDS
) -> Speeds:
    """Time codecs on fields on one core; they take turns in every round.

    What a codec tries to find its smallest layout does not count; a codec that cannot hold the bound on some
    field is left out.
    """
    encoding: dict[str, float] = {}
    decoding: dict[str, float] = {}
    with limited_threads(1):
        for field in tqdm(fields, desc="speed", unit="field", disable=None):
            found = {c.name: smallest(c, field.values, field.bound(SPEED_BOUND)) for c in codecs}
            known = {name: coding for name, coding in found.items() if coding is not None}
            seconds = _seconds(list(known.values()), rounds)
            for name, (encode, decode) in zip(known, seconds, strict=True):
                encoding.setdefault(name, 0.0)
                encoding[name] += encode
                decoding[name] = decoding.get(name, 0.0) + decode
            for name in set(found) - set(known):
                encoding[name] = decoding[name] = float("nan")
    raw = sum(field.values.nbytes for field in fields) / 1e6
    return {
        name: (raw / encoding[name], raw / decoding[name])
        for name in encoding
        if np.isfinite(encoding[name])
    }


def _seconds(codings: Sequence[Coding], rounds: int) -> list[tuple[float, float]]:
    """Median seconds of encoding and decoding of each."""
    steps = [coding.steps for coding in codings if coding.steps is not None]
    assert len(steps) == len(codings)
    stored: list[Any] = [None] * len(steps)

    def encoder(at: int) -> Callable[[], Any]:
        def encode() -> None:
            stored[at] = steps[at].encode()

        return encode

    def decoder(at: int) -> Callable[[], Any]:
        return lambda: steps[at].decode(stored[at])

    tasks = ([task(at) for at in range(len(steps))] for task in (encoder, decoder))
    found = [np.median(interleaved(own, rounds, warm=False), axis=0) for own in tasks]
    return [(float(a), float(b)) for a, b in zip(*found, strict=True)]
