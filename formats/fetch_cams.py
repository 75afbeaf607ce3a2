"""Fetching CAMS fields from the Atmosphere Data Store (ADS) for training.

::

    python -m eocodec.formats.fetch_cams cams --dates 2019-01-01/2019-12-31 --every 10 \\
        --variables temperature,ozone,carbon_monoxide

One request a variable and day; what is there already is not asked for again. Needs `eocodec[cams]` and an ADS account
whose URL and key stand in ~/.cdsapirc (https://ads.atmosphere.copernicus.eu/how-to-api).
The folder gets a netCDF-4 file with axes (time, level, lat, lon) a variable and day, and the ``index.json`` that
`eocodec train` reads.
"""

from __future__ import annotations

import datetime
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import xarray as xr

from eocodec.errors import EocodecError, InputError
from eocodec.formats.fields import field_names, open_fields
from eocodec.xarray.stored import field_axes

LICENCE = "Licence to use Copernicus products; contains modified Copernicus Atmosphere Monitoring Service information"
ALL = "all"


@dataclass(frozen=True)
class Dataset:
    """A dataset of the ADS: its name, its model levels, and what else a request must say."""

    name: str
    levels: int
    fixed: dict[str, Any]


DATASETS = {
    "eac4": Dataset("cams-global-reanalysis-eac4", 60, {}),
    "forecast": Dataset(
        "cams-global-atmospheric-composition-forecasts",
        137,
        {"type": ["forecast"], "leadtime_hour": ["0"]},
    ),
}


@dataclass(frozen=True)
class Entry:
    """A file of the index, as the training data has it."""

    file: str
    split: str
    source: str
    repo: str
    licence: str
    var: str
    name: str
    units: str
    shape: tuple[int, ...]
    packed: str
    MB: float


def split_of(day: datetime.date) -> str:
    """Return the split of a day: of ten weeks, one goes to "val" and one to "test", so neighbours stay together."""
    week = day.toordinal() // 7
    return {3: "val", 8: "test"}.get(week % 10, "train")


def request_of(
    dataset: Dataset, variable: str, day: datetime.date, times: Sequence[str], levels: Sequence[int]
) -> dict[str, Any]:
    """Return the request of one variable and day, all times and model levels."""
    return {
        **dataset.fixed,
        "variable": [variable],
        "date": [f"{day}/{day}"],
        "time": list(times),
        "model_level": [str(level) for level in levels],
        "data_format": "grib",
    }


def variables_on(
    client: Any, dataset: Dataset, day: datetime.date, levels: Sequence[int]
) -> list[str]:
    """Ask the store which variables there are on model levels on a day.

    Raises
    ------
    InputError
        When it tells none.
    """
    request = {
        **dataset.fixed,
        "date": [f"{day}/{day}"],
        "model_level": [str(level) for level in levels],
    }
    found = client.client.apply_constraints(dataset.name, request).get("variable", [])
    if not found:
        raise InputError(f"{dataset.name} has no variable on model levels on {day}")
    return sorted(map(str, found))


