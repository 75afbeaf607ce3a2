"""The file-adaptive transform in front of the networks: lapped block transform and a spectral basis a frequency.

The bands of a multispectral stack are strongly correlated, and differently so in coarse structure than in detail: the
20 m bands of Sentinel-2 have no detail at 10 m. Of the coefficients of a block of 8 x 8 pixels
(:mod:`eocodec.block_transform`) those of frequency (u, v) belong to group max(u, v), and the bands of each group are
rotated to the group's own principal components (Karhunen-Loève transform, KLT), which carry most of the energy in a
few planes and make what follows independent of the sensor. The rotations keep the size of an error.

A basis travels with the tile, so that a tile decodes on its own: as the angles of the plane rotations (Givens) that
turn the previous group's basis into it, the first from the bands. An angle is ``2 atan(k / 128)``, stored as k. The
angles of a group fix its components one by one; only those of the leading components that pay for them are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK, block_transform, inverse_block_transform
from eocodec.entropy import SymbolDecoder, SymbolEncoder, to_signed, to_unsigned
from eocodec.errors import FormatError
from eocodec.rounding import to_dtype

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

GROUPS = 8
ANGLE_UNIT = 128
"""Tangents of half angles are stored in units of 1 / ANGLE_UNIT; none exceeds 1."""
LENGTH_COUNTS = (
    np.array([38, 58, 62, 90, 120, 150, 190, 240, 60], np.int32),
    np.array([410, 250, 190, 130, 110, 80, 50, 26, 6], np.int32),
)
"""Counts of the number of binary digits (0 to 8) of |k|: for the first group coded, for the others."""


_ROWS, _COLUMNS = np.mgrid[:BLOCK, :BLOCK]
GROUP_OF = np.maximum(_ROWS, _COLUMNS).ravel()
"""Group of each of the 64 frequencies, counted row by row."""


_BASIS_BITS = 13
"""Fractional bits of the integer matrices of the inverse."""
_COMPONENT_LIMIT, _BAND_LIMIT = 2.0**37, 2.0**35
"""Integer coefficients are clamped to these, so that no sum of products reaches 2**53."""


def group_covariances(coefficients: FloatArray) -> DoubleArray:
    """Second moments over the coefficients (64, C, h, w) of each group, (GROUPS, C, C)."""
    count = coefficients.shape[1]
    flat = coefficients.reshape(BLOCK * BLOCK, count, -1)
    products = (flat @ flat.transpose(0, 2, 1)).astype(np.float64) / flat.shape[2]
    return np.stack([products[group == GROUP_OF].mean(axis=0) for group in range(GROUPS)])


def principal_bases(covariances: DoubleArray) -> DoubleArray:
    """Principal components (…, GROUPS, C, C) as columns, by falling variance.

    The sign of a component is the one that agrees with the group before.
    """
    bases = np.linalg.eigh(covariances)[1][..., ::-1].copy()
    for group in range(GROUPS):
        here = bases[..., group, :, :]
        before = bases[..., group - 1, :, :] if group else np.eye(here.shape[-1])
        alike = (here * before).sum(axis=-2, keepdims=True)
        here *= np.where(alike < 0, -1, 1)
    return bases


def _rotate_columns(matrix: DoubleArray, first: int, second: int, tangent: float) -> None:
    """Rotate two columns in place by the angle whose half has this tangent.

    Products and sums only, in this order: the same on every machine.
    """
    whole = 1 + tangent * tangent
    cosine, sine = (1 - tangent * tangent) / whole, 2 * tangent / whole
    one, two = matrix[:, first].copy(), matrix[:, second].copy()
    matrix[:, first] = cosine * one + sine * two
    matrix[:, second] = cosine * two - sine * one


def _planes(count: int) -> list[tuple[int, int]]:
    """The planes of rotation, in order."""
    return [(c, r) for c in range(count) for r in range(count - 1, c, -1)]


def angles_between(before: DoubleArray, basis: DoubleArray) -> npt.NDArray[np.int32]:
    """Stored angles of the rotations that turn ``before`` into ``basis``, up to the signs of its columns."""
    left = (before.T @ basis).T.copy()
    angles = []
    for column, row in _planes(len(left)):
        angle = np.arctan2(left[column, row], left[column, column])
        angle -= np.pi * np.rint(angle / np.pi)
        angles.append(int(np.rint(np.tan(angle / 2) * ANGLE_UNIT)))
        _rotate_columns(left, column, row, angles[-1] / ANGLE_UNIT)
    return np.array(angles, np.int32)


def angle_count(bands: int, components: int) -> int:
    """Number of angles that fix the leading components."""
    return components * (2 * bands - components - 1) // 2


def rotated(before: DoubleArray, angles: npt.NDArray[np.int32]) -> DoubleArray:
    """Apply stored angles to a basis."""
    out = before.copy()
    for (column, row), angle in zip(_planes(len(out)), angles.tolist(), strict=True):
        if angle:
            _rotate_columns(out, column, row, angle / ANGLE_UNIT)
    return out


def _bits(angles: npt.NDArray[np.int32]) -> float:
    """About what angles cost."""
    return float((2 * np.log2(1 + np.abs(angles)) + 1).sum())


def _worthwhile(
    before: DoubleArray,
    angles: npt.NDArray[np.int32],
    covariance: DoubleArray,
    samples: int,
    noise: float,
) -> tuple[int, DoubleArray]:
    """Number of leading components whose angles save more bits than they cost, and the basis that these give."""
    bands = len(before)
    basis, best, found, kept = before.copy(), 0.0, 0, before
    start = np.log2(_spread(basis, covariance) + noise**2).sum()
    for components in range(1, bands):
        low, high = angle_count(bands, components - 1), angle_count(bands, components)
        for (column, row), angle in zip(
            _planes(bands)[low:high], angles[low:high].tolist(), strict=True
        ):
            _rotate_columns(basis, column, row, angle / ANGLE_UNIT)
        now = np.log2(_spread(basis, covariance) + noise**2).sum()
        saved = 0.5 * samples * float(start - now) - _bits(angles[:high])
        if saved > best:
            best, found, kept = saved, components, basis.copy()
    return found, kept


def _spread(basis: DoubleArray, covariance: DoubleArray) -> DoubleArray:
    """Variances (C,) of the components."""
    spread: DoubleArray = ((covariance @ basis) * basis).sum(axis=0).clip(1e-6)
    return spread


@dataclass(frozen=True)
class SpectralTransform:
    """The spectral bases and the band means, as they are stored.

    Attributes
    ----------
    angles : int32 array (GROUPS, C (C - 1) / 2)
        Rotations of each group's basis against the group before.
    mean : int64 array (C,)
        The band means, in units of ``mean_unit``.
    mean_unit : float
        In the data's unit.
    """

    angles: npt.NDArray[np.int32]
    mean: npt.NDArray[np.int64]
    mean_unit: float

    @classmethod
    def fit(
        cls, pixels: FloatArray, mean_unit: float = 1.0, noise: float = 0.0, stacked: int = 1
    ) -> tuple[SpectralTransform, FloatArray]:
        """Fit the transform to the pixels (C, H, W) of a tile; H and W are multiples of 8.

        A group keeps of the basis before what its own would not pay for, with coefficients coded to an error
        of about ``noise``. ``stacked`` is that of :func:`block_transform`. Also returns the coefficients of the
        components (64, C, H/8, W/8).
        """
        count = len(pixels)
        mean = np.rint(pixels.mean(axis=(1, 2), dtype=np.float64) / mean_unit).astype(np.int64)
        centre = (mean * mean_unit).astype(np.float32)
        coefficients = block_transform(pixels - centre[:, None, None], stacked)
        covariances = group_covariances(coefficients)
        targets = principal_bases(covariances)
        angles = np.zeros((GROUPS, angle_count(count, count)), np.int32)
        before = np.eye(count)
        for group in range(GROUPS):
            wanted = angles_between(before, targets[group])
            samples = coefficients[0, 0].size * int((group == GROUP_OF).sum())
            components, before = _worthwhile(before, wanted, covariances[group], samples, noise)
            kept = angle_count(count, components)
            angles[group, :kept] = wanted[:kept]
        transform = cls(angles, mean, mean_unit)
        return transform, transform.rotate(coefficients)

    @cached_property
    def bases(self) -> DoubleArray:
        """The bases (GROUPS, C, C); ``bases[g, c, k]`` is the share of component k in band c."""
        bases, before = [], np.eye(len(self.mean))
        for angles in self.angles:
            before = rotated(before, angles)
            bases.append(before)
        return np.stack(bases)

    def rotate(self, coefficients: FloatArray) -> FloatArray:
        """Coefficients of bands to those of components, both (64, C, h, w)."""
        return apply_bases(self.bases.transpose(0, 2, 1).astype(np.float32), coefficients)

    def inverse(
        self, coefficients: DoubleArray, unit: float, dtype: np.dtype[Any], stacked: int = 1
    ) -> npt.NDArray[Any]:
        """Coefficients of components (64, C, h, w) to the pixels of bands (C, 8 h, 8 w) in a raster's dtype.

        The coefficients are integers carried in float64, worth ``unit`` each in the data's unit. All sums
        are sums of integers below 2**53: the same on every machine.
        """
        matrices = np.rint(self.bases * 2**_BASIS_BITS)
        bands = apply_bases(matrices, coefficients.clip(-_COMPONENT_LIMIT, _COMPONENT_LIMIT))
        bands *= 2.0**-_BASIS_BITS
        np.rint(bands, out=bands)
        np.clip(bands, -_BAND_LIMIT, _BAND_LIMIT, out=bands)
        planes = inverse_block_transform(bands, stacked)
        planes *= unit
        planes += (self.mean * self.mean_unit)[:, None, None]
        return to_dtype(planes, dtype)

    def encode(self, coder: SymbolEncoder) -> None:
        """Write means and angles to a range coder."""
        coder.encode_unbounded(to_unsigned(self.mean))
        bands = len(self.mean)
        components = [self._components(angles) for angles in self.angles]
        if bands > 1:
            coder.encode_uniform(np.array(components), bands)
        used = [a[: angle_count(bands, k)] for a, k in zip(self.angles, components, strict=True)]
        for number, angles in enumerate(a for a in used if a.size):
            magnitude = np.abs(angles)
            lengths = np.frexp(magnitude.astype(np.float64))[1].astype(np.int32)
            coder.encode(lengths, LENGTH_COUNTS[min(number, 1)])
            coded = magnitude > 0
            low = magnitude[coded] - (1 << (lengths[coded] - 1))
            coder.encode_uniform(2 * low + (angles[coded] < 0), 1 << lengths[coded])

    def _components(self, angles: npt.NDArray[np.int32]) -> int:
        """Leading components that the angles of a group fix; the others have none."""
        last = int(np.flatnonzero(angles)[-1]) + 1 if angles.any() else 0
        bands = len(self.mean)
        return next(k for k in range(bands) if angle_count(bands, k) >= last)

    @classmethod
    def decode(cls, coder: SymbolDecoder, bands: int, mean_unit: float) -> SpectralTransform:
        """Read what :meth:`encode` wrote.

        Raises
        ------
        FormatError
            An angle is out of range.
        """
        mean = to_signed(coder.decode_unbounded(bands))
        components = np.zeros(GROUPS, np.int32)
        if bands > 1:
            components = coder.decode_uniform(np.full(GROUPS, bands))
        angles = np.zeros((GROUPS, angle_count(bands, bands)), np.int32)
        for number, group in enumerate(np.flatnonzero(components)):
            count = angle_count(bands, int(components[group]))
            lengths = coder.decode(count, LENGTH_COUNTS[min(number, 1)])
            coded = lengths > 0
            low = coder.decode_uniform(1 << lengths[coded])
            magnitude = (low >> 1) + (1 << (lengths[coded] - 1))
            if magnitude.max(initial=0) > ANGLE_UNIT:
                raise FormatError("a spectral rotation is out of range")
            angles[group, :count][coded] = np.where(low & 1, -magnitude, magnitude)
        return cls(angles, mean, mean_unit)


Float = TypeVar("Float", np.float32, np.float64)


def apply_bases(
    matrices: npt.NDArray[Float], coefficients: npt.NDArray[Float]
) -> npt.NDArray[Float]:
    """Multiply the coefficients (64, C, h, w) of each group by its matrix, of (GROUPS, C, C)."""
    flat = coefficients.reshape(*coefficients.shape[:2], -1)
    out: npt.NDArray[Float] = np.matmul(matrices[GROUP_OF], flat).reshape(coefficients.shape)
    return out
