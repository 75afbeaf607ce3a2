"""The Zarr v3 codec."""

from __future__ import annotations

import asyncio
import math
from abc import ABCMeta
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin
from zarr.abc.store import RangeByteRequest
from zarr.storage import StorePath

from eocodec.bounds import MaxError
from eocodec.errors import InputError
from eocodec.formats.chunk_options import ChunkOptions
from eocodec.formats.chunks import (
    check_extents,
    encode_tiles,
    place_tiles,
    table_size,
    tile_ranges,
)

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

Array = npt.NDArray[Any]


class _SaysItsPlace(ABCMeta):
    """Where zarr quotes the class in an error, tell which argument the codec belongs to."""

    def __repr__(cls) -> str:
        return (
            f"{super().__repr__()}, an array-to-bytes codec: pass it as serializer= with compressors=None (for Zarr "
            "v2 compressors=eocodec.numcodecs.Eocodec(...))"
        )


@dataclass(frozen=True, init=False)
class TileSerializer(ArrayBytesCodec, ArrayBytesCodecPartialDecodeMixin, metaclass=_SaysItsPlace):
    """Codes a chunk as eocodec tiles: the `serializer` of a Zarr v3 array, also inside shards.

    Pass ``compressors=None`` beside it: the bytes cannot be compressed further, and only then does zarr
    decode just the tiles that a selection touches. zarr does not tell codecs the dimension names of an
    array, so pass `dims` where the last three axes are not bands, rows and columns, nor rows, columns and few
    bands (see `bands_last`). Bounds hold for the samples that come out of the filters before.

    Parameters
    ----------
    model, quality, max_error, max_relative_error, max_error_sqrt, lossless, nodata, dims, chunk_shape
        As `eocodec.numcodecs.Eocodec`; axes of one kind need not be neighbours.

    Raises
    ------
    InputError
        When an option is malformed or contradicts another (it is a ValueError too).
    ModelError
        When the model is not installed.
    """

    is_fixed_size = False
    codec_name = "eocodec.tile"

    options: ChunkOptions

    def __init__(
        self,
        *,
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
        options = ChunkOptions(
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
        object.__setattr__(self, "options", options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec of an entry of an array's metadata."""
        if data.get("name") != cls.codec_name:
            raise InputError(f"codec {data.get('name')!r} is not {cls.codec_name!r}")
        return cls(**ChunkOptions.from_json(data.get("configuration") or {}).to_json())

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of an array's metadata: what is not as by default."""
        configuration = self.options.to_json()
        if not configuration:
            return {"name": self.codec_name}
        return {"name": self.codec_name, "configuration": configuration}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise `InputError` when chunks of these cannot be coded, before the array is created."""
        chunk = getattr(chunk_grid, "chunk_shape", shape)
        extents = self.options.axes(chunk).extents(chunk)
        check_extents(extents, dtype.to_native_dtype())
        bounds = self.options.max_error
        # Filters that come before, and are not told here, may bring the axes into another order.
        if not isinstance(bounds, tuple) or len(bounds) not in chunk:
            self.options.settings.bounds(extents[1])
        if self.options.chunk_shape not in (None, tuple(chunk)):
            raise InputError(f"chunks of {chunk} are not of chunk_shape {self.options.chunk_shape}")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise NotImplementedError: the size depends on the samples."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        chunk = _as_specified(chunk_data.as_numpy_array(), chunk_spec)
        data = await asyncio.to_thread(self._encode, chunk)
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        chunk = await asyncio.to_thread(self._decode, chunk_data.to_bytes(), chunk_spec)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk)

    async def _decode_partial_single(
        self, byte_getter: ByteGetter, selection: Any, chunk_spec: ArraySpec
    ) -> NDBuffer | None:
        wanted = self._tiles_of(selection, chunk_spec.shape)
        payloads = await self._fetch(byte_getter, wanted, chunk_spec)
        if payloads is None:
            return None
        chunk = await asyncio.to_thread(self._placed, payloads, chunk_spec)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk[selection])

    def _encode(self, chunk: Array) -> bytes:
        native = chunk.astype(chunk.dtype.newbyteorder("="), copy=False)
        return encode_tiles(self.options.axes(chunk.shape).fold(native), self.options.settings)

    def _decode(self, data: bytes, spec: ArraySpec) -> Array:
        ranges = tile_ranges(data, len(data), self._tiles(spec))
        return self._placed([(i, data[slice(*span)]) for i, span in enumerate(ranges)], spec)

    def _tiles(self, spec: ArraySpec) -> int:
        return self.options.axes(spec.shape).extents(spec.shape)[0]

    def _placed(self, payloads: list[tuple[int, bytes]], spec: ArraySpec) -> Array:
        """Return a chunk, zero in the tiles of which no payload is given."""
        axes = self.options.axes(spec.shape)
        dtype = spec.dtype.to_native_dtype()
        tiles = np.zeros(axes.extents(spec.shape), dtype.newbyteorder("="))
        place_tiles(payloads, tiles, cut=self.options.chunk_shape is not None)
        return axes.unfold(tiles, spec.shape).astype(dtype, copy=False)

    def _tiles_of(self, selection: Any, shape: tuple[int, ...]) -> list[int]:
        """Return the numbers of the tiles that a selection of a chunk touches."""
        axes = self.options.axes(shape)
        tiles, *_ = axes.extents(shape)
        basic = isinstance(selection, tuple) and len(selection) == len(shape)
        if not basic or not all(isinstance(key, (slice, int)) for key in selection):
            return list(range(tiles))
        apart = [i for i, role in enumerate(axes.roles) if role == 0]
        numbers = np.arange(tiles).reshape([shape[i] for i in apart])
        chosen = numbers[tuple(selection[i] for i in apart)]
        return [int(number) for number in np.sort(np.ravel(chosen))]

    async def _fetch(
        self, byte_getter: ByteGetter, wanted: list[int], spec: ArraySpec
    ) -> list[tuple[int, bytes]] | None:
        """Return the payloads of some tiles, by ranges where the store has them; None without a chunk."""
        tiles = self._tiles(spec)
        # Inside a shard the bytes of a chunk are already at hand, and cannot be had by ranges.
        if tiles == 1 or len(wanted) == tiles or not isinstance(byte_getter, StorePath):
            whole = await byte_getter.get(prototype=spec.prototype)
            if whole is None:
                return None
            data = whole.to_bytes()
            ranges = tile_ranges(data, len(data), tiles)
            return [(number, data[slice(*ranges[number])]) for number in wanted]
        get = partial(byte_getter.get, prototype=spec.prototype)
        table = await get(byte_range=RangeByteRequest(0, table_size(tiles)))
        if table is None:
            return None
        ranges = tile_ranges(table.to_bytes(), tiles=tiles)
        parts = await asyncio.gather(
            *(get(byte_range=RangeByteRequest(*ranges[number])) for number in wanted)
        )
        return [
            (number, b"" if part is None else part.to_bytes())
            for number, part in zip(wanted, parts, strict=True)
        ]


def _as_specified(chunk: Array, spec: ArraySpec) -> Array:
    """Return a chunk in the shape and dtype that its specification, and so the decoder, has.

    Filters may hand it on flat, or floats as integers of their bits. As zarr's own serializer, this takes
    the bytes for what the specification says.

    Raises
    ------
    InputError
        When they are fewer or more.
    """
    dtype = spec.dtype.to_native_dtype()
    if (chunk.shape, chunk.dtype) == (spec.shape, dtype):
        return chunk
    size = math.prod(spec.shape) * dtype.itemsize
    if chunk.nbytes != size:
        raise InputError(
            f"a filter before eocodec.tile gives {chunk.shape} samples of {chunk.dtype.name}, which do not fit "
            f"the {spec.shape} of {dtype.name} that zarr will read: leave the filter out"
        )
    return np.ascontiguousarray(chunk).reshape(-1).view(dtype).reshape(spec.shape)
