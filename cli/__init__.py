"""The `eocodec` command: one module a command, loaded when it is called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from eocodec.errors import EocodecError

_COMMANDS = (
    "compress",
    "decompress",
    "info",
    "validate",
    "models",
    "compare",
    "export",
    "references",
    "features",
    "train",
)


class _LazyCommands(click.Group):
    """Loads the module of a command on demand and reports every mistake in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run a command and end the process with its exit code."""
        extra["standalone_mode"] = False
        try:
            status = super().main(args, prog_name or "eocodec", **extra)
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
        sys.exit(status if isinstance(status, int) else 0)


def _of_os_error(error: OSError) -> str:
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _fail(message: str, status: int) -> NoReturn:
    line = " ".join(message.split())
    click.echo(f"eocodec: error: {line}", err=True)
    sys.exit(status)


@click.group("eocodec", cls=_LazyCommands, invoke_without_command=True)
@click.version_option(package_name="eocodec", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Learned compression of Earth-observation rasters.

    \b
    eocodec compress tile.tif             writes tile.eoc
    eocodec decompress tile.eoc           writes tile.tif again
    eocodec COMMAND --help                explains a command
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
