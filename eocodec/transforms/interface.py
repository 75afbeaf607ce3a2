"""What a transform is: features of patches, of decoded pixels or of the tokens of learned tiles.

A package adds its own with an entry point of the group ``eocodec.transforms`` that names a class, or a function
without arguments, whose call gives a :class:`PixelTransform` or :class:`TokenTransform`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class Transform(ABC):
    """Patches to features; the common part of both kinds.

    Attributes
    ----------
    name : str
        What it is called in Python and on the command line.
    description : str
        One line.
    patch : int
        Side of a patch in pixels, unless the user asks for another.
    stride : int or None
        Pixels from one patch to the next; None: as many as the patch has.
    model : str or None
        Id of the weights that it uses, kept with the features; None where there are none of its own.
    """

    name: str
    description: str
    patch: int = 64
    stride: int | None = None
    model: str | None = None

    @abstractmethod
    def names(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Name each of the D features of an array with these bands."""

    @abstractmethod
    def __call__(self, patches: FloatArray) -> FloatArray:
        """Patches (N, C, P, P) -> features (N, D); each patch has at least one valid place."""


class PixelTransform(Transform):
    """Features of decoded pixels, float32 (N, C, P, P).

    Where a sample of a pixel is nodata, NaN or outside the raster, all bands of the pixel are NaN.

    Attributes
    ----------
    bands : tuple of str
        The bands it needs, as B02 or B8A, in the order in which it gets them; empty: all that the
        array has, in its order.
    reflectance : bool
        Whether it takes physical values (sample * scale + offset, or DN / 10000 where the file tells
        neither), not samples.
    fills : bool
        Whether invalid pixels come as the mean of the valid ones of their patch and band, not as NaN.
    """

    bands: tuple[str, ...] = ()
    reflectance: bool = False
    fills: bool = False


class TokenTransform(Transform):
    """Features of what the first layers of a tile hold; no pixel is decoded, no other layer fetched.

    A tile gives a grid of cells; patches are squares of cells and may straddle tiles.

    Attributes
    ----------
    cell : int
        Side of a cell in pixels.
    layers : int
        How many layers of a tile are needed.
    """

    cell: ClassVar[int]
    layers: int

    @abstractmethod
    def cells(self, payload: memoryview) -> tuple[FloatArray, FloatArray] | None:
        """Head and first layers of a tile (C, H, W) -> values and valid shares of its cells.

        Values (S, ceil(H / cell), ceil(W / cell)) become patches (N, S, k, k), with NaN in cells without a valid
        pixel. The share counts pixels outside the tile as invalid. None for a tile without tokens.
        """
