"""Layers of the learned model on fields, next to SPERR at the same RMSE.

python -m bench.fields.layers ../shared/data/atmos --split test
"""

from __future__ import annotations

from pathlib import Path

import click
import imagecodecs
import numpy as np

from bench.fields.data import Values, read_fields
from eocodec.codec_models import FIELD_MODEL, find_card
from eocodec.payload import parse_head
from eocodec.tile import EncodeSettings, decode_tile, encode_tile

_SMALLEST_SIDE = 8


def layer_points(field: Values, layers: int) -> list[tuple[int, float]]:
    """Bytes and RMSE of one time (level, row, column) after each layer."""
    payload = encode_tile(field, EncodeSettings(layers=layers, model=FIELD_MODEL))
    points = []
    for count, end in enumerate(parse_head(payload).layer_ends, 1):
        error = decode_tile(payload, count).astype(np.float64) - field
        points.append((end, float(np.sqrt((error**2).mean()))))
    return points


def sperr_bytes(field: Values, rmse: float) -> int:
    """Bytes of SPERR at about an RMSE."""
    volume = np.ascontiguousarray(field if len(field) > 1 else field[0])
    psnr = 20 * np.log10(float(np.ptp(field)) / rmse)
    return len(imagecodecs.sperr_encode(volume, max(psnr, 0.1), "psnr"))


@click.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="test", show_default=True)
def main(data: Path, split: str) -> None:
    """Print a table of the first time of every field that the model can code."""
    layers = find_card(FIELD_MODEL).layers
    print("| field | " + " | ".join(f"{k} layers" for k in range(1, layers + 1)) + " |")
    print("|---|" + "---:|" * layers)
    for field in read_fields(data, split, quick=False):
        values = np.ascontiguousarray(field.values[0])
        if min(values.shape[1:]) < _SMALLEST_SIDE:
            continue
        cells = []
        for size, rmse in layer_points(values, layers):
            ours, other = (8 * n / values.size for n in (size, sperr_bytes(values, rmse)))
            cells.append(f"{ours:.3g} at {rmse / field.spread:.1e} ({other:.3g})")
        print(f"| {field.name} {values.shape} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
