"""The fields of the comparison, and how finely their sources had packed them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
"""A field [time, level, lat, lon]."""

_FLOAT_BITS = 32
_LARGE_SLICE = 256
_QUICK_FIELDS = 2
_QUICK_TIMES, _QUICK_LEVELS, _QUICK_SIDE = 2, 8, 32


@dataclass(frozen=True)
class Field:
    """A variable of a file.

    Attributes
    ----------
    name : str
        The file's, without its suffix.
    variable : str
        Short name of the variable.
    values : ndarray (T, L, Y, X)
        Finite values.
    packed_bits : float
        Bits a value in the packed source; 32 where it was not packed.
    step : float
        Distance of two values that the source can tell apart, in the variable's unit: the largest
        over the horizontal slices of the smallest difference between two of their values.
    latitude : ndarray (Y,) or None
        In degrees.
    """

    name: str
    variable: str
    values: Values
    packed_bits: float
    step: float
    latitude: npt.NDArray[np.float64] | None = None

    @property
    def spread(self) -> float:
        """Largest value less the smallest."""
        return float(self.values.max()) - float(self.values.min())

    @property
    def noise(self) -> float:
        """Half a step relative to the spread: no smaller bound means anything."""
        return self.step / 2 / self.spread

    def bound(self, relative: float) -> float:
        """Return the absolute bound of one relative to the spread."""
        return relative * self.spread


def read_fields(folder: Path, split: str, *, quick: bool = False) -> list[Field]:
    """Read the fields of a split; if `quick`, a crop of each of the first two.

    The folder holds netCDF-4 files of one variable [time, level, lat, lon] each, and an ``index.json``
    that lists under ``fields`` their ``file``, ``var``, ``split``, ``packed`` and ``lattice``.
    """
    index = json.loads((folder / "index.json").read_text())["fields"]
    entries = [entry for entry in index if entry["split"] == split]
    if quick:
        entries = entries[:_QUICK_FIELDS]
    return [_read(folder, entry, quick) for entry in entries]


def _read(folder: Path, entry: dict[str, Any], quick: bool) -> Field:
    with h5py.File(folder / entry["file"]) as file:
        values = np.asarray(file[entry["var"]][...], np.float32)
        latitude = np.asarray(file["lat"][...], np.float64) if "lat" in file else None
    if latitude is not None and (len(latitude) != values.shape[2] or not np.diff(latitude).any()):
        latitude = None
    step = source_step(values)
    if quick:
        values = values[:_QUICK_TIMES, :_QUICK_LEVELS, :_QUICK_SIDE, :_QUICK_SIDE]
        latitude = None if latitude is None else latitude[:_QUICK_SIDE]
    name = Path(entry["file"]).stem
    bits = packed_bits(entry["packed"], entry["lattice"])
    return Field(name, entry["var"], np.ascontiguousarray(values), bits, step, latitude)


def source_step(values: Values) -> float:
    """Return the largest over slices of the smallest difference between two values of a slice.

    Slices are horizontal, as GRIB packs them, or the whole field where those are small.
    """
    size = values.shape[2] * values.shape[3]
    slices = values.reshape(-1, size if size >= _LARGE_SLICE else values.size)
    steps = [np.diff(np.unique(one).astype(np.float64)) for one in slices]
    return max((float(found.min()) for found in steps if len(found)), default=0.0)


def packed_bits(packed: str, lattice: str) -> float:
    """Return the bits a value of the packed source, the fewest where messages differ.

    Parameters
    ----------
    packed : str
        As ``int16 scale_factor=0.001``, ``GRIB grid_simple 12-16 bit`` or ``none (float32)``.
    lattice : str
        As ``2^-7 (~11.9 bit)``, or text without bits; counts where nothing was packed in the file
        itself.
    """
    found = re.search(r"\bint(\d+)\b|(\d+)-\d+ bit", packed)
    if found:
        return float(found[1] or found[2])
    found = re.search(r"~([\d.]+) bit", lattice)
    return float(math.ceil(float(found[1]))) if found else _FLOAT_BITS
