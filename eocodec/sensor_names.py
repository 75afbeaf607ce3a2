"""Which sensor a text names: band descriptions and tags of products as they are found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST_TAG = 300
_OF_SOFTWARE = frozenset({"tifftag_software", "software", "history", "processing_software"})

_SENTINEL2 = re.compile(
    r"(?<![a-z0-9])(?:sentinel[ _-]?2[a-d]?|sen2[a-dl]|s2[a-d]|s2[ _-](?:msi|sr|toa|boa|l1c|l2a)"
    r"|msil(?:1c|2a))(?![a-z0-9])"
)
_OTHERS = re.compile(
    r"""(?<![a-z0-9])(?:
    landsat\w*|l[ceto]0[4-9]|lnd(?:0[4-9]|lg)|hls[ ._-]?l30|l30|oli2?|tirs2?|etm\+?|s[rt]_b\d{1,2}
    |modis|mod0[129]\w*|m[oyc]d\d\d[a-z]\d|sur_refl\w*|nadir_reflectance\w*|viirs|vnp\d\d\w*
    |planet|planet[ _-]?scope|planet[ _-]?labs|psscene\w*|superdove|skysat\w*|rapideye
    |worldview\w*|wv0?[1-4]|geoeye\w*|quickbird\w*|ikonos|pl[eé]iades\w*|phr1[ab]|pneo\w*
    |spot[ _-]?[1-7]|naip\w*|aster|cbers\w*|gaofen\w*|gf[ _-]?[1-7]|kompsat\w*|himawari\w*
    |goes[ _-]?\d+|avhrr|meris|proba[ _-]?v|ven[uµμ]s|enmap|prisma|desis|hyperion|aviris\w*
    |sentinel[ _-]?[135][a-d]?|s[13][a-d]_\w+|olci|slstr|oa\d\d(?:_\w+)?|micasense|dji
    )(?![a-z0-9])""",
    re.VERBOSE,
)


def names_sentinel2(text: str) -> bool:
    """Tell whether a text names Sentinel-2, one of its satellites or products."""
    return bool(_SENTINEL2.search(text.lower()))


def names_other_sensor(text: str) -> bool:
    """Tell whether a text names another sensor, satellite or a band as only that has it."""
    return bool(_OTHERS.search(text.lower()))


def tag_texts(tags: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tags of all namespaces as "key value".

    Left out are what software says of itself (the Sentinel-2 Toolbox writes other products too) and
    long texts, as parameter files and whole metadata documents, which name many a sensor.
    """
    for key, value in tags.items():
        if isinstance(value, Mapping):
            yield from tag_texts(value)
        elif key.lower() not in _OF_SOFTWARE and len(str(value)) <= _LONGEST_TAG:
            yield f"{key} {value}"
