"""Starts a strided convolution and its mirror from the principal components of the blocks they span."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def start_from_blocks(down: nn.Conv2d, up: nn.ConvTranspose2d, values: Tensor) -> Tensor:
    """Make ``down`` the principal components of the blocks of stride x stride pixels, ``up`` their transpose.

    Parameters
    ----------
    down, up : nn.Conv2d, nn.ConvTranspose2d
        A pair of equal kernel, stride and padding. Channels of ``down`` beyond the values' degrees of freedom keep
        their weights, and ``up`` starts by ignoring them.
    values : Tensor [B, C, H, W]
        Samples of the first C inputs of ``down``; it starts by ignoring the others.

    Returns
    -------
    Tensor [B, K, H / stride, W / stride]
        The principal components, the first K outputs of ``down``.
    """
    assert down.bias is not None
    assert up.bias is not None
    stride, padding = down.stride[0], int(down.padding[0])
    blocks = F.pixel_unshuffle(values, stride)
    flat = blocks.movedim(1, -1).flatten(0, -2).double()
    count = min(down.out_channels, flat.shape[1])
    basis = torch.linalg.eigh(flat.T @ flat)[1].flip(1)[:, :count].T.to(values.dtype)
    kernels = basis.reshape(count, -1, stride, stride)
    down.weight[:count] = 0
    up.weight.zero_()
    inner = slice(padding, padding + stride)
    for layer in (down, up):
        layer.weight[:count, : kernels.shape[1], inner, inner] = kernels
    down.bias.zero_()
    up.bias.zero_()
    return F.conv2d(blocks, basis[:, :, None, None])
