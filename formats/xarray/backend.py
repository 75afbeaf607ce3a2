"""The engine `eocodec` of `xarray.open_dataset`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint


class EocBackend(BackendEntrypoint):
    """Opens `.eoc` containers: an array is a variable, decoded where it is looked at."""

    description = "Open eocodec containers (.eoc)"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: bool = True,
        decode_times: Any = True,
        concat_characters: bool = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: bool | None = None,
        decode_timedelta: Any = None,
        layers: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Return the arrays of a container as a dataset.

        Rows and columns get the coordinates of pixel centres, bands their names and wavelengths, and
        `spatial_ref` holds the CRS as CF and rioxarray have it. An axis that differs between arrays, such
        as rows of 10 m and of 20 m, carries the name of its array from the second one on.

        Parameters
        ----------
        filename_or_obj : path, fsspec URL, bytes-like or readable binary file
            The container.
        mask_and_scale, decode_times, concat_characters, decode_coords, use_cftime, decode_timedelta
            As `xarray.decode_cf`.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        layers : int, optional
            Layers to decode; all by default.
        storage_options : mapping, optional
            For fsspec.

        Raises
        ------
        InputError
            There is no such file, or it cannot be read.
        FormatError, UnsupportedError
            It is no container, damaged, cut, or needs a newer release.
        """
        # xarray imports every engine to find one; the codec itself is only loaded for use.
        from eocodec.formats.cf import malformed
        from eocodec.xarray.reading import container_files, raw_dataset

        files = container_files(filename_or_obj, storage_options)
        try:
            raw = raw_dataset(files, layers)
            # What says nothing, such as a scale that is text, is shown as it is.
            aside = {}
            for name, variable in raw.variables.items():
                own = {key: variable.attrs.pop(key) for key in malformed(variable.attrs)}
                aside.update({name: own} if own else {})
            ds = xr.decode_cf(
                raw,
                concat_characters=concat_characters,
                mask_and_scale=mask_and_scale,
                decode_times=decode_times,
                decode_coords=decode_coords,
                drop_variables=drop_variables,
                use_cftime=use_cftime,
                decode_timedelta=decode_timedelta,
            )
            for name in set(aside) & set(ds.variables):
                ds[name].attrs.update(aside[name])
        except BaseException:
            files.close()
            raise
        ds.set_close(files.close)
        return ds

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name ends in .eoc."""
        named = isinstance(filename_or_obj, (str, os.PathLike))
        return named and os.fspath(filename_or_obj).lower().endswith(".eoc")
