"""The numcodecs codec."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NoReturn, Self

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_contiguous_ndarray, ensure_ndarray, ndarray_copy

from eocodec.bounds import MaxError
from eocodec.errors import InputError
from eocodec.formats.chunk_axes import chunk_axes
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunk_shape import ChunkShape, decode_chunk, parse_chunk_shape
from eocodec.formats.chunks import decode_tiles, encode_tiles

_OF_ZARR_3 = "for Zarr v3 pass serializer=eocodec.zarr.TileSerializer(...) and compressors=None"


class _SaysItsPlace(ABCMeta):
    """Where zarr quotes the class in an error, tell what Zarr v3 takes in its place."""

    def __repr__(cls) -> str:
        return f"{super().__repr__()}, a codec of Zarr v2: {_OF_ZARR_3}"


class Eocodec(Codec, metaclass=_SaysItsPlace):  # type: ignore[misc]
    """Codes a chunk as eocodec tiles. Without any option but `model`, `nodata` and `dims`, losslessly.

    Picklable, safe in threads, without state beyond its configuration.

    Parameters
    ----------
    model : str, optional
        Model name or id; the default model by default.
    quality : int, optional
        Learned layers to write, from 1: more is better and larger. Chunks that the model does not
        apply to are coded without loss.
    max_error, max_relative_error, max_error_sqrt : float, optional
        Bounds of the error of every valid sample, as `EncodeSettings`; `max_error` may be a sequence,
        one bound a band.
    lossless : bool
        Keep every sample.
    nodata : float, optional
        Samples of this value are kept exactly; NaN always is.
    dims : sequence of str, optional
        Names of the axes of a chunk, which tell bands, rows and columns (see `chunk_axes`). By default
        the last two are rows and columns and the one before bands, or a short last axis is bands (see
        `bands_last`); those before give a tile each.
    chunk_shape : sequence of int, optional
        Shape of a chunk, where what comes does not tell it: filters such as numcodecs' Delta and
        FixedScaleOffset hand chunks on flat. A chunk of as many samples is coded, and decoded, in this shape.
        Also in stores whose tiles are cut at the far edges of the array, as those of `.eoc` are: `decode`
        fills them up to it with zeros.

    Raises
    ------
    InputError
        When an option is malformed or contradicts another (it is a ValueError too).
    ModelError
        When the model is not installed.
    """

    codec_id = "eocodec"

    def __init__(
        self,
        model: str | None = None,
        quality: int | None = None,
        max_error: MaxError | Sequence[float | None] | None = None,
        max_relative_error: float | None = None,
        max_error_sqrt: float | None = None,
        lossless: bool = False,
        nodata: int | float | str | None = None,
        dims: Sequence[str | None] | None = None,
        chunk_shape: Sequence[int] | None = None,
    ):
        self._options = ChunkOptions(
            model=model,
            quality=quality,
            max_error=max_error,
            max_relative_error=max_relative_error,
            max_error_sqrt=max_error_sqrt,
            lossless=lossless,
            nodata=nodata,
            dims=dims,
            chunk_shape=chunk_shape,
        )

    def encode(self, buf: Any) -> bytes:
        """Return the bytes of a chunk.

        Parameters
        ----------
        buf : ndarray or bytes-like
            An array in C order and native or little-endian byte order; anything else counts as bytes.

        Raises
        ------
        InputError
            When the chunk cannot be coded.
        TypeError
            When it holds objects.
        """
        chunk = ensure_ndarray(buf)
        if chunk.dtype == object:
            raise TypeError("object arrays are not supported")
        if chunk.flags.f_contiguous and not chunk.flags.c_contiguous:
            raise InputError('eocodec codes chunks in C order: create the array with order="C"')
        if chunk.dtype.newbyteorder("<") != chunk.dtype:
            raise InputError(
                "eocodec keeps samples in little-endian byte order: create the array with dtype "
                f'"{chunk.dtype.newbyteorder("<").str}"'
            )
        dims, shape = self._options.dims, self._options.chunk_shape
        if shape is not None and chunk.shape in (shape, (prod(shape),)):
            axes, before = self._options.axes(shape), b""
            chunk = chunk.reshape(shape)
        elif dims is not None and chunk.ndim == 1 < len(dims):
            raise InputError(
                f"the chunk is flat, so its axes are not {list(dims)}: where a filter before eocodec does "
                "that, pass chunk_shape too"
            )
        else:
            axes = self._options.axes(chunk.shape)
            own = ChunkShape(axes, chunk.shape)
            known = shape is None and own.told_by_tiles(named=dims is not None)
            before = b"" if known else own.dump()
        return before + encode_tiles(axes.fold(chunk), self._options.settings)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the samples of a chunk in C order, in the shape that was encoded, or `chunk_shape`.

        Parameters
        ----------
        buf : bytes-like
            What `encode` returned, or a tile of a container: (bands, rows, columns) where neither `dims`
            nor `chunk_shape` tell its axes.
        out : writable buffer, optional
            Where to put them.

        Raises
        ------
        FormatError, UnsupportedError, ModelError
            When the bytes cannot be decoded.
        """
        if out is not None:
            ensure_contiguous_ndarray(out)  # raises TypeError for objects
        data = ensure_bytes(buf)
        dims, shape = self._options.dims, self._options.chunk_shape
        if shape is not None and parse_chunk_shape(data)[0] is None:
            axes = self._options.axes(shape)
            chunk = axes.unfold(decode_tiles(data, axes.extents(shape)), shape)
        else:
            chunk = decode_chunk(data, None if dims is None else chunk_axes(len(dims), dims))
        return ndarray_copy(np.ascontiguousarray(chunk), out)

    def __getitem__(self, _number: int) -> NoReturn:
        """Raise TypeError: Zarr v3 looks for codecs in what it cannot take for one."""
        raise TypeError(f"Eocodec is one codec, of Zarr v2: {_OF_ZARR_3}")

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, as JSON can hold it: what is not as by default."""
        return {"id": self.codec_id, **self._options.to_json()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the codec of a configuration without its id."""
        return cls(**ChunkOptions.from_json(config).to_json())

    def __hash__(self) -> int:
        return hash(self._options)

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self._options.to_json().items())
        return f"{type(self).__name__}({given})"
