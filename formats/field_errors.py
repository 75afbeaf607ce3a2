"""The errors of one field, added up block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eocodec.bounds import ErrorBounds
from eocodec.formats.eoc import ArrayHeader
from eocodec.formats.field_values import FieldValues
from eocodec.formats.peak import Peak
from eocodec.metrics import beyond, psnr_of


@dataclass(frozen=True)
class FieldErrors:
    """Errors of one field, in its unit (values unpacked).

    Attributes
    ----------
    name, units : str
        What the field is called, and its unit.
    rmse, max_error : float
        Over the samples that are valid on both sides; NaN without any.
    psnr : float
        Peak signal-to-noise ratio in dB, for `psnr_peak`; infinite without errors.
    psnr_peak : float
        Its peak, in the unit of the field.
    psnr_peak_chosen : str
        How the peak was chosen.
    max_relative_error : float
        Largest error as a share of the sample's magnitude; infinite where 0 became another value.
    range : float
        Largest minus least valid sample of the reference.
    valid : int
        Samples that are valid in the reference.
    invalid_mismatches : int
        Samples that are missing, or another special value, on one side only.
    promise : tuple of 3 float or None
        Promised absolute bound (of several, the largest), relative bound, and bound by the square root
        of the packed sample; None without a promise.
    by_level : bool
        Whether levels have different absolute bounds.
    beyond : int
        Valid samples whose error is larger than promised, each level by its own bound.
    """

    name: str
    units: str
    rmse: float
    psnr: float
    psnr_peak: float
    psnr_peak_chosen: str
    max_error: float
    max_relative_error: float
    range: float
    valid: int
    invalid_mismatches: int
    promise: tuple[float | None, float | None, float | None] | None
    by_level: bool
    beyond: int


class ErrorSum:
    """Adds up the errors of a field block by block.

    Parameters
    ----------
    reference, decoded : FieldValues
        What the samples of both stand for.
    promise : ArrayHeader or None
        The header that promises bounds, in the unit of the packed samples.
    """

    def __init__(
        self, reference: FieldValues, decoded: FieldValues, promise: ArrayHeader | None
    ) -> None:
        self._one, self._other = reference, decoded
        self._header = promise
        self._squares = self._most = self._relative = 0.0
        self._low, self._high = math.inf, -math.inf
        self._valid = self._both = self._mismatches = self._beyond = 0

    def add(self, first: int, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> None:
        """Add stored samples (planes, rows, columns) of both, `first` being the number of the first plane."""
        left, right = self._one.seen(left), self._other.seen(right)
        invalid, lost = self._one.invalid(left), self._other.invalid(right)
        alike = (left == right) | ((left != left) & (right != right))
        # Whether valid or not: what only one side takes for missing differs.
        self._mismatches += int(np.count_nonzero((invalid & ~alike) | (invalid ^ lost)))
        valid, both = ~invalid, ~(invalid | lost)
        original = self._one.values(left)
        error = self._one.apart(left, self._other, right)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            share = np.where(error > 0, error / np.abs(original), 0.0)
            self._squares += float(np.square(error).sum(where=both))
        self._valid += int(np.count_nonzero(valid))
        self._both += int(np.count_nonzero(both))
        self._most = max(self._most, float(error.max(where=both, initial=0.0)))
        self._relative = max(self._relative, float(share.max(where=both, initial=0.0)))
        self._low = min(self._low, float(original.min(where=valid, initial=math.inf)))
        self._high = max(self._high, float(original.max(where=valid, initial=-math.inf)))
        if self._header is not None:
            self._check(self._header, first, left, right, valid)

    def _check(
        self,
        header: ArrayHeader,
        first: int,
        left: npt.NDArray[Any],
        right: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_],
    ) -> None:
        planes: dict[ErrorBounds | None, list[int]] = {}
        if isinstance(header.max_error, tuple):
            for plane in range(len(left)):
                planes.setdefault(header.bounds(first + plane), []).append(plane)
        else:
            planes[header.bounds(0)] = list(range(len(left)))
        for bounds, numbers in planes.items():
            if bounds is not None:
                off = beyond(left[numbers], right[numbers], bounds)
                self._beyond += int(np.count_nonzero(off & valid[numbers]))

    def result(self, name: str, units: str, peak: float | None) -> FieldErrors:
        """Return the figures of everything that was added; the PSNR's peak is the range by default."""
        rmse = math.sqrt(self._squares / self._both) if self._both else math.nan
        high, low = (self._high, self._low) if self._high >= self._low else (0.0, 0.0)
        chosen = Peak.of_range(low, high) if peak is None else Peak.given(peak)
        promise, by_level = self._promise()
        return FieldErrors(
            name=name,
            units=units,
            rmse=rmse,
            psnr=psnr_of(rmse, chosen.value),
            psnr_peak=chosen.value,
            psnr_peak_chosen=chosen.chosen,
            max_error=self._most if self._both else math.nan,
            max_relative_error=self._relative if self._both else math.nan,
            range=high - low,
            valid=self._valid,
            invalid_mismatches=self._mismatches,
            promise=promise,
            by_level=by_level,
            beyond=self._beyond,
        )

    def _promise(self) -> tuple[tuple[float | None, float | None, float | None] | None, bool]:
        """Return the promise in the unit of the values, and whether it differs between levels."""
        header, scale = self._header, abs(self._one.packing.scale)
        if header is None:
            return None, False
        absolute = header.max_error
        bounds = absolute if isinstance(absolute, tuple) else (absolute,)
        largest = max((value for value in bounds if value is not None), default=None)
        root = header.max_error_sqrt
        promise = (
            None if largest is None else largest * scale,
            header.max_relative_error,
            None if root is None else root * scale**0.5,
        )
        return promise, len(set(bounds)) > 1
