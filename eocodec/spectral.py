"""The file-adaptive spectral transform: a quantised Karhunen-Loève basis a tile.

The bands of a multispectral stack are strongly correlated. Their own principal components
(Karhunen-Loève transform, KLT) carry most of the energy in a few planes and make what follows
independent of the sensor. The basis travels with the tile as 8-bit integers, so that a tile decodes on
its own; the encoder inverts the *quantised* basis, so quantising it costs no accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.errors import FormatError

FloatArray = npt.NDArray[np.float32]

BASIS_SCALE = 127
"""Integer value that stands for 1.0 in a stored basis."""


@dataclass(frozen=True)
class SpectralTransform:
    """A spectral basis and the band means, both as they are stored.

    Attributes
    ----------
    basis : int8 array (C, C)
        ``basis[c, k] / 127`` is the share of component k in band c; components by falling variance.
    mean : float32 array (C,)
        The band means, in the data's unit.
    """

    basis: npt.NDArray[np.int8]
    mean: FloatArray

    @classmethod
    def fit(cls, pixels: FloatArray) -> SpectralTransform:
        """Fit the transform to the pixels (C, H, W) of a tile."""
        bands = pixels.shape[0]
        flat = pixels.reshape(bands, -1).astype(np.float64)
        mean = flat.mean(axis=1).astype(np.float32)
        centred = flat - mean[:, None]
        _, vectors = np.linalg.eigh(centred @ centred.T / flat.shape[1])
        vectors = vectors[:, ::-1]
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, np.arange(bands)])
        basis = np.rint(vectors * BASIS_SCALE).astype(np.int8)
        if np.linalg.matrix_rank(basis.astype(np.float64)) < bands:
            basis = (np.eye(bands) * BASIS_SCALE).astype(np.int8)
        return cls(basis, mean)

    def forward(self, pixels: FloatArray) -> FloatArray:
        """Bands (C, H, W) to components (C, H, W)."""
        inverse = np.linalg.inv(self.basis.astype(np.float64) / BASIS_SCALE)
        flat = pixels.reshape(len(self.mean), -1) - self.mean[:, None]
        return (inverse.astype(np.float32) @ flat).reshape(pixels.shape)

    def inverse(self, components: FloatArray) -> FloatArray:
        """Components (C, H, W) back to bands (C, H, W)."""
        forward: FloatArray = (self.basis / np.float32(BASIS_SCALE)).astype(np.float32)
        flat: FloatArray = forward @ components.reshape(len(self.mean), -1)
        flat += self.mean[:, None]
        return flat.reshape(components.shape)

    def to_bytes(self) -> bytes:
        """Serialise: the means as little-endian float32, then the basis row by row as int8."""
        return self.mean.astype("<f4").tobytes() + self.basis.tobytes()

    @staticmethod
    def stored_size(bands: int) -> int:
        """Bytes that :meth:`to_bytes` gives for a number of bands."""
        return bands * 4 + bands * bands

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
        basis = np.frombuffer(data[bands * 4 :], np.int8).reshape(bands, bands)
        return cls(basis, mean)
