"""xarray: encodings for Zarr, the engine `eocodec`, and writing containers."""
