"""What a single band description says: a Sentinel-2 band number, a common name, a wavelength."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eocodec.band_table import BANDS, nearest_band
from eocodec.sensor_names import names_other_sensor

_COMMON_NAMES = {name: band.name for band in BANDS for name in band.common_names}
_CODES = {band.name for band in BANDS}

# "B2", "B02", "B8A", "band 11", "Band_8a", "S2_B03"; more text may follow a separator.
_NUMBERED = re.compile(r"(?:^|[^a-z0-9])(?:b|band)[ _.-]?(0*\d{1,3}a?)(?![a-z0-9]|\.\d)")
# "Band 3", "b3", "Layer_3", "3": what software writes where it only counts bands.
_COUNTED = re.compile(r"(?:b|band|bands|layer|lyr|channel|ch)?[ _.-]?([1-9]\d{0,3})")
_EXTENSION = re.compile(r"\.(?:tiff?|jp2|jpg|png|img|vrt|nc|dat|bil|bsq|zarr|safe)$")
_PARTS = re.compile(r"[^a-z0-9]+")
_SENTINEL2 = re.compile(r"(?<![a-z0-9])(?:sentinel[ _-]?2[a-d]?|sen2[a-d]|s2[a-d]?)(?![a-z0-9])")
_DATES = re.compile(r"(?<!\d)(?:\d{8}(?:t\d{6})?|\d{4}-\d\d-\d\d)(?!\d)")
_RESOLUTION = re.compile(r"r?\d{2}m")

# ACOLITE: rhos_865, rhot_833, Rrs_665, or rhos_8A_865 with the option add_band_name.
_ACOLITE = re.compile(r"(?:rho[a-z]{1,3}|rrs|lt|rhorc)_(?:(?:\d{1,2}|8a)_)?(\d{3,4})")
_NM = r"(?:nm|nanomet\w*)"
_UM = r"(?:um|[µμ]m|micromet\w*|microns?)"
_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = rf"(?:{_NUMBER} ?(?:-|\u2013|to) ?)?{_NUMBER}"
_WAVELENGTH = re.compile(
    rf"\(?(?<![\w.])(?:(?:central )?wavelength:? *)?{_RANGE} ?(?:({_NM})|({_UM}))(?!\w)\)?"
)
_TAG_KEYS = re.compile(r"(?:eo:|band_?)?(?:cent(?:er|ral|re)_?)?wavelength(?:_(nm|um))?")
_TAG_UNITS = re.compile(r"wavelength_?units?")

# Words that may stand beside a common name without changing what it names.
_FILLERS = """
    band channel sr boa toa toc nbar nbart surface reflectance refl msi l1c l2a vegetation spectral
    median mean medoid composite mosaic
"""
# Words that say that the values are no reflectances of the band that is named beside them.
_NO_BAND = """
    qa qc qi mask masks msk quality flag flags cloud clouds cloudy cld clm clp shadow shadows snow snw
    prob probability confidence std stddev stdev stddevs sd var variance sigma count counts cnt
    uncertainty unc error err rmse noise contiguity valid validity saturation saturated defect
    angle angles azimuth zenith sun view solar ratio index indices ndvi ndwi ndre ndmi ndbi nbr evi
    savi lai diff difference delta anomaly slope trend trends amplitude phase residual residuals
    texture glcm entropy contrast homogeneity correlation gradient pca pc class classes
    classification label labels scl aot wvp tci pvi alpha fmask footprint detector detfoo depth
    coherence temperature thermal tir lwir date doy mad iqr range cv coefficient coef coeff cos sin
    weight weights importance rank radiance clear harmonic anomalies zscore score
