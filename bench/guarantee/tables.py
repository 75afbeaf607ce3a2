"""Tables of the comparison within error bounds."""

from __future__ import annotations

from collections.abc import Sequence

from bench.guarantee.codecs import OURS
from bench.guarantee.measure import AtBound, calm, native, timed
from bench.tables import Table, speed_cell

_NONE = "-"


def bound_name(bound: int) -> str:
    """Return what tables call a bound."""
    return f"± {bound} DN" if bound else "lossless"


def mean_table(rasters: Sequence[str], found: Sequence[AtBound]) -> Table:
    """Return a row a codec: mean bits at every bound, and the speed on what is not calm; dashes for none."""
    busy, rows = timed(found[0], rasters), []
    for codec in dict.fromkeys(codec for entry in found for codec in entry.found):
        row = [codec]
        for entry in found:
            known = codec in entry.found
            row.append(f"{entry.mean(codec, rasters):.3f}" if known else _NONE)
            row.append(speed_cell(*entry.speed(codec, busy)) if known else _NONE)
        rows.append(row)
    against = [f"{OURS} against the best of the others"]
    for entry in found:
        other = entry.best_other(rasters)
        against += (_NONE, "") if other is None else (_difference(entry, other, rasters), other)
    head = ["codec"]
    for entry in found:
        head += [bound_name(entry.bound), "MB/s"]
    return Table(
        f"Bits per pixel and band within an error bound, mean of {len(rasters)} rasters",
        head,
        [*rows, against],
        "MB/s: uint16 samples encoded / decoded a second of one core, in process, median of rounds in which the "
        f"codecs take turns, on {len(busy)} of these rasters: {', '.join(busy)}. JPEG XL: all bands in one "
        "codestream, those that are alike first and in threes turned to brightness and colour. JPEG XL, HTJ2K, "
        "Blosc within a bound E: after a uniform quantiser of step 2 E + 1. HTJ2K, JPEG 2000, and JPEG-LS without "
        "loss: over band differences.",
    )


def calm_table(rasters: Sequence[str], found: Sequence[AtBound]) -> Table | None:
    """Return the same of the rasters that are mostly calm water; None where none or all are."""
    names = calm(rasters)
    if not names or len(names) == len(rasters):
        return None
    table = mean_table(names, found)
    return Table(f"The same on calm water, mean of {len(names)} rasters", table.head, table.rows)


def raster_table(rasters: Sequence[str], found: Sequence[AtBound]) -> Table:
    """Return a row a raster: our bits at every bound, and the difference to its best other codec."""
    rows = []
    for name in rasters:
        row = [name]
        for entry in found:
            other = entry.best_other([name])
            against = "" if other is None else f" ({_difference(entry, other, [name])}, {other})"
            row.append(f"{entry.mean(OURS, [name]):.3f}{against}")
        rows.append(row)
    return Table(
        f"{OURS} on each raster, bits per pixel and band, and the difference to the best other codec",
        ["raster", *(bound_name(entry.bound) for entry in found)],
        rows,
    )


def all_tables(rasters: Sequence[str], found: Sequence[AtBound]) -> list[Table]:
    """Return the tables of rasters on native grids, or of all where there are none, and of each raster."""
    names = native(rasters) or list(rasters)
    tables = [mean_table(names, found), calm_table(names, found), raster_table(rasters, found)]
    return [table for table in tables if table is not None]


def _difference(entry: AtBound, other: str, rasters: Sequence[str]) -> str:
    return f"{entry.difference(other, rasters):+.1f} %"
