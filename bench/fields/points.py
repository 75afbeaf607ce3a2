"""What codings of fields are worth, kept on disk so that a codec need not run twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.fields.codecs import Coding, FieldCodec, largest_error, smallest
from bench.fields.data import Field


@dataclass(frozen=True)
class FieldPoint:
    """One coding of one field.

    Attributes
    ----------
    bytes : int
        All but those of the shape.
    bits : float
        Bits a value.
    rmse, max_error : float
        Root-mean-square and largest error relative to the field's spread.
    mean_error : float
        Largest error of the mean of a level, relative to the spread; weighted by the cosine of the
        latitude where it is known.
    gradient_error : float
        RMS error of the difference of neighbouring levels, relative to the RMS of that difference; NaN
        where there is one level.
    how : str
        Layout and options of the codec.
    tolerance : float
        What the codec was given as bound, relative to the bound.
    """

    bytes: int
    bits: float
    rmse: float
    max_error: float
    mean_error: float
    gradient_error: float
    how: str
    tolerance: float


Points = dict[str, dict[float, FieldPoint]]
"""Points of one codec, by field and relative bound."""


def measure(field: Field, coding: Coding) -> FieldPoint:
    """Compare a coding with its field."""
    values = field.values.astype(np.float64)
    errors = coding.decoded.astype(np.float64) - values
    spread = field.spread
    return FieldPoint(
        bytes=coding.size,
        bits=8 * coding.size / values.size,
        rmse=float(np.sqrt((errors**2).mean())) / spread,
        max_error=largest_error(field.values, coding.decoded) / spread,
        mean_error=float(np.abs(level_means(errors, field.latitude)).max()) / spread,
        gradient_error=_rms_of_difference(errors) / _rms_of_difference(values)
        if values.shape[1] > 1
        else float("nan"),
        how=coding.how,
        tolerance=coding.tolerance,
    )


def level_means(
    values: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.float64]:
    """Means (T, L) over the horizontal, weighted by the cosine of the latitude in degrees if given."""
    rows = values.mean(axis=3)
    weights = None if latitude is None else np.cos(np.deg2rad(latitude))
    found: npt.NDArray[np.float64] = np.average(rows, axis=2, weights=weights)
    return found


def measure_codec(
    codec: FieldCodec,
    fields: Iterable[Field],
    folder: Path,
    *,
    again: bool = False,
    kept: bool = False,
) -> Points:
    """Measure a codec on fields at its bounds, but for bounds below half a step of the source.

    Points are read from and kept in a JSON file of the folder.

    Parameters
    ----------
    codec : FieldCodec
        The codec.
    fields : iterable of Field
        The fields.
    folder : Path
        Where points are kept.
    again : bool
        Whether to measure points that are there.
    kept : bool
        Whether to leave out points that are not there.
    """
    path = folder / f"points-{codec.name}.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not again else {}
    found: Points = {}
    for field in fields:
        found[field.name] = {}
        for relative in codec.bounds:
            if relative < field.noise:
                continue
            key = f"{field.name} {field.values.shape} {relative:g}"
            if key not in known and not kept:
                coding = smallest(codec, field.values, field.bound(relative))
                known[key] = None if coding is None else asdict(measure(field, coding))
                path.write_text(json.dumps(known, indent=1))
            if known.get(key) is not None:
                found[field.name][relative] = FieldPoint(**known[key])
    return found


def _rms_of_difference(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt((np.diff(values, axis=1) ** 2).mean()))
