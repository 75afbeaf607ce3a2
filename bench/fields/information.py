"""Sizes next to bit rounding at 99 % of the real information (Klöwer et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.fields.bit_rounding import BLOSC, ZSTD, bit_round, real_information_bits
from bench.fields.data import Field
from bench.fields.ours import Ours

_ROUNDING = 1 + 1e-12


@dataclass(frozen=True)
class Informed:
    """A field within the relative error of bit rounding.

    Attributes
    ----------
    name : str
        The field's.
    kept_bits : int
        Mantissa bits with 99 % of the real information.
    max_relative_error : float
        Largest error of a rounded value as a share of the value: the bound of our coding.
    zstd, blosc : int
        Bytes of the rounded values.
    ours : int
        Bytes of ours.
    """

    name: str
    kept_bits: int
    max_relative_error: float
    zstd: int
    blosc: int
    ours: int


def measure_information(fields: Iterable[Field], ours: Ours) -> tuple[list[Informed], list[str]]:
    """Code every field at the bits of its information; name those where that is less than half a step."""
    found, skipped = [], []
    for field in fields:
        values = field.values.astype(np.float64)
        bits = real_information_bits(field.values)
        rounded = bit_round(field.values, bits)
        errors = np.abs(rounded - values)
        if errors.max() < field.step / 2:
            skipped.append(field.name)
            continue
        share = float(np.divide(errors, np.abs(values), where=values != 0, out=errors * 0).max())
        held = [
            coding.size
            for coding in ours.relative_codings(field.values, share)
            if (np.abs(coding.decoded - values) <= share * np.abs(values) * _ROUNDING).all()
        ]
        sizes = (len(codec.encode(rounded)) for codec in (ZSTD, BLOSC))
        found.append(Informed(field.name, bits, share, *sizes, min(held)))
    return found, skipped
