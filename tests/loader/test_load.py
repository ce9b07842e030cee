"""`load`: callers who come together share a request, and nothing else."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from asyncbatch import (
    AsyncBatchError,
    BatchLoader,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    UsageError,
)
from asyncbatch.errors import AuthenticationError, TransportError
from asyncbatch.transport import RetryPolicy

from ..support.batches import FakeObject
from ..support.leaks import nothing_left_open
from .sources import Shelf, data_of, request_of, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncbatch import BatchRequest

ONCE = RetryPolicy(max_attempts=1)


async def outcome(coroutine: object) -> object:
    try:
        return await coroutine  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001 - it is what came of it
        return error


def test_concurrent_callers_share_a_request_and_equal_keys_an_entry() -> None:
    shelf = Shelf()

    async def main() -> None:
        names = [f"{number % 100}-300" for number in range(1000)]
        async with BatchLoader(shelf) as loader:
            read = await asyncio.gather(*(loader.load(FakeObject(name)) for name in names))
            assert read == [data_of(name) for name in names]
            assert loader.statistics().held_bytes == 0

    run(main())
    assert [len(names) for names in shelf.requests] == [100]


def test_a_full_batch_is_not_kept_waiting() -> None:
    shelf = Shelf(latency=1)

    async def main() -> float:
        async with BatchLoader(shelf, load_window=1000, max_batch=10) as loader:
            names = [f"{number}-10" for number in range(30)]
            assert await loader.load_many(map(FakeObject, names)) == [data_of(name) for name in names]
        return asyncio.get_running_loop().time()

    assert run(main()) < 2
    assert [len(names) for names in shelf.requests] == [10, 10, 10]


def test_who_comes_later_is_in_another_batch() -> None:
    shelf = Shelf(latency=5)

    async def main() -> None:
        async with BatchLoader(shelf, load_window=0.5) as loader:
            first = asyncio.create_task(loader.load(FakeObject("a-1")))
            await asyncio.sleep(1)
            assert await loader.load(FakeObject("a-1")) == await first == b"a"

    run(main())
    assert shelf.requests == [["a-1"], ["a-1"]]


def test_parts_of_objects() -> None:
    asked: list[BatchRequest] = []

    class Source(Shelf):
        def check_batch(self, request: BatchRequest) -> None:
            asked.append(request)

    async def main() -> None:
        async with BatchLoader(Source()) as loader:
            await loader.load(FakeObject("a-7"), archpath="b", start=1, length=7)

    run(main())
    assert asked[0].entries[0][4:7] == ("b", 1, 7)


def test_a_missing_object_fails_only_its_callers_and_each_with_an_error_of_its_own() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf()) as loader:
            names = ["gone/1-10", "a-10", "gone/1-10"]
            first, there, second = await asyncio.gather(
                *(outcome(loader.load(FakeObject(name))) for name in names)
            )
            assert there == data_of("a-10")
            assert isinstance(first, ObjectNotFoundError)
            assert isinstance(second, ObjectNotFoundError)
            assert first is not second
            assert (first.name, first.bucket, first.status) == ("gone/1-10", "b", 404)
            with pytest.raises(ObjectNotFoundError):
                await loader.load_many(map(FakeObject, names))
        gc.collect()  # nobody's error is left unseen

    run(main())


def test_another_error_of_an_object_is_its_own() -> None:
    denied = AuthenticationError(status=403, message="no", name="denied-1", bucket="b")
    shelf = Shelf(denied={"denied-1": denied})

    async def main() -> None:
        async with BatchLoader(shelf, retry=ONCE) as loader:
            refused, there = await asyncio.gather(
                *(outcome(loader.load(FakeObject(name))) for name in ("denied-1", "a-1"))
            )
            assert there == b"a"
            assert isinstance(refused, AuthenticationError)
            shelf.forgiving = True
            mended = await outcome(loader.load(FakeObject("denied-1")))
            assert type(mended) is AsyncBatchError

    run(main())


@pytest.mark.parametrize("error", [TransportError("lost", retryable=False), LookupError("a defect")])
def test_a_batch_that_fails_fails_all_its_callers(error: Exception) -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(failing=lambda _: error), retry=ONCE) as loader:
            errors = await asyncio.gather(*(outcome(loader.load(FakeObject(f"{n}-1"))) for n in range(3)))
        assert len({id(one) for one in errors}) == 3
        for one in errors:
            assert isinstance(one, AsyncBatchError)
            assert isinstance(one, type(error)) or "a defect" in str(one)
            assert one.__cause__ is error

    run(main())


def test_an_entry_that_cannot_be_asked_for_is_its_callers_affair() -> None:
    class Source(Shelf):
        def check_batch(self, request: BatchRequest) -> None:
            if request.entries[0].name == "bad":
                raise UsageError("bad", index=0)

    async def main() -> None:
        async with BatchLoader(Source()) as loader:
            bad, good = await asyncio.gather(
                *(outcome(loader.load(FakeObject(name))) for name in ("bad", "a-1"))
            )
        assert isinstance(bad, UsageError)
        assert good == b"a"

    run(main())


def test_a_cancelled_caller_cancels_only_itself() -> None:
    shelf = Shelf(latency=1)

    async def main() -> None:
        async with nothing_left_open(), BatchLoader(shelf) as loader:
            tasks = [asyncio.create_task(loader.load(FakeObject(name))) for name in ("a-1", "a-1", "b-1")]
            await asyncio.sleep(0)
            tasks[2].cancel()  # before it was asked for
            await asyncio.sleep(0.5)
            tasks[0].cancel()
            assert await tasks[1] == b"a"
            assert shelf.requests == [["a-1"]]

            alone = asyncio.create_task(loader.load(FakeObject("c-1")))
            await asyncio.sleep(0.5)
            alone.cancel()
            await asyncio.sleep(0.1)
            assert loader.statistics().running == 0  # nobody wants it any more

            early = asyncio.create_task(loader.load(FakeObject("d-1")))
            await asyncio.sleep(0)
            early.cancel()
            await asyncio.sleep(0.5)
        assert shelf.requests == [["a-1"], ["c-1"]]

    run(main())


def test_closing_tells_all_callers() -> None:
    async def main() -> None:
        loader = BatchLoader(Shelf(latency=100), max_concurrency=1)
        async with loader:
            tasks = [asyncio.create_task(outcome(loader.load(FakeObject("a-1"))))]
            await asyncio.sleep(1)
            tasks += [asyncio.create_task(outcome(loader.load(FakeObject("b-1"))))]
            await asyncio.sleep(1)
            tasks += [asyncio.create_task(outcome(loader.load(FakeObject("c-1"))))]
            await asyncio.sleep(0)
        for task in tasks:
            assert isinstance(await task, UsageError)
        with pytest.raises(UsageError, match="closed"):
            await loader.load(FakeObject("a-1"))
        with pytest.raises(UsageError, match="enter"):
            await BatchLoader(Shelf()).load_many([FakeObject("a-1")])

    run(main())


def test_loading_within_a_loop_over_batches_waits_for_nobody() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(), max_concurrency=1, max_memory=1) as loader:
            requests = [request_of(*(f"{batch}.{item}-700" for item in range(5))) for batch in range(4)]
            async for metadata, data in loader.stream(requests):
                assert await loader.load(FakeObject(metadata.name)) == data

    run(main())


@pytest.mark.parametrize("options", [{"load_window": -1}, {"max_batch": 0}])
def test_bounds_that_cannot_be_meant_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        BatchLoader(Shelf(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "names", "expected"),
    [
        (Limits(max_item_size=100), ("a-5", "b-101", "c-7", "d-101"), "-x-x"),  # its callers only
        (Limits(max_total_size=6000), ("a-5000", "b-5000", "c-7"), "-xx"),
    ],
    ids=["an object", "all of them"],
)
def test_what_is_too_large(limits: Limits, names: tuple[str, ...], expected: str) -> None:
    async def main() -> None:
        async with BatchLoader(Shelf(), limits=limits) as loader:
            read = await asyncio.gather(*(outcome(loader.load(FakeObject(name))) for name in names))
        assert "".join("x" if isinstance(one, LimitExceededError) else "-" for one in read) == expected

    run(main())


def test_nothing_is_asked_for_of_many_that_cannot_all_be() -> None:
    def objects() -> Iterator[FakeObject]:
        yield FakeObject("a-1")
        raise LookupError

    shelf = Shelf()

    async def main() -> None:
        async with BatchLoader(shelf) as loader:
            with pytest.raises(LookupError):
                await loader.load_many(objects())
            await asyncio.sleep(1)

    run(main())
    assert shelf.requests == []
