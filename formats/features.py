"""Features of patches of an array: planned once, computed block by block in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocodec.cores import one_blas_thread
from eocodec.errors import InputError, UnsupportedError
from eocodec.formats.eoc.pool import OrderedPool
from eocodec.formats.feature_grid import PatchGrid
from eocodec.formats.feature_sources import PixelSource, PlaceSource, TokenSource, known_bands
from eocodec.transforms import PixelTransform, TokenTransform, find_transform

if TYPE_CHECKING:
    from eocodec.formats.eoc.array_reader import ArrayReader

FloatArray = npt.NDArray[np.float32]
AnyTransform = PixelTransform | TokenTransform

_BATCH_SAMPLES = 2**21
_PATCH_SAMPLES = 2**26


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a grid of patches.

    Attributes
    ----------
    names : tuple of str
        Of the D features.
    values : float32 array (rows, columns, D)
        NaN where a patch has no valid pixel.
    valid : float32 array (rows, columns)
        Share of the pixels of each patch that are valid and inside the raster.
    row, column : int64 array (rows,), (columns,)
        First pixel row and column of the patches.
    x, y : float64 array (rows, columns)
        Centres of the patches in `crs`; NaN where the array has no affine transform.
    crs : str or None
        "EPSG:n" or WKT2.
    """

    names: tuple[str, ...]
    values: FloatArray
    valid: FloatArray
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    crs: str | None

    def __getitem__(self, name: str) -> FloatArray:
        """Return the map (rows, columns) of a feature."""
        if name not in self.names:
            raise InputError(f"no feature {name!r}; there are {', '.join(self.names)}")
        return self.values[..., self.names.index(name)]


@dataclass(frozen=True)
class FeatureBlock:
    """Features of some rows and columns of patches, as in :class:`Features`."""

    rows: slice
    columns: slice
    values: FloatArray
    valid: FloatArray


