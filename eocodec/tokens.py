"""Coding of token indices: one stage of the residual vector quantiser a byte string.

An index is coded with one of ``CLUSTERS`` tables, chosen by a cluster of codes already decoded: in stage 0 that of
the index to the left, in later stages that of the stage before at the same place. Where a tile has calm parts, a
binary plane marks the tokens that are *left out*: in stage 0 the index to the left is repeated, in later stages
nothing is added (index ``codes``, one past the codebook).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder, code_lengths
from eocodec.marks import read_marks, write_marks

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

CLUSTERS = 16
REPEATS = 0.06
"""With a smaller share of repeated tokens the plane does not pay, and they are coded like others."""


@dataclass(frozen=True)
class TokenTables:
    """Learned tables of the token stages.

    Attributes
    ----------
    counts : int32 array (stages, CLUSTERS, codes)
        Index counts by cluster of the context, at least 1 each.
    cluster : uint8 array (stages, codes)
        Cluster of a code when it is the context.
    """

    counts: IntArray
    cluster: npt.NDArray[np.uint8]

    @cached_property
    def contexts(self) -> npt.NDArray[np.uint8]:
        """The clusters (stages, codes + 1), that of a token left out being 0."""
        return np.pad(self.cluster, ((0, 0), (0, 1)))

    @property
    def codes(self) -> int:
        """Codes of a stage; also the index of a token left out after stage 0."""
        return int(self.counts.shape[2])

    @cached_property
    def bits(self) -> FloatArray:
        """Code lengths (stages, CLUSTERS, codes)."""
        return code_lengths(self.counts).astype(np.float32)

    @cached_property
    def _first_counts(self) -> IntArray:
        """Counts of stage 0 where nothing lies to the left."""
        counts: IntArray = self.counts[0].sum(axis=0)
        return counts

    def quantise(self, vectors: FloatArray, codebooks: FloatArray, weight: float) -> IntArray:
        """Choose the indices of a tile by ``distance**2 + weight * bits``.

        Parameters
        ----------
        vectors : float32 array (h, w, D)
        codebooks : float32 array (stages, codes, D)
        weight : float
            Squared distance that a bit is worth.

        Returns
        -------
        int32 array (stages, h, w)
        """
        height, width, _ = vectors.shape
        left = vectors.copy()
        chosen: list[IntArray] = []
        for stage, codebook in enumerate(codebooks):
            distance = (codebook**2).sum(axis=1) - 2 * left @ codebook.T
            indices = np.zeros((height, width), np.int32)
            if stage:
                cost = distance + weight * self.bits[stage][self.contexts[stage - 1][chosen[-1]]]
                indices = cost.argmin(axis=2).astype(np.int32)
                indices[cost.min(axis=2) >= 0] = self.codes
            else:
                start = code_lengths(self._first_counts)
                before = (distance[:, 0] + weight * start).argmin(axis=1)
                rows = np.arange(height)
                for column in range(width):
                    if column:
                        cost = distance[:, column] + weight * self.bits[0][self.contexts[0][before]]
                        best = cost.argmin(axis=1)
                        repeat = distance[rows, column, before] <= cost[rows, best]
                        before = np.where(repeat, before, best)
                    indices[:, column] = before
            left -= np.pad(codebook, ((0, 1), (0, 0)))[indices]
            chosen.append(indices)
        return np.stack(chosen)

    def _left_out(self, stage: int, indices: IntArray) -> BoolArray:
        if stage:
            return np.asarray(indices == self.codes)
        out = np.zeros(indices.shape, bool)
        out[:, 1:] = indices[:, 1:] == indices[:, :-1]
        return out

    def encode(
        self, coder: SymbolEncoder, stage: int, indices: IntArray, previous: IntArray | None
    ) -> None:
        """Code the indices (h, w) of a stage; ``previous`` are those of the stage before."""
        out = self._left_out(stage, indices)
        if stage == 0 and out.mean() < REPEATS:
            out[:] = False
        write_marks(coder, out)
        if previous is None:
            coder.encode(indices[:, 0], self._first_counts)
            for column in range(1, indices.shape[1]):
                context = self.contexts[stage][indices[:, column - 1]]
                told = ~out[:, column]
                for cluster in np.unique(context[told]):
                    chosen = indices[told & (context == cluster), column]
                    coder.encode(chosen, self.counts[stage, cluster])
        else:
            context = self.contexts[stage - 1][previous]
            for cluster in np.unique(context[~out]):
                chosen = indices[~out & (context == cluster)]
                coder.encode(chosen, self.counts[stage, cluster])

    def decode(
        self,
        coder: SymbolDecoder,
        stage: int,
        shape: tuple[int, int],
        previous: IntArray | None,
    ) -> IntArray:
        """Inverse of :meth:`encode`; raises FormatError for invalid bytes."""
        left_out = read_marks(coder, shape)
        out = np.full(shape, self.codes, np.int32)
        if previous is None:
            out[:, 0] = coder.decode(shape[0], self._first_counts)
            for column in range(1, shape[1]):
                out[:, column] = out[:, column - 1]
                context = self.contexts[stage][out[:, column - 1]]
                told = ~left_out[:, column]
                for cluster in np.unique(context[told]):
                    chosen = told & (context == cluster)
                    number = int(chosen.sum())
                    out[chosen, column] = coder.decode(number, self.counts[stage, cluster])
        else:
            context = self.contexts[stage - 1][previous]
            for cluster in np.unique(context[~left_out]):
                chosen = ~left_out & (context == cluster)
                out[chosen] = coder.decode(int(chosen.sum()), self.counts[stage, cluster])
        return out
