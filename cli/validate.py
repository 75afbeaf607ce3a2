"""`eocodec validate`."""

from __future__ import annotations

import sys

import click

from eocodec.cli.command import AT_LEAST_ONE, Command
from eocodec.cli.output import readable
from eocodec.errors import EocodecError


@click.command(
    "validate",
    cls=Command,
    examples=(
        ("validate out/*.eoc", "many files"),
        ("validate https://host/tile.eoc", "a remote one, read whole"),
    ),
)
@click.argument("sources", nargs=-1, required=True, metavar="FILE.eoc...")
@click.option("--threads", type=AT_LEAST_ONE, metavar="N", help="Threads; by default one a core.")
def command(sources: tuple[str, ...], threads: int | None) -> None:
    """Check every checksum of .eoc files: header, index, and each layer of each tile.

    The exit code is 1 when a file is damaged.
    """
    import eocodec

    damaged = 0
    for source in sources:
        try:
            with eocodec.open(readable(source)) as reader:
                reader.validate(threads=threads)
                tiles = sum(header.grid.tiles for header in reader.arrays)
                click.echo(f"{source}: ok, {len(reader.arrays)} arrays, {tiles} tiles")
        except EocodecError as error:
            damaged += 1
            click.echo(f"{source}: {type(error).__name__}: {error}", err=True)
    if damaged:
        sys.exit(1)