def fetch(
    client: Any,
    folder: Path,
    dataset: Dataset,
    variables: Sequence[str],
    days: Sequence[datetime.date],
    *,
    times: Sequence[str] = ("00:00",),
    levels: Sequence[int] | None = None,
    report: Callable[[str], object] = print,
) -> list[str]:
    """Fetch variables of days into a folder; return what failed, a line each.

    Parameters
    ----------
    client : cdsapi.Client
        A client of the ADS.
    folder : Path
        Where files and index go. What the index lists, and is there, is not fetched again.
    dataset : Dataset
        One of `DATASETS`.
    variables : sequence of str
        Names as the ADS has them, such as "carbon_monoxide".
    days : sequence of datetime.date
        Days to fetch.
    times : sequence of str
        Hours of a day, "00:00".
    levels : sequence of int, optional
        Model levels; all by default.
    report : callable
        Gets a line about each request.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = levels or range(1, dataset.levels + 1)
    index = _Index(folder)
    failed = []
    for day in days:
        for variable in variables:
            stem = f"{dataset.name}__{day}__{variable}"
            if index.has(stem):
                report(f"{stem}: there already")
                continue
            part = folder / f".{stem}.{secrets.token_hex(4)}.grib"
            try:
                request = request_of(dataset, variable, day, times, chosen)
                client.retrieve(dataset.name, request, str(part))
                index.add(list(_entries(part, folder, stem, dataset, split_of(day))))
                report(f"{stem}: fetched")
            except (
                Exception
            ) as error:  # cdsapi raises bare exceptions; the next request may succeed
                failed.append(f"{stem}: {' '.join(str(error).split()) or type(error).__name__}")
                report(failed[-1])
            finally:
                part.unlink(missing_ok=True)
    return failed


class _Index:
    """``index.json`` of a folder, written anew after each request."""

    def __init__(self, folder: Path):
        self._folder, self._path = folder, folder / "index.json"
        try:
            self._index = json.loads(self._path.read_text()) if self._path.exists() else {}
        except ValueError as error:
            raise InputError(f"{self._path} is no JSON: {error}") from error
        self._index.setdefault("note", LICENCE)
        self._index.setdefault("fields", [])

    def has(self, stem: str) -> bool:
        """Whether the files of a request are there."""
        files = [
            entry["file"]
            for entry in self._index["fields"]
            if entry["file"].startswith(f"{stem}__")
        ]
        return bool(files) and all((self._folder / file).exists() for file in files)

    def add(self, entries: Sequence[Entry]) -> None:
        """List files, in the place of those of the same name."""
        names = {entry.file for entry in entries}
        kept = [entry for entry in self._index["fields"] if entry["file"] not in names]
        self._index["fields"] = kept + [asdict(entry) for entry in entries]
        whole = self._path.with_name(f".index.{secrets.token_hex(4)}.json")
        whole.write_text(json.dumps(self._index, indent=1))
        whole.replace(self._path)


def _entries(grib: Path, folder: Path, stem: str, dataset: Dataset, split: str) -> Iterator[Entry]:
    """Write each field of a GRIB file as netCDF, and yield what the index says of it."""
    with open_fields(grib) as (ds, _):
        for name in sorted(field_names(ds)):
            variable = ds.variables[name]
            axes = field_axes(variable, ds.variables)
            values = axes.fold(variable.values).astype(np.float32)
            attrs = variable.attrs
            described = {
                "units": str(attrs.get("units", "")),
                "name": str(attrs.get("GRIB_name", name)),
                "leveltype": str(attrs.get("GRIB_typeOfLevel", "")),
            }
            coords: dict[str, Any] = {}
            for dim, axis in zip(("lat", "lon"), axes.order[-2:], strict=True):
                coords[dim] = (dim, ds.variables[variable.dims[axis]].values)
            file = f"{stem}__{name}.nc"
            _write(folder / file, name, values, described, coords)
            yield Entry(
                file=file,
                split=split,
                source=dataset.name,
                repo="https://ads.atmosphere.copernicus.eu",
                licence=LICENCE,
                var=name,
                name=described["name"],
                units=described["units"],
                shape=values.shape,
                packed="GRIB",
                MB=round((folder / file).stat().st_size / 1e6, 2),
            )


def _write(
    path: Path,
    name: str,
    values: npt.NDArray[np.float32],
    attrs: dict[str, str],
    coords: dict[str, Any],
) -> None:
    part = path.with_name(f".{path.name}.part")
    ds = xr.Dataset({name: (("time", "level", "lat", "lon"), values, attrs)}, coords)
    ds.to_netcdf(part, engine="netcdf4", encoding={name: {"zlib": True, "shuffle": True}})
    part.replace(path)


def _days(text: str, every: int) -> list[datetime.date]:
    try:
        first, _, last = text.partition("/")
        start = datetime.date.fromisoformat(first)
        end = datetime.date.fromisoformat(last or first)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no day, or two with a / between") from None
    return [start + datetime.timedelta(days) for days in range(0, (end - start).days + 1, every)]


@click.command("fetch_cams")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--dataset", type=click.Choice(list(DATASETS)), default="eac4", show_default=True)
@click.option("--dates", required=True, metavar="DAY[/DAY]", help="2019-01-01/2019-12-31")
@click.option("--every", type=click.IntRange(min=1), default=1, help="Only every n-th day.")
@click.option("--times", default="00:00", show_default=True, metavar="HH:MM,...")
@click.option(
    "--variables",
    default="temperature,specific_humidity,ozone,carbon_monoxide",
    show_default=True,
    help="Names as the ADS has them, or all: whatever there is on model levels.",
)
@click.option("--levels", metavar="N,...", help="Model levels; all by default.")
@click.option("--url", help="URL of the ADS; ~/.cdsapirc tells it by default.")
@click.option("--key", help="Key of your account; ~/.cdsapirc tells it by default.")
def command(
    folder: Path,
    dataset: str,
    dates: str,
    every: int,
    times: str,
    variables: str,
    levels: str | None,
    url: str | None,
    key: str | None,
) -> None:
    """Fetch CAMS fields on model levels from the Atmosphere Data Store into FOLDER."""
    try:
        import cdsapi
    except ImportError as error:
        raise click.ClickException("cdsapi is missing: pip install eocodec[cams]") from error
    days = _days(dates, every)
    chosen = DATASETS[dataset]
    numbers = [int(level) for level in levels.split(",")] if levels else None
    try:
        client = cdsapi.Client(url=url, key=key, quiet=True, progress=False)
    except Exception as error:  # cdsapi raises bare exceptions
        raise click.ClickException(str(error)) from error
    try:
        names = (
            variables_on(client, chosen, days[0], numbers or range(1, chosen.levels + 1))
            if variables == ALL
            else variables.split(",")
        )
        failed = fetch(
            client,
            folder,
            chosen,
            names,
            days,
            times=times.split(","),
            levels=numbers,
            report=click.echo,
        )
    except EocodecError as error:
        raise click.ClickException(str(error)) from error
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(days) * len(names)} requests failed; run again"
        )


if __name__ == "__main__":
    command()
