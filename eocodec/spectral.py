"""The file-adaptive spectral transform: two quantised Karhunen-Loève bases a tile.

The bands of a multispectral stack are strongly correlated, and differently so in coarse structure than in detail: the
20 m bands of Sentinel-2 have no detail at 10 m. Every block of 8 x 8 pixels is split into its lowest 3 x 3 cosine
frequencies and the rest; each part is rotated to its own principal components (Karhunen-Loève transform, KLT), which
carry most of the energy in a few planes and make what follows independent of the sensor. The transform is orthonormal
but for the rounding of the bases. They travel with the tile as 8-bit integers, so that a tile decodes on its own; the
encoder inverts the *quantised* bases, so quantising them costs no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError

FloatArray = npt.NDArray[np.float32]

BASIS_SCALE = 127
"""Integer value that stands for 1.0 in a stored basis."""
BLOCK = 8
COARSE = 3
"""Cosine frequencies per axis that count as coarse structure."""
PARTS = 2


def _coarse_projection() -> FloatArray:
    """Projection of eight samples onto their lowest cosine frequencies, (8, 8)."""
    frequency = np.arange(COARSE)[:, None]
    basis = np.cos(np.pi * (np.arange(BLOCK) + 0.5) * frequency / BLOCK) * np.sqrt(2 / BLOCK)
    basis[0] /= np.sqrt(2)
    projection: FloatArray = (basis.T @ basis).astype(np.float32)
    return projection


_PROJECTION = _coarse_projection()


def coarse_part(planes: FloatArray) -> FloatArray:
    """Project each 8 x 8 block of planes (C, H, W) onto its lowest 3 x 3 cosine frequencies."""
    count, height, width = planes.shape
    across = planes.reshape(-1, BLOCK) @ _PROJECTION
    columns = across.reshape(count, height // BLOCK, BLOCK, width)
    out: FloatArray = (_PROJECTION @ columns).reshape(planes.shape)
    return out


@dataclass(frozen=True)
class SpectralTransform:
    """The spectral bases and the band means, as they are stored.

    Attributes
    ----------
    bases : int8 array (2, C, C)
        Of the coarse part and of the rest. ``bases[p, c, k] / 127`` is the share of component k in
        band c; components by falling variance.
    mean : float32 array (C,)
        The band means, in the data's unit.
    """

    bases: npt.NDArray[np.int8]
    mean: FloatArray

    @classmethod
    def fit(cls, pixels: FloatArray) -> SpectralTransform:
        """Fit the transform to the pixels (C, H, W) of a tile; H and W are multiples of 8."""
        mean = pixels.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        centred = pixels - mean[:, None, None]
        coarse = coarse_part(centred)
        return cls(np.stack([_principal_basis(coarse), _principal_basis(centred - coarse)]), mean)

    def forward(self, pixels: FloatArray) -> FloatArray:
        """Bands to components, both (C, H, W) with H and W multiples of 8."""
        matrices = np.linalg.inv(self.bases.astype(np.float64) / BASIS_SCALE).astype(np.float32)
        return _rotate(matrices, pixels - self.mean[:, None, None])

    def inverse(self, components: FloatArray) -> FloatArray:
        """Components back to bands, both (C, H, W) with H and W multiples of 8."""
        matrices: FloatArray = (self.bases / np.float32(BASIS_SCALE)).astype(np.float32)
        pixels = _rotate(matrices, components)
        pixels += self.mean[:, None, None]
        return pixels

    def to_bytes(self) -> bytes:
        """Serialise: the means as little-endian float32, then the bases row by row as int8."""
        return self.mean.astype("<f4").tobytes() + self.bases.tobytes()

    @staticmethod
    def stored_size(bands: int) -> int:
        """Bytes that :meth:`to_bytes` gives for a number of bands."""
        return bands * 4 + PARTS * bands * bands

    @classmethod
    def from_bytes(cls, data: bytes, bands: int) -> SpectralTransform:
        """Parse what :meth:`to_bytes` gave.

        Raises
        ------
        FormatError
            The length is wrong or a mean is not finite.
        """
        if len(data) != cls.stored_size(bands):
            raise FormatError(f"spectral transform of {len(data)} bytes for {bands} bands")
        mean = np.frombuffer(data[: bands * 4], "<f4").astype(np.float32)
        if not np.isfinite(mean).all():
            raise FormatError("spectral transform with a mean that is not finite")
        bases = np.frombuffer(data[bands * 4 :], np.int8).reshape(PARTS, bands, bands)
        return cls(bases, mean)


def _rotate(matrices: FloatArray, planes: FloatArray) -> FloatArray:
    """Multiply the coarse part of planes (C, H, W) and the rest each by its matrix (C, C)."""
    coarse = coarse_part(planes)
    count = len(planes)
    out = matrices[0] @ coarse.reshape(count, -1)
    out += matrices[1] @ (planes - coarse).reshape(count, -1)
    rotated: FloatArray = out.reshape(planes.shape)
    return rotated


def _principal_basis(planes: FloatArray) -> npt.NDArray[np.int8]:
    """Principal components of centred planes (C, H, W), quantised (C, C)."""
    bands = len(planes)
    flat = planes.reshape(bands, -1).astype(np.float64)
    _, vectors = np.linalg.eigh(flat @ flat.T / flat.shape[1])
    vectors = vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(bands)])
    basis: npt.NDArray[np.int8] = np.rint(vectors * BASIS_SCALE).astype(np.int8)
    if np.linalg.matrix_rank(basis.astype(np.float64)) < bands:
        basis = (np.eye(bands) * BASIS_SCALE).astype(np.int8)
    return basis
