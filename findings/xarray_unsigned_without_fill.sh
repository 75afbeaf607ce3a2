#!/usr/bin/env bash
# xarray loses _Unsigned on writing when the variable has no _FillValue: 200 becomes -56.
#
# Guess:    open_dataset, then to_netcdf (or to_zarr) keeps the values; xarray understands _Unsigned both ways.
# Happens:  reading turns signed bytes with _Unsigned = "true" into uint8 and keeps dtype int8 and _Unsigned in
#           the encoding. Writing casts to int8 but drops _Unsigned unless _FillValue is there too: the
#           copy reads as signed numbers, without a warning.
# Versions: xarray 2026.9.0 with netCDF4 1.7.5.1.post1 and zarr 3.1.6
# Output:   without _FillValue: file [200, 5, 255] uint8, its copy by to_netcdf [-56, 5, -1] int8
#           without _FillValue: file [200, 5, 255] uint8, its copy by to_zarr [-56, 5, -1] int8
#           with _FillValue: file [200.0, 5.0, nan] float32, its copy by to_netcdf [200.0, 5.0, nan] float32
# Matters:  classic netCDF has no unsigned integers, so radar and satellite products mark theirs by
#           _Unsigned, flags and counts often without a fill value; all above 127 are wrong in the copy.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 xarray==2026.9.0 netCDF4==1.7.5.1.post1 zarr==3.1.6
cd "$tmp"
venv/bin/python -W ignore - <<'PY'
import netCDF4
import numpy as np
import xarray as xr

for fill in (False, np.int8(-1)):
    name = "file.nc" if fill is False else "filled.nc"
    with netCDF4.Dataset(name, "w", format="NETCDF3_CLASSIC") as n:
        n.createDimension("x", 3)
        v = n.createVariable("v", "i1", ("x",), fill_value=fill)
        v.setncattr("_Unsigned", "true")
        v.set_auto_maskandscale(False)
        v[:] = np.array([-56, 5, -1], np.int8)
    with xr.open_dataset(name) as d:
        d.load()
    d.to_netcdf("copy.nc")
    d.to_zarr("copy.zarr", mode="w")
    for way, back in (("to_netcdf", xr.open_dataset("copy.nc")), ("to_zarr", xr.open_zarr("copy.zarr"))):
        with back:
            got = back.v.load()
        print(f"{'with' if fill else 'without'} _FillValue: file {d.v.values.tolist()} {d.v.dtype}, "
              f"its copy by {way} {got.values.tolist()} {got.dtype}")
        if fill:
            assert d.v.values[0] == 200 and np.array_equal(got, d.v, equal_nan=True)
        else:
            assert d.v.values.tolist() == [200, 5, 255] and d.v.dtype == np.uint8
            assert got.values.tolist() == [-56, 5, -1] and got.dtype == np.int8
PY
