"""File formats, one module or folder each; `eocodec.formats.eoc` is the container of eocodec."""
