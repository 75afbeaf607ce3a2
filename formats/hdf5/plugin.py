"""The filter as HDF5 calls it: C callbacks that ctypes makes of Python functions."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any

import h5py
import numpy as np

from eocodec.errors import FormatError, InputError
from eocodec.hdf5.options import (
    FILTER_ID,
    MAX_CLIENT_DATA,
    ChunkFilter,
    client_data,
    parse_client_data,
)

_log = logging.getLogger("eocodec.hdf5")

_REVERSE = 0x0100
_MOST_AXES = 32
_INTEGER, _FLOAT = 0, 1
_LITTLE_ENDIAN, _BIG_ENDIAN = 0, 1
_DEFAULT_STACK = 0

_SetLocal = CFUNCTYPE(c_int, c_int64, c_int64, c_int64)
_Filter = CFUNCTYPE(
    c_size_t, c_uint, c_size_t, POINTER(c_uint), c_size_t, POINTER(c_size_t), POINTER(c_void_p)
)


class _FilterClass(ctypes.Structure):
    """H5Z_class2_t of the HDF5 library."""

    _fields_ = (
        ("version", c_int),
        ("id", c_int),
        ("encoder_present", c_uint),
        ("decoder_present", c_uint),
        ("name", c_char_p),
        ("can_apply", c_void_p),
        ("set_local", _SetLocal),
        ("filter", _Filter),
    )


# The symbols of an extension module of h5py include those of the HDF5 library that it is linked to.
_lib = ctypes.CDLL(h5py.h5p.__file__)
_lib.H5allocate_memory.restype = c_void_p
_lib.H5allocate_memory.argtypes = (c_size_t, ctypes.c_bool)
_lib.H5free_memory.argtypes = (c_void_p,)
_lib.H5Pget_chunk.argtypes = (c_int64, c_int, POINTER(ctypes.c_uint64))
_lib.H5Pget_filter_by_id2.argtypes = (
    *(c_int64, c_int, POINTER(c_uint), POINTER(c_size_t), POINTER(c_uint)),
    *(c_size_t, c_char_p, POINTER(c_uint)),
)
_lib.H5Pmodify_filter.argtypes = (c_int64, c_int, c_uint, c_size_t, POINTER(c_uint))
for _name in ("H5Tget_class", "H5Tget_size", "H5Tget_sign", "H5Tget_order"):
    getattr(_lib, _name).argtypes = (c_int64,)
_lib.H5Tget_size.restype = c_size_t
_lib.H5Pget_filter2.argtypes = (
    *(c_int64, c_uint, POINTER(c_uint), POINTER(c_size_t), POINTER(c_uint)),
    *(c_size_t, c_char_p, POINTER(c_uint)),
)
_lib.H5Epush2.argtypes = (
    *(c_int64, c_char_p, c_char_p, c_uint, c_int64, c_int64, c_int64),
    c_char_p,
)


def _set_local(properties: int, datatype: int, _space: int) -> int:
    """Complete the client data when a dataset is created; negative refuses it."""
    try:
        _check_first(properties)
        flags, values = _client_data_of(properties)
        shape = (ctypes.c_uint64 * _MOST_AXES)()
        rank = max(0, _lib.H5Pget_chunk(properties, _MOST_AXES, shape))
        options = parse_client_data(values).options
        complete = client_data(options, shape[:rank], _dtype(datatype))
        parse_client_data(complete).check()
        given = (c_uint * len(complete))(*complete)
        status = _lib.H5Pmodify_filter(properties, FILTER_ID, flags, len(complete), given)
        return int(status)
    except Exception as error:
        _tell(f"the dataset cannot be coded: {error}")
        return -1


def _apply(flags: int, count: int, values: Any, size: int, buffer_size: Any, buffer: Any) -> int:
    """Encode or decode a chunk; 0 is failure. HDF5 owns the buffer and what replaces it."""
    try:
        chunks = parse_client_data(values[:count])
        data = ctypes.string_at(buffer[0], size)
        if flags & _REVERSE:
            result = chunks.decode(data).tobytes()
        else:
            result = chunks.encode(np.frombuffer(data, chunks.dtype).reshape(chunks.shape))
        fresh = _lib.H5allocate_memory(len(result), False)
        if not fresh:
            raise MemoryError(f"HDF5 has no {len(result)} bytes")
        ctypes.memmove(fresh, result, len(result))
        _lib.H5free_memory(buffer[0])
        buffer[0], buffer_size[0] = fresh, len(result)
        return len(result)
    except Exception as error:
        action = "decoded" if flags & _REVERSE else "encoded"
        _tell(f"a chunk cannot be {action}: {error}")
        return 0


def _tell(problem: str) -> None:
    """Log a problem, and put it on HDF5's stack of errors, of which h5py's exception quotes the first.

    Not so while chunks are read: HDF5 2 leaves that stack alone then.
    """
    _log.error("%s", problem)
    numbers = [
        c_int64.in_dll(_lib, f"H5E_{name}_g").value for name in ("ERR_CLS", "PLINE", "CANTFILTER")
    ]
    text = f"eocodec: {problem}".replace("%", "%%").encode()
    _lib.H5Epush2(_DEFAULT_STACK, b"plugin.py", b"eocodec", 0, *numbers, text)


def _check_first(properties: int) -> None:
    """Raise `InputError` when another filter comes first: the samples would not be those of the dataset."""
    name = ctypes.create_string_buffer(64)
    flags, count = c_uint(), c_size_t(0)
    first = _lib.H5Pget_filter2(properties, 0, flags, count, None, len(name), name, None)
    if first != FILTER_ID:
        known = name.value.decode(errors="replace") or f"number {first}"
        raise InputError(f"the filter {known!r} comes before eocodec's: leave it out")


def chunk_filter(dataset: h5py.Dataset) -> ChunkFilter:
    """Return the filter of a dataset.

    Raises
    ------
    InputError
        When it has another filter, or others beside.
    FormatError
        When the filter's client data are malformed or those of another dataset.
    """
    properties = dataset.id.get_create_plist()
    if properties.get_nfilters() != 1 or properties.get_filter(0)[0] != FILTER_ID:
        raise InputError(f"dataset {dataset.name!r} does not have the filter of eocodec alone")
    chunks = parse_client_data(_client_data_of(properties.id)[1])
    if (chunks.shape, chunks.dtype) != (dataset.chunks, dataset.dtype):
        raise FormatError(f"dataset {dataset.name!r} has the filter of chunks of another kind")
    return chunks


def _client_data_of(properties: int) -> tuple[int, list[int]]:
    """Return flags and client data of the filter in a property list; h5py itself tells but the first 16."""
    flags, count = c_uint(), c_size_t(MAX_CLIENT_DATA)
    values = (c_uint * MAX_CLIENT_DATA)()
    if _lib.H5Pget_filter_by_id2(properties, FILTER_ID, flags, count, values, 0, None, None) < 0:
        raise InputError("the dataset does not have the filter of eocodec")
    return flags.value, values[: count.value]


def _dtype(datatype: int) -> np.dtype[Any]:
    """Return the numpy dtype of an HDF5 type of numbers; raises `InputError` for others."""
    kinds = {_INTEGER: "i" if _lib.H5Tget_sign(datatype) else "u", _FLOAT: "f"}
    orders = {_LITTLE_ENDIAN: "<", _BIG_ENDIAN: ">"}
    kind = kinds.get(_lib.H5Tget_class(datatype))
    order = orders.get(_lib.H5Tget_order(datatype))
    if kind is None or order is None:
        raise InputError(
            "eocodec's filter is for integers and floats of little or big byte order, not bool, complex, text, "
            "compound or other types"
        )
    return np.dtype(f"{order}{kind}{_lib.H5Tget_size(datatype)}")


_filter_class = _FilterClass(
    1, FILTER_ID, 1, 1, b"eocodec", None, _SetLocal(_set_local), _Filter(_apply)
)


def register() -> None:
    """Make the filter known to the HDF5 library of h5py."""
    h5py.h5z.register_filter(ctypes.addressof(_filter_class))
    atexit.register(_flush)


def _flush() -> None:
    """Write out what open files hold: once Python is gone, HDF5 could not call the filter."""
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            h5py.h5f.flush(file)
