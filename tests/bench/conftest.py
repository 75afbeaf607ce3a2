import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

SAMPLE = Path(__file__).parents[1] / "data" / "s2_berlin.tif"


@pytest.fixture(scope="session")
def stack():
    """Ten real bands, (10, 64, 64)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(SAMPLE) as source:
            pixels = source.read(window=((32, 96), (32, 96)))
    return pixels.astype(np.uint16)
