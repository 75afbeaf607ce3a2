"""`eocodec references`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from eocodec.cli.command import Command
from eocodec.cli.output import STDOUT, check_output, refuse_existing


@click.command(
    "references",
    cls=Command,
    examples=(
        ("references tile.eoc -o tile.json", "for readers on this machine"),
        ("references tile.eoc -o t.json --url s3://b/tile.eoc", "for readers elsewhere"),
    ),
)
@click.argument("source", metavar="FILE.eoc")
@click.option(
    "-o",
    "--output",
    default=STDOUT,
    metavar="FILE.json",
    help="JSON file or URL to write; - is standard output.",
)
@click.option(
    "--url", metavar="URL", help="Where readers will find FILE.eoc; by default where it is now."
)
@click.option(
    "--zarr-format",
    type=click.Choice(["2", "3"]),
    default="2",
    help="Version of the Zarr metadata.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(source: str, output: str, url: str | None, zarr_format: str, overwrite: bool) -> None:
    """Write the references with which an .eoc file (or a URL) is read as a Zarr store.

    The JSON is that of kerchunk, version 1. Nothing is copied: the store's chunks are the tiles.
    """
    from eocodec.formats.eoc.sink import open_sink
    from eocodec.virtual import references

    if output != STDOUT:
        check_output(output, (".json",), "references")
        refuse_existing(Path(output), overwrite, "-o FILE.json")
    found: dict[str, Any] = references(source, url=url, zarr_format=int(zarr_format))
    text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    if output == STDOUT:
        click.echo(text)
        return
    sink = open_sink(output, overwrite=overwrite, storage_options={})
    try:
        sink.write(text.encode())
        sink.publish()
    except BaseException:
        sink.discard()
        raise
    chunks = sum(isinstance(value, list) for value in found["refs"].values())
    click.echo(f"{output}: {chunks} chunks in {source}")
