"""Convolutions on integers, exact on every machine.

What feeds the entropy coder must agree between encoder and decoder to the last bit. Weights and activations are
small integers carried in float32; while every partial sum stays below 2**24 a float32 product or sum of them is
exact, so the order of summation, and with it the library, thread count and processor, does not matter.
A result is scaled back by one float32 multiplication and a rounding, both exactly defined by IEEE 754.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from eocodec.errors import ModelError

FloatArray = npt.NDArray[np.float32]

EXACT_LIMIT = 2**24

_COLUMN_FLOATS = 2**19
"""The neighbourhoods of so many inputs are laid out at once: it bounds the memory of a convolution."""

_MAPPED = 1024
"""Positions that the linear map takes at once, which stay in the processor's cache."""
_SPARSE = 0.1
"""A matrix with a smaller share of weights other than zero is multiplied as a sparse one."""
_NEGLIGIBLE = 1e-4
"""Weights below this become zero where that makes the inverse sparse."""

MEAN_LIMIT, SCALE_LIMIT = 32767, 96
"""Limits of the integers of the two token networks."""
LATENT_BITS, WEIGHT_BITS, COEFFICIENT_BITS = 10, 13, 12
"""Fractional bits of latents, weights of the linear map and coefficients, in network units."""
LATENT_LIMIT_BITS = 35
"""Fixed-point latents are clamped to 2**35."""


Values = TypeVar("Values", bound=np.generic)


def per_channel(values: npt.NDArray[Values], ndim: int) -> npt.NDArray[Values]:
    """Values (C,) in a shape that multiplies arrays (C, …) of so many axes channel by channel."""
    return values.reshape(-1, *[1] * (ndim - 1))


