"""Features written to files: Parquet, NumPy or Zarr by the ending of the name; whole or not at all."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.lib.format import open_memmap
from rasterio.crs import CRS
from rasterio.errors import CRSError

from eocodec.errors import EocodecError, InputError
from eocodec.extras import needs
from eocodec.formats.features import FeatureBlock, FeaturePlan

Progress = Callable[[int], object]

_CHUNK_VALUES = 2**20


def write_features(
    plan: FeaturePlan, path: Path, *, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Compute features and write them, block by block.

    Parameters
    ----------
    plan : FeaturePlan
    path : Path
        ``.parquet``: a row a patch with ``row``, ``column`` (its first pixel), ``x``, ``y`` (its centre), ``valid``
        (share of valid pixels) and a column a feature; what they are, with the CRS, is JSON in the
        schema's metadata ``eocodec``. ``.npy``: the same as a structured array (rows, columns), the features
        as one field ``features`` (D,), and the JSON in a file of the same name plus ``.json``. ``.zarr``: a
        grid ``features`` (feature, y, x) as xarray reads it.
    overwrite : bool
        Whether to replace what is there.
    progress : callable, optional
        Gets the number of patches done.

    Returns
    -------
    int
        Patches without features, because nothing of them is valid.

    Raises
    ------
    InputError
        The ending is unknown, or something is there.
    MissingPackageError
        pyarrow is not installed.
    EocodecError
        As `FeaturePlan.blocks`, or the place cannot be written.
    """
    writers = {".parquet": _write_parquet, ".npy": _write_npy, ".zarr": _write_zarr}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"cannot write features to {path}: end it with .parquet, .npy or .zarr")
    empty = 0

    def blocks() -> Iterator[FeatureBlock]:
        nonlocal empty
        for block in plan.blocks():
            yield block
            empty += int(np.count_nonzero(block.valid == 0))
            if progress is not None:
                progress(block.valid.size)

    with ExitStack() as stack:
        part = stack.enter_context(_appearing(path, overwrite))
        if writer is _write_npy:
            told = stack.enter_context(_appearing(Path(f"{path}.json"), overwrite))
            told.write_text(json.dumps(about(plan), indent=2) + "\n")
        writer(plan, part, blocks())
    return empty


def about(plan: FeaturePlan) -> dict[str, Any]:
    """Tell what features are and where they lie, as JSON can hold it."""
    header = plan.grid.header
    return {
        "transform": plan.transform.name,
        "model": plan.transform.model,
        "codec_model": header.model,
        "features": list(plan.names),
        "patch": plan.grid.patch,
        "stride": plan.grid.stride,
        "shape": list(plan.grid.shape),
        "layers": plan.layers,
        "crs": header.crs,
        "affine": plan.grid.transform,
    }


@contextmanager
def _appearing(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary name for a file or folder that gets its own when it is whole."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; pass overwrite=True to replace it")
    if path.is_dir() and not (path / "zarr.json").exists():
        raise InputError(f"{path} is a folder that is no Zarr group")
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        yield part
        if path.is_dir():
            shutil.rmtree(path)
        part.replace(path)
    except OSError as error:
        raise EocodecError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(part) if part.is_dir() else part.unlink()


