"""Many batches at once: what is delivered, in which order, and what becomes of failures."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import (
    BatchLoader,
    BatchRequest,
    IncompleteBatchError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    UsageError,
)
from asyncbatch.errors import TransportError
from asyncbatch.transport import RetryPolicy

from ..support.batches import FakeObject, FakeSource, tar
from ..support.leaks import nothing_left_open, until
from ..support.loops import LOOPS
from .sources import Shelf, data_of, request_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncbatch.batch import BatchSource

    from .sources import ShelfAnswer

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(scope="module", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    backend: object = request.param
    return backend


def requests_of(count: int, items: int = 3, size: int = 100) -> list[BatchRequest]:
    return [request_of(*[f"{batch}.{item}-{size}" for item in range(items)]) for batch in range(count)]


def loader_of(source: BatchSource, **options: Any) -> BatchLoader:  # noqa: ANN401 - of BatchLoader
    """Return a loader that sends a batch for each request."""
    return BatchLoader(source, join_below=0, **options)


async def never() -> AsyncIterator[BatchRequest]:
    await asyncio.sleep(1000)
    yield BatchRequest()


async def test_get_batch_needs_no_block() -> None:
    source = FakeSource([tar([("a", b"12")])])
    async with BatchLoader(source).get_batch(request_of("a")) as batch:
        assert [data async for _, data in batch] == [b"12"]
    with pytest.raises(LimitExceededError):
        await loader_of(Shelf(), limits=Limits(max_item_size=1)).get_batch(request_of("a-2")).read_all()


async def test_batches_come_in_order_and_whole() -> None:
    requests = requests_of(20)
    shelf = Shelf()
    async with nothing_left_open(), loader_of(shelf) as loader:
        read = []
        async for batch in loader.get_batches(requests):
            items = await batch.read_all()
            assert [item.data for item in items] == [data_of(item.metadata.name) for item in items]
            assert [item.metadata.index for item in items] == [0, 1, 2]
            assert (batch.stats.items, batch.stats.bytes, batch.stats.requests) == (3, 300, 1)
            assert batch.stats.seconds_to_first_item is not None
            read.append(batch.request)
        assert read == requests
        statistics = loader.statistics()
    assert (statistics.items, statistics.requests, statistics.concurrency) == (60, 20, 8)
    assert (statistics.held_bytes, statistics.running, statistics.waiting) == (0, 0, 0)
    assert statistics.peak_held_bytes > 0


async def test_the_items_of_many_requests_are_one_stream() -> None:
    requests = requests_of(10)
    async with loader_of(Shelf(), max_memory=1) as loader:
        names = [metadata.name async for metadata, _ in loader.stream(requests)]
    assert names == [entry.name for request in requests for entry in request.entries]


async def test_requests_may_come_from_an_async_generator_which_is_closed() -> None:
    closed = []

    async def generate() -> AsyncIterator[BatchRequest]:
        try:
            for request in requests_of(1000):
                await asyncio.sleep(0)
                yield request
        finally:
            closed.append(True)

    async with nothing_left_open(), loader_of(Shelf()) as loader, loader.stream(generate()) as items:
        assert (await anext(items)).metadata.name == "0.0-100"
    assert closed == [True]


async def test_requests_are_pulled_only_as_they_can_be_admitted() -> None:
    pulled = []

    def generate() -> Iterator[BatchRequest]:
        for request in requests_of(1000):
            pulled.append(request)
            yield request

    async with loader_of(Shelf(), max_concurrency=2) as loader:
        batches = loader.get_batches(generate())
        async for _ in batches:
            break
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(pulled) < 12


async def test_an_empty_request_is_an_empty_batch() -> None:
    async with loader_of(Shelf()) as loader:
        assert [await batch.read_all() async for batch in loader.get_batches([BatchRequest()])] == [[]]
        assert [item async for item in loader.stream([])] == []


async def test_unordered_batches_come_as_they_are_there() -> None:
    slow = asyncio.Event()

    class Source(Shelf):
        async def open_batch(self, request: BatchRequest) -> ShelfAnswer:
            if request.entries[0].name.startswith("0."):
                await slow.wait()
            return await super().open_batch(request)

    async with loader_of(Source()) as loader:
        read = []
        async for batch in loader.get_batches(requests_of(3), ordered=False):
            read.append((await batch.read_all())[0].metadata.name)
            if len(read) == 2:
                slow.set()
    assert read == ["1.0-100", "2.0-100", "0.0-100"]


async def test_a_failure_is_raised_where_its_batch_is_read_and_nowhere_else() -> None:
    requests = requests_of(5)
    requests[2] = request_of("2.0-100", "gone/2-100", "2.2-100")
    async with loader_of(Shelf(), retry=ONCE) as loader:
        read = []
        async for batch in loader.get_batches(requests):
            if batch.request is requests[2]:
                assert (await anext(batch)).metadata.name == "2.0-100"
                with pytest.raises(ObjectNotFoundError):
                    await anext(batch)
                with pytest.raises(UsageError, match="closed"):
                    await anext(batch)
            else:
                read.append(len(await batch.read_all()))
        assert read == [3] * 4
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert repr(batch) == "<LoadedBatch complete, of 3 entries>"


async def test_an_incomplete_batch_tells_what_came() -> None:
    shelf = Shelf(chunk=512, breaking=lambda _: 2000)
    async with loader_of(shelf, retry=ONCE, max_resumes=0) as loader:
        async for batch in loader.get_batches(requests_of(1)):
            with pytest.raises(IncompleteBatchError) as caught:
                await batch.read_all()
    assert (caught.value.delivered, len(caught.value.items), len(caught.value.missing)) == (1, 1, 2)


async def test_a_stream_ends_with_the_first_failure() -> None:
    requests = requests_of(5)
    requests[1] = request_of("gone/1-100")
    async with nothing_left_open(), loader_of(Shelf(), retry=ONCE) as loader:
        items = loader.stream(requests)
        assert [(await anext(items)).metadata.index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ObjectNotFoundError):
            await anext(items)
        with pytest.raises(UsageError, match="closed"):
            await anext(items)


async def test_what_the_iterable_raises_comes_behind_its_batches() -> None:
    def generate() -> Iterator[BatchRequest]:
        yield from requests_of(2)
        raise LookupError("no more")

    async with loader_of(Shelf()) as loader:
        batches = loader.get_batches(generate())
        assert [len(await (await anext(batches)).read_all()) for _ in range(2)] == [3, 3]
        for _ in range(2):
            with pytest.raises(LookupError):
                await anext(batches)


@pytest.mark.parametrize("wrong", [7, BatchRequest(), ["a"]])
async def test_what_is_no_iterable_of_requests_is_refused(wrong: object) -> None:
    async with loader_of(Shelf()) as loader:
        with pytest.raises(UsageError, match="requests"):
            await anext(loader.get_batches(wrong))  # type: ignore[arg-type]


async def test_asking_for_the_next_batch_drops_the_one_before() -> None:
    async with loader_of(Shelf(), max_memory=1) as loader:
        first, *others = [batch async for batch in loader.get_batches(requests_of(3))]
        assert len(others) == 2
        with pytest.raises(UsageError, match="moved on"):
            await anext(first)
        assert loader.statistics().held_bytes == 0


async def test_leaving_early_releases_everything() -> None:
    shelf = Shelf()
    async with nothing_left_open(), loader_of(shelf) as loader:
        async with loader.get_batches(requests_of(100, 100)) as batches:
            async for batch in batches:
                await anext(batch)
                break
        await until(lambda: not shelf.open)
        assert loader.statistics().held_bytes == 0
        with pytest.raises(UsageError, match="closed"):
            await anext(batches)
        await batches.aclose()


async def test_a_loader_that_lives_long_keeps_nothing_of_what_was_read() -> None:
    async with loader_of(Shelf()) as loader:
        for _ in range(3):
            assert len([item async for item in loader.stream(requests_of(3))]) == 9
            async with loader.get_batches(requests_of(3)) as batches:
                await anext(batches)
            await loader.load_many([FakeObject("a-1")])
        await until(lambda: not loader._tasks)
        assert not loader._lines
        assert loader._scheduler is not None
        assert not loader._scheduler.lanes


async def test_what_nobody_has_read_can_be_released() -> None:
    async with nothing_left_open(), loader_of(Shelf()) as loader:
        async with loader.get_batches(requests_of(3)):
            pass
        async with loader.stream(requests_of(3)):
            pass


async def test_the_loader_releases_what_was_left_open() -> None:
    shelf = Shelf()
    async with nothing_left_open():
        loader = loader_of(shelf)
        await loader.__aenter__()
        items = loader.stream(requests_of(100, 100))
        await anext(items)
        await loader.__aexit__(LookupError, LookupError(), None)
        assert shelf.open == 0
        with pytest.raises(UsageError, match="closed"):
            await anext(items)
    assert loader.statistics().held_bytes == 0
    await loader.aclose()


async def test_whoever_waits_when_the_loader_is_closed_is_told() -> None:
    shelf = Shelf(latency=100)
    async with nothing_left_open(), loader_of(shelf, max_concurrency=1) as loader:
        readers = [loader.stream(requests_of(1)) for _ in range(3)]
        waiting = [asyncio.create_task(anext(reader)) for reader in [*readers, loader.stream(never())]]
        for _ in range(10):
            await asyncio.sleep(0)
    for task in waiting:
        with pytest.raises(UsageError, match="closed"):
            await task


async def test_a_cancelled_reader_loses_nothing() -> None:
    async with loader_of(Shelf(latency=0.01)) as loader:
        items = loader.stream(requests_of(2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(items)
        assert len([item async for item in items]) == 6


async def test_two_readers_are_refused() -> None:
    async with loader_of(Shelf(latency=0.01)) as loader:
        batches = loader.get_batches(requests_of(2))
        batch = await anext(batches)
        first = asyncio.create_task(anext(batch))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="one reader"):
            await anext(batch)
        assert (await first).metadata.index == 0
        other = loader.get_batches(never())
        waiting = asyncio.create_task(anext(other))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="one reader"):
            await anext(other)
        waiting.cancel()


async def test_a_batch_that_broke_off_is_resumed() -> None:
    shelf = Shelf(chunk=512, breaking=lambda names: 2000 if len(names) > 2 else None)
    async with loader_of(shelf) as loader:
        requests = requests_of(4)
        assert len([item async for item in loader.stream(requests)]) == 12
        statistics = loader.statistics()
    assert (statistics.resumes, statistics.requests, statistics.items) == (4, 8, 12)
    assert [len(names) for names in shelf.requests].count(2) == 4


async def test_what_stops_every_batch_is_asked_for_alone() -> None:
    shelf = Shelf(breaking=lambda _: 0)
    async with loader_of(shelf, retry=RetryPolicy(base_delay=0)) as loader:
        items = [item async for item in loader.stream(requests_of(2))]
        assert [item.data for item in items] == [data_of(item.metadata.name) for item in items]
        assert loader.statistics().requests == len(shelf.requests) + len(shelf.alone)
    assert len(shelf.alone) == 6


async def test_retries_are_counted() -> None:
    failures = [TransportError("lost", retryable=True)] * 2
    shelf = Shelf(failing=lambda _: failures.pop() if failures else None)
    retry = RetryPolicy(base_delay=0)
    async with loader_of(shelf, retry=retry) as loader:
        assert len([item async for item in loader.stream(requests_of(1))]) == 3
        assert loader.statistics().retries == 2
        assert loader.statistics().requests == 3


async def test_what_a_loader_needs() -> None:
    loader = loader_of(Shelf())
    for call in (lambda: loader.get_batches([]), lambda: loader.stream([]), loader.statistics):
        with pytest.raises(UsageError, match="enter"):
            call()
    await loader.aclose()
    async with loader_of(Shelf()) as loader:
        with pytest.raises(UsageError, match="entered before"):
            await loader.__aenter__()
    with pytest.raises(UsageError, match="closed"):
        loader.get_batches([])


@pytest.mark.parametrize(
    "options",
    [
        {"max_concurrency": 0},
        {"max_memory": 0},
        {"max_memory": "0MiB"},
        {"max_memory": "much"},
        {"max_pause": 0},
        {"progress_interval": 0},
    ],
)
async def test_bounds_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        loader_of(Shelf(), **options)


async def test_a_loader_belongs_to_one_event_loop() -> None:
    async with loader_of(Shelf()) as loader:
        batches = loader.get_batches(requests_of(1))

        def elsewhere() -> None:
            async def use() -> None:
                with pytest.raises(UsageError, match="another event loop"):
                    loader.stream([])
                with pytest.raises(UsageError, match="another event loop"):
                    await anext(batches)

            asyncio.run(use())

        await asyncio.to_thread(elsewhere)


async def test_a_reader_that_is_forgotten_does_no_harm() -> None:
    async with nothing_left_open(), loader_of(Shelf()) as loader:
        async for _ in loader.stream(requests_of(10)):
            break
        gc.collect()
