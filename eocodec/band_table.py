"""The bands of Sentinel-2: wavelengths, resolutions and the names they commonly have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from eocodec.errors import InputError


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument.

    Attributes
    ----------
    name : str
        Canonical name, as B02 or B8A.
    wavelength_nm : dict of str to float
        Central wavelength by platform, S2A and S2B, in nm.
    bandwidth_nm : dict of str to float
        Bandwidth by platform, in nm.
    resolution_m : int
        Native ground sampling distance in metres.
    common_names : tuple of str
        Names in the STAC catalogues and in everyday use, lower case.
    """

    name: str
    wavelength_nm: dict[str, float]
    bandwidth_nm: dict[str, float]
    resolution_m: int
    common_names: tuple[str, ...]


def _band(
    name: str, s2a: tuple[float, float], s2b: tuple[float, float], resolution_m: int, names: str
) -> Band:
    return Band(
        name,
        {"S2A": s2a[0], "S2B": s2b[0]},
        {"S2A": s2a[1], "S2B": s2b[1]},
        resolution_m,
        tuple(names.split()),
    )


# Central wavelength and bandwidth: ESA, Sentinel-2 MSI spatial and spectral resolution tables.
BANDS: tuple[Band, ...] = (
    _band("B01", (442.7, 21), (442.3, 21), 60, "coastal aerosol aerosols coastalaerosol ultrablue"),
    _band("B02", (492.4, 66), (492.1, 66), 10, "blue blu"),
    _band("B03", (559.8, 36), (559.0, 36), 10, "green grn"),
    _band("B04", (664.6, 31), (665.0, 31), 10, "red"),
    _band("B05", (704.1, 15), (703.8, 16), 20, "rededge1 rededge071 vre1 re1"),
    _band("B06", (740.5, 15), (739.1, 15), 20, "rededge2 rededge075 vre2 re2"),
    _band("B07", (782.8, 20), (779.7, 20), 20, "rededge3 rededge078 vre3 re3"),
    _band("B08", (832.8, 106), (833.0, 106), 10, "nir nir1 nirbroad broadnir bnr"),
    _band("B8A", (864.7, 21), (864.0, 22), 20, "nir08 nir2 nirnarrow narrownir rededge4 vre4 re4"),
    _band("B09", (945.1, 20), (943.2, 21), 60, "nir09 watervapour watervapor"),
    _band("B10", (1373.5, 31), (1376.9, 30), 60, "cirrus"),
    _band("B11", (1613.7, 91), (1610.4, 94), 20, "swir16 swir1 sw1"),
    _band("B12", (2202.4, 175), (2185.7, 185), 20, "swir22 swir2 sw2"),
)

MODEL_BANDS: tuple[str, ...] = (
    "B02",
    "B03",
    "B04",
    "B05",
    "B06",
    "B07",
    "B08",
    "B8A",
    "B11",
    "B12",
)

_BY_NAME = {band.name: band for band in BANDS}


def band(name: str) -> Band:
    """Return the band of a canonical name.

    Raises
    ------
    InputError
        When there is no such band.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise InputError(f"{name!r} is no Sentinel-2 band; the names are {all_names()}") from None


def nearest_band(wavelength_nm: float, among: Collection[str] | None = None) -> str | None:
    """Return the band whose centre is nearest to a wavelength, None where that lies outside it.

    Parameters
    ----------
    wavelength_nm : float
        A central wavelength.
    among : collection of str, optional
        Canonical names of the bands to consider, by default all.
    """
    distance, name, width = min(
        (abs(wavelength_nm - centre), band.name, band.bandwidth_nm[platform])
        for band in BANDS
        if among is None or band.name in among
        for platform, centre in band.wavelength_nm.items()
    )
    return name if distance <= width / 2 else None


def all_names() -> str:
    """Return the canonical names of all bands, for messages."""
    return ", ".join(band.name for band in BANDS)
