"""The exceptions of eocodec, one tree.

::

    EocodecError
    ├── InputError        (also ValueError) what the caller passed cannot be coded as asked
    ├── FormatError       bytes that are not a valid eocodec file or tile
    │   ├── TruncatedError    they end too early
    │   ├── ChecksumError     a CRC-32C does not match
    │   └── LimitError        they declare sizes beyond what a reader accepts
    ├── UnsupportedError  valid bytes that need a newer version, a feature or a codec id unknown here
    │   └── MissingPackageError  (also ImportError) what is asked for needs a package that is not installed
    └── ModelError        the model the bytes name is not installed, or its weights are damaged
"""


class EocodecError(Exception):
    """Base of every error that eocodec raises on purpose."""


class InputError(EocodecError, ValueError):
    """The caller's array, option or file cannot be coded as asked."""


class FormatError(EocodecError):
    """The bytes are not a valid eocodec file or tile."""


class TruncatedError(FormatError):
    """The bytes end before what they declare."""


class ChecksumError(FormatError):
    """A CRC-32C does not match the bytes or pixels that it covers."""


class LimitError(FormatError):
    """The bytes declare a size beyond the limits that a reader accepts."""


class UnsupportedError(EocodecError):
    """Valid bytes that need a version, feature, mode or codec id unknown to this release."""


class MissingPackageError(UnsupportedError, ImportError):
    """What is asked for needs a package that is not installed; the message says how to install it."""


class ModelError(EocodecError):
    """The model that the bytes name is not installed, or its weights are damaged."""
