"""Training data: Sentinel-2 scenes and patches of a folder, sampled as augmented tiles.

A folder holds an ``index.json`` with ``scenes`` (``id``, ``split``, ``weight``, ``files``): GeoTIFFs of ten-band
stacks, pairs ``*.10m.tif``/``*.20m.tif`` on their own grids, or HDF5 patch sets (``b10``, ``b20``).
"""

from __future__ import annotations

import json
import queue
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from eocodec.errors import InputError
from eocodec.resample import upsample2
from eocodec.spectral import SpectralTransform

FloatArray = npt.NDArray[np.float32]

STACK_FROM_NATIVE = (0, 1, 2, 4, 5, 6, 3, 7, 8, 9)
"""Positions of the model's bands in (four 10 m bands, six 20 m bands)."""


@dataclass(frozen=True)
class Scene:
    """A ten-band stack (10, H, W) of DN and how often to sample it."""

    name: str
    pixels: npt.NDArray[np.uint16]
    weight: float


def stack_native(
    b10: npt.NDArray[np.uint16], b20: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    """Stack native bands (…, 4, H, W) and (…, 6, H/2, W/2) in the model's order at 10 m."""
    height, width = b10.shape[-2:]
    up = np.rint(upsample2(b20.astype(np.float32)))[..., :height, :width].astype(np.uint16)
    stack: npt.NDArray[np.uint16] = np.concatenate([b10, up], axis=-3)
    return stack[..., STACK_FROM_NATIVE, :, :]


def load_scenes(folder: Path, split: str) -> list[Scene]:
    """Load the scenes of a split ("train", "val" or "test").

    Raises
    ------
    InputError
        There is no index, or it has no scene of that split.
    """
    try:
        index = json.loads((folder / "index.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"no readable index.json in {folder}: {error}") from error
    scenes: list[Scene] = []
    for entry in index["scenes"]:
        if entry["split"] != split:
            continue
        paths = [folder / name for name in entry["files"]]
        if paths[0].suffix == ".h5":
            with h5py.File(paths[0]) as file:
                stacks = stack_native(file["b10"][:], file["b20"][:])
            scenes += [Scene(f"{entry['id']}/{i}", s, 0.3) for i, s in enumerate(stacks)]
            continue
        arrays = []
        for path in paths:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(path) as dataset:
                    arrays.append(dataset.read())
        pixels = arrays[0] if len(arrays) == 1 else stack_native(arrays[0], arrays[1])
        scenes.append(Scene(entry["id"], pixels.astype(np.uint16), entry["weight"]))
    if not scenes:
        raise InputError(f"{folder} has no scene of split {split!r}")
    return scenes


def smooth_field(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw a smooth random field (size, size) of values about 0 to 1."""
    cells = int(rng.integers(2, 9))
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    positions = np.linspace(0, cells - 1, size)
    low = np.minimum(positions.astype(int), cells - 2)
    part = (positions - low).astype(np.float32)
    rows = coarse[low] * (1 - part[:, None]) + coarse[low + 1] * part[:, None]
    field: FloatArray = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return np.maximum(field, 0)


def augment(crop: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Vary brightness, contrast, noise, haze and orientation of a crop (bands, size, size)."""
    pixels = crop.astype(np.float64)
    bands, size = pixels.shape[0], pixels.shape[-1]
    gain = np.exp(np.clip(0.5 * rng.standard_normal(), -1.4, 1.4))
    pixels = pixels * gain * np.exp(0.1 * rng.standard_normal((bands, 1, 1)))
    if rng.random() < 0.15:  # clouds and haze: bright, smooth, with the texture of the crop dimmed
        cover = np.clip(smooth_field(rng, size), 0, 1)
        texture = 1 + 0.15 * smooth_field(rng, size) + 0.02 * rng.standard_normal((size, size))
        cloud = rng.uniform(3000, 9000) * texture * rng.uniform(0.85, 1.15, (bands, 1, 1))
        pixels = pixels * (1 - cover) + cloud * cover
    if rng.random() < 0.2:
        pixels = pixels + rng.uniform(0, 15) * rng.standard_normal(pixels.shape)
    if rng.random() < 0.5:
        pixels = pixels.transpose(0, 2, 1)
    flipped: FloatArray = pixels[:, :: rng.choice([1, -1]), :: rng.choice([1, -1])].astype(
        np.float32
    )
    return flipped


class Sampler:
    """Draws batches of spectrally transformed crops.

    Parameters
    ----------
    scenes : list of Scene
        What to draw from, with probability proportional to weight times the square root of the area.
    unit : float
        DN of one network unit.
    spectral : bool
        Transform each crop to its own spectral components, rather than leave it as bands.
    """

    def __init__(self, scenes: list[Scene], unit: float, *, spectral: bool = True) -> None:
        self.scenes = scenes
        self.unit = unit
        self.spectral = spectral

    def crop(self, scene: Scene, size: int, rng: np.random.Generator) -> FloatArray:
        """Cut a random crop (10, size, size) of a scene, at times at half its resolution."""
        height, width = scene.pixels.shape[1:]
        zoom = 2 if min(height, width) >= 2 * size and rng.random() < 0.2 else 1
        extent = size * zoom
        top = rng.integers(0, height - extent + 1)
        left = rng.integers(0, width - extent + 1)
        crop = scene.pixels[:, top : top + extent, left : left + extent].astype(np.float32)
        if zoom == 2:
            crop = crop.reshape(len(crop), size, 2, size, 2).mean(axis=(2, 4), dtype=np.float32)
        return crop

    def draw(self, count: int, size: int, rng: np.random.Generator) -> FloatArray:
        """Draw a batch (count, 10, size, size) of components in network units."""
        fitting = [s for s in self.scenes if min(s.pixels.shape[1:]) >= size]
        weights = np.array([s.weight * np.sqrt(s.pixels[0].size) for s in fitting])
        chosen = rng.choice(len(fitting), count, p=weights / weights.sum())
        batch = np.empty((count, len(fitting[0].pixels), size, size), np.float32)
        for i, index in enumerate(chosen):
            for _ in range(8):  # prefer crops without nodata
                crop = self.crop(fitting[index], size, rng)
                if (crop == 0).mean() < 0.01:
                    break
            pixels = augment(crop, rng)
            batch[i] = _prepare(pixels, self.unit, spectral=self.spectral)
        return batch

    def stream(
        self, sizes: tuple[tuple[int, int], ...], seed: int, start: int = 0
    ) -> Iterator[FloatArray]:
        """Yield batches without end, one step ahead in a thread; ``sizes`` are (count, size) in turn.

        Batch number n depends on ``(seed, n)`` only, so a resumed run sees what an uninterrupted one would.
        """
        ready: queue.Queue[FloatArray | BaseException] = queue.Queue(4)
        stopped = threading.Event()

        def work() -> None:
            number = start
            while not stopped.is_set():
                item: FloatArray | BaseException
                try:
                    item = self.draw(
                        *sizes[number % len(sizes)], np.random.default_rng((seed, number))
                    )
                except BaseException as error:
                    item = error
                ready.put(item)
                if isinstance(item, BaseException):
                    return
                number += 1

        threading.Thread(target=work, daemon=True).start()
        try:
            while True:
                batch = ready.get()
                if isinstance(batch, BaseException):
                    raise batch
                yield batch
        finally:
            stopped.set()
            while not ready.empty():
                ready.get()


def _prepare(pixels: FloatArray, unit: float, *, spectral: bool) -> FloatArray:
    if spectral:
        pixels = SpectralTransform.fit(pixels).forward(pixels)
    return pixels / np.float32(unit)


def validation_tiles(
    scenes: list[Scene], unit: float, *, spectral: bool = True, multiple: int = 16
) -> list[FloatArray]:
    """Cut scenes to whole blocks: arrays (10, h, w) of components or bands in network units."""
    tiles = []
    for scene in scenes:
        height, width = (n // multiple * multiple for n in scene.pixels.shape[1:])
        pixels = scene.pixels[:, :height, :width].astype(np.float32)
        tiles.append(_prepare(pixels, unit, spectral=spectral))
    return tiles
