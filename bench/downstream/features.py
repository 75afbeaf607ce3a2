"""What a linear probe sees of a patch: functions from DN (N, 10, H, W) to features (N, D) in float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.downstream.patches import Indices, LabelledPatches, Stack
from eocodec import EncodeSettings, encode_tile
from eocodec.bands import MODEL_BANDS
from eocodec.errors import InputError
from eocodec.metrics import REFLECTANCE_PEAK
from eocodec.transforms.interface import PixelTransform, TokenTransform

Features = npt.NDArray[np.float32]
Extractor = Callable[[Stack], Features]

STATISTICS = "band statistics"
_BATCH = 64


def band_statistics(pixels: Stack) -> Features:
    """Mean and standard deviation of each band, in DN: (N, 20)."""
    values = pixels.astype(np.float32)
    return np.concatenate([values.mean(axis=(2, 3)), values.std(axis=(2, 3))], axis=1)


def extractor_of(transform: PixelTransform | TokenTransform) -> Extractor:
    """Return the transform as a function of DN (N, 10, H, W), whose pixels are all valid.

    A transform of tokens sees what an encoder makes of each patch.
    """
    if isinstance(transform, TokenTransform):
        return lambda pixels: transform(np.stack([_cells(transform, stack) for stack in pixels]))
    positions = [MODEL_BANDS.index(name) for name in transform.bands or MODEL_BANDS]
    unit = np.float32(REFLECTANCE_PEAK if transform.reflectance else 1)
    return lambda pixels: transform(pixels[:, positions].astype(np.float32) / unit)


def all_features(patches: LabelledPatches, extract: Extractor, chosen: Indices) -> Features:
    """Return features (N, D) of the whole set, zeros but for the chosen patches."""
    parts = [
        extract(patches.pixels(part))
        for part in np.split(chosen, range(_BATCH, len(chosen), _BATCH))
    ]
    features = np.zeros((len(patches.names), parts[0].shape[1]), np.float32)
    features[chosen] = np.concatenate(parts)
    return features


def _cells(transform: TokenTransform, stack: Stack) -> Features:
    payload = encode_tile(stack, EncodeSettings(layers=transform.layers))
    found = transform.cells(memoryview(payload))
    if found is None:
        raise InputError("a patch was coded without tokens: it is constant or has too few samples")
    values, shares = found
    return np.where(shares > 0, values, np.float32("nan"))
