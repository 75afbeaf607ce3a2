"""Convolutions on integers, exact on every machine.

What feeds the entropy coder must agree between encoder and decoder to the last bit. Weights and activations are
small integers carried in float32; while every partial sum stays below 2**24 a float32 product or sum of them is
exact, so the order of summation, and with it the library, thread count and processor, does not matter.
A result is scaled back by one float32 multiplication and a rounding, both exactly defined by IEEE 754.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.errors import ModelError

FloatArray = npt.NDArray[np.float32]

EXACT_LIMIT = 2**24


@dataclass(frozen=True)
class IntegerConv:
    """A 1x1 or 3x3 convolution with zero padding, then ``clip(rint(sum * multiplier), low, high)``.

    Attributes
    ----------
    weight : int8 array (outputs, inputs, k, k)
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

    def worst_sum(self, input_limit: int) -> int:
        """Largest magnitude that a partial sum can take for inputs up to ``input_limit``."""
        magnitude = np.abs(self.weight.astype(np.int64)).sum(axis=(1, 2, 3)) * input_limit
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
        """Apply to integers (inputs, h, w) carried in float32; the same for the result."""
        outputs, inputs, kernel, _ = self.weight.shape
        _, height, width = x.shape
        matrix = self.weight.astype(np.float32)
        if kernel == 1:
            total = matrix.reshape(outputs, inputs) @ x.reshape(inputs, -1)
        else:
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            shifted = [
                padded[:, dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)
            ]
            columns = np.stack(shifted, axis=1).reshape(inputs * 9, -1)
            total = matrix.reshape(outputs, inputs * 9) @ columns
        total += self.bias.astype(np.float32)[:, None]
        total *= self.multiplier[:, None]
        np.rint(total, out=total)
        np.clip(total, self.low, self.high, out=total)
        return total.reshape(outputs, height, width)


def pixel_shuffle2(x: FloatArray) -> FloatArray:
    """(4 C, h, w) -> (C, 2h, 2w), in the order of torch's ``pixel_shuffle``."""
    channels, height, width = x.shape
    split = x.reshape(channels // 4, 2, 2, height, width)
    out: FloatArray = split.transpose(0, 3, 1, 4, 2).reshape(channels // 4, 2 * height, 2 * width)
    return out


@dataclass(frozen=True)
class ScaleNetwork:
    """Token indices -> predicted log-scale of every latent, in integers.

    Attributes
    ----------
    embedding : int16 array (stages, codes, width)
        What each code adds to the first layer's sum (its bias is in stage 0).
    spatial, expand, project : IntegerConv
        3x3 at token resolution; 1x1 before the pixel shuffle; 1x1 at latent resolution.
    """

    embedding: npt.NDArray[np.int16]
    spatial: IntegerConv
    expand: IntegerConv
    project: IntegerConv

    def check(self) -> None:
        """Prove exactness of every layer (raises ModelError)."""
        limit = self.expand.check(self.spatial.check(255))
        self.project.check(limit)

    def __call__(self, indices: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Indices (stages, h, w) -> log-scales (latents, 2h, 2w) in units of log2(3)/12."""
        total = sum(
            table[index].astype(np.int32)
            for table, index in zip(self.embedding, indices, strict=True)
        )
        x = np.clip(np.moveaxis(np.asarray(total), -1, 0), 0, 255).astype(np.float32)
        x = pixel_shuffle2(self.expand(self.spatial(x)))
        return self.project(x).astype(np.int32)


@dataclass(frozen=True)
class ContextNetwork:
    """What a finished stage tells about the next: a correction of every latent's log-scale.

    The input is the magnitude of each latent's integer after the finished stage (clipped to 7) and its
    log-scale relative to the coming step (clipped to plus or minus 48).
    """

    enter: IntegerConv
    spatial: IntegerConv
    leave: IntegerConv

    magnitude_limit = 7
    scale_limit = 48

    def check(self) -> None:
        """Prove exactness of every layer (raises ModelError)."""
        self.leave.check(self.spatial.check(self.enter.check(self.scale_limit)))

    def __call__(
        self, integers: npt.NDArray[np.int32], log_scale: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32]:
        """Both inputs (latents, h, w) -> the corrected relative log-scale (latents, h, w)."""
        magnitude = np.minimum(np.abs(integers), self.magnitude_limit)
        clipped = np.clip(log_scale, -self.scale_limit, self.scale_limit)
        x = np.concatenate([magnitude, clipped]).astype(np.float32)
        return clipped + self.leave(self.spatial(self.enter(x))).astype(np.int32)
