"""HDF5 and netCDF-4 through h5py: importing this registers the filter of eocodec in this process.

::

    file.create_dataset("dn", data=stack, chunks=(10, 512, 512), **eocodec.hdf5.filter(quality=5))
    file["dn"][:, :100, :100]

The filter is Python: datasets can be read and written where this package runs in the process that uses
h5py (also through h5netcdf and xarray). Programs with an HDF5 library of their own, such as h5dump,
netCDF4-python, GDAL or MATLAB, see the dataset and its attributes, but not its samples.

h5py raises what the filter cannot do as errors of HDF5: a dataset that cannot be coded with the cause, a chunk that
cannot be decoded without. The logger `eocodec.hdf5` has the cause, and `read` raises it.
"""

from eocodec.hdf5.direct import read, write
from eocodec.hdf5.options import FILTER_ID, filter
from eocodec.hdf5.plugin import register

__all__ = ["FILTER_ID", "filter", "read", "write"]

register()