@dataclass(frozen=True)
class IntegerConv:
    """A convolution over two or three axes with zero padding, then ``clip(rint(sum * multiplier), low, high)``.

    Attributes
    ----------
    weight : int8 array (outputs, inputs, k, k) or (outputs, inputs, k, k, k), k being 1 or 3
    bias : int32 array (outputs,)
    multiplier : float32 array (outputs,)
    low, high : int
        Range of the output.
    """

    weight: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    multiplier: FloatArray
    low: int
    high: int

    @cached_property
    def _matrix(self) -> FloatArray:
        """Weights (outputs, taps * inputs)."""
        taps = np.moveaxis(self.weight, 1, -1).astype(np.float32)
        return taps.reshape(len(taps), -1)

    @cached_property
    def _offset(self) -> FloatArray:
        return self.bias.astype(np.float32)[:, None]

    def worst_sum(self, input_limit: int) -> int:
        """Largest magnitude that a partial sum can take for inputs up to ``input_limit``."""
        weight = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1)
        magnitude = weight.sum(axis=1) * input_limit
        return int((magnitude + np.abs(self.bias.astype(np.int64))).max())

    def check(self, input_limit: int) -> int:
        """Prove exactness for inputs up to ``input_limit``; return the limit of the output.

        Raises
        ------
        ModelError
            A partial sum could reach 2**24.
        """
        if self.worst_sum(input_limit) >= EXACT_LIMIT:
            raise ModelError(
                f"integer convolution may reach {self.worst_sum(input_limit)} >= 2**24"
            )
        return max(abs(self.low), abs(self.high))

    def __call__(self, x: FloatArray) -> FloatArray:
        """Apply to integers (inputs, h, w) or (inputs, d, h, w) carried in float32; the same for the result."""
        outputs, inputs = self.weight.shape[:2]
        if self.weight.shape[-1] == 1:
            total = self._matrix @ x.reshape(inputs, -1)
        else:
            total = self._neighbourhoods(x.reshape(inputs, -1, *x.shape[-2:]))
        total += self._offset
        total *= self.multiplier[:, None]
        np.rint(total, out=total)
        np.clip(total, self.low, self.high, out=total)
        return total.reshape(outputs, *x.shape[1:])

    def _neighbourhoods(self, x: FloatArray) -> FloatArray:
        """Sums (outputs, d * h * w) over the neighbourhoods of (inputs, d, h, w)."""
        inputs, depth, height, width = x.shape
        reach = self.weight.ndim - 4
        # In rows of width + 2 and slabs of height + 2, a shift of the grid is a shift of the flat array.
        row = width + 2
        slab = (height + 2) * row
        padded = np.zeros((inputs, (depth + 2 * reach) * slab + 2), np.float32)
        inner = padded[:, :-2].reshape(inputs, -1, height + 2, row)
        inner[:, reach : reach + depth, 1:-1, 1:-1] = x
        shifts = [
            deep * slab + down * row + right
            for deep in range(1 + 2 * reach)
            for down in range(3)
            for right in range(3)
        ]
        total = np.empty((len(self.weight), depth, height, width), np.float32)
        lines = max(1, _COLUMN_FLOATS // (len(shifts) * inputs * row))
        for level in range(depth):
            for top in range(0, height, lines):
                size = min(lines, height - top) * row
                columns = np.empty((len(shifts), inputs, size), np.float32)
                for shift, column in zip(shifts, columns, strict=True):
                    start = level * slab + top * row + shift
                    column[:] = padded[:, start : start + size]
                part = self._matrix @ columns.reshape(len(shifts) * inputs, -1)
                rows = part.reshape(len(part), -1, row)[:, :, :width]
                total[:, level, top : top + lines] = rows
        return total.reshape(len(total), -1)


def pixel_shuffle2(x: FloatArray) -> FloatArray:
    """(4 C, …, h, w) -> (C, …, 2h, 2w), in the order of torch's ``pixel_shuffle``."""
    channels, *deep, height, width = x.shape
    split = x.reshape(channels // 4, 2, 2, -1, width)
    shuffled: FloatArray = split.transpose(0, 3, 1, 4, 2)
    return shuffled.reshape(channels // 4, *deep, 2 * height, 2 * width)


@dataclass(frozen=True)
class TokenNetwork:
    """Token indices -> one plane a latent: its mean or its log-scale, in integers.

    Attributes
    ----------
    embedding : int16 array (stages, codes + 1, width)
        What each code adds to the first layer's sum (its bias is in stage 0); the last row is zero.
    spatial, expand, project : IntegerConv
        With neighbours at token resolution; 1x1 before the pixel shuffle; 1x1 at latent resolution.
    """

    embedding: npt.NDArray[np.int16]
    spatial: IntegerConv
    expand: IntegerConv
    project: IntegerConv

    def check(self) -> None:
        """Prove exactness of every layer (raises ModelError)."""
        limit = self.expand.check(self.spatial.check(255))
        self.project.check(limit)

    def __call__(self, indices: npt.NDArray[np.int32]) -> FloatArray:
        """Indices of the first stages (k, …, h, w) -> integers (latents, …, 2h, 2w) carried in float32.

        An index one past the codebook adds nothing.
        """
        total = sum(
            table[index].astype(np.int32)
            for table, index in zip(self.embedding, indices, strict=False)
        )
        x = np.clip(np.moveaxis(np.asarray(total), -1, 0), 0, 255).astype(np.float32)
        return self.project(pixel_shuffle2(self.expand(self.spatial(x))))


@dataclass(frozen=True)
class LinearMap:
    """Latents -> coefficients: a matrix of integers times fixed-point latents, exact in float64.

    Attributes
    ----------
    weight : int16 array (samples, latents)
        In units of 2**-WEIGHT_BITS; where most are zero, the others alone are multiplied.
    """

    weight: npt.NDArray[np.int16]

    def check(self) -> None:
        """Prove exactness (raises ModelError)."""
        worst = int(np.abs(self.weight.astype(np.int64)).sum(axis=1).max()) << LATENT_LIMIT_BITS
        if worst >= 2**53:
            raise ModelError(f"the linear map may reach {worst} >= 2**53")

    @cached_property
    def _matrix(self) -> Any:
        return _sparse_if_it_pays(self.weight.astype(np.float64))

    @cached_property
    def _inverse(self) -> Any:
        inverse = np.linalg.pinv(self.weight * 2.0**-WEIGHT_BITS).astype(np.float32)
        pruned = _sparse_if_it_pays(np.where(np.abs(inverse) < _NEGLIGIBLE, 0, inverse))
        return inverse if isinstance(pruned, np.ndarray) else pruned

    def __call__(self, latents: FloatArray) -> npt.NDArray[np.float64]:
        """Latents (L, …, h, w) in network units -> coefficients (samples, …, h, w) in units of 2**-COEFFICIENT_BITS."""
        flat = latents.reshape(len(latents), -1)
        limit = 2.0**LATENT_LIMIT_BITS
        total = np.empty((len(self.weight), flat.shape[1]))
        for part in _parts(flat.shape[1]):
            fixed = np.rint(flat[:, part].astype(np.float64) * 2.0**LATENT_BITS)
            np.clip(fixed, -limit, limit, out=fixed)
            product = self._matrix @ fixed
            product *= 2.0 ** (COEFFICIENT_BITS - LATENT_BITS - WEIGHT_BITS)
            np.rint(product, out=total[:, part])
        return total.reshape(-1, *latents.shape[1:])

    def invert(self, coefficients: FloatArray) -> FloatArray:
        """Coefficients (samples, …, h, w) -> latents (L, …, h, w) nearest to them (least squares), in network units."""
        flat = coefficients.reshape(len(coefficients), -1)
        latents = np.empty((self.weight.shape[1], flat.shape[1]), np.float32)
        for part in _parts(flat.shape[1]):
            latents[:, part] = self._inverse @ np.ascontiguousarray(flat[:, part])
        return latents.reshape(-1, *coefficients.shape[1:])


def _parts(positions: int) -> Iterator[slice]:
    for start in range(0, positions, _MAPPED):
        yield slice(start, start + _MAPPED)


def _sparse_if_it_pays(matrix: npt.NDArray[Any]) -> Any:
    """Return the matrix as a sparse one where most of it is zero."""
    return csr_array(matrix) if np.count_nonzero(matrix) < _SPARSE * matrix.size else matrix
