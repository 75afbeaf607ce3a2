"""The transform ``ssl-s2``: self-supervised (SimCLR) features of Sentinel-2 patches, with shipped weights."""

from __future__ import annotations

from collections.abc import Sequence

from threadpoolctl import ThreadpoolController

from eocodec.extras import needs
from eocodec.transforms.interface import FloatArray, PixelTransform
from eocodec.transforms.simclr import SimclrFeatures


class SslFeatures(PixelTransform):
    """Features of :class:`SimclrFeatures`; needs torch.

    Every call runs on one core, since torch's sums depend on the number of cores.
    """

    name = "ssl-s2"
    description = "self-supervised (SimCLR) features of ten Sentinel-2 bands; needs torch"
    fills = True

    def __init__(self) -> None:
        self._features = SimclrFeatures(self.name)
        self.bands = self._features.bands
        self.patch = self._features.side
        self.model = self._features.card.id[:16]

    def names(self, bands: Sequence[str]) -> tuple[str, ...]:
        """Name the features: ssl_000, ssl_001 and so on."""
        return tuple(f"ssl_{number:03d}" for number in range(self._features.features))

    def __call__(self, patches: FloatArray) -> FloatArray:
        """DN (N, 10, P, P) -> features (N, D)."""
        with needs("torch", f"transform {self.name!r}"):
            import torch
        torch.get_num_threads()  # torch sets its own number at the first call of a thread
        with ThreadpoolController().limit(limits=1, user_api="openmp"):
            return self._features(patches)
