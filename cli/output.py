"""Where commands write, and how they print sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

STDOUT = "-"
RASTER_ENDINGS = (".tif", ".tiff")


def binary_stdout() -> BinaryIO:
    """Return standard output for binary data, unless it is a terminal."""
    if sys.stdout.isatty():
        raise click.UsageError("will not write binary data to a terminal; redirect or use -o FILE")
    return sys.stdout.buffer


def readable(source: str) -> str | BinaryIO:
    """Return what to open for a source named on the command line: - is standard input."""
    return sys.stdin.buffer if source == STDOUT else source


def is_url(path: str) -> bool:
    """Whether an output is elsewhere than in the file system."""
    return "://" in path and not path.startswith("file://")


def is_special(path: Path) -> bool:
    """Whether a path is a pipe or a device, which is written to and not replaced."""
    return path.is_fifo() or path.is_char_device()


def refuse_existing(path: Path, overwrite: bool, instead: str = "") -> None:
    """Raise a usage error when `path` exists and must not be replaced, as a pipe or device may.

    `instead` says how to write somewhere else, such as "-o FILE".
    """
    if path.exists() and not (overwrite or is_special(path)):
        other = f"name another file with {instead}, or " if instead else ""
        raise click.UsageError(f"{path} exists; {other}pass --overwrite to replace it")


def refuse_url(output: str) -> None:
    """Raise a usage error when a raster file, which is not written in one pass, is to go to a URL."""
    if is_url(output):
        raise click.UsageError(f"cannot write to {output}: name a local file")


def check_output(
    output: str, endings: Sequence[str], what: str, others: Sequence[str] = ()
) -> None:
    """Raise an error when an output says another format by its ending, or lies in no folder.

    Parameters
    ----------
    output : str
        Path or URL. A name without an ending says nothing; pipes and devices take everything.
    endings : sequence of str
        Those that fit, in lower case.
    what : str
        What is written, to begin the sentence "... end in".
    others : sequence of str
        Further spellings that fit, which a message does not list.
    """
    if not output:
        raise click.UsageError("the name of the output is empty")
    path = Path(output.removeprefix("file://"))
    remote = is_url(output)
    if not remote and is_special(path):
        return
    if path.suffix and path.suffix.lower() not in (*endings, *others):
        raise click.UsageError(
            f"cannot write {output}: {path.suffix} is another format; {what} end in {_or(endings)}"
        )
    if remote:
        return
    if output.endswith("/") and not path.is_dir():
        raise click.ClickException(f"cannot write {output}: there is no folder {path}")
    if path.is_dir() and path.suffix.lower() != ".zarr":
        raise click.ClickException(f"cannot write {output}: it is a folder")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"cannot write {output}: there is no folder {path.parent}")


def is_folder(output: str) -> bool:
    """Whether an output is a folder to write into, rather than a file or store that looks like one."""
    if not output or is_url(output) or not Path(output).is_dir():
        return False
    return output.endswith("/") or not Path(output).suffix


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


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
