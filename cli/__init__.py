"""The `eocodec` command: one module a command, loaded when it is called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from traceback import extract_tb
from typing import Any, NoReturn

import click

from eocodec.cli.command import CONTEXT
from eocodec.errors import EocodecError
from eocodec.extras import missing_package

DEBUG = "EOCODEC_DEBUG"
_COMMANDS = {
    "compress": "Compress rasters, netCDF or GRIB into .eoc files.",
    "decompress": "Write the GeoTIFF, netCDF or Zarr that an .eoc file holds.",
    "info": "Show what an .eoc file holds and promises.",
    "validate": "Check every checksum of .eoc files.",
    "models": "List the installed models.",
    "compare": "Measure errors between two files, and check promised bounds.",
    "export": "Write an .eoc file as a cloud-optimised GeoTIFF.",
    "references": "Write what reads an .eoc file as a Zarr store (kerchunk).",
    "features": "Compute features of patches of an .eoc file.",
    "train": "Train the networks of a model.",
}
_INTERNAL = 70  # EX_SOFTWARE of sysexits.h


class _LazyCommands(click.Group):
    """Loads the module of a command on demand and reports every mistake in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, a line each, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and end the process with its exit code."""
        extra["standalone_mode"] = False
        words = sys.argv[1:] if args is None else list(args)
        try:
            status = super().main(words, prog_name or "eocodec", **extra)
        except click.NoSuchOption as error:
            _fail(error.format_message() + _hint(words), error.exit_code)
        except click.ClickException as error:
            _fail(error.format_message(), error.exit_code)
        except EocodecError as error:
            _fail(str(error), 1)
        except BrokenPipeError:
            # The reader of a pipe is gone; keep Python from complaining again while it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            _fail(_of_os_error(error), 1)
        except MemoryError:
            _fail("not enough memory; try a smaller --tile-size or fewer --threads", 1)
        except (click.Abort, KeyboardInterrupt):
            _fail("interrupted", 130)
        except Exception as error:
            _of_any(error, words)
        sys.exit(status if isinstance(status, int) else 0)


def _of_os_error(error: OSError) -> str:
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _hint(words: Sequence[str]) -> str:
    """Return how to write a file name that was taken for an option; "" where there is none."""
    named = [word for word in words if word.startswith("-") and os.path.exists(word)]
    return f" The file of this name is written ./{named[0]}" if named else ""


def _of_any(error: Exception, words: Sequence[str]) -> NoReturn:
    """End with a line on an error that nobody foresaw: a missing package, or a fault of this program."""
    if os.environ.get(DEBUG):
        raise error
    command = next((f"eocodec {word}" for word in words if word in _COMMANDS), "eocodec")
    missing = missing_package(error, command) if isinstance(error, ImportError) else None
    if missing is not None:
        _fail(str(missing), 1)
    last = extract_tb(error.__traceback__)[-1]
    _fail(
        f"internal error: {type(error).__name__}: {error} (in {os.path.basename(last.filename)}, line "
        f"{last.lineno}). This is a fault of eocodec, not of its use; please report it with what "
        f"{DEBUG}=1 shows",
        _INTERNAL,
    )


def _fail(message: str, status: int) -> NoReturn:
    line = " ".join(message.split())
    click.echo(f"eocodec: error: {line}", err=True)
    sys.exit(status)


@click.group("eocodec", cls=_LazyCommands, invoke_without_command=True, context_settings=CONTEXT)
@click.version_option(
    None, "-V", "--version", package_name="eocodec", message="%(prog)s %(version)s"
)
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Compression of Earth-observation rasters and fields: learned, within error bounds, or exact.

    \b
    eocodec compress tile.tif             writes tile.eoc
    eocodec decompress tile.eoc           writes tile.tif again
    eocodec COMMAND -h                    explains a command

    Exit codes: 0 done, 1 failed, 2 misused, 70 a fault of eocodec (EOCODEC_DEBUG=1 shows its
    traceback), 130 interrupted.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> NoReturn:
    """Run the command line."""
    # GDAL's own default is a twentieth of the machine's memory; tiles are written once, in order.
    os.environ.setdefault("GDAL_CACHEMAX", "64")
    # A terminated run unwinds like an interrupted one, so that half-written files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    commands.main()
