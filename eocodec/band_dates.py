"""Stacks of several dates in one raster, told from the names of their bands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_DAY = r"(?:19|20)\d\d(?P<dash{n}>[-_]?)(?:0[1-9]|1[0-2])(?P=dash{n})(?:0[1-9]|[12]\d|3[01])"
_TIME = r"[T ]\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?Z?"
_TILE = r"T\d\d[A-Z]{3}"
_PRODUCT = rf"S2[A-D]_MSIL(?:1C|2A)_\d{{8}}T\d{{6}}_N\d{{4}}_R\d{{3}}_{_TILE}(?:_\d{{8}}T\d{{6}})?"


def _moment(number: int) -> str:
    return f"{_DAY.format(n=number)}(?:{_TIME})?"


# Earth Engine: 20200101_B2, 20200101T103021_20200101T103020_T32TQM_B2, 1_20200101_B2; SAFE: T32TQM_20200101T101031_B02
_KEY = rf"(?:\d{{1,4}}_)*(?:{_PRODUCT}|(?:{_TILE}_)?{_moment(1)}(?:_{_moment(2)})?(?:_{_TILE})?)"
_SEPARATOR = r"[ _.:-]+"
_FORMS = (
    re.compile(rf"(?P<key>{_KEY}){_SEPARATOR}(?P<base>[A-Za-z].*)", re.IGNORECASE),
    re.compile(rf"(?P<base>[A-Za-z].*?){_SEPARATOR}(?P<key>{_moment(3)})", re.IGNORECASE),
)
# A collection's images without dates are numbered: 0_B2; bands of one name too: B2_1, the first often plain.
_COUNTED_FORMS = (
    re.compile(r"(?P<key>\d{1,4})_(?P<base>[A-Za-z].*)"),
    re.compile(r"(?P<base>[A-Za-z].*?)(?:[ _.-](?P<key>\d{1,4}))?"),
)

_WITH_NUMBER = re.compile(
    r".*(?:edge|nir|swir|infrared)[ _.-]?\d|(?:rho[a-z]{1,3}|rrs)_\d{3,4}", re.IGNORECASE
)

Groups = list[tuple[str, tuple[int, ...]]]


def date_groups(descriptions: Sequence[str | None] | None) -> Groups | None:
    """Split a stack of several dates by the names of its bands.

    Known are names that begin with a date, a product or a number (20200101_B2, 0_B2: Earth Engine's
    `toBands`), and those that end with one (B2_20200101, "B02 2020-01-01", B2_1).

    Parameters
    ----------
    descriptions : sequence of str or None
        One description a band of the raster.

    Returns
    -------
    list of (str, tuple of int) or None
        Of every date its text and the positions of its bands, from 0 and in the file's order; None
        where the names are not such ones, or where not every date has every band just once.
    """
    return next((groups for groups, _ in _splits(descriptions)), None)


def undated(descriptions: Sequence[str | None]) -> list[str] | None:
    """Return the names of the bands of a stack of several dates without the dates, None of others."""
    return next((bases for _, bases in _splits(descriptions)), None)


def _splits(descriptions: Sequence[str | None] | None) -> Iterator[tuple[Groups, list[str]]]:
    names = [(text or "").strip() for text in descriptions or ()]
    for counted, forms in ((False, _FORMS), (True, _COUNTED_FORMS)):
        for form in forms:
            matches = [match for name in names if (match := form.fullmatch(name))]
            if len(matches) != len(names) or (counted and _own_numbers(names)):
                continue
            bases = [match["base"] for match in matches]
            groups: dict[str, list[int]] = {}
            for index, match in enumerate(matches):
                groups.setdefault(match["key"] or "0", []).append(index)
            if len(groups) < 2 or (counted and len(set(bases)) < 2):
                continue
            if all(
                sorted(bases[i] for i in group) == sorted(set(bases)) for group in groups.values()
            ):
                yield [(key, tuple(group)) for key, group in groups.items()], bases


def _own_numbers(names: Sequence[str]) -> bool:
    """Tell whether the numbers belong to the names of bands: nir_1 and nir_2, rhos_865."""
    return any(_WITH_NUMBER.fullmatch(name) for name in names) and not any(
        re.search(r"(?:^|[^a-z0-9])b\d", name, re.IGNORECASE) for name in names
    )
