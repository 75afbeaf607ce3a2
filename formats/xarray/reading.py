"""The arrays of a container as a lazy dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, CachingFileManager, FileManager
from xarray.core import indexing

from eocodec.errors import FormatError
from eocodec.formats.dataset_room import said
from eocodec.formats.eoc import ArrayHeader, Reader
from eocodec.formats.eoc import open as open_container
from eocodec.formats.eoc.window import parse_index
from eocodec.mask import as_dtype
from eocodec.xarray.dimensions import parse_dimensions
from eocodec.xarray.georeference import GRID_MAPPING, grid_mapping, pixel_centres
from eocodec.xarray.small import parse_attrs, parse_dataset


def container_files(target: Any, storage_options: Mapping[str, Any] | None) -> FileManager[Reader]:
    """Return what opens a container, closes it, bounds how many are open, and can be pickled."""
    if isinstance(target, (bytearray, memoryview)):
        target = bytes(target)
    return CachingFileManager(open_container, target, kwargs=storage_options)


class _LazyArray(BackendArray):
    """An array of a container, decoded window by window. Picklable.

    Parameters
    ----------
    files : FileManager
        Opens the container.
    number : int
        Number of the array.
    header : ArrayHeader
        Its header.
    dims : tuple of str
        Its axes as they are shown: in another order than in the header, or without one of extent 1.
    dtype : numpy.dtype
        What its samples are shown in: its dtype, or the integer of the same size and the other sign.
    layers : int or None
        Layers to decode; None decodes all.
    """

    def __init__(
        self,
        files: FileManager[Reader],
        number: int,
        header: ArrayHeader,
        dims: tuple[str, ...],
        dtype: np.dtype[Any],
        layers: int | None,
    ):
        self.dtype = dtype
        self._stored = header.shape
        self._axes = [dims.index(dim) if dim in dims else None for dim in header.dims]
        self.shape = tuple(header.shape[header.dims.index(dim)] for dim in dims)
        self._files, self._number, self._layers = files, number, layers

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        stored = tuple(0 if axis is None else key[axis] for axis in self._axes)
        kept = [axis for axis in self._axes if axis is not None and isinstance(key[axis], slice)]
        return self._read_stored(stored).transpose(np.argsort(kept))

    def _read_stored(self, key: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        chosen = parse_index(key, self._stored)
        rows, columns = chosen.rows, chosen.columns
        size = rows.stop - rows.start, columns.stop - columns.start
        planes = chosen.planes.reshape(-1)
        pixels = np.empty((len(planes), *size), self.dtype)
        if pixels.size:
            array = self._files.acquire(needs_lock=False).array(self._number)
            read = array.read((rows, columns), bands=planes.tolist(), layers=self._layers)
            pixels = read.astype(self.dtype, copy=False)
        return pixels.reshape(*chosen.planes.shape, *size)[(..., *chosen.cut)]


def raw_dataset(files: FileManager[Reader], layers: int | None) -> xr.Dataset:
    """Return the arrays of a container as they are stored, with coordinates."""
    reader = files.acquire(needs_lock=False)
    described = said(reader.arrays[0]).get("dataset")
    if described is not None:
        return _described(files, reader.arrays, described, layers)
    variables: dict[str, xr.Variable] = {}
    for number, header in enumerate(reader.arrays):
        array = _LazyArray(files, number, header, header.dims, header.dtype, layers)
        lazy = indexing.LazilyIndexedArray(array)
        found = _coordinates(header)
        names = _names(header, found, variables)
        dims = [names.get(dim, dim) for dim in header.dims]
        own = _attributes(header)
        if "grid_mapping" in own:
            own["grid_mapping"] = names.get(own["grid_mapping"], own["grid_mapping"])
        chunks = dict(zip(dims, _tile(header), strict=True))
        variables[header.name] = xr.Variable(
            dims, lazy, own, {"preferred_chunks": chunks, "dtype": header.dtype}
        )
        for name, variable in found.items():
            renamed = [names.get(str(dim), str(dim)) for dim in variable.dims]
            variables[names.get(name, name)] = xr.Variable(renamed, variable.values, variable.attrs)
    data = {header.name: variables.pop(header.name) for header in reader.arrays}
    return _dataset(data, variables, {})


def _described(
    files: FileManager[Reader],
    headers: Sequence[ArrayHeader],
    described: Any,
    layers: int | None,
) -> xr.Dataset:
    """Return the dataset that was written as a container, with the very attributes it had."""
    attrs, variables = parse_dataset(described)
    for number, header in enumerate(headers):
        room = said(header)
        dims = _shown_dims(header, room.get("dims"))
        chunks = dict(zip(header.dims, _tile(header), strict=True))
        dtype = _stored_dtype(header, room.get("dtype"))
        encoding = room.get("encoding")
        variables[header.name] = xr.Variable(
            dims,
            indexing.LazilyIndexedArray(_LazyArray(files, number, header, dims, dtype, layers)),
            parse_attrs(room.get("attrs", {})),
            {
                **(encoding if isinstance(encoding, Mapping) else {}),
                "preferred_chunks": {dim: chunks[dim] for dim in dims},
                "dtype": dtype,
            },
        )
    order = described.get("order", [])
    first = [name for name in order if name in variables] if isinstance(order, list) else []
    in_order = {name: variables[name] for name in dict.fromkeys([*first, *variables])}
    ds = _dataset(in_order, {}, attrs)
    ds.encoding.update(parse_dimensions(described))
    unlimited = described.get("unlimited", [])
    if isinstance(unlimited, list) and unlimited:
        ds.encoding["unlimited_dims"] = {dim for dim in unlimited if dim in ds.sizes}
    return ds


def _stored_dtype(header: ArrayHeader, told: Any) -> np.dtype[Any]:
    """Return the dtype that a variable had, where its samples were coded as `_Unsigned` shows them."""
    if told is None:
        return header.dtype
    signs = {"i": "u", "u": "i"}
    other = f"{signs.get(header.dtype.kind, '')}{header.dtype.itemsize}"
    if header.dtype.kind not in signs or told != np.dtype(other).name:
        raise FormatError(f"array {header.name!r}: {told!r} is no dtype of {header.dtype} samples")
    return np.dtype(other)


def _shown_dims(header: ArrayHeader, told: Any) -> tuple[str, ...]:
    """Return the axes of a variable in their original order, without one that was added."""
    if told is None:
        return header.dims
    sizes = dict(zip(header.dims, header.shape, strict=True))
    if (
        not isinstance(told, list)
        or len(set(map(str, told))) != len(told)
        or set(told) - set(sizes)
    ):
        raise FormatError(f"array {header.name!r}: {told!r} are no axes of {header.dims}")
    if any(n != 1 for dim, n in sizes.items() if dim not in told):
        raise FormatError(f"array {header.name!r}: {told!r} leave out axes of {header.dims}")
    return tuple(told)


def _dataset(
    data: Mapping[str, xr.Variable], coords: Mapping[str, xr.Variable], attrs: Mapping[str, Any]
) -> xr.Dataset:
    try:
        return xr.Dataset(data, coords, attrs)
    except ValueError as error:
        raise FormatError(f"the header describes a malformed dataset: {error}") from error


def _coordinates(header: ArrayHeader) -> dict[str, xr.Variable]:
    """Return what a header tells of the axes of its array, by name."""
    found: dict[str, xr.Variable] = {}
    for variable in pixel_centres(header) or ():
        found[str(variable.dims[0])] = variable
    mapping = grid_mapping(header)
    if mapping is not None:
        found[GRID_MAPPING] = mapping
    if header.bands and len(header.shape) == 3:
        dim = header.dims[0]
        names = header.band_names
        if len(set(names)) == len(names):
            found[dim] = xr.Variable((dim,), np.array(names, object))
        wavelengths = [band.wavelength_nm for band in header.bands]
        if any(value is not None for value in wavelengths):
            attrs = {"standard_name": "radiation_wavelength", "units": "nm"}
            found["wavelength"] = xr.Variable((dim,), np.array(wavelengths, np.float64), attrs)
    return found


def _names(
    header: ArrayHeader, found: Mapping[str, xr.Variable], taken: Mapping[str, xr.Variable]
) -> dict[str, str]:
    """Return another name for each axis and coordinate that differs from one already taken."""
    sizes = {dim: n for var in taken.values() for dim, n in zip(var.dims, var.shape, strict=True)}
    lengths = dict(zip(header.dims, header.shape, strict=True))
    clashes = {dim for dim, n in lengths.items() if sizes.get(dim, n) != n}
    for name, variable in found.items():
        if name in taken and not variable.identical(taken[name]):  # type: ignore[no-untyped-call]
            clashes.add(name)
    on_them = {name for name, variable in found.items() if clashes & set(variable.dims)}
    return {name: f"{name}_{header.name}" for name in clashes | on_them}


def _attributes(header: ArrayHeader) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    fill = None if header.nodata is None else as_dtype(header.nodata, header.dtype)
    if fill is not None:
        attrs["_FillValue"] = fill
    if header.crs is not None:
        attrs["grid_mapping"] = GRID_MAPPING
    for key, field in (("scale_factor", "scale"), ("add_offset", "offset"), ("units", "unit")):
        values = {getattr(band, field) for band in header.bands}
        if len(values) == 1 and None not in values:
            attrs[key] = values.pop()
    return attrs


def _tile(header: ArrayHeader) -> tuple[int, ...]:
    """Return the chunk of each axis that is one tile, or close to it."""
    planes, rows, columns = header.tile_size
    leading: list[int] = []
    for extent in reversed(header.shape[:-2]):
        leading.append(min(extent, max(planes, 1)))
        planes //= extent
    return *reversed(leading), min(rows, header.shape[-2]), min(columns, header.shape[-1])
