"""The accessor `eoc` of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

import xarray as xr

if TYPE_CHECKING:
    from eocodec.formats.eoc.sink import Target
    from eocodec.xarray.bounds import Asked


@xr.register_dataset_accessor("eoc")  # type: ignore[no-untyped-call]
class EocAccessor:
    """``ds.eoc``: what eocodec does with a dataset."""

    def __init__(self, ds: xr.Dataset):
        self._ds = ds

    def to_eoc(
        self,
        target: Target,
        *,
        tile_size: int = 512,
        threads: int | None = None,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        **options: Unpack[Asked],
    ) -> None:
        """Write the dataset as a container, which ``xr.open_dataset(target, engine="eocodec")`` opens.

        Variables of two and more axes become arrays; a tile holds all bands or levels of one time. Those on
        Dask are encoded tile by tile where Dask computes them, on the cluster of the current client too; the
        others a row of tiles at a time in `threads`. What is left, and the attributes, goes to the header.
        Coordinates are kept without loss, and so are variables that are no fields (flags, masks, counts,
        identifiers, a single axis) unless an option names them.

        Parameters
        ----------
        target, threads, overwrite, storage_options
            As `eocodec.create`.
        tile_size : int
            Rows and columns of a tile.
        **options
            As `eocodec.xarray.encoding`.

        Raises
        ------
        InputError
            When an option cannot be, a variable cannot be stored, or the target exists.
        """
        # xarray imports every engine's package to find one; the codec itself is only loaded for use.
        from eocodec.xarray.writing import write_dataset

        write_dataset(
            self._ds,
            target,
            tile_size=tile_size,
            threads=threads,
            overwrite=overwrite,
            storage_options=storage_options,
            asked=options,
        )


@xr.register_dataarray_accessor("eoc")  # type: ignore[no-untyped-call]
class EocArrayAccessor:
    """``array.eoc``: what eocodec does with a single array."""

    def __init__(self, array: xr.DataArray):
        self._array = array

    def to_eoc(self, target: Target, **options: Any) -> None:
        """Write the array and its coordinates as a container, under its name or "data".

        Parameters
        ----------
        target, **options
            As ``ds.eoc.to_eoc``.
        """
        from eocodec.xarray.bounds import Asked

        name = "data" if self._array.name is None else self._array.name
        # What is asked of a single array is asked of it by name, whatever it looks like.
        own: dict[str, Any] = {
            key: {str(name): value}
            if key in Asked.__annotations__ and not isinstance(value, Mapping)
            else value
            for key, value in options.items()
        }
        EocAccessor(self._array.to_dataset(name=name)).to_eoc(target, **own)
