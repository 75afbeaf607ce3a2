"""The numcodecs codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_contiguous_ndarray, ensure_ndarray, ndarray_copy

from eocodec.bounds import MaxError
from eocodec.errors import InputError
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunks import decode_tiles, encode_tiles


class Eocodec(Codec):  # type: ignore[misc]
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
        the last two are rows and columns and the one before bands; those before give a tile each.
    chunk_shape : sequence of int, optional
        Shape of a chunk, in stores whose tiles are cut at the far edges of the array, as those of `.eoc`
        are: `decode` fills them up to it with zeros.

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
        if chunk_shape is not None:
            self._options.axes(len(chunk_shape))
        elif dims is not None:
            # A payload does not tell the chunk's shape, so the axes must unfold without it.
            self._options.axes(len(dims)).grouped()

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
        return encode_tiles(self._options.axes(chunk.ndim).fold(chunk), self._options.settings)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the samples of a chunk in C order.

        Without `chunk_shape` they come as (tiles, bands, rows, columns), in the order of the axes.

        Parameters
        ----------
        buf : bytes-like
            What `encode` returned.
        out : writable buffer, optional
            Where to put them.

        Raises
        ------
        FormatError, UnsupportedError, ModelError
            When the bytes cannot be decoded.
        """
        if out is not None:
            ensure_contiguous_ndarray(out)  # raises TypeError for objects
        dims, shape = self._options.dims, self._options.chunk_shape
        if shape is not None:
            whole = self._options.axes(len(shape))
            tiles = whole.unfold(decode_tiles(ensure_bytes(buf), whole.extents(shape)), shape)
            return ndarray_copy(np.ascontiguousarray(tiles), out)
        tiles = decode_tiles(ensure_bytes(buf))
        if dims is not None and len(dims) > 1:
            axes = self._options.axes(len(dims)).grouped()
            tiles = axes.unfold(tiles, [tiles.shape[role] for role in axes.roles])
        return ndarray_copy(np.ascontiguousarray(tiles), out)

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
