"""Frozen models on decoded patches: their logits and features at every quality, in one pass over the test split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bench.downstream.features import Extractor, Features
from bench.downstream.index_errors import IndexErrors
from bench.downstream.patches import Indices, LabelledPatches, Stack
from bench.downstream.probe import Logits
from bench.downstream.versions import Quality, Version, code_patch

_BATCH = 32


@dataclass(frozen=True)
class FrozenModel:
    """A classifier trained on originals.

    Attributes
    ----------
    name : str
        What tables call it.
    extract : callable
        DN (N, 10, H, W) to features (N, D).
    classify : callable
        Features to logits (N, K).
    """

    name: str
    extract: Extractor
    classify: Callable[[Features], Logits]


@dataclass
class Answers:
    """A model's logits (N, K) of originals and decoded patches, and cosines (N,) of their features."""

    original: list[Logits] = field(default_factory=list)
    decoded: dict[Quality, list[Logits]] = field(default_factory=dict)
    cosines: dict[Quality, list[npt.NDArray[np.float64]]] = field(default_factory=dict)
    between: list[npt.NDArray[np.float64]] = field(default_factory=list)
    """Cosines of different originals of a batch, each with the next."""


@dataclass
class CodedSplit:
    """What one pass over the patches gives.

    Attributes
    ----------
    answers : dict of str to Answers
        By the model's name.
    bytes : dict of Quality to int
        Of all patches.
    squared : dict of Quality to float
        Sum of squared errors of all samples, in DN squared.
    indices : dict of Quality to IndexErrors
    samples : int
        Of all patches and bands.
    """

    answers: dict[str, Answers]
    bytes: dict[Quality, int] = field(default_factory=dict)
    squared: dict[Quality, float] = field(default_factory=dict)
    indices: dict[Quality, IndexErrors] = field(default_factory=dict)
    samples: int = 0

    def bpppb(self, quality: Quality) -> float:
        """Bits per pixel and band."""
        return 8 * self.bytes[quality] / self.samples

    def rmse(self, quality: Quality) -> float:
        """Root-mean-square error in DN."""
        return float((self.squared[quality] / self.samples) ** 0.5)


def code_split(
    patches: LabelledPatches,
    chosen: Indices,
    models: Sequence[FrozenModel],
    progress: Callable[[int], object],
) -> CodedSplit:
    """Code the chosen patches at every quality and show them to the models, some at a time."""
    coded = CodedSplit({model.name: Answers() for model in models})
    for start in range(0, len(chosen), _BATCH):
        stacks = patches.pixels(chosen[start : start + _BATCH])
        versions = [code_patch(stack) for stack in stacks]
        _add_errors(coded, stacks, versions)
        for model in models:
            _add_answers(coded.answers[model.name], model, stacks, versions)
        progress(len(stacks))
    return coded


def _add_errors(
    coded: CodedSplit, stacks: Stack, versions: Sequence[dict[Quality, Version]]
) -> None:
    coded.samples += stacks.size
    for stack, found in zip(stacks, versions, strict=True):
        for quality, version in found.items():
            error = version.pixels.astype(np.float64) - stack
            coded.bytes[quality] = coded.bytes.get(quality, 0) + version.bytes
            coded.squared[quality] = coded.squared.get(quality, 0.0) + float((error**2).sum())
            coded.indices.setdefault(quality, IndexErrors()).add(stack, version.pixels)


def _add_answers(
    answers: Answers,
    model: FrozenModel,
    stacks: Stack,
    versions: Sequence[dict[Quality, Version]],
) -> None:
    before = model.extract(stacks)
    answers.original.append(model.classify(before))
    answers.between.append(cosine_similarity(before[1:], before[:-1]))
    for quality in versions[0]:
        after = model.extract(np.stack([found[quality].pixels for found in versions]))
        answers.decoded.setdefault(quality, []).append(model.classify(after))
        cosines = answers.cosines.setdefault(quality, [])
        cosines.append(cosine_similarity(after, before))


def cosine_similarity(first: Features, second: Features) -> npt.NDArray[np.float64]:
    """Cosine of each row of (N, D) with the row of the other: (N,); 0 beside a row of zeros."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    products = (one * two).sum(axis=1)
    cosines = np.zeros(len(products))
    np.divide(products, lengths, out=cosines, where=lengths > 0)
    return cosines
