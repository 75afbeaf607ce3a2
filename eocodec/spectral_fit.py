"""Fitting the spectral transform to a tile: what the encoder does, and no decoder.

The bits of a coefficient follow the logarithm of its local variance, so the best rotation of a group is the one that
makes the covariances of all regions as diagonal as one basis can (joint approximate diagonalisation; Pham 2001),
which principal components of the whole tile, the start, are not where a tile holds water and forest. Regions are sorted
into classes by turns with fitting the bases of each, as in k-means.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eocodec.block_transform import BLOCK, block_transform
from eocodec.integer_networks import per_channel
from eocodec.rotations import angle_bits, angle_count, rotations_towards
from eocodec.spectral import GROUP_OF, GROUPS, SpectralTransform

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

REGION = 2
"""Blocks a side of a region, the footprint of a token."""
_SAMPLED = 256
"""About so many regions of a tile, evenly spread, decide on bases and classes."""
_MOST_CLASSES = 3
_FEWEST = 16
"""Of these regions so many belong to a class at least."""
_STEPS = 4
"""Steps of a joint diagonalisation."""
_ROUNDS = 3
"""Turns of sorting the regions and fitting."""
_LARGEST_ANGLE = 0.3
_REAL_SHARE = 0.6
"""Bits that classes save truly, relative to what the covariances that they are chosen by say."""
_MAP_BITS = 0.7
"""About what the class of a region costs."""
_MEMBERS = np.bincount(GROUP_OF)
"""Frequencies of each group."""


def group_covariances(coefficients: FloatArray) -> DoubleArray:
    """Second moments over the coefficients (64, C, h, w) of each group, (GROUPS, C, C)."""
    count = coefficients.shape[1]
    flat = coefficients.reshape(BLOCK * BLOCK, count, -1)
    products = (flat @ flat.transpose(0, 2, 1)).astype(np.float64) / flat.shape[2]
    return np.stack([products[group == GROUP_OF].mean(axis=0) for group in range(GROUPS)])


def principal_bases(covariances: DoubleArray) -> DoubleArray:
    """Principal components (…, GROUPS, C, C) as columns, by falling variance.

    The sign of a component is the one that agrees with the group before.
    """
    bases = np.linalg.eigh(covariances)[1][..., ::-1].copy()
    for group in range(GROUPS):
        here = bases[..., group, :, :]
        before = bases[..., group - 1, :, :] if group else np.eye(here.shape[-1])
        alike = (here * before).sum(axis=-2, keepdims=True)
        here *= np.where(alike < 0, -1, 1)
    return bases


def local_covariances(coefficients: FloatArray, down: int, across: int) -> FloatArray:
    """Second moments (GROUPS - 1, R, C, C) over the coefficients (64, C, h, w) of each region, group 0 left out.

    Of every ``down``-th row of regions every ``across``-th.
    """
    _, count, rows, columns = coefficients.shape
    split = coefficients.reshape(-1, count, rows // REGION, REGION, columns // REGION, REGION)
    some = split[:, :, ::down, :, ::across].transpose(2, 4, 1, 0, 3, 5)
    regions = some.reshape(-1, count, BLOCK * BLOCK, REGION**2)
    out = np.empty((GROUPS - 1, len(regions), count, count), np.float32)
    for group, moments in enumerate(out, 1):
        members = regions[:, :, group == GROUP_OF].reshape(len(regions), count, -1)
        np.matmul(members, members.transpose(0, 2, 1), out=moments)
        moments /= members.shape[2]
    return out


def _turned(covariances: FloatArray, bases: FloatArray) -> FloatArray:
    """Matrix products (G, R, C, C) of covariances and bases (G, C, C)."""
    groups, _, count, _ = covariances.shape
    product: FloatArray = covariances.reshape(groups, -1, count) @ bases
    return product.reshape(covariances.shape)


def jointly_diagonal(bases: DoubleArray, covariances: FloatArray, noise: float) -> DoubleArray:
    """Turn bases (G, C, C) so that they make covariances (G, R, C, C) most diagonal.

    Steps towards the least sum over the regions of ``log(variance + noise**2)`` of the components, all planes at once.
    """
    floor = np.float32(noise**2 + 1e-6)
    identity = np.eye(bases.shape[-1])
    for _ in range(_STEPS):
        narrow = bases.astype(np.float32)
        half = np.ascontiguousarray(_turned(covariances, narrow).swapaxes(2, 3))
        turned = _turned(half, narrow)
        spread = turned.diagonal(axis1=2, axis2=3).clip(0) + floor
        inverse = 1 / spread
        slope = (turned * inverse[..., :, None]).sum(axis=1)
        ratio = inverse.swapaxes(1, 2) @ spread
        bend = ratio + ratio.swapaxes(1, 2) - 2 * covariances.shape[1]
        angle = (slope - slope.swapaxes(1, 2)) / np.maximum(bend, 1e-3)
        angle = angle.clip(-_LARGEST_ANGLE, _LARGEST_ANGLE) / 2
        # Cayley's map of a skew-symmetric matrix is a rotation.
        bases = bases @ np.linalg.solve(identity - angle, identity + angle)
    return bases


def _variances(bases: DoubleArray, covariances: FloatArray) -> FloatArray:
    """Variances (G, C, R) of the components under bases (G, C, C) in regions of covariances (G, R, C, C)."""
    narrow = bases.astype(np.float32)
    groups, regions, count, _ = covariances.shape
    squares = (narrow[:, :, None] * narrow[:, None]).reshape(groups, count * count, count)
    variances: FloatArray = covariances.reshape(groups, regions, -1) @ squares
    return variances.clip(0).swapaxes(1, 2)


def _bits(variances: FloatArray, noise: float) -> DoubleArray:
    """About the bits (…) that the coefficients of regions take, from the variances (GROUPS - 1, C, …) of components."""
    logs = np.log2(variances + np.float32(noise**2 + 1e-6)).sum(axis=1)
    bits: DoubleArray = np.tensordot(_MEMBERS[1:] * (REGION**2 / 2), logs, 1)
    return bits


def _sorted_regions(
    start: DoubleArray, covariances: FloatArray, noise: float, number: int
) -> tuple[npt.NDArray[np.intp], list[DoubleArray], float]:
    """Sort regions into classes: begun with their energy, then by turns with bases fitted to each class.

    Returns the classes (R,), their bases, and the mean bits of a region under these.
    """
    energy = np.einsum("grii->r", covariances)
    parts = np.quantile(energy, np.arange(1, number) / number)
    label: npt.NDArray[np.intp] = np.searchsorted(parts, energy)
    bases = [start] * number
    for _ in range(_ROUNDS):
        for k in range(number):
            if np.count_nonzero(label == k) >= _FEWEST:
                bases[k] = jointly_diagonal(bases[k], covariances[:, label == k], noise)
        bits = np.stack([_bits(_variances(b, covariances), noise) for b in bases])
        label = bits.argmin(axis=0)
    return label, bases, float(bits.min(axis=0).mean())


def _worthwhile(
    before: DoubleArray, basis: DoubleArray, covariance: DoubleArray, samples: float, noise: float
) -> tuple[IntArray, DoubleArray]:
    """Angles from a basis to another, as far as they save more bits than they cost, and the basis that these give."""
    bands = len(before)
    start = np.log2(_spread(before, covariance) + noise**2).sum()
    least = np.log2(_spread(basis, covariance) + noise**2).sum()
    if 0.5 * samples * (start - least) < bands - 1:
        return np.zeros(angle_count(bands, bands), np.int32), before
    angles, best, found, kept = [], 0.0, 0, before
    for row, turned in rotations_towards(before, basis):
        angles += row
        now = np.log2(_spread(turned, covariance) + noise**2).sum()
        saved = 0.5 * samples * float(start - now) - angle_bits(angles)
        if saved > best:
            best, found, kept = saved, len(angles), turned.copy()
        if 0.5 * samples * (now - least) < len(row):
            break
    kept_angles = np.zeros(angle_count(bands, bands), np.int32)
    kept_angles[:found] = angles[:found]
    return kept_angles, kept


def _spread(basis: DoubleArray, covariance: DoubleArray) -> DoubleArray:
    """Variances (C,) of the components."""
    spread: DoubleArray = ((covariance @ basis) * basis).sum(axis=0).clip(1e-6)
    return spread


class _Chain(NamedTuple):
    """Angles (GROUPS - 1, A) and bases (GROUPS - 1, C, C) of the groups after the first."""

    angles: IntArray
    bases: DoubleArray


def _chain(
    before: DoubleArray, targets: DoubleArray, covariances: DoubleArray, blocks: float, noise: float
) -> _Chain:
    """Bases of groups one after the other, each kept from the group before where its own does not pay.

    ``covariances`` are those of so many blocks.
    """
    angles, bases = [], []
    for target, covariance, number in zip(targets, covariances, _MEMBERS[1:], strict=True):
        row, before = _worthwhile(before, target, covariance, blocks * number, noise)
        angles.append(row)
        bases.append(before)
    return _Chain(np.stack(angles), np.stack(bases))


def fit_spectral(
    pixels: FloatArray, mean_unit: float = 1.0, noise: float = 0.0, stacked: int = 1
) -> tuple[SpectralTransform, FloatArray]:
    """Fit the transform to the pixels (C, H, W) of a tile; H and W are multiples of 16.

    A group keeps of the basis before what its own would not pay for, with coefficients coded to an error
    of about ``noise``. ``stacked`` is that of :func:`block_transform`. Also returns the coefficients of the
    components (64, C, H/8, W/8).
    """
    mean = np.rint(pixels.mean(axis=(1, 2), dtype=np.float64) / mean_unit).astype(np.int64)
    centre = (mean * mean_unit).astype(np.float32)
    coefficients = block_transform(pixels - centre[:, None, None], stacked)
    rows, columns = (size // REGION for size in coefficients.shape[2:])
    unit = noise or mean_unit
    angles, bases = _fitted(coefficients * np.float32(1 / unit), noise / unit)
    matrices = bases.swapaxes(-2, -1).astype(np.float32)
    flat = coefficients.reshape(*coefficients.shape[:2], -1)
    tried = [(matrix[GROUP_OF] @ flat).reshape(coefficients.shape) for matrix in matrices]
    classes = np.zeros((rows, columns), np.intp)
    if len(tried) > 1:
        bits = [_bits(_region_variances(values) / unit**2, noise / unit) for values in tried]
        used, classes = np.unique(np.argmin(bits, axis=0), return_inverse=True)
        first = angles[0, 0]
        angles, tried = angles[used], [tried[k] for k in used]
        angles[0, 0] = first
    transform = SpectralTransform(angles, mean, mean_unit, classes.astype(np.uint8))
    return transform, transform.of_class(tried)


def _region_variances(components: FloatArray) -> FloatArray:
    """Second moments (GROUPS - 1, C, h / 2, w / 2) of components (64, C, h, w) over each region."""
    energy = np.zeros((GROUPS, *components.shape[1:]), np.float32)
    for group, part in zip(GROUP_OF, components, strict=True):
        energy[group] += np.square(part)
    corners = [energy[1:, :, y::REGION, x::REGION] for y in range(REGION) for x in range(REGION)]
    variances: FloatArray = np.add.reduce(corners)
    variances /= per_channel(_MEMBERS[1:] * REGION**2, 4)
    return variances


def _fitted(coefficients: FloatArray, noise: float) -> tuple[IntArray, DoubleArray]:
    """Angles (K, GROUPS, A) of the classes, and the bases (K, GROUPS, C, C) that they give."""
    whole = group_covariances(coefficients)
    principal = principal_bases(whole)
    blocks = coefficients[0, 0].size
    before = np.eye(len(principal[0]))
    row, first = _worthwhile(before, principal[0], whole[0], blocks, noise)
    rows, columns = (size // REGION for size in coefficients.shape[2:])
    apart = max(math.isqrt(rows * columns // _SAMPLED), -(-columns // _SAMPLED))
    across = min(max(1, apart), columns)
    down = -(-rows * columns // (across * _SAMPLED))
    sample = local_covariances(coefficients, down, across)
    joint = jointly_diagonal(principal[1:], sample, noise)
    one = _chain(first, joint, whole[1:], blocks, noise)
    regions = rows * columns
    told = angle_bits(one.angles[one.angles != 0])
    chains = [
        _chain(first, target, sample[:, members].mean(axis=1), blocks * members.mean(), noise)
        for members, target in _classes(joint, sample, regions, told, noise)
    ] or [one]
    angles = np.zeros((len(chains), GROUPS, row.size), np.int32)
    angles[0, 0] = row
    angles[:, 1:] = [chain.angles for chain in chains]
    return angles, np.stack([np.concatenate([first[None], chain.bases]) for chain in chains])


def _classes(
    joint: DoubleArray, sample: FloatArray, regions: int, told: float, noise: float
) -> list[tuple[npt.NDArray[np.bool_], DoubleArray]]:
    """The members and the bases of each class, by a sample (GROUPS - 1, R, C, C) of so many regions.

    Empty where classes do not pay; ``told`` are about the bits that the bases of one take.
    """
    found: list[tuple[npt.NDArray[np.bool_], DoubleArray]] = []
    bits = float(_bits(_variances(joint, sample), noise).mean())
    cost = regions * _region_bits(bits, 1) + told
    for number in range(2, min(_MOST_CLASSES, sample.shape[1] // _FEWEST) + 1):
        label, targets, bits = _sorted_regions(joint, sample, noise, number)
        now = regions * _region_bits(bits, number) + number * told
        if np.bincount(label, minlength=number).min() < _FEWEST or now >= cost:
            break
        found, cost = [(label == k, target) for k, target in enumerate(targets)], now
    return found


def _region_bits(bits: float, classes: int) -> float:
    """About the true bits of a region and its class."""
    return float(_REAL_SHARE * bits + _MAP_BITS * np.log2(classes))
