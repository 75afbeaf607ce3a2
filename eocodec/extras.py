"""Packages that only parts of eocodec need: what to install where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eocodec.errors import MissingPackageError

# The extra of this package that brings each of them.
_EXTRAS = {
    "cdsapi": "cams",
    "cfgrib": "fields",
    "dask": "dask",
    "distributed": "dask",
    "eccodes": "fields",
    "h5netcdf": "xarray",
    "matplotlib": "train",
    "netCDF4": "fields",
    "onnx": "onnx",
    "pyarrow": "features",
    "s3fs": "s3",
    "torch": "torch",
    "virtualizarr": "virtual",
    "xarray": "fields",
}


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Say what to install when a package that is imported in the block is missing.

    Parameters
    ----------
    extra : str
        The extra of eocodec that brings the packages, as "torch" of ``pip install 'eocodec[torch]'``.
    what : str
        What they are for, as the sentence "... needs torch" begins.

    Raises
    ------
    MissingPackageError
        A package is missing, or is there but cannot be loaded.
    """
    try:
        yield
    except ImportError as error:
        if _is_our_fault(error):
            raise
        raise MissingPackageError(_advice(error, extra, what)) from error


def missing_package(error: ImportError, what: str) -> MissingPackageError | None:
    """Return what to say of an import that failed; None where no extra brings the package."""
    extra = _EXTRAS.get(_package(error))
    if extra is None or _is_our_fault(error):
        return None
    return MissingPackageError(_advice(error, extra, what))


def _is_our_fault(error: ImportError) -> bool:
    said = isinstance(error, MissingPackageError)
    return said or _package(error) in ("", "eocodec")


def _package(error: ImportError) -> str:
    return (error.name or "").partition(".")[0]


def _advice(error: ImportError, extra: str, what: str) -> str:
    package = _package(error)
    if not isinstance(error, ModuleNotFoundError):
        package += f", which is installed but cannot be loaded ({error})"
    return f"{what} needs {package}: pip install 'eocodec[{extra}]'"
