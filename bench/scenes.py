"""The scenes of the comparison: ten-band stacks at 10 m."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from bench.peers.base import Stack
from eocodec.training.data import load_scenes

CALM_SCENE = "T18SVG_20160112_east"
"""The scene of the split `test` that is mostly calm water: what is measured on it says little of others."""
_QUICK_SCENES = 2
_QUICK_SIDE = 192


def read_scenes(folder: Path, split: str, *, quick: bool = False) -> dict[str, Stack]:
    """Read the scenes of a split, without patch sets; if `quick`, a crop of each of the first two.

    The folder holds an ``index.json`` as `eocodec.training.data` describes it.
    """
    scenes = {s.name: s.pixels for s in load_scenes(folder, split) if "/" not in s.name}
    if not quick:
        return scenes
    first = list(scenes.items())[:_QUICK_SCENES]
    return {name: middle_crop(stack, _QUICK_SIDE) for name, stack in first}


def middle_crop(stack: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Cut the middle out of a stack, at most `side` pixels a side."""
    height, width = stack.shape[1:]
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return stack[:, top : top + side, left : left + side]
