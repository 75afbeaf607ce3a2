"""Where commands write, and how they print sizes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

STDOUT = "-"


def binary_stdout() -> BinaryIO:
    """Return standard output for binary data, unless it is a terminal."""
    if sys.stdout.isatty():
        raise click.UsageError("will not write binary data to a terminal; redirect or use -o FILE")
    return sys.stdout.buffer


def readable(source: str) -> str | BinaryIO:
    """Return what to open for a source named on the command line: - is standard input."""
    return sys.stdin.buffer if source == STDOUT else source


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise a usage error when `path` exists and must not be replaced, as a pipe or device may."""
    if path.exists() and not (overwrite or path.is_fifo() or path.is_char_device()):
        raise click.UsageError(f"{path} exists; pass --overwrite to replace it")


def refuse_url(output: str) -> None:
    """Raise a usage error when a raster file, which is not written in one pass, is to go to a URL."""
    if "://" in output and not output.startswith("file://"):
        raise click.UsageError(f"cannot write to {output}: name a local file")


def bounds_text(
    max_error: float | None, max_relative_error: float | None, max_error_sqrt: float | None
) -> str:
    """Return error bounds as people read them; "" where there are none."""
    parts = []
    if max_error is not None:
        parts.append("0 (lossless)" if max_error == 0 else f"{max_error:g}")
    if max_relative_error is not None:
        parts.append(f"{100 * max_relative_error:g} % of the sample")
    if max_error_sqrt is not None:
        parts.append(f"{max_error_sqrt:g} times its square root")
    return " and ".join(parts)


def human_size(size: float) -> str:
    """Return a number of bytes as people read it, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
