"""Parameters that many small planes share, fitted to samples of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.fitting import (
    PassSamples,
    candidate_kinds,
    fit_samples,
    gather_samples,
)
from eocodec.interlace import PassContext, Shape
from eocodec.predictive_parameters import KINDS, PassParameters
from eocodec.scale_fitting import fit_scale_samples, gather_scales

BoolArray = npt.NDArray[np.bool_]
PassKey = tuple[int, Shape]
PlaneParameters = dict[PassKey, PassParameters]

_POOL_SAMPLES = 16384
_LEAST_SAMPLES = 16


@dataclass
class _PassPool:
    """Samples of one pass in all planes."""

    prediction: list[PassSamples] = field(default_factory=list)
    terms: list[npt.NDArray[np.float32]] = field(default_factory=list)
    magnitudes: list[npt.NDArray[np.float64]] = field(default_factory=list)


class Pool:
    """Collects samples of the passes of about `planes` like planes: equal in number of references."""

    def __init__(self, planes: int) -> None:
        self._planes = planes
        self._limit = max(_LEAST_SAMPLES, _POOL_SAMPLES // planes)
        self._passes: dict[PassKey, _PassPool] = {}

    def add(
        self,
        key: PassKey,
        context: PassContext,
        target: npt.NDArray[Any],
        residual: npt.NDArray[Any],
        valid: BoolArray | None,
        tops: list[int],
        near: int,
    ) -> None:
        """Note one pass of one plane, whose prediction left `residual`."""
        most = max(candidate_kinds(target.size * self._planes, context.references), default=0)
        pool = self._passes.setdefault(key, _PassPool())
        gathered = gather_samples(context, target, valid, most, tops, near, self._limit)
        if not len(gathered.wanted):
            return
        pool.prediction.append(gathered)
        terms, magnitudes = gather_scales(context, np.abs(residual), valid, self._limit)
        pool.terms.append(terms)
        pool.magnitudes.append(magnitudes)

    def fit(self) -> PlaneParameters:
        """Return parameters of every pass that code the planes well."""
        return {key: _fit(pool) for key, pool in self._passes.items() if pool.prediction}


def _fit(pool: _PassPool) -> PassParameters:
    first = pool.prediction[0]
    tops = tuple(map(max, zip(*(part.tops for part in pool.prediction), strict=True)))
    merged = replace(
        first,
        matrix=np.concatenate([part.matrix for part in pool.prediction], axis=1),
        wanted=np.concatenate([part.wanted for part in pool.prediction]),
        activity=np.concatenate([part.activity for part in pool.prediction]),
        size=sum(part.size for part in pool.prediction),
        tops=tops,
    )
    kinds = [kind for kind in range(1, len(KINDS)) if kind <= first.most]
    if not first.references:
        kinds = [kind for kind in kinds if KINDS[kind].spatial and kind <= 3]
    parameters = fit_samples(merged, kinds)[1]
    terms = np.concatenate(pool.terms, axis=1) if KINDS[parameters.kind].scales else None
    scales = fit_scale_samples(terms, np.concatenate(pool.magnitudes), first.near)
    return replace(parameters, scales=scales)
