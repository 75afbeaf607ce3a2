"""Training data: atmospheric fields of a folder, sampled as augmented blocks of levels.

A folder holds an ``index.json`` with ``fields`` (``file``, ``split``, ``var``): netCDF-4 files with one variable of
axes (time, level, latitude, longitude) each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK
from eocodec.errors import InputError
from eocodec.mask import fill_holes
from eocodec.network_config import NetworkConfig
from eocodec.refinement import stage_step
from eocodec.tile_transform import TileTransform
from eocodec.training.batches import stream_batches

FloatArray = npt.NDArray[np.float32]

WINDOW = 128
"""Rows and columns of the part of a field that the transform of a crop is fitted to, at most."""
DEEPEST = 3
"""Blocks of levels of a crop, at most."""
CROPS_A_WINDOW = 2
_NOISE = 0.35 * stage_step(2)


@dataclass(frozen=True)
class Field:
    """A variable (T, C, H, W) and whether its columns go round the globe."""

    name: str
    values: FloatArray
    global_grid: bool


def load_fields(folder: Path, split: str) -> list[Field]:
    """Load the fields of a split ("train", "val" or "test"); missing values are filled smoothly.

    Raises
    ------
    InputError
        There is no index, a file cannot be read, or there is no field of that split.
    """
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"no readable index.json in {folder}: {error}") from error
    fields = []
    for entry in index.get("fields", []):
        if entry["split"] != split:
            continue
        try:
            with h5py.File(folder / entry["file"]) as file:
                values = file[entry["var"]][...].astype(np.float32)
                columns = file["lon"][...] if "lon" in file else np.zeros(1)
        except (OSError, KeyError) as error:
            raise InputError(f"{entry['file']}: {error}") from error
        filled = [fill_holes(time, ~np.isfinite(time)) for time in values]
        span = abs(float(columns[-1] - columns[0])) * (1 + 1 / max(len(columns) - 1, 1))
        fields.append(Field(entry["file"], np.stack(filled), abs(span - 360) < 0.1))
    if not fields:
        raise InputError(f"{folder} has no field of split {split!r}")
    return fields


class FieldSampler:
    """Draws batches of augmented crops.

    Parameters
    ----------
    fields : list of Field
        What to draw from, with probability proportional to the square root of the size.
    config : NetworkConfig
    deep : int or None
        Blocks of levels of every crop; by default 1 to ``DEEPEST``, as the fields have them.
    """

    def __init__(self, fields: list[Field], config: NetworkConfig, deep: int | None = None) -> None:
        self.fields = fields
        self.config = config
        self.unit = config.unit
        self._deep = deep

    def alike(self) -> FieldSampler:
        """Return a sampler whose crops of one side have one shape."""
        return FieldSampler(self.fields, self.config, 2)

    def _window(self, field: Field, levels: int, side: int, rng: np.random.Generator) -> FloatArray:
        """Cut an augmented window (levels, H, W) out of a field, H and W at least a third of ``side``."""
        values = field.values[int(rng.integers(len(field.values)))]
        stride = 2 if len(values) >= 2 * levels and rng.random() < 0.3 else 1
        span = min(len(values), stride * levels)
        first = int(rng.integers(len(values) - span + 1))
        values = values[first : first + span : stride]
        if field.global_grid:
            values = np.roll(values, int(rng.integers(values.shape[2])), axis=2)
        zoom = 2 if min(values.shape[1:]) >= 2 * side and rng.random() < 0.2 else 1
        for axis in (1, 2):
            extent = min(values.shape[axis], WINDOW * zoom - int(rng.integers(BLOCK)))
            start = int(rng.integers(values.shape[axis] - extent + 1))
            values = values.take(range(start, start + extent), axis=axis)
        if zoom == 2:
            rows, columns = (n // 2 * 2 for n in values.shape[1:])
            cells = values[:, :rows, :columns].reshape(len(values), rows // 2, 2, columns // 2, 2)
            values = cells.mean(axis=(2, 4), dtype=np.float32)
        if values.min() < 0 and rng.random() < 0.5:
            values = -values
        if rng.random() < 0.2:
            spread = 10.0 ** rng.uniform(-3, -1) * values.std(axis=(1, 2), keepdims=True)
            noisy = values + spread * rng.standard_normal(values.shape)
            values = noisy.astype(np.float32) if values.min() < 0 else np.abs(noisy).astype("f4")
        if rng.random() < 0.5:
            values = values.transpose(0, 2, 1)
        up, down, right = (-1 if flip else 1 for flip in rng.random(3) < 0.5)
        window = np.ascontiguousarray(values[::up, ::down, ::right])
        deep = levels - len(window)
        return np.pad(window, ((0, deep), (0, 0), (0, 0)), mode="edge")

    def draw(self, count: int, size: int, rng: np.random.Generator) -> FloatArray:
        """Draw a batch of coefficients (count, samples, d, size/8, size/8) in network units."""
        config = self.config
        deep = self._deep or int(rng.choice([1, 2, DEEPEST]))
        fewest = max(1, (deep - 1) * config.bands + 1) if self._deep is None else 1
        fitting = [
            f
            for f in self.fields
            if f.values.shape[1] >= fewest and 3 * min(f.values.shape[2:]) >= size
        ]
        weights = np.array([f.values[0].size ** 0.5 for f in fitting])
        batch: list[FloatArray] = []
        while len(batch) < count:
            field = fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]
            window = self._window(field, deep * config.bands, size, rng)
            if window.min() == window.max():
                continue
            shape = [max(n, size) for n in window.shape[1:]]
            grown = [(0, n - m) for n, m in zip(shape, window.shape[1:], strict=True)]
            window = np.pad(window, ((0, 0), *grown), mode="edge")
            _, coefficients = TileTransform.fit(window, config, config.unit, _NOISE)
            side = size // BLOCK
            for _ in range(CROPS_A_WINDOW):
                top, left = (int(rng.integers(n - side + 1)) for n in coefficients.shape[2:])
                batch.append(coefficients[:, :, top : top + side, left : left + side])
        return np.stack(batch[:count])

    def stream(
        self, sizes: tuple[tuple[int, int], ...], seed: int, start: int = 0
    ) -> Iterator[FloatArray]:
        """Yield batches without end; see :func:`stream_batches`."""
        return stream_batches(self.draw, sizes, seed, start)


def validation_fields(fields: list[Field], config: NetworkConfig) -> list[FloatArray]:
    """Coefficients (samples, d, h, w) of the first time of every field."""
    return [TileTransform.fit(f.values[0], config, config.unit, _NOISE)[1] for f in fields]
