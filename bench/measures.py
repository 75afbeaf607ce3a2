"""How good a decoded stack is: one point of a rate-distortion curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pytorch_msssim import ms_ssim

from bench.peers.base import Stack
from bench.scenes import middle_crop
from eocodec.bands import MODEL_BANDS
from eocodec.metrics import REFLECTANCE_PEAK, Comparer

_WINDOW = 11
_HALVINGS = 4
_LARGEST = 512
_ROWS = 64


@dataclass(frozen=True)
class Point:
    """One coding of one scene by one peer.

    Attributes
    ----------
    setting : str
        The peer's setting.
    bytes : int
        Everything needed to decode, but for the shape.
    bpppb, bpp : float
        Bits per pixel and band; bits per pixel, all bands counted.
    rmse, rms_percent : float
        Root-mean-square error over all bands in DN; the same in percent of reflectance 1 (D3.4).
    psnr : float
        In dB, for a peak of 10000 DN.
    ms_ssim : float
        Multi-scale structural similarity for a range of 10000 DN, mean of the bands; of large scenes, of
        512 x 512 pixels in their middle.
    spectral_angle : float
        Mean angle between the spectra of a pixel before and after, in degrees.
    ndvi_error : float
        Mean absolute error of the normalised difference vegetation index.
    """

    setting: str
    bytes: int
    bpppb: float
    bpp: float
    rmse: float
    rms_percent: float
    psnr: float
    ms_ssim: float
    spectral_angle: float
    ndvi_error: float


def measure(setting: str, size: int, decoded: npt.NDArray[Any], stack: Stack) -> Point:
    """Compare a decoded stack with the original, both (C, H, W), and give it its rate."""
    comparer = Comparer(bands=len(stack))
    for top in range(0, stack.shape[1], _ROWS):
        rows = slice(top, top + _ROWS)
        comparer.add(stack[:, rows], decoded[:, rows])
    figures = comparer.result()
    return Point(
        setting=setting,
        bytes=size,
        bpppb=8 * size / stack.size,
        bpp=8 * size / stack[0].size,
        rmse=figures.total_rmse,
        rms_percent=100 * figures.total_rmse / REFLECTANCE_PEAK,
        psnr=figures.total_psnr,
        ms_ssim=multi_scale_similarity(
            middle_crop(decoded, _LARGEST), middle_crop(stack, _LARGEST)
        ),
        spectral_angle=figures.spectral_angle,
        ndvi_error=ndvi_error(decoded, stack),
    )


def multi_scale_similarity(decoded: npt.NDArray[Any], stack: Stack) -> float:
    """MS-SSIM (Wang et al. 2003) over five scales, mean of the bands.

    The Gaussian window has 11 samples, or as many as fit the coarsest scale of a small scene.
    """
    fitting = (min(stack.shape[1:]) - 1) // 2**_HALVINGS + 1
    window = min(_WINDOW, fitting - 1 + fitting % 2)
    with torch.inference_mode():
        scores = [
            ms_ssim(
                torch.from_numpy(band.astype(np.float32))[None, None],
                torch.from_numpy(original.astype(np.float32))[None, None],
                data_range=REFLECTANCE_PEAK,
                win_size=window,
            ).item()
            for band, original in zip(decoded, stack, strict=True)
        ]
    return float(np.mean(scores))


def ndvi_error(decoded: npt.NDArray[Any], stack: Stack) -> float:
    """Mean absolute error of NDVI, over pixels where B08 + B04 is above 0 before and after."""
    (before, usable), (after, usable_after) = _ndvi(stack), _ndvi(decoded)
    usable &= usable_after
    return float(np.abs(after - before)[usable].mean()) if usable.any() else float("nan")


def _ndvi(stack: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    near, red = (stack[MODEL_BANDS.index(name)].astype(np.float64) for name in ("B08", "B04"))
    total = near + red
    usable = total > 0
    return np.divide(near - red, total, out=np.zeros_like(total), where=usable), usable
