"""How far a decoded raster is from the original, counted on valid pixels only.

All sums are accumulated in float64, block by block, so that a raster of any size is compared in
bounded memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eocodec.bounds import ErrorBounds
from eocodec.errors import InputError

REFLECTANCE_PEAK = 10000.0
"""PSNR peak in DN: reflectance 1.0 of a Sentinel-2 product."""


@dataclass(frozen=True)
class Comparison:
    """Distortion between two rasters.

    Attributes
    ----------
    rmse : tuple of float
        Root-mean-square error of each band, in the unit of the samples (DN); NaN for a band
        without valid pixels.
    psnr : tuple of float
        Peak signal-to-noise ratio of each band in dB, for `peak`; infinite for equal bands. Those of
        different peaks are not comparable.
    max_error : tuple of float
        Largest absolute error of each band; infinite where an infinity became another value.
    valid_pixels : tuple of int
        Valid samples of each band, which the figures above are counted on.
    total_rmse, total_psnr : float
        The same over all valid samples of all bands.
    spectral_angle : float
        Mean angle in degrees between the band vectors of the two rasters, over the pixels valid in
        every band; NaN for a single band or where no pixel counts.
    invalid_mismatches : int
        Samples that are invalid in one raster and not, or not the same value, in the other; 0 for
        an intact nodata mask.
    peak : float
        Peak of the PSNR.
    """

    rmse: tuple[float, ...]
    psnr: tuple[float, ...]
    max_error: tuple[float, ...]
    valid_pixels: tuple[int, ...]
    total_rmse: float
    total_psnr: float
    spectral_angle: float
    invalid_mismatches: int
    peak: float


def psnr_of(rmse: float, peak: float = REFLECTANCE_PEAK) -> float:
    """Peak signal-to-noise ratio in dB of a root-mean-square error.

    Infinite for 0, the reverse for infinity; NaN where an error has a peak of 0.
    """
    if rmse == 0:
        return float("inf")
    if peak == 0:
        return float("nan")
    if rmse == float("inf"):
        return float("-inf")
    return float(20 * np.log10(peak / rmse))


@dataclass
class Comparer:
    """Accumulates the distortion between two rasters, block by block.

    Whole numbers are subtracted exactly, those of 64 bits too.

    Parameters
    ----------
    bands : int
        Number of bands of both rasters.
    nodata : float or None
        Value of invalid samples in the reference; NaN samples are always invalid.
    peak : float
        Peak of the PSNR, in the unit of the samples.
    """

    bands: int
    nodata: float | None = None
    peak: float = REFLECTANCE_PEAK
    _squares: NDArray[np.float64] = field(init=False, repr=False)
    _max: NDArray[np.float64] = field(init=False, repr=False)
    _count: NDArray[np.int64] = field(init=False, repr=False)
    _angle_sum: float = field(default=0.0, init=False, repr=False)
    _angle_count: int = field(default=0, init=False, repr=False)
    _mismatches: int = field(default=0, init=False, repr=False)
    _extent: tuple[Any, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._squares = np.zeros(self.bands, np.float64)
        self._max = np.zeros(self.bands, np.float64)
        self._count = np.zeros(self.bands, np.int64)

    def add(
        self,
        reference: NDArray[np.generic],
        decoded: NDArray[np.generic],
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one block.

        Parameters
        ----------
        reference, decoded : ndarray, (C, H, W)
            The same block of the two rasters, C being `bands`.
        valid : ndarray of bool, (C, H, W) or (H, W), optional
            Samples that count, besides those that are neither NaN nor nodata.

        Raises
        ------
        InputError
            If the shapes differ.
        """
        if reference.shape != decoded.shape or reference.shape[0] != self.bands:
            raise InputError(
                f"cannot compare blocks of shapes {reference.shape} and {decoded.shape} "
                f"({self.bands} bands expected): they must be equal"
            )
        invalid = equals(reference, self.nodata) | (reference != reference)
        lost = decoded != decoded
        same = (reference == decoded) | (lost & (reference != reference))
        other_invalid = equals(decoded, self.nodata) | lost
        self._mismatches += int(np.count_nonzero((invalid | other_invalid) & ~same))
        counts: NDArray[np.bool_] = ~invalid
        if valid is not None:
            counts &= valid
        self._extend(reference, counts)
        counts &= ~lost
        error = distance(reference, decoded)
        error[same | ~counts] = 0
        axes = (1, 2)
        with np.errstate(over="ignore"):
            self._squares += np.square(error).sum(axis=axes)
        self._max = np.maximum(self._max, error.max(axis=axes, initial=0.0))
        self._count += np.count_nonzero(counts, axis=axes)
        if self.bands > 1:
            both = np.logical_and.reduce(counts, axis=0)
            with np.errstate(over="ignore", invalid="ignore"):
                self._add_angles(
                    reference[:, both].astype(np.float64), decoded[:, both].astype(np.float64)
                )

    @property
    def extent(self) -> tuple[int | float, int | float] | None:
        """Least and largest finite valid sample of the reference in all bands; None without any."""
        return self._extent

    def _extend(self, reference: NDArray[np.generic], counts: NDArray[np.bool_]) -> None:
        finite = counts & np.isfinite(reference)
        samples: NDArray[Any] = reference[finite]
        if samples.size:
            low, high = samples.min().item(), samples.max().item()
            known = self._extent
            self._extent = (
                (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
            )

    def _add_angles(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        norms = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
        usable = (norms[0] > 0) & (norms[1] > 0) & np.isfinite(norms[0]) & np.isfinite(norms[1])
        a, b = a[:, usable] / norms[0][usable], b[:, usable] / norms[1][usable]
        # Kahan: accurate for tiny angles, where arccos of the dot product is not.
        angles = 2 * np.arctan2(np.linalg.norm(a - b, axis=0), np.linalg.norm(a + b, axis=0))
        self._angle_sum += float(np.degrees(angles).sum())
        self._angle_count += angles.size

    def result(self, peak: float | None = None) -> Comparison:
        """Return the distortion of all blocks counted so far.

        Parameters
        ----------
        peak : float, optional
            Peak of the PSNR, where it is only known now.
        """
        peak = self.peak if peak is None else peak
        with np.errstate(invalid="ignore", divide="ignore"):
            rmse = np.sqrt(self._squares / self._count)
        total = self._count.sum()
        total_rmse = float(np.sqrt(self._squares.sum() / total)) if total else float("nan")
        angle = self._angle_sum / self._angle_count if self._angle_count else float("nan")
        return Comparison(
            rmse=tuple(rmse.tolist()),
            psnr=tuple(psnr_of(value, peak) for value in rmse.tolist()),
            max_error=tuple(np.where(self._count > 0, self._max, np.nan).tolist()),
            valid_pixels=tuple(self._count.tolist()),
            total_rmse=total_rmse,
            total_psnr=psnr_of(total_rmse, peak),
            spectral_angle=angle,
            invalid_mismatches=self._mismatches,
            peak=peak,
        )


def compare(
    reference: NDArray[np.generic],
    decoded: NDArray[np.generic],
    *,
    nodata: float | None = None,
    peak: float = REFLECTANCE_PEAK,
) -> Comparison:
    """Compare two arrays of shape (C, H, W) or (H, W).

    Parameters
    ----------
    reference, decoded : ndarray
        The original and the decoded raster, of equal shape and any real dtype.
    nodata : float, optional
        Value of invalid samples in the reference; NaN samples are always invalid.
    peak : float
        Peak of the PSNR; 10000 DN, reflectance 1.0, by default.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the shapes differ or are not (C, H, W) or (H, W).
    """
    if reference.ndim == 2 and decoded.ndim == 2:
        reference, decoded = reference[None], decoded[None]
    if reference.ndim != 3:
        raise InputError(f"expected arrays of shape (C, H, W) or (H, W), got {reference.shape}")
    comparer = Comparer(bands=reference.shape[0], nodata=nodata, peak=peak)
    comparer.add(reference, decoded)
    return comparer.result()


def distance(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return the absolute difference of samples; of whole numbers exactly, then rounded.

    The largest difference of two floating-point numbers may be infinite; infinities and NaN give NaN where
    it is not defined.
    """
    apart: NDArray[np.float64]
    if one.dtype.kind in "iu" and other.dtype.kind in "iu":
        common = np.result_type(one, other)
        if common.kind == "f":  # int64 and uint64
            return _distance_of_signs(one, other)
        one, other = one.astype(common, copy=False), other.astype(common, copy=False)
        # Modulo the word, the difference of the larger and the smaller is right as an unsigned integer.
        unsigned = np.dtype(f"u{common.itemsize}")
        larger, smaller = np.maximum(one, other), np.minimum(one, other)
        apart = (larger.view(unsigned) - smaller.view(unsigned)).astype(np.float64)
        return apart
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return apart


def _distance_of_signs(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    signed, plain = (one, other) if one.dtype.kind == "i" else (other, one)
    positive = np.maximum(signed, 0).astype(np.uint64)
    exact = (np.maximum(positive, plain) - np.minimum(positive, plain)).astype(np.float64)
    below: NDArray[np.float64] = np.minimum(signed, 0).astype(np.float64)
    apart: NDArray[np.float64] = exact - below
    return apart


def beyond(original: NDArray[Any], decoded: NDArray[Any], bounds: ErrorBounds) -> NDArray[np.bool_]:
    """Return where `decoded` is further from `original` than bounds of one band allow.

    What is NaN in one of them only is beyond.
    """
    within = distance(original, decoded) <= bounds.allowed_in(0, original)
    off: NDArray[np.bool_] = (original != decoded) & ~within
    return off


def equals(samples: NDArray[Any], value: float | None) -> NDArray[np.bool_]:
    """Return where samples are a special value, which a floating-point dtype rounds; nowhere for None."""
    nowhere: NDArray[np.bool_] = np.zeros(samples.shape, np.bool_)
    if value is None:
        return nowhere
    if samples.dtype.kind in "iu":
        # As an integer, so that none of 64 bits is rounded.
        if not math.isfinite(value) or value != int(value):
            return nowhere
        same: NDArray[np.bool_] = samples == int(value)
        return same
    with np.errstate(over="ignore"):
        rounded = samples.dtype.type(value)
    same = samples == rounded
    return same if np.isfinite(rounded) or not math.isfinite(value) else nowhere
