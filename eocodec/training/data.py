"""Training data: Sentinel-2 scenes and patches of a folder, sampled as augmented tiles.

A folder holds an ``index.json`` with ``scenes`` (``id``, ``split``, ``weight``, ``files``): GeoTIFFs of ten-band
stacks, pairs ``*.10m.tif``/``*.20m.tif`` on their own grids, or HDF5 patch sets (``b10``, ``b20``).
"""

from __future__ import annotations

import json
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
from eocodec.rvq import NOISE
from eocodec.spectral_fit import fit_spectral
from eocodec.tile_transform import MEAN_PARTS, TOKEN_BLOCK
from eocodec.training.batches import stream_batches

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


@dataclass(frozen=True)
class Augmentation:
    """One draw of brightness, contrast, noise, haze and orientation.

    Attributes
    ----------
    gain : float64 array (bands,)
    noise : float
        Standard deviation in DN.
    haze : bool
    flips : tuple of three bool
        Transpose, upside down, left to right.
    """

    gain: npt.NDArray[np.float64]
    noise: float
    haze: bool
    flips: tuple[bool, bool, bool]

    @classmethod
    def draw(cls, bands: int, rng: np.random.Generator) -> Augmentation:
        """Draw one."""
        common = np.exp(np.clip(0.5 * rng.standard_normal(), -1.4, 1.4))
        gain = common * np.exp(0.1 * rng.standard_normal(bands))
        noise = rng.uniform(0, 15) if rng.random() < 0.2 else 0.0
        transpose, down, right = (bool(flip) for flip in rng.random(3) < 0.5)
        return cls(gain, noise, rng.random() < 0.15, (transpose, down, right))

    def __call__(self, crop: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Apply to a crop (bands, size, size)."""
        bands, size = crop.shape[0], crop.shape[-1]
        pixels = crop * self.gain[:, None, None].astype(np.float32)
        if self.haze:  # clouds and haze: bright, smooth, with the texture of the crop dimmed
            cover = np.clip(smooth_field(rng, size), 0, 1)
            texture = 1 + 0.15 * smooth_field(rng, size) + 0.02 * rng.standard_normal((size, size))
            tint = rng.uniform(3000, 9000) * rng.uniform(0.85, 1.15, (bands, 1, 1))
            pixels = (pixels * (1 - cover) + texture * tint * cover).astype(np.float32)
        if self.noise:
            pixels += np.float32(self.noise) * rng.standard_normal(pixels.shape, np.float32)
        transpose, down, right = self.flips
        if transpose:
            pixels = pixels.transpose(0, 2, 1)
        flipped: FloatArray = pixels[:, :: -1 if down else 1, :: -1 if right else 1]
        return flipped


class Sampler:
    """Draws batches of augmented crops.

    Parameters
    ----------
    scenes : list of Scene
        What to draw from, with probability proportional to weight times the square root of the area.
    unit : float
        DN of one network unit.
    spectral : bool
        Give the coefficients that the networks see, rather than the bands.
    """

    def __init__(self, scenes: list[Scene], unit: float, *, spectral: bool = True) -> None:
        self.scenes = scenes
        self.unit = unit
        self.spectral = spectral

    def fitting(self, size: int) -> list[int]:
        """Numbers of the scenes of at least so many rows and columns; raises InputError where there is none."""
        found = [i for i, scene in enumerate(self.scenes) if min(scene.pixels.shape[1:]) >= size]
        if not found:
            raise InputError(f"no scene has {size} rows and columns, as training takes")
        return found

    def crop(self, number: int, size: int, rng: np.random.Generator) -> FloatArray:
        """Cut a random crop (10, size, size) of a scene, at times at half its resolution."""
        scene = self.scenes[number]
        height, width = scene.pixels.shape[1:]
        zoom = 2 if min(height, width) >= 2 * size and rng.random() < 0.2 else 1
        extent = size * zoom
        top = int(rng.integers(0, height - extent + 1))
        left = int(rng.integers(0, width - extent + 1))
        crop = scene.pixels[:, top : top + extent, left : left + extent].astype(np.float32)
        if zoom == 2:
            crop = crop.reshape(len(crop), size, 2, size, 2).mean(axis=(2, 4), dtype=np.float32)
        return crop

    def draw(self, count: int, size: int, rng: np.random.Generator) -> FloatArray:
        """Draw a batch in network units.

        Coefficients (count, samples, size/8, size/8), every crop being a tile, or bands (count, 10, size, size).
        """
        fitting = self.fitting(size)
        weights = [self.scenes[i].weight * self.scenes[i].pixels[0].size ** 0.5 for i in fitting]
        chosen = rng.choice(fitting, count, p=np.array(weights) / sum(weights))
        batch = []
        for number in chosen:
            for _ in range(8):  # prefer crops without nodata
                crop = self.crop(number, size, rng)
                if (crop == 0).mean() < 0.01:
                    break
            pixels = Augmentation.draw(len(crop), rng)(crop, rng)
            batch.append(self.prepare(pixels))
        return np.stack(batch)

    def prepare(self, pixels: FloatArray) -> FloatArray:
        """Coefficients (samples, h, w) in network units of pixels (bands, H, W), H and W multiples of 16; or bands."""
        unit = np.float32(self.unit)
        if not self.spectral:
            return pixels / unit
        _, coefficients = fit_spectral(pixels, self.unit / MEAN_PARTS, NOISE * self.unit)
        return coefficients.reshape(-1, *coefficients.shape[2:]) / unit

    def whole(self) -> list[FloatArray]:
        """The scenes, cut to whole token blocks and prepared."""
        tiles = []
        for scene in self.scenes:
            height, width = (n // TOKEN_BLOCK * TOKEN_BLOCK for n in scene.pixels.shape[1:])
            tiles.append(self.prepare(scene.pixels[:, :height, :width].astype(np.float32)))
        return tiles

    def stream(
        self, sizes: tuple[tuple[int, int], ...], seed: int, start: int = 0
    ) -> Iterator[FloatArray]:
        """Yield batches without end; see :func:`stream_batches`."""
        return stream_batches(self.draw, sizes, seed, start)

    def alike(self) -> Sampler:
        """Return itself: crops of one side have one shape."""
        return self