@dataclass(frozen=True, eq=False)
class FeaturePlan:
    """What to compute; :func:`plan_features` makes it.

    Attributes
    ----------
    transform : PixelTransform or TokenTransform
    grid : PatchGrid
    names : tuple of str
        Of the features.
    source : PlaceSource
    layers : int or None
        Layers of the tiles to use.
    threads : int or None
    """

    transform: AnyTransform
    grid: PatchGrid
    names: tuple[str, ...]
    source: PlaceSource
    layers: int | None
    threads: int | None

    def blocks(self) -> Iterator[FeatureBlock]:
        """Compute the features, some rows and columns of patches at a time.

        Raises
        ------
        InputError
            Features of tokens are asked for, and no tile has any.
        EocodecError
            The array cannot be read, or the transform not be computed.
        """
        any_valid = False
        samples = self.source.planes + len(self.names) // self.grid.stride**2
        for rows, columns in self.grid.blocks(samples):
            one_blas_thread.enter()  # the order of sums must not depend on the cores
            try:
                block = self._block(rows, columns)
            finally:
                one_blas_thread.leave()
            any_valid |= bool(block.valid.any())
            yield block
        if isinstance(self.transform, TokenTransform) and not any_valid:
            raise InputError(
                f"array {self.grid.header.name!r} has no tile with tokens: they are lossless, within a bound or "
                f"constant; transform {self.transform.name!r} needs tiles of a quality"
            )

    def _block(self, rows: slice, columns: slice) -> FeatureBlock:
        cell, stride = self.source.cell, self.grid.stride // self.source.cell
        side = self.grid.patch // cell
        spans, beyond = [], []
        starts = (self.grid.row(rows), self.grid.column(columns))
        for first, size in zip(starts, self.grid.header.shape[-2:], strict=True):
            start, stop = int(first[0]) // cell, int(first[-1]) // cell + side
            spans.append(slice(start, min(stop, -(-size // cell))))
            beyond.append((0, stop - spans[-1].stop))
        values, shares = self.source.read(*spans)
        values = np.pad(values, ((0, 0), *beyond), constant_values=np.nan)
        shares = np.pad(shares, beyond)
        step = (..., slice(None, None, stride), slice(None, None, stride), slice(None), slice(None))
        windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), (1, 2))[step]
        inside = np.lib.stride_tricks.sliding_window_view(shares, (side, side))[step]
        valid: FloatArray = inside.mean(axis=(2, 3), dtype=np.float64).astype(np.float32)
        out = np.full((*valid.shape, len(self.names)), np.nan, np.float32)
        chosen = np.argwhere(valid > 0)
        batch = max(1, _BATCH_SAMPLES // max(1, len(values) * side**2))
        parts = [chosen[start : start + batch] for start in range(0, len(chosen), batch)]
        pool: OrderedPool[FloatArray] = OrderedPool(self.threads, len(parts))
        try:
            done = [one for part in parts for one in pool.push(partial(self._apply, windows, part))]
            done += pool.drain()
        finally:
            pool.close()
        for part, features in zip(parts, done, strict=True):
            out[part[:, 0], part[:, 1]] = features
        return FeatureBlock(rows, columns, out, valid)

    def _apply(self, windows: FloatArray, chosen: npt.NDArray[np.int64]) -> FloatArray:
        """Features (n, D) of the patches of `windows` (C, rows, columns, P, P) at (n, 2) places."""
        picked = windows[:, chosen[:, 0], chosen[:, 1]]
        patches = np.ascontiguousarray(np.moveaxis(picked, 1, 0))
        if isinstance(self.transform, PixelTransform) and self.transform.fills:
            patches = _filled(patches)
        features = np.asarray(self.transform(patches), np.float32)
        wanted = (len(patches), len(self.names))
        if features.shape != wanted:
            raise UnsupportedError(
                f"transform {self.transform.name!r} gave features of shape {features.shape}, not {wanted}"
            )
        return features


def _filled(patches: FloatArray) -> FloatArray:
    """Replace NaN in patches (N, C, P, P) by the mean of the patch and band."""
    invalid = np.isnan(patches)
    if not invalid.any():
        return patches
    means = np.nanmean(patches, axis=(2, 3), keepdims=True, dtype=np.float64)
    return np.where(invalid, means.astype(np.float32), patches)


def plan_features(
    reader: ArrayReader,
    transform: str | AnyTransform,
    *,
    patch: int | None = None,
    stride: int | None = None,
    layers: int | None = None,
    bands: Sequence[str] | None = None,
    threads: int | None = None,
) -> FeaturePlan:
    """Check what is asked for; nothing of the tiles is read yet.

    Parameters
    ----------
    reader : ArrayReader
    transform : str, PixelTransform or TokenTransform
        Name of an installed transform, or one at hand.
    patch, stride : int, optional
        Side of the patches and their distance in pixels; those of the transform by default.
    layers : int, optional
        Layers of the tiles to use; all by default.
    bands : sequence of str, optional
        Names of the array's planes where its header has none.
    threads : int, optional
        As `ArrayReader.read`.

    Raises
    ------
    InputError
        There is no such transform, the array lacks bands that it needs, or patches cannot be so.
    UnsupportedError
        The transform cannot be loaded.
    """
    chosen = find_transform(transform) if isinstance(transform, str) else transform
    patch = chosen.patch if patch is None else patch
    stride = (patch if chosen.stride is None else chosen.stride) if stride is None else stride
    if layers is not None and layers < 1:
        raise InputError(f"layers must be at least 1, not {layers}")
    known = known_bands(reader, bands)
    source: PlaceSource
    if isinstance(chosen, TokenTransform):
        source = TokenSource(reader, chosen, layers, threads)
    else:
        source = PixelSource(reader, chosen, known, layers, threads)
    for what, side in (("patch", patch), ("stride", stride)):
        if side < source.cell or side % source.cell:
            raise InputError(
                f"{what} of {side} pixels: transform {chosen.name!r} takes multiples of {source.cell}"
            )
    if source.planes * patch**2 > _PATCH_SAMPLES:
        raise InputError(f"patch of {patch} pixels: it holds more than {_PATCH_SAMPLES} samples")
    return FeaturePlan(
        chosen,
        PatchGrid(reader.header, patch, stride),
        chosen.names(known),
        source,
        layers,
        threads,
    )


def collect_features(plan: FeaturePlan) -> Features:
    """Compute all features of a plan in memory; raises what :meth:`FeaturePlan.blocks` raises."""
    grid = plan.grid
    values = np.full((*grid.shape, len(plan.names)), np.nan, np.float32)
    valid = np.zeros(grid.shape, np.float32)
    for block in plan.blocks():
        values[block.rows, block.columns] = block.values
        valid[block.rows, block.columns] = block.valid
    x, y = grid.centres()
    return Features(plan.names, values, valid, grid.row(), grid.column(), x, y, grid.header.crs)
