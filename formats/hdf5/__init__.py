"""HDF5 and netCDF-4 through h5py."""
