"""Sizes and speeds of lossless and near-lossless files next to the codecs that bound errors, on native grids."""
