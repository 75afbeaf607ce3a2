"""The file's own Karhunen-Loève transform in front of a plane coder: the strongest classical recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bench.peers.base import PlaneCoder, Planes, Stack


@dataclass(frozen=True)
class KarhunenLoeve:
    """Rotation of the bands to their principal components, as it is stored.

    Attributes
    ----------
    basis : float16 array (C, C)
        Components in columns, by falling variance.
    mean : uint16 array (C,)
        Means of the bands, rounded to DN.
    """

    basis: npt.NDArray[np.float16]
    mean: npt.NDArray[np.uint16]

    @classmethod
    def fit(cls, stack: Stack) -> Self:
        """Fit to a stack (C, H, W)."""
        pixels = stack.reshape(len(stack), -1).astype(np.float64)
        _, vectors = np.linalg.eigh(np.cov(pixels))
        mean = np.rint(pixels.mean(axis=1)).astype(np.uint16)
        return cls(vectors[:, ::-1].astype(np.float16), mean)

    def forward(self, stack: Stack) -> Planes:
        """Bands to components; inverts the *stored* basis, so that its rounding costs nothing."""
        centred = stack.astype(np.float64) - self.mean[:, None, None]
        return _rotate(np.linalg.inv(self.basis.astype(np.float64)), centred)

    def inverse(self, components: Planes) -> Planes:
        """Components to bands."""
        return _rotate(self.basis.astype(np.float64), components) + self.mean[:, None, None]

    @staticmethod
    def size(bands: int) -> int:
        """Bytes of a stored transform."""
        return 2 * bands * bands + 2 * bands

    def to_bytes(self) -> bytes:
        """Return the bytes that travel with the components."""
        return self.basis.astype("<f2").tobytes() + self.mean.astype("<u2").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, bands: int) -> Self:
        """Read what `to_bytes` wrote."""
        basis = np.frombuffer(data, "<f2", bands * bands).reshape(bands, bands)
        return cls(basis, np.frombuffer(data, "<u2", bands, offset=basis.nbytes))


@dataclass(frozen=True)
class OverKlt:
    """A plane coder applied to the Karhunen-Loève components of the stack.

    The transform is orthonormal, so one error weight for all components minimises the error over all bands.
    """

    coder: PlaneCoder

    @property
    def name(self) -> str:
        """What tables and plots call it."""
        return f"{self.coder.name} + KLT"

    @property
    def settings(self) -> tuple[Any, ...]:
        """The coder's settings."""
        return self.coder.settings

    def encode(self, stack: Stack, setting: Any) -> bytes:
        """Encode a stack."""
        transform = KarhunenLoeve.fit(stack)
        return transform.to_bytes() + self.coder.encode(transform.forward(stack), setting)

    def decode(self, data: bytes, shape: tuple[int, ...]) -> Planes:
        """Decode."""
        transform = KarhunenLoeve.from_bytes(data, shape[0])
        return transform.inverse(self.coder.decode(data[transform.size(shape[0]) :], shape))


def _rotate(matrix: Planes, planes: Planes) -> Planes:
    return (matrix @ planes.reshape(len(planes), -1)).reshape(planes.shape)
