"""What a loader does alike over every source."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncbatch import BatchRequest, ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncbatch import BatchLoader
    from asyncbatch.loader._plan import Way

    from .conftest import Source

pytestmark = pytest.mark.anyio

OBJECTS = {f"dir/{index:02}": bytes([index]) * (index * 131) for index in range(12)} | {
    "large": bytes(300_000)
}
NAMES = [*OBJECTS, "dir/07", *reversed(OBJECTS)]
MISSING = [name if index % 5 else f"gone/{index}" for index, name in enumerate(NAMES)]


def requests_of(source: Source, names: list[str], each: int) -> Iterator[BatchRequest]:
    for first in range(0, len(names), each):
        request = BatchRequest(continue_on_err=True)
        for name in names[first : first + each]:
            request.add_object_request(source.bucket.object(name))
        yield request


@pytest.mark.parametrize(("way", "memory"), [("batch", 1), ("gets", "64MiB")])
async def test_items_are_streamed_once_and_in_order(source: Source, way: Way, memory: int | str) -> None:
    await source.put(OBJECTS)
    async with source.client.batch_loader(way=way, max_memory=memory, join_below=5) as loader:
        for each in (3, 30):
            items = [item async for item in loader.stream(requests_of(source, MISSING, each))]
            assert [item.name for item, _ in items] == MISSING
            assert [item.index for item, _ in items] == [index % each for index in range(len(MISSING))]
            assert [data for _, data in items] == [OBJECTS.get(name, b"") for name in MISSING]
            assert [item.missing for item, _ in items] == [name not in OBJECTS for name in MISSING]
    statistics = loader.statistics()
    assert statistics.items == 2 * len(MISSING)
    assert (statistics.held_bytes, statistics.running, statistics.waiting) == (0, 0, 0)


async def read_batches(loader: BatchLoader, source: Source) -> None:
    read = {}
    async for batch in loader.get_batches(requests_of(source, NAMES, 9), ordered=False):
        read[batch.request.entries] = [data for _, data in await batch.read_all()]
    assert all(datas == [OBJECTS[entry.name] for entry in entries] for entries, datas in read.items())
    assert sum(map(len, read)) == len(NAMES)


async def test_batches_and_objects_are_loaded_at_once(source: Source) -> None:
    await source.put(OBJECTS)

    async with source.client.batch_loader(max_concurrency=2, max_memory=100_000) as loader:
        objects = [source.bucket.object(name) for name in NAMES]
        read, *_ = await asyncio.gather(
            loader.load_many(objects), read_batches(loader, source), read_batches(loader, source)
        )
        assert read == [OBJECTS[name] for name in NAMES]
        gone = source.bucket.object("gone")
        wanted = [gone, gone, objects[3]]
        one, other, there = await asyncio.gather(*map(loader.load, wanted), return_exceptions=True)
        assert isinstance(one, ObjectNotFoundError)
        assert (one.name, one.bucket) == ("gone", source.bucket.name)
        assert isinstance(other, ObjectNotFoundError)
        assert one is not other
        assert there == OBJECTS[NAMES[3]]
