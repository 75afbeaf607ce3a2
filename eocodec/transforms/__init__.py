"""Transforms of decoded tiles: features, tokens and indices, found by entry points."""

from eocodec.transforms.interface import PixelTransform, TokenTransform
from eocodec.transforms.registry import find_transform, transform_names

__all__ = ["PixelTransform", "TokenTransform", "find_transform", "transform_names"]