"""
FILLER_WORDS = frozenset(_FILLERS.split())
_NO_BAND_WORDS = frozenset(_NO_BAND.split())
_SYNONYMS = (("nearinfrared", "nir"), ("shortwaveinfrared", "swir"))
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("coastal", frozenset({"B01"})),
    ("ultrablue", frozenset({"B01"})),
    ("aerosol", frozenset({"B01"})),
    ("blue", frozenset({"B02"})),
    ("green", frozenset({"B03"})),
    ("rededge", frozenset({"B05", "B06", "B07", "B8A"})),
    ("red", frozenset({"B04"})),
    ("nir", frozenset({"B08", "B8A", "B09"})),
    ("broadnir", frozenset({"B08"})),
    ("narrownir", frozenset({"B8A"})),
    ("watervapo", frozenset({"B09"})),
    ("cirrus", frozenset({"B10"})),
    ("swircirrus", frozenset({"B10"})),
    ("swir", frozenset({"B11", "B12"})),
    ("yellow", frozenset()),
    ("panchro", frozenset()),
)


@dataclass(frozen=True)
class Reading:
    """What a band description says.

    Attributes
    ----------
    code : str or None
        Canonical name of the Sentinel-2 band of the number in it.
    word : str or None
        Common name, lower case and without separators, as nir or swir2.
    wavelength_nm : float or None
        Central wavelength.
    silent : bool
        It says nothing of what the band is: it is empty, counts bands or is a mere wavelength.
    counted : int or None
        The number, where that may only count bands: "Band 3", "b3".
    spelled : bool
        It is one of "Band 3", which any software writes.
    brdf : bool
        It has Geoscience Australia's prefix nbar or nbart.
    foreign : bool
        Its number or words are those of another sensor.
    """

    code: str | None = None
    word: str | None = None
    wavelength_nm: float | None = None
    silent: bool = False
    counted: int | None = None
    spelled: bool = False
    brdf: bool = False
    foreign: bool = False


def read_description(description: str | None) -> Reading:
    """Read one band description."""
    text = (description or "").strip().lower()
    if not text:
        return Reading(silent=True)
    if _EXTENSION.search(text):
        text = _EXTENSION.sub("", re.split(r"[\\/]", text)[-1])
    if names_other_sensor(text):
        return Reading(foreign=True)
    if match := _ACOLITE.fullmatch(text):
        return Reading(word="", wavelength_nm=float(match[1]))
    if set(_PARTS.split(text)) & _NO_BAND_WORDS:
        return Reading()
    if match := _COUNTED.fullmatch(text):
        number = int(match[1])
        code = _canonical(match[1]) if text.startswith("b") else None
        spelled = text.startswith("band")
        return Reading(code, silent=True, counted=number, spelled=spelled, foreign=number > 12)
    text, wavelength = _take_wavelength(text)
    numbers = set(_NUMBERED.findall(text))
    words = _words(_NUMBERED.sub(" ", text))
    brdf = bool({"nbar", "nbart"} & set(_PARTS.split(text)))
    if not numbers:
        said = bool(_PARTS.sub("", text))
        return Reading(word=words or None, wavelength_nm=wavelength, silent=not said, brdf=brdf)
    codes = {_canonical(number) for number in numbers}
    if len(codes) > 1:
        return Reading()
    code = codes.pop()
    foreign = code is None or not _agree(code, words, wavelength)
    return Reading(None if foreign else code, None, wavelength, brdf=brdf, foreign=foreign)


def common_name_band(word: str) -> str | None:
    """Return the band that a common name stands for on its own."""
    return _COMMON_NAMES.get(word)


def family(word: str) -> frozenset[str] | None:
    """Return the bands that a common name may stand for at all, None where it is no such name."""
    return next((bands for start, bands in _FAMILIES if word.startswith(start)), None)


def tagged_wavelength(tags: Mapping[str, Any]) -> float | None:
    """Return the central wavelength in nm that the tags of a band hold, in whatever namespace.

    Known are `wavelength`, `central_wavelength` and the like, with `wavelength_units` (ENVI, FORCE)
    or a unit in the value, and GDAL's `CENTRAL_WAVELENGTH_UM`. A value without a unit is in
    micrometres below 100.
    """
    flat: dict[str, str] = {}
    for key, value in tags.items():
        inner = value.items() if isinstance(value, Mapping) else [(key, value)]
        flat |= {str(name).strip().lower(): str(text).strip().lower() for name, text in inner}
    units = [text for name, text in flat.items() if _TAG_UNITS.fullmatch(name)]
    for name, text in flat.items():
        match = _TAG_KEYS.fullmatch(name)
        value = re.match(rf"{_NUMBER} *(.*)", text)
        if match is None or value is None:
            continue
        unit = value[2] or match[1] or (units[0] if units else "")
        number = float(value[1])
        if re.match(_UM, unit) or (not re.match(_NM, unit) and number < 100):
            number *= 1000
        return number or None
    return None


def _canonical(number: str) -> str | None:
    name = number.lstrip("0").upper()
    name = f"B{name}" if name == "8A" else f"B{name:0>2}"
    return name if name in _CODES else None


def _take_wavelength(text: str) -> tuple[str, float | None]:
    """Cut the wavelengths out of a text, and return the one that it names, in nm."""
    found = list(_WAVELENGTH.finditer(text))
    if len(found) != 1:
        return text, None
    low, high, _, micrometres = found[0].groups()
    value = (float(low or high) + float(high)) / 2 * (1000 if micrometres else 1)
    return _WAVELENGTH.sub(" ", text), value


def _words(text: str) -> str:
    """Join what is left of a description without prefixes, resolutions and dates."""
    text = _DATES.sub(" ", _SENTINEL2.sub(" ", text))
    parts = [part for part in _PARTS.split(text) if part and part not in FILLER_WORDS]
    joined = "".join(part for part in parts if not _RESOLUTION.fullmatch(part))
    for long, short in _SYNONYMS:
        joined = joined.replace(long, short)
    return joined


def _agree(code: str, words: str, wavelength: float | None) -> bool:
    """Tell whether words and wavelength beside a number can be those of that Sentinel-2 band."""
    bands = family(words)
    if bands is not None and code not in bands:
        return False
    if wavelength is None:
        return True
    band = next(band for band in BANDS if band.name == code)
    return any(
        abs(wavelength - centre) <= band.bandwidth_nm[platform]
        for platform, centre in band.wavelength_nm.items()
    )


def wavelength_band(reading: Reading, wavelength_nm: float) -> str | None:
    """Return the band of a wavelength, among those that the words of a reading allow."""
    return nearest_band(wavelength_nm, family(reading.word) if reading.word else None)
