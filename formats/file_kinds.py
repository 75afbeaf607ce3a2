"""What a file is by its first bytes, where its name says netCDF or GRIB and it is something else."""

from __future__ import annotations

import os
import zipfile

from eocodec.errors import InputError

_PACKED = {
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
}
_MEMBERS = 4


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` for an archive or a web page; what cannot be read is left to whoever opens it."""
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError:
        return
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise InputError(
            f"{path} is a zip archive{_members(path)}, as the Climate Data Store delivers several files: "
            "unpack it first"
        )
    if start[257:262] == b"ustar":
        raise InputError(f"{path} is a tar archive: unpack it first")
    for magic, kind in _PACKED.items():
        if start.startswith(magic):
            raise InputError(f"{path} is {kind}: unpack it first")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(
            f"{path} is a web page (HTML or XML), such as a server sends with an error: download it again"
        )
    if text.startswith((b"{", b"[")):
        raise InputError(
            f"{path} is JSON text, such as a server sends with an error: download it again"
        )


def _members(path: str | os.PathLike[str]) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return ""
    if not names:
        return " without files"
    more = f" and {len(names) - _MEMBERS} more" if len(names) > _MEMBERS else ""
    return f" of {', '.join(names[:_MEMBERS])}{more}"
