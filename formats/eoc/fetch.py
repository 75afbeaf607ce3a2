"""Fetching many tiles with few requests: neighbouring ranges merged, batches bounded and read ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from eocodec.formats.eoc.source import Range, Source

T = TypeVar("T")

# Bridges the record leader between neighbouring tiles, never a layer that was not asked for.
_MERGE_GAP = 16
_MAX_RANGE_BYTES = 4 << 20
_MAX_BATCH_BYTES = 16 << 20
_MAX_BATCH_RANGES = 64


def fetch(source: Source, wanted: Sequence[tuple[T, int, int]]) -> Iterator[tuple[T, memoryview]]:
    """Yield each item of `wanted` (item, start, stop) with its bytes, in file order.

    At most 16 MiB, or one item where that is larger, are held at a time; of a remote source twice as much,
    since the next ranges are fetched while these are used.
    """
    ordered = sorted(wanted, key=lambda one: one[1])
    groups = _batches(_merge(ordered))
    for group, parts in _ahead(source, groups) if source.remote else _read(source, groups):
        for ((start, _), members), part in zip(group, parts, strict=True):
            view = memoryview(part)
            for item, first, last in members:
                yield item, view[first - start : last - start]


_Merged = tuple[Range, list[tuple[T, int, int]]]
_Batch = list[_Merged[T]]


def _read(source: Source, batches: Iterator[_Batch[T]]) -> Iterator[tuple[_Batch[T], list[bytes]]]:
    for batch in batches:
        yield batch, source.read([span for span, _ in batch])


def _ahead(source: Source, batches: Iterator[_Batch[T]]) -> Iterator[tuple[_Batch[T], list[bytes]]]:
    with ThreadPoolExecutor(1) as thread:
        coming: tuple[_Batch[T], Future[list[bytes]]] | None = None
        for batch in batches:
            before = coming
            coming = batch, thread.submit(source.read, [span for span, _ in batch])
            if before is not None:
                yield before[0], before[1].result()
        if coming is not None:
            yield coming[0], coming[1].result()


def _merge(ordered: Sequence[tuple[T, int, int]]) -> Iterator[_Merged[T]]:
    members: list[tuple[T, int, int]] = []
    start = stop = 0
    for one in ordered:
        if members and (one[1] - stop > _MERGE_GAP or one[2] - start > _MAX_RANGE_BYTES):
            yield (start, stop), members
            members = []
        if not members:
            start, stop = one[1], one[2]
        members.append(one)
        stop = max(stop, one[2])
    if members:
        yield (start, stop), members


def _batches(merged: Iterator[_Merged[T]]) -> Iterator[_Batch[T]]:
    batch: _Batch[T] = []
    size = 0
    for one in merged:
        length = one[0][1] - one[0][0]
        if batch and (len(batch) == _MAX_BATCH_RANGES or size + length > _MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += length
    if batch:
        yield batch
