"""Memory is bounded, and nothing waits for itself: any budget, sizes and speeds, by a clock of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import BatchLoader
from asyncbatch.loader._budget import ITEM_COST, Budget
from asyncbatch.loader._line import Line
from asyncbatch.loader._scheduler import Scheduler, _tell
from asyncbatch.loader._sizes import parse_size

from .sources import Shelf, data_of, request_of, run

CHUNK = 512


def named(sizes: list[list[int]]) -> list[list[str]]:
    return [[f"{batch}.{item}-{size}" for item, size in enumerate(of)] for batch, of in enumerate(sizes)]


batches = st.lists(st.lists(st.integers(0, 6000), max_size=6), max_size=12)
seconds = st.sampled_from([0.0, 0.01, 7.0])


@settings(max_examples=40)
@given(
    sizes=batches,
    memory=st.integers(1, 20_000),
    at_once=st.integers(1, 5),
    pace=seconds,
    reading=seconds,
    ordered=st.booleans(),
    joined=st.sampled_from([0, 4]),
    split=st.sampled_from([3, 100]),
)
def test_any_budget_holds_and_never_deadlocks(
    sizes: list[list[int]],
    memory: int,
    at_once: int,
    pace: float,
    reading: float,
    *,
    ordered: bool,
    joined: int,
    split: int,
) -> None:
    shelf = Shelf(chunk=CHUNK, pace=pace)
    names = named(sizes)

    async def main() -> int:
        read = []
        async with BatchLoader(
            shelf, max_concurrency=at_once, max_memory=memory, join_below=joined, split_above=split
        ) as loader:
            async for batch in loader.get_batches((request_of(*of) for of in names), ordered=ordered):
                items = []
                async for metadata, data in batch:
                    assert data == data_of(metadata.name)
                    items.append(metadata.name)
                    await asyncio.sleep(reading)
                read.append(items)
            assert loader.statistics().held_bytes == 0
        assert sorted(read) == sorted(names)
        assert read == names or not ordered
        return loader.statistics().peak_held_bytes

    peak = run(main())
    largest = max((size for of in sizes for size in of), default=0) + ITEM_COST
    # Whoever may pull gets a chunk; and the decoder of tar keeps a small item until it is whole: four chunks.
    assert peak <= memory + largest + at_once * (5 * CHUNK + ITEM_COST)
    assert shelf.open == 0


def test_requests_that_are_joined_are_not_read_ahead_either() -> None:
    shelf = Shelf(chunk=CHUNK)
    names = named([[20_000]] * 50)

    async def main() -> int:
        async with BatchLoader(shelf, max_memory=1000) as loader:
            async for metadata, data in loader.stream(request_of(*of) for of in names):
                assert data == data_of(metadata.name)
                await asyncio.sleep(1)
            return loader.statistics().peak_held_bytes

    assert run(main()) < 25_000
    assert len(shelf.requests[0]) == 50


@settings(max_examples=20)
@given(sizes=batches, memory=st.integers(1, 5000), at_once=st.integers(1, 4))
def test_a_stream_in_a_stream_never_deadlocks(sizes: list[list[int]], memory: int, at_once: int) -> None:
    names = named(sizes)

    async def main() -> None:
        async with BatchLoader(Shelf(chunk=CHUNK), max_concurrency=at_once, max_memory=memory) as loader:
            async for _ in loader.stream(request_of(*of) for of in names):
                inner = [metadata.name async for metadata, _ in loader.stream([request_of("a-300", "b-300")])]
                assert inner == ["a-300", "b-300"]

    run(main())


def test_what_waits_too_long_is_closed_and_asked_for_again_from_where_it_was() -> None:
    shelf = Shelf(chunk=CHUNK)
    names = named([[2000] * 5] * 4)

    async def main() -> Any:  # noqa: ANN401 - statistics
        read = []
        async with BatchLoader(shelf, join_below=0, max_memory=4000, max_pause=20) as loader:
            async for metadata, data in loader.stream(request_of(*of) for of in names):
                assert data == data_of(metadata.name)
                read.append((metadata.index, metadata.name))
                if len(read) == 2:
                    await asyncio.sleep(19)
                    assert shelf.open > 0
                    await asyncio.sleep(60)
                    assert shelf.open == 0
            assert read == [(index, name) for of in names for index, name in enumerate(of)]
            return loader.statistics()

    statistics = run(main())
    assert statistics.resumes > 0
    assert statistics.requests == 4 + statistics.resumes
    assert any(len(of) < 5 for of in shelf.requests)
    assert statistics.held_bytes == 0


def test_what_waits_too_long_can_be_left_open() -> None:
    shelf = Shelf(chunk=CHUNK)

    async def main() -> None:
        async with BatchLoader(shelf, join_below=0, max_memory=4000, max_pause=None) as loader:
            async for _ in loader.stream(request_of(*of) for of in named([[2000] * 5] * 4)):
                await asyncio.sleep(1000)
        assert loader.statistics().resumes == 0

    run(main())
    assert len(shelf.requests) == 4


def test_who_waits_for_nothing_is_told_once() -> None:
    async def main() -> None:
        line = Line(Scheduler(1, 1), ordered=True)
        assert not line.is_head(object())  # type: ignore[arg-type]
        assert not line.has_ready
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        _tell(waiting, True)
        _tell(waiting, False)
        assert await waiting

    run(main())


def test_the_budget_leaves_something_to_the_head() -> None:
    budget = Budget(800)
    assert budget.admits(is_head=False, has_ready=True)
    budget.hold(700)
    assert not budget.admits(is_head=False, has_ready=False)
    assert budget.admits(is_head=True, has_ready=True)
    budget.hold(100)
    assert not budget.admits(is_head=True, has_ready=True)
    assert budget.admits(is_head=True, has_ready=False)
    budget.hold(-800)
    assert (budget.held, budget.peak) == (0, 800)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("2 GB", 2 * 10**9),
        ("7", 7),
        ("1k", 1000),
        ("1ki", 1024),
        ("3 b", 3),
        (5, 5),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text, "size") == size


def test_what_is_asked_for_at_once_counts_before_it_comes() -> None:
    size, memory = 2 << 20, 5 << 20
    shelf = Shelf(chunk=262_144, pace=0.01)
    names = named([[size] * 2] * 6)

    async def main() -> None:
        async with BatchLoader(shelf, max_memory=memory, join_below=0, way="batch") as loader:
            async for metadata, data in loader.stream(request_of(*of) for of in names):
                assert data == data_of(metadata.name)
                await asyncio.sleep(0.1)
            assert shelf.most_open > 2
            assert loader.statistics().peak_held_bytes < memory + size

    run(main())
