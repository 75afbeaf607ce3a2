"""`.eoc` to GeoTIFF and COG: streaming the windows of a container into a file."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from eocodec.errors import EocodecError, InputError
from eocodec.formats.eoc.header import ArrayHeader, Band
from eocodec.formats.eoc.pool import thread_count
from eocodec.formats.eoc_raster import EocRaster
from eocodec.formats.geotiff_metadata import to_crs, write_metadata
from eocodec.formats.native import NativeGrid, doubled_transform
from eocodec.formats.raster import Raster, windows, without_georeference_warning
from eocodec.formats.tiff_nodata import carried_by_rasterio, check_writable, write_nodata_tag

_BLOCK = 512
_CACHE_MEGABYTES = 128
_COMPRESSION = {"compress": "deflate", "zlevel": 6}


def write_geotiff(
    raster: EocRaster,
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a decoded raster as a tiled, deflated GeoTIFF with everything known of it.

    Parameters
    ----------
    raster : EocRaster
        What to write; decoded window by window.
    path : path
        The file, which appears whole or not at all.
    threads : int, optional
        Decoding threads, which set how much is decoded at a time.
    overwrite : bool
        Replace an existing file.
    progress : callable, optional
        Called with the number of samples written since the last call.

    Raises
    ------
    InputError
        If the file exists, or cannot be written.
    FormatError
        If the container is damaged.
    """
    with _whole_file(path, overwrite=overwrite) as partial, _gdal_errors(path):
        _write(partial, raster, raster.header, raster.bands, raster, threads, progress)


def write_native(
    raster: EocRaster,
    fine: str | os.PathLike[str],
    coarse: str | os.PathLike[str],
    *,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a raster that came from a 10 m and a 20 m file as two such files again.

    Parameters
    ----------
    fine, coarse : path
        The file of the bands at 10 m, and that of the bands brought back to 20 m.
    raster, threads, overwrite, progress
        As `write_geotiff`.

    Raises
    ------
    InputError
        If no band of the raster came from 20 m pixels; or as `write_geotiff`.
    """
    at_10m = [i for i, band in enumerate(raster.bands) if band.native_factor == 1]
    at_20m = [i for i, band in enumerate(raster.bands) if band.native_factor == 2]
    if not at_20m:
        raise InputError(f"{raster.name} holds no bands that came from a coarser grid")
    if not at_10m:
        raise InputError(f"{raster.name} holds no bands at 10 m; decompress it as it is")
    placed = raster.header.transform
    header = replace(
        raster.header,
        transform=doubled_transform(placed) if placed else None,
        tags=raster.native_tags,
    )
    with (
        _whole_file(coarse, overwrite=overwrite) as partial_20m,
        _whole_file(fine, overwrite=overwrite) as partial_10m,
    ):
        subset = _Bands(raster, at_10m)
        with _gdal_errors(fine):
            _write(partial_10m, subset, raster.header, subset.bands, None, threads, progress)
        grid = NativeGrid(raster, at_20m)
        with _gdal_errors(coarse):
            _write(partial_20m, grid, header, grid.bands, None, threads, progress)


def write_cog(
    raster: EocRaster,
    path: str | os.PathLike[str],
    *,
    compression: str = "deflate",
    resampling: str = "average",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a decoded raster as a cloud-optimised GeoTIFF with overviews.

    Parameters
    ----------
    compression : str
        Lossless compression of the COG driver: "deflate", "lzw", "zstd" or "none".
    resampling : str
        How the overviews are made: "average", "nearest", "bilinear", "cubic", "mode".
    raster, path, threads, overwrite, progress
        As `write_geotiff`.

    Raises
    ------
    InputError
        As `write_geotiff`.
    """
    with _whole_file(path, overwrite=overwrite) as partial, _gdal_errors(path):
        plain = partial.with_name(partial.name + ".tif")
        try:
            _write(plain, raster, raster.header, raster.bands, raster, threads, progress)
            with (
                without_georeference_warning(),
                rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES),
            ):
                rasterio.shutil.copy(
                    os.fspath(plain),
                    os.fspath(partial),
                    driver="COG",
                    COMPRESS=compression.upper(),
                    PREDICTOR="YES" if compression != "none" else "NO",
                    OVERVIEW_RESAMPLING=resampling.upper(),
                    BLOCKSIZE=str(_BLOCK),
                    BIGTIFF="IF_SAFER",
                    NUM_THREADS=str(thread_count(threads)),
                )
        finally:
            _remove(plain)


