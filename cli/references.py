"""`eocodec references`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from eocodec.cli.output import STDOUT, refuse_existing


@click.command("references")
@click.argument("source", metavar="FILE.eoc")
@click.option("-o", "--output", default=STDOUT, help="JSON file or URL to write; by default -.")
@click.option("--url", help="Where readers will find FILE.eoc; by default where it is now.")
@click.option(
    "--zarr-format", type=click.Choice(["2", "3"]), default="2", show_default=True, help="Of Zarr."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(source: str, output: str, url: str | None, zarr_format: str, overwrite: bool) -> None:
    """Write the references with which an .eoc file (or a URL) is read as a Zarr store.

    The JSON is that of kerchunk, version 1. Nothing is copied: the store's chunks are the tiles.
    """
    from eocodec.formats.eoc.sink import open_sink
    from eocodec.virtual import references

    if output != STDOUT:
        refuse_existing(Path(output), overwrite)
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
