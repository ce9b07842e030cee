"""What others do to a loader: iterables of requests that misbehave, and closing while somebody waits."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from asyncbatch import BatchLoader, UsageError

from ..support.batches import FakeObject
from .sources import Shelf, request_of, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncbatch import BatchRequest
    from asyncbatch.codecs._events import Buffer

    from .sources import ShelfAnswer


def requests_of(count: int, items: int = 3) -> list[BatchRequest]:
    return [request_of(*[f"{batch}.{item}-100" for item in range(items)]) for batch in range(count)]


def test_what_an_iterable_raises_when_it_is_closed_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def generate() -> AsyncIterator[BatchRequest]:
        try:
            for request in requests_of(1000):
                yield request
        finally:
            raise LookupError("not closed")

    async def main() -> None:
        async with BatchLoader(Shelf(), join_below=0) as loader:
            async with loader.stream(generate()) as items:
                await anext(items)
            await asyncio.sleep(1)
            assert len(await loader.load(FakeObject("a-5"))) == 5

    with caplog.at_level(logging.ERROR, logger="asyncbatch.loader"):
        run(main())
    assert [record.message for record in caplog.records] == ["the iterable of requests could not be closed"]


def test_who_reads_is_told_that_the_iterable_was_cancelled() -> None:
    async def generate() -> AsyncIterator[BatchRequest]:
        yield requests_of(1)[0]
        raise asyncio.CancelledError

    async def main() -> None:
        async with BatchLoader(Shelf(), join_below=0) as loader:
            items = loader.stream(generate())
            for _ in range(3):
                await anext(items)
            with pytest.raises(UsageError, match="CancelledError"):
                await anext(items)

    run(main())


def test_an_iterable_that_swallows_its_cancellation_ends_all_the_same() -> None:
    async def generate() -> AsyncIterator[BatchRequest]:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
            await asyncio.sleep(0)
            yield requests_of(1)[0]

    async def main() -> None:
        async with asyncio.timeout(1000), BatchLoader(Shelf(), join_below=0) as loader:
            async with loader.stream(generate()) as items:
                await anext(items)

    run(main())


def test_others_go_on_while_an_iterable_takes_its_time() -> None:
    async def generate() -> AsyncIterator[BatchRequest]:
        for request in requests_of(2):
            yield request
        await asyncio.sleep(1000)

    async def main() -> None:
        async with BatchLoader(Shelf(latency=1), max_concurrency=1, join_below=0) as loader:
            reader = asyncio.create_task(anext(loader.stream(generate())))
            await asyncio.sleep(0.5)
            await loader.load(FakeObject("a-5"))
            assert asyncio.get_running_loop().time() < 100
            await reader

    run(main())


def test_a_batch_that_was_not_read_to_its_end_says_that_the_loader_was_closed() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(), join_below=0) as loader:
            batch = await anext(loader.get_batches(requests_of(2)))
            await anext(batch)
            await asyncio.sleep(1)  # the rest has come
        for _ in range(2):
            with pytest.raises(UsageError, match="closed"):
                await anext(batch)

    run(main())


def test_who_waits_for_a_batch_that_is_closed_is_told_at_once() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(pace=100, chunk=512)) as loader:
            batches = loader.get_batches(requests_of(10))  # that are asked for together
            batch = await anext(batches)
            reader = asyncio.create_task(anext(batch))
            await asyncio.sleep(1)
            await batch.aclose()
            with pytest.raises(UsageError, match="closed"):
                await reader
            assert asyncio.get_running_loop().time() < 50
            assert len(await (await anext(batches)).read_all()) == 3

    run(main())


def test_a_stream_ends_with_a_request_that_could_never_work() -> None:
    class Source(Shelf):
        def check_batch(self, request: BatchRequest) -> None:
            if request.entries[0].name.startswith("bad"):
                raise UsageError("bad")

    async def main() -> None:
        async with BatchLoader(Source(), join_below=0) as loader:
            items = loader.stream([*requests_of(1), request_of("bad-1"), *requests_of(50, 100)])
            for _ in range(3):
                await anext(items)
            with pytest.raises(UsageError, match="bad"):
                await anext(items)
            assert loader.statistics().held_bytes == 0

    run(main())


def test_a_loader_that_was_closed_gives_nothing() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf()) as loader:
            pass
        with pytest.raises(UsageError, match="closed"):
            loader.get_batch(*requests_of(1))
        loader = BatchLoader(Shelf())
        await loader.aclose()
        with pytest.raises(UsageError, match="closed"):
            await loader.__aenter__()

    run(main())


class SlowToClose:
    def __init__(self, chunks: AsyncIterator[Buffer]) -> None:
        self.chunks = chunks

    def __aiter__(self) -> SlowToClose:
        return self

    async def __anext__(self) -> Buffer:
        return await anext(self.chunks)

    async def aclose(self) -> None:
        await asyncio.sleep(5)


def test_who_is_cancelled_again_and_again_while_it_closes_holds_nothing() -> None:
    class Source(Shelf):
        async def open_batch(self, request: BatchRequest) -> ShelfAnswer:
            answer = await super().open_batch(request)
            answer.chunks = SlowToClose(answer.chunks)
            return answer

    async def main() -> None:
        async with BatchLoader(Source(pace=1, chunk=500), join_below=0) as loader:
            batches = loader.get_batches([request_of("a-100000")])
            async with batches:
                await anext(batches)
                await asyncio.sleep(20)
                assert loader.statistics().held_bytes > 0
            for _ in range(5):
                await asyncio.sleep(1)
                for task in loader._tasks:
                    task.cancel()
        assert loader.statistics().held_bytes == 0

    run(main())
