"""VirtualiZarr: a parser of containers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from obspec_utils.readers import BlockStoreReader
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup, ManifestStore
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.metadata.v3 import ArrayV3Metadata

from eocodec.errors import EocodecError, InputError
from eocodec.formats.eoc.remote import problem
from eocodec.virtual.layout import TileChunks, ZarrLayout, zarr_layout
from eocodec.xarray.reading import container_files

if TYPE_CHECKING:
    import xarray as xr
    from obspec_utils.registry import ObjectStoreRegistry
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_NODE = "/zarr.json"


class EocParser:
    """Makes a `virtualizarr.manifests.ManifestStore` of a container: its chunks are the tiles.

    Coordinates and other small variables lie in a container's header, not in tiles, so the virtual dataset
    holds them loaded. Write it with ``vds.vz.to_icechunk``; for kerchunk's JSON there is
    `eocodec.virtual.references`, since VirtualiZarr leaves out codecs of this kind there.
    """

    def __call__(self, url: str, registry: ObjectStoreRegistry[Any]) -> ManifestStore:
        """Return the store of the container at `url`, read through the stores of `registry`.

        Raises
        ------
        InputError
            There is no such file, or it cannot be read.
        FormatError, UnsupportedError
            It is no container, or tiles of it cannot be chunks of a Zarr array.
        """
        try:
            stream = _Named(*registry.resolve(url))
            stream.name = url
            files = container_files(stream, None)
            try:
                layout = zarr_layout(files, 3)
            finally:
                files.close()
        except EocodecError:
            raise
        except Exception as error:
            raise InputError(f"cannot read {url}: {problem(error)}") from error
        return _ContainerStore(url, layout, registry)


class _Named(BlockStoreReader):
    """A file with a name, for messages."""

    name: str


class _ContainerStore(ManifestStore):
    """The store of a container; it has the chunks of small variables itself."""

    def __init__(self, url: str, layout: ZarrLayout, registry: ObjectStoreRegistry[Any]):
        tiled = {array.name: array for array in layout.arrays}
        nodes = {key for key in layout.small if key.endswith(_NODE)}
        names = [key.removesuffix(_NODE) for key in nodes]
        arrays = {
            name: ManifestArray(_metadata(layout, name), _manifest(url, layout, name, tiled))
            for name in names
        }
        attributes = json.loads(layout.small["zarr.json"])["attributes"]
        super().__init__(ManifestGroup(arrays, attributes=attributes), registry=registry)
        self._loaded = [name for name in names if name not in tiled]
        self._small = zarr.storage.MemoryStore(
            {
                _dotted(key): cpu.Buffer.from_bytes(value)
                for key, value in layout.small.items()
                if not key.endswith("zarr.json")
            }
        )

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value, or a range of it."""
        small = await self._small.get(key, prototype or default_buffer_prototype(), byte_range)
        return await super().get(key, prototype, byte_range) if small is None else small

    def to_virtual_dataset(
        self,
        group: str = "",
        loadable_variables: Iterable[str] | None = None,
        decode_times: bool | None = None,
    ) -> xr.Dataset:
        """Return the store as a dataset: tiles by reference, small variables loaded."""
        loaded = [*self._loaded, *(loadable_variables or ())]
        return super().to_virtual_dataset(group, list(dict.fromkeys(loaded)), decode_times)


def _metadata(layout: ZarrLayout, name: str) -> ArrayV3Metadata:
    said = json.loads(layout.small[f"{name}{_NODE}"])
    # The keys that ManifestStore lists.
    said["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": "."}}
    return ArrayV3Metadata.from_dict(said)


def _manifest(
    url: str, layout: ZarrLayout, name: str, tiled: dict[str, TileChunks]
) -> ChunkManifest:
    if name not in tiled:
        said = json.loads(layout.small[f"{name}{_NODE}"])
        chunk = said["chunk_grid"]["configuration"]["chunk_shape"]
        return ChunkManifest(
            {}, tuple(-(-n // size) for n, size in zip(said["shape"], chunk, strict=True))
        )
    offsets, sizes = tiled[name].offsets, tiled[name].sizes
    paths = np.full(offsets.shape, url, np.dtypes.StringDType())
    return ChunkManifest.from_arrays(
        paths=paths, offsets=offsets.astype(np.uint64), lengths=sizes.astype(np.uint64)
    )


def _dotted(key: str) -> str:
    name, _, chunk = key.partition("/")
    return f"{name}/{chunk.replace('/', '.')}"
