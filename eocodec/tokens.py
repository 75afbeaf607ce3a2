"""Coding of token indices: one stage of the residual vector quantiser a byte string.

An index is coded with one of ``CLUSTERS`` tables, chosen by a cluster of codes already decoded: in stage 0 that of
the index to the left, in later stages that of the stage before at the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocodec.entropy import SymbolDecoder, SymbolEncoder

IntArray = npt.NDArray[np.int32]

CLUSTERS = 16


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

    def encode(
        self, coder: SymbolEncoder, stage: int, indices: IntArray, previous: IntArray | None
    ) -> None:
        """Code the indices (h, w) of a stage; ``previous`` are those of the stage before."""
        if previous is None:
            coder.encode(indices[:, 0], self.counts[stage].sum(axis=0))
            for column in range(1, indices.shape[1]):
                context = self.cluster[stage][indices[:, column - 1]]
                for cluster in np.unique(context):
                    chosen = indices[context == cluster, column]
                    coder.encode(chosen, self.counts[stage, cluster])
        else:
            context = self.cluster[stage - 1][previous]
            for cluster in np.unique(context):
                coder.encode(indices[context == cluster], self.counts[stage, cluster])

    def decode(
        self,
        coder: SymbolDecoder,
        stage: int,
        shape: tuple[int, int],
        previous: IntArray | None,
    ) -> IntArray:
        """Inverse of :meth:`encode`; raises FormatError for invalid bytes."""
        out = np.zeros(shape, np.int32)
        if previous is None:
            out[:, 0] = coder.decode(shape[0], self.counts[stage].sum(axis=0))
            for column in range(1, shape[1]):
                context = self.cluster[stage][out[:, column - 1]]
                for cluster in np.unique(context):
                    chosen = context == cluster
                    number = int(chosen.sum())
                    out[chosen, column] = coder.decode(number, self.counts[stage, cluster])
        else:
            context = self.cluster[stage - 1][previous]
            for cluster in np.unique(context):
                chosen = context == cluster
                out[chosen] = coder.decode(int(chosen.sum()), self.counts[stage, cluster])
        return out