def _write_parquet(plan: FeaturePlan, path: Path, blocks: Iterator[FeatureBlock]) -> None:
    with needs("features", "Parquet, unlike .npy and .zarr,"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    places = {"row": pa.int64(), "column": pa.int64(), "x": pa.float64(), "y": pa.float64()}
    fields = {**places, **dict.fromkeys(("valid", *plan.names), pa.float32())}
    schema = pa.schema(list(fields.items()), {"eocodec": json.dumps(about(plan))})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for block in blocks:
            flat = block.values.reshape(-1, len(plan.names))
            columns = [*_places(plan, block).values(), *flat.T]
            arrays = [pa.array(np.ascontiguousarray(one).ravel()) for one in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _write_npy(plan: FeaturePlan, path: Path, blocks: Iterator[FeatureBlock]) -> None:
    fields = [("row", "<i8"), ("column", "<i8"), ("x", "<f8"), ("y", "<f8"), ("valid", "<f4")]
    dtype = np.dtype([*fields, ("features", "<f4", (len(plan.names),))])
    out = open_memmap(path, mode="w+", dtype=dtype, shape=plan.grid.shape)
    for block in blocks:
        part = out[block.rows, block.columns]
        for name, values in _places(plan, block).items():
            part[name] = values
        part["features"] = block.values
    out.flush()


def _places(plan: FeaturePlan, block: FeatureBlock) -> dict[str, np.ndarray[Any, Any]]:
    """Columns, each (rows, columns) of a block, that tell where patches lie and how much of them is valid."""
    x, y = plan.grid.centres(block.rows, block.columns)
    row, column = plan.grid.row(block.rows)[:, None], plan.grid.column(block.columns)[None]
    shape = block.valid.shape
    return {
        "row": np.broadcast_to(row, shape),
        "column": np.broadcast_to(column, shape),
        "x": x,
        "y": y,
        "valid": block.valid,
    }


def _write_zarr(plan: FeaturePlan, path: Path, blocks: Iterator[FeatureBlock]) -> None:
    grid, count = plan.grid, len(plan.names)
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes={"eocodec": about(plan)})
    attributes: dict[str, Any] = {
        "coordinates": "row column spatial_ref",
        "grid_mapping": "spatial_ref",
    }
    side = max(1, int((_CHUNK_VALUES / count) ** 0.5))
    chunks = tuple(min(side, n) for n in grid.shape)
    features = group.create_array(
        "features",
        shape=(count, *grid.shape),
        chunks=(count, *chunks),
        dtype="float32",
        fill_value=np.nan,
        dimension_names=("feature", "y", "x"),
        attributes=attributes,
    )
    valid = group.create_array(
        "valid",
        shape=grid.shape,
        chunks=chunks,
        dtype="float32",
        dimension_names=("y", "x"),
        attributes={**attributes, "long_name": "share of valid pixels"},
    )
    _write_coordinates(plan, group)
    for block in blocks:
        features[:, block.rows, block.columns] = np.moveaxis(block.values, -1, 0)
        valid[block.rows, block.columns] = block.valid


def _write_coordinates(plan: FeaturePlan, group: zarr.Group) -> None:
    """Write names of features, first pixels, centres and the grid mapping (CF, as rioxarray has it)."""
    grid = plan.grid
    names = group.create_array(
        "feature", shape=(len(plan.names),), dtype=str, dimension_names=("feature",)
    )
    names[:] = np.array(plan.names, dtype=object)
    coordinates: dict[str, tuple[str, np.ndarray[Any, Any]]] = {
        "row": ("y", grid.row()),
        "column": ("x", grid.column()),
    }
    transform = grid.transform
    if transform is not None and not (transform[1] or transform[3]):
        x, y = grid.centres()
        coordinates |= {"y": ("y", y[:, 0]), "x": ("x", x[0])}
    for name, (dimension, values) in coordinates.items():
        group.create_array(name, data=np.ascontiguousarray(values), dimension_names=(dimension,))
    mapping: dict[str, Any] = {} if grid.header.crs is None else {"crs_wkt": _wkt(grid.header.crs)}
    if transform is not None:
        a, b, c, d, e, f = transform
        mapping["GeoTransform"] = " ".join(repr(float(value)) for value in (c, a, b, f, d, e))
    if "crs_wkt" in mapping:
        mapping["spatial_ref"] = mapping["crs_wkt"]
    group.create_array("spatial_ref", data=np.array(0), dimension_names=(), attributes=mapping)


def _wkt(crs: str) -> str:
    """Return a CRS as WKT, as it is where it cannot be parsed."""
    try:
        return str(CRS.from_user_input(crs).to_wkt())
    except CRSError:
        return crs
