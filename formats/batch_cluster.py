"""Dask clusters for batches: one that runs already, or workers on this machine."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from eocodec.errors import EocodecError, InputError
from eocodec.extras import needs

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE = "30s"
# A worker holds a few tiles and returns a few numbers: there is nothing to spill to disk, and pausing would not free
# memory. One that grows without bound is still ended and started anew.
_MEMORY = {f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")}
# Dask's own choice of variables also makes malloc return memory at once, which the next tile asks for again.
_ENVIRONMENT = {
    "distributed.nanny.pre-spawn-environ": {
        f"{library}_NUM_THREADS": 1 for library in ("OMP", "MKL", "OPENBLAS")
    }
}


@contextmanager
def local_client(workers: int) -> Iterator[Client]:
    """Start a cluster of processes on this machine, for as long as the block runs.

    Parameters
    ----------
    workers : int
        Processes of one thread each, which share the memory evenly.

    Raises
    ------
    InputError
        There would be no worker.
    MissingPackageError
        `distributed` is not installed.
    """
    if workers < 1:
        raise InputError(f"a batch needs at least 1 worker, not {workers}")
    client_type = _client_type()
    import dask.config
    from distributed import LocalCluster

    with (
        dask.config.set({**_MEMORY, **_ENVIRONMENT}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=":0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        client_type(cluster, set_as_default=False) as client,
    ):
        client.run(_leave_interrupts_to_parent)
        yield client


def _leave_interrupts_to_parent() -> None:
    """Ignore Ctrl-C, which a terminal sends to every process: the one that started the workers ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def remote_client(address: str) -> Iterator[Client]:
    """Connect to a scheduler for as long as the block runs.

    Parameters
    ----------
    address : str
        As ``tcp://host:8786``.

    Raises
    ------
    MissingPackageError
        `distributed` is not installed.
    EocodecError
        The scheduler cannot be reached, has no worker, or one with another version of eocodec.
    """
    client_type = _client_type()
    try:
        client = client_type(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EocodecError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise EocodecError(f"the Dask cluster at {address} has no worker") from error
        _check_versions(client)
        yield client


def _client_type() -> type[Client]:
    with needs("dask", "a batch on several processes or a Dask cluster"):
        from distributed import Client
    client: type[Client] = Client
    return client


def _check_versions(client: Client) -> None:
    here = version("eocodec")
    found = client.run(version, "eocodec", on_error="return")
    for worker, there in found.items():
        if there != here:
            said = f"no eocodec ({there})" if isinstance(there, Exception) else f"eocodec {there}"
            raise EocodecError(f"worker {worker} has {said}; here is eocodec {here}")
