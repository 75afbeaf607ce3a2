"""Reading and writing whole datasets past HDF5's filters, which run one chunk after the other."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from eocodec.errors import InputError
from eocodec.formats.eoc.pool import OrderedPool
from eocodec.hdf5.options import ChunkFilter
from eocodec.hdf5.plugin import chunk_filter

Array = npt.NDArray[Any]
Offset = tuple[int, ...]


def write(dataset: h5py.Dataset, data: Array, *, threads: int | None = None) -> None:
    """Write all of a dataset, its chunks encoded in threads: the same bytes as ``dataset[...] = data``.

    Parameters
    ----------
    dataset : h5py.Dataset
        Created with `eocodec.hdf5.filter`.
    data : ndarray
        Of the dataset's shape.
    threads : int, optional
        Encoding threads; the process's cores, at most 8, by default.

    Raises
    ------
    InputError
        When the dataset has other filters, or `data` another shape, or cannot be coded.
    """
    chunks = chunk_filter(dataset)
    data = np.asarray(data)
    if data.shape != dataset.shape:
        raise InputError(f"data of {data.shape} do not fit a dataset of {dataset.shape}")
    starts = (range(0, n, size) for n, size in zip(data.shape, chunks.shape, strict=True))
    offsets = list(product(*starts))
    pool: OrderedPool[tuple[Offset, bytes]] = OrderedPool(threads, len(offsets))
    try:
        for offset in offsets:
            chunk = np.full(chunks.shape, dataset.fillvalue, chunks.dtype)
            part = data[_box(offset, chunks.shape)]
            chunk[tuple(slice(n) for n in part.shape)] = part
            for done, encoded in pool.push(partial(_encoded, chunks, offset, chunk)):
                dataset.id.write_direct_chunk(done, encoded)
        for done, encoded in pool.drain():
            dataset.id.write_direct_chunk(done, encoded)
    finally:
        pool.close()


def read(dataset: h5py.Dataset, *, threads: int | None = None) -> Array:
    """Return all of a dataset, its chunks decoded in threads: the same as ``dataset[...]``.

    Parameters
    ----------
    dataset : h5py.Dataset
        Created with `eocodec.hdf5.filter`.
    threads : int, optional
        Decoding threads; the process's cores, at most 8, by default.

    Raises
    ------
    InputError
        When the dataset has other filters.
    FormatError, UnsupportedError, ModelError
        When a chunk cannot be decoded.
    """
    chunks = chunk_filter(dataset)
    out = np.full(dataset.shape, dataset.fillvalue, dataset.dtype)
    count = dataset.id.get_num_chunks()
    pool: OrderedPool[None] = OrderedPool(threads, count)
    try:
        for number in range(count):
            offset = dataset.id.get_chunk_info(number).chunk_offset
            mask, data = dataset.id.read_direct_chunk(offset)
            pool.push(partial(_decode, chunks, offset, data, mask, out))
        pool.drain()
    finally:
        pool.close()
    return out


def _box(offset: Offset, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(at, at + size) for at, size in zip(offset, shape, strict=True))


def _encoded(chunks: ChunkFilter, offset: Offset, chunk: Array) -> tuple[Offset, bytes]:
    return offset, chunks.encode(chunk)


def _decode(chunks: ChunkFilter, offset: Offset, data: bytes, mask: int, out: Array) -> None:
    # HDF5 leaves a chunk as it is, and says so in the mask, where its filter failed.
    if mask & 1:
        chunk: Array = np.frombuffer(data, chunks.dtype).reshape(chunks.shape)
    else:
        chunk = chunks.decode(data)
    place = out[_box(offset, chunks.shape)]
    place[...] = chunk[tuple(slice(n) for n in place.shape)]