class _Bands:
    """Some of the bands of a raster."""

    def __init__(self, raster: Raster, indexes: Sequence[int]) -> None:
        self._raster, self._indexes = raster, list(indexes)
        self.name = raster.name
        self.shape: tuple[int, int, int] = (len(self._indexes), *raster.shape[1:])
        self.dtype: np.dtype[Any] = raster.dtype
        self.nodata: int | float | None = raster.nodata
        self.bands: tuple[Band, ...] = tuple(raster.bands[index] for index in self._indexes)

    def read(self, rows: slice, columns: slice, bands: Sequence[int] | None = None) -> Any:
        chosen = self._indexes if bands is None else [self._indexes[band] for band in bands]
        return self._raster.read(rows, columns, chosen)


def _write(
    path: Path,
    raster: Raster,
    header: ArrayHeader,
    bands: Sequence[Band],
    masked: EocRaster | None,
    threads: int | None,
    progress: Callable[[int], object] | None,
) -> None:
    check_writable(raster.nodata, raster.dtype, raster.name)
    carried = carried_by_rasterio(raster.nodata, raster.dtype)
    count, height, width = raster.shape
    block, step = _block_and_step(header.tile_size[1:])
    across = step * thread_count(threads)
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES, GDAL_TIFF_INTERNAL_MASK=True),
        without_georeference_warning(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=raster.dtype.name,
            count=count,
            height=height,
            width=width,
            crs=to_crs(header.crs),
            transform=None if header.transform is None else Affine(*header.transform),
            nodata=raster.nodata if carried else None,
            tiled=True,
            blockxsize=block,
            blockysize=block,
            interleave="band",
            predictor=3 if raster.dtype.kind == "f" else 2,
            bigtiff="if_safer",
            **_COMPRESSION,
        ) as target,
    ):
        write_metadata(target, header, bands)
        for rows, columns in windows(height, width, step, across):
            pixels = raster.read(rows, columns)
            window = rasterio.windows.Window.from_slices(rows, columns)
            target.write(pixels, window=window)
            if masked is not None and masked.has_mask:
                target.write_mask(masked.read_mask(rows, columns), window=window)
            if progress is not None:
                progress(pixels.size)
    if raster.nodata is not None and not carried:
        write_nodata_tag(path, raster.nodata)


def _block_and_step(tile: Sequence[int]) -> tuple[int, int]:
    """Return the block size of the GeoTIFF, and the rows to decode at a time.

    A window covers whole blocks, so that no block is compressed twice, and whole tiles where
    that is possible, so that no tile is decoded twice.
    """
    rows = tile[0]
    if tile[0] == tile[1] and rows % 16 == 0 and rows <= 1024:
        block = rows if rows >= 128 else rows * math.ceil(128 / rows)
        return block, block
    return _BLOCK, _BLOCK


@contextmanager
def _gdal_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        why: BaseException = error
        while why.__cause__ is not None:
            why = why.__cause__
        raise InputError(f"cannot write {os.fspath(path)}: {why}") from error


def _read_back(path: Path, final: Path) -> None:
    """Read every block of the file that becomes `final`; their checksums tell whether it is whole.

    What GDAL cannot write while it closes a file, as on a full disk, it does not report.
    """
    try:
        with without_georeference_warning(), rasterio.open(path) as written:
            for _, window in written.block_windows(1):
                written.read(window=window)
                written.dataset_mask(window=window)
    except RasterioError as error:
        raise InputError(
            f"cannot write {final}: what was written cannot be read back; is the disk full?"
        ) from error


@contextmanager
def _whole_file(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """Give a name to write under; what is there becomes `path` when the block ends well."""
    final = Path(path)
    if final.is_dir():
        raise InputError(f"{final} is a folder")
    if final.exists() and not overwrite:
        raise InputError(f"{final} exists; allow overwriting to replace it")
    if not final.absolute().parent.is_dir():
        raise InputError(f"cannot write {final}: there is no folder {final.parent}")
    partial = final.with_name(f".{final.name}.{secrets.token_hex(6)}.part")
    try:
        yield partial
        _read_back(partial, final)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        # Left by GDAL for what the format cannot hold; one of an older file must not stay.
        sidecar, older = _sidecar(partial), _sidecar(final)
        partial.replace(final)
        older.unlink(missing_ok=True)
        if sidecar.exists():
            sidecar.replace(older)
    except OSError as error:
        if isinstance(error, EocodecError):
            raise
        raise InputError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        _remove(partial)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".aux.xml")


def _remove(path: Path) -> None:
    for leftover in (path, _sidecar(path), path.with_name(path.name + ".msk")):
        leftover.unlink(missing_ok=True)
