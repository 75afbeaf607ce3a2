"""The file-adaptive transform in front of the networks: lapped block transform and a spectral basis a frequency.

The bands of a multispectral stack are strongly correlated, and differently so in coarse structure than in detail: the
20 m bands of Sentinel-2 have no detail at 10 m. Of the coefficients of a block of 8 x 8 pixels
(:mod:`eocodec.block_transform`) those of frequency (u, v) belong to group max(u, v), and the bands of each group are
rotated to components of the group's own (:mod:`eocodec.spectral_fit`), which carry most of the energy in a
few planes and make what follows independent of the sensor. The rotations keep the size of an error.

What lies in a tile, water and forest say, is correlated differently too: a tile may sort its regions of 2 x 2 blocks
into classes with bases of their own. Group 0, whose coefficients are predicted from region to region, has one basis.

The bases travel with the tile, so that it decodes on its own: as the rotations (:mod:`eocodec.rotations`) that
turn the previous group's basis into a group's, the first from the bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK, inverse_block_transform
from eocodec.entropy import SymbolDecoder, SymbolEncoder, to_signed, to_unsigned
from eocodec.marks import read_marks, write_marks
from eocodec.rotations import decode_angles, encode_angles, rotated
from eocodec.rounding import to_dtype

DoubleArray = npt.NDArray[np.float64]

GROUPS = 8
CLASSES = 4
"""Classes of regions that a tile can tell apart."""
_ROWS, _COLUMNS = np.mgrid[:BLOCK, :BLOCK]
GROUP_OF = np.maximum(_ROWS, _COLUMNS).ravel()
"""Group of each of the 64 frequencies, counted row by row."""


_MEAN_LENGTHS = np.array([34, 31, 37, 38, 100, 210, 176, 281, 88, 16, 8, 8, 4] + 18 * [1], np.int32)
"""Counts of the lengths of band means as unbounded values."""

_BASIS_BITS = 13
"""Fractional bits of the integer matrices of the inverse."""
_COMPONENT_LIMIT, _BAND_LIMIT = 2.0**37, 2.0**35
"""Integer coefficients are clamped to these, so that no sum of products reaches 2**53."""

Float = TypeVar("Float", np.float32, np.float64)


@dataclass(frozen=True)
class SpectralTransform:
    """The spectral bases and the band means, as they are stored.

    Attributes
    ----------
    angles : int32 array (K, GROUPS, C (C - 1) / 2)
        For each class, the rotations of a group's basis against the group before; zero for group 0 of classes after
        the first, which has the first class's basis.
    mean : int64 array (C,)
        The band means, in units of ``mean_unit``.
    mean_unit : float
        In the data's unit.
    classes : uint8 array (h, w)
        Class of each region.
    """

    angles: npt.NDArray[np.int32]
    mean: npt.NDArray[np.int64]
    mean_unit: float
    classes: npt.NDArray[np.uint8]

    @cached_property
    def bases(self) -> DoubleArray:
        """The bases (K, GROUPS, C, C); ``bases[n, g, c, k]`` is the share of component k in band c."""
        first = rotated(np.eye(len(self.mean)), self.angles[0, 0])
        return np.stack([_chained(first, angles[1:]) for angles in self.angles])

    def apply(
        self, matrices: npt.NDArray[Float], coefficients: npt.NDArray[Float]
    ) -> npt.NDArray[Float]:
        """Multiply the coefficients (64, C, h, w) of each class and group by its matrix, of (K, GROUPS, C, C).

        There may be one of each kind a block, or one a region.
        """
        classes = self._classes_of(coefficients)
        flat = coefficients.reshape(*coefficients.shape[:2], -1)
        out = np.empty_like(flat)
        for group, part, product in zip(GROUP_OF, flat, out, strict=True):
            product[:] = _product(matrices[:, group], part, classes)
        return out.reshape(coefficients.shape)

    def of_class(self, candidates: Sequence[npt.NDArray[Float]]) -> npt.NDArray[Float]:
        """Put together (64, C, h, w) what lies in each class from the candidates of all; overwrites the first."""
        classes = self._classes_of(candidates[0]).reshape(candidates[0].shape[2:])
        return _by_class(candidates, classes)

    def _classes_of(self, coefficients: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Classes (h * w) of coefficients (64, C, h, w), one of each kind a block or a region."""
        side = coefficients.shape[-1] // self.classes.shape[-1]
        return self.classes.repeat(side, axis=0).repeat(side, axis=1).ravel()

    def inverse(
        self, coefficients: DoubleArray, unit: float, dtype: np.dtype[Any], stacked: int = 1
    ) -> npt.NDArray[Any]:
        """Coefficients of components (64, C, h, w) to the pixels of bands (C, 8 h, 8 w) in a raster's dtype.

        The coefficients are integers carried in float64, worth ``unit`` each in the data's unit. All sums
        are sums of integers below 2**53: the same on every machine.
        """
        matrices = np.rint(self.bases * 2**_BASIS_BITS)
        classes = self._classes_of(coefficients)
        flat = coefficients.reshape(*coefficients.shape[:2], -1)
        bands = np.empty_like(flat)
        for group, part, band in zip(GROUP_OF, flat, bands, strict=True):
            part = part.clip(-_COMPONENT_LIMIT, _COMPONENT_LIMIT)
            np.multiply(_product(matrices[:, group], part, classes), 2.0**-_BASIS_BITS, out=band)
            np.rint(band, out=band)
            np.clip(band, -_BAND_LIMIT, _BAND_LIMIT, out=band)
        means = self.mean * self.mean_unit
        planes = inverse_block_transform(bands.reshape(coefficients.shape), stacked)
        rounded = [
            to_dtype(plane * unit + mean, dtype)
            for plane, mean in zip(planes, means.tolist(), strict=True)
        ]
        return np.stack(rounded)

    def encode(self, coder: SymbolEncoder) -> None:
        """Write means, angles and classes to a range coder."""
        coder.encode_unbounded(to_unsigned(self.mean), _MEAN_LENGTHS)
        bands, number = len(self.mean), len(self.angles)
        if bands == 1:
            return
        coder.encode_uniform(np.array([number - 1]), CLASSES)
        rows = np.concatenate([self.angles[0], *self.angles[1:, 1:]])
        encode_angles(coder, rows, _groups(number), bands)
        for least in range(1, number):
            write_marks(coder, self.classes >= least)

    @classmethod
    def decode(
        cls, coder: SymbolDecoder, bands: int, mean_unit: float, regions: tuple[int, int]
    ) -> SpectralTransform:
        """Read what :meth:`encode` wrote, for so many rows and columns of regions.

        Raises
        ------
        FormatError
            The bytes are invalid.
        """
        mean = to_signed(coder.decode_unbounded(bands, _MEAN_LENGTHS))
        classes = np.zeros(regions, np.uint8)
        if bands == 1:
            return cls(np.zeros((1, GROUPS, 0), np.int32), mean, mean_unit, classes)
        number = int(coder.decode_uniform(np.array([CLASSES]))[0]) + 1
        rows = decode_angles(coder, _groups(number), bands)
        angles = np.zeros((number, GROUPS, rows.shape[1]), np.int32)
        angles[0] = rows[:GROUPS]
        angles[1:, 1:] = rows[GROUPS:].reshape(angles[1:, 1:].shape)
        for _ in range(1, number):
            classes += read_marks(coder, regions)
        return cls(angles, mean, mean_unit, classes)


def _groups(classes: int) -> npt.NDArray[np.int32]:
    """Groups of the bases that are stored, in order."""
    return np.array([*range(GROUPS), *[*range(1, GROUPS)] * (classes - 1)], np.int32)


def _chained(first: DoubleArray, angles: npt.NDArray[np.int32]) -> DoubleArray:
    """The bases of the groups (1 + n, C, C) from that of group 0 and the angles of the n others."""
    bases = [first]
    for row in angles:
        bases.append(rotated(bases[-1], row))
    return np.stack(bases)


def _product(
    matrices: npt.NDArray[Float], part: npt.NDArray[Float], classes: npt.NDArray[np.uint8]
) -> npt.NDArray[Float]:
    """Multiply the coefficients (C, N) of one frequency by the matrix of their class, of (K, C, C)."""
    return _by_class((matrix @ part for matrix in matrices), classes)


def _by_class(
    candidates: Iterable[npt.NDArray[Float]], classes: npt.NDArray[np.uint8]
) -> npt.NDArray[Float]:
    """Put together what lies in each class from the candidates of all; overwrites the first."""
    remaining = iter(candidates)
    out = next(remaining)
    for number, candidate in enumerate(remaining, 1):
        np.copyto(out, candidate, where=classes == number)
    return out
