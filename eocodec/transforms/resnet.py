"""Residual networks as feature extractors (He et al., "Deep residual learning", CVPR 2016).

Modules carry torchvision's names, so that its state dicts load. The stride of a bottleneck is in its 3 x 3
convolution, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from eocodec.errors import InputError

_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_BASIC = (18, 34)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Shape of the network.

    Attributes
    ----------
    depth : {18, 34, 50, 101}
        Layers; 101 is the reference of EO4EU D3.4.
    width : int
        Channels of the first stage, 64 in the paper; they double with every stage.
    channels : int
        Bands of the input.
    max_pool : bool
        Halve the stem's maps by a maximum, as in the paper; without, small images keep twice the detail.
    """

    depth: int = 101
    width: int = 64
    channels: int = 10
    max_pool: bool = True

    def __post_init__(self) -> None:
        if self.depth not in _STAGES:
            known = ", ".join(map(str, _STAGES))
            raise InputError(f"no ResNet of depth {self.depth} ({known})")

    @property
    def features(self) -> int:
        """Channels of the last stage."""
        return self.width * 8 * (1 if self.depth in _BASIC else 4)

    @property
    def pyramid(self) -> int:
        """Channels of all four stages."""
        return self.features * 15 // 8


class _Block(nn.Module):
    """Base of the two residual blocks: ``relu(branch(x) + shortcut(x))``."""

    expansion: int
    downsample: nn.Sequential | None

    def branch(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Transform maps [B, C, H, W] to [B, C', H', W']."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.branch(x) + shortcut)


class BasicBlock(_Block):
    """Two 3 x 3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Residual of the maps."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        residual: Tensor = self.bn2(self.conv2(inner))
        return residual


class Bottleneck(_Block):
    """A 3 x 3 convolution between two 1 x 1 convolutions."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def branch(self, x: Tensor) -> Tensor:
        """Residual of the maps."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        residual: Tensor = self.bn3(self.conv3(inner))
        return residual


class ResNet(nn.Module):
    """The network without its classifier: images [B, C, H, W] to features [B, D]."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(config.channels, config.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if config.max_pool else nn.Identity()
        block: type[BasicBlock] | type[Bottleneck]
        block = BasicBlock if config.depth in _BASIC else Bottleneck
        inputs = config.width
        for stage, count in enumerate(_STAGES[config.depth]):
            width = config.width << stage
            blocks = []
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                blocks.append(block(inputs, width, stride))
                inputs = width * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Features [B, D]: the maps of the last stage, averaged over the image."""
        features: Tensor = self.stages(images)[-1].mean((2, 3))
        return features

    def pyramid(self, images: Tensor) -> Tensor:
        """Features of all scales [B, P]: the maps of every stage, averaged over the image."""
        return torch.cat([maps.mean((2, 3)) for maps in self.stages(images)], dim=1)

    def stages(self, images: Tensor) -> list[Tensor]:
        """Maps [B, C, h, w] of the four stages."""
        maps = self.maxpool(torch.relu(self.bn1(self.conv1(images))))
        found = []
        for stage in range(1, 5):
            maps = self.get_submodule(f"layer{stage}")(maps)
            found.append(maps)
        return found

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        """Start from a classifier of three-channel images with torchvision's names.

        The stem's filters are averaged over the three channels and repeated for every band, scaled so that
        bands of equal value give what grey images gave. The classifier ``fc`` is left out.

        Raises
        ------
        InputError
            The state dict is of another network.
        """
        weights = {name: value for name, value in state.items() if not name.startswith("fc.")}
        stem = weights.get("conv1.weight")
        channels = self.config.channels
        if stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
            mean = stem.mean(1, keepdim=True)
            weights["conv1.weight"] = mean.repeat(1, channels, 1, 1) * (3 / channels)
        own = {name: value.shape for name, value in self.state_dict().items()}
        theirs = {name: value.shape for name, value in weights.items()}
        counters = {name for name in own | theirs if name.endswith(".num_batches_tracked")}
        for name in sorted((own | theirs).keys() - counters):
            if own.get(name) != theirs.get(name):
                raise InputError(
                    f"not the weights of a ResNet-{self.config.depth} of width {self.config.width}: "
                    f"{name} has the shape {_describe(theirs.get(name))}, "
                    f"the network's {_describe(own.get(name))}"
                )
        self.load_state_dict(weights, strict=False)


def _describe(shape: torch.Size | None) -> str:
    return "none" if shape is None else str(tuple(shape))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
