"""How requests are asked for: in one batch, in several, with others, or each object by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import BatchLoader, BatchRequest, IncompleteBatchError, ObjectNotFoundError, UsageError
from asyncbatch.errors import OverloadedError
from asyncbatch.loader._plan import Part, Planner, Sizes, kind_of
from asyncbatch.transport import RetryPolicy

from ..support.batches import FakeObject
from .sources import Shelf, data_of, request_of, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KIB, MIB = 1024, 1 << 20
ONCE = RetryPolicy(max_attempts=1)


@pytest.mark.parametrize(
    ("planner", "count", "size", "parts", "reason"),
    [
        (Planner(), 100, None, [(0, 100, "batch")], "sizes are not known"),
        (Planner(), 100, 10 * KIB, [(0, 100, "batch")], "one batch"),
        (Planner(), 100, MIB, [(0, 100, "gets")], "faster than a batch"),
        (Planner(), 3, 2 * MIB, [(0, 3, "batch")], "one batch"),
        (Planner(way="batch"), 100, MIB, [(0, 100, "batch")], "one batch"),
        (Planner(way="gets"), 100, 1, [(0, 100, "gets")], "as was asked for"),
        (
            Planner(split_above=40),
            100,
            None,
            [(0, 33, "batch"), (33, 66, "batch"), (66, 100, "batch")],
            "3 batches",
        ),
        (
            Planner(way="batch"),
            600,
            MIB,
            [(0, 200, "batch"), (200, 400, "batch"), (400, 600, "batch")],
            "3 batches",
        ),
        (Planner(), 2, 1 << 40, [(0, 1, "batch"), (1, 2, "batch")], "2 batches"),
    ],
)
def test_a_plan(
    planner: Planner, count: int, size: float | None, parts: list[tuple[int, int, str]], reason: str
) -> None:
    plan = planner.plan(count, size)
    assert plan.parts == tuple(Part(*part) for part in parts)  # type: ignore[arg-type]
    assert reason in plan.reason
    assert not plan.joins


@pytest.mark.parametrize(("beside", "way"), [(0, "gets"), (3, "gets"), (4, "batch"), (7, "batch")])
def test_batches_at_once_are_worth_more_than_one(beside: int, way: str) -> None:
    plan = Planner().plan(100, MIB, beside=beside)
    assert [part.way for part in plan.parts] == [way]


def test_small_requests_of_a_kind_are_joined() -> None:
    planner = Planner(join_below=10)
    assert planner.plan(9, None).joins
    assert not planner.plan(10, None).joins
    assert not planner.plan(9, MIB / 2).joins
    one, other = request_of("a"), request_of("b")
    assert planner.may_join(one, other, count=18, size=None)
    assert not planner.may_join(one, other, count=81, size=None)
    assert not planner.may_join(one, other, count=18, size=MIB)
    assert not planner.may_join(one, request_of("b", continue_on_err=True), count=18, size=None)


def test_sizes_are_learnt() -> None:
    request = BatchRequest()
    request.add_object_request(FakeObject("a"), length=3)
    request.add_object_request(FakeObject("a"))
    request.add_object_request(FakeObject("shard.tar"), archpath="b")
    request.add_object_request(FakeObject("a"), start=7)
    part, whole, inside, rest = request.entries
    kind = kind_of(whole)
    sizes = Sizes()
    assert sizes.of(kind) is None
    sizes.saw(kind, 7, 700)
    assert sizes.of(kind) is None
    sizes.saw(kind, 1, 100)
    assert sizes.of(kind) == 100
    for _ in range(20):
        sizes.saw(kind, 1000, 500_000)
    assert sizes.of(kind) == pytest.approx(500)
    assert sizes.of("other") is None
    assert Sizes(7).of("other") == 7
    assert sizes.of_entries(()) is None
    assert sizes.of_entries([part]) == 3
    assert sizes.of_entries([whole, part]) == pytest.approx(500)
    assert sizes.of_entries([inside]) is sizes.of_entries([rest]) is None


def test_of_what_is_missing_no_size_is_learnt() -> None:
    async def main() -> None:
        async with BatchLoader(Shelf()) as loader:
            for names in (["a-1000"] * 10, ["gone-1000"] * 90):
                request = request_of(*names, continue_on_err=True)
                assert len([item async for item in loader.stream([request])]) == len(names)
            assert "about 1000 bytes" in loader.explain(request).reason

    run(main())


def names_of(count: int, size: int = 100) -> list[str]:
    return [f"{number}-{size}" for number in range(count)]


async def read(shelf: Shelf, requests: Any, **options: Any) -> list[list[str]]:  # noqa: ANN401
    found = []
    async with BatchLoader(shelf, **options) as loader:
        async for batch in loader.get_batches(requests):
            items = await batch.read_all()
            assert [item.metadata.index for item in items] == list(range(len(items)))
            assert [item.data for item in items] == [data_of(item.metadata.name) for item in items]
            assert batch.stats.items == len(items)
            found.append([item.metadata.name for item in items])
    return found


def test_a_long_request_is_split_and_comes_as_one() -> None:
    shelf = Shelf(latency=1)
    assert run(read(shelf, [request_of(*names_of(10))], split_above=3)) == [names_of(10)]
    assert [len(names) for names in shelf.requests] == [2, 3, 2, 3]
    assert shelf.most_open == 4


def test_a_part_that_fails_is_told_as_of_the_whole_request() -> None:
    shelf = Shelf(chunk=512, breaking=lambda names: 1500 if "6-100" in names else None)

    async def main() -> None:
        async with BatchLoader(shelf, split_above=3, max_resumes=0, max_concurrency=2) as loader:
            batches = loader.get_batches([request_of(*names_of(12)), request_of("a-1")])
            with pytest.raises(IncompleteBatchError, match="broke off; 7 of 12 items") as caught:
                await (await anext(batches)).read_all()
            assert (caught.value.delivered, len(caught.value.missing), len(caught.value.items)) == (7, 5, 7)
            assert [item.data async for item in await anext(batches)] == [b"a"]

    run(main())


def test_a_split_request_that_is_left_is_not_asked_for_any_more() -> None:
    shelf = Shelf()

    async def main() -> None:
        async with BatchLoader(shelf, split_above=3, max_concurrency=1) as loader:
            batches = loader.get_batches([request_of(*names_of(60)), request_of("a-1")])
            await anext(await anext(batches))
            assert len(await (await anext(batches)).read_all()) == 1

    run(main())
    assert len(shelf.requests) < 10


def test_small_requests_are_one_batch_and_come_as_many() -> None:
    shelf = Shelf()
    requests = [request_of(*names_of(count)) for count in (3, 1, 4, 40, 2)]
    requests.insert(2, request_of("a-1", output_format=".tar.lz4"))
    assert list(map(len, run(read(shelf, requests)))) == [3, 1, 1, 4, 40, 2]
    assert [len(names) for names in shelf.requests] == [4, 1, 4, 40, 2]


def test_what_cannot_be_looked_at_ahead_is_not_joined() -> None:
    shelf = Shelf()

    async def generate() -> AsyncIterator[BatchRequest]:
        yield request_of("a-1")
        yield request_of("b-1")

    def fail() -> Iterator[BatchRequest]:
        yield request_of("a-1")
        raise LookupError

    assert run(read(shelf, generate())) == [["a-1"], ["b-1"]]
    assert len(shelf.requests) == 2
    assert run(read(Shelf(), [request_of("a-1"), BatchRequest()])) == [["a-1"], []]
    with pytest.raises(LookupError):
        run(read(shelf, fail()))
    with pytest.raises(UsageError, match="not str"):
        run(read(shelf, [request_of("a-1"), "b"]))


def test_one_of_joined_requests_fails_alone() -> None:
    shelf = Shelf()
    requests = [request_of("a-1", "b-1"), request_of("c-1", "gone/d-1", "e-1"), request_of("f-1")]

    async def main() -> None:
        async with BatchLoader(shelf, retry=ONCE) as loader:
            batches = loader.get_batches(requests)
            assert len(await (await anext(batches)).read_all()) == 2
            with pytest.raises(ObjectNotFoundError):
                await (await anext(batches)).read_all()
            assert [data async for _, data in await anext(batches)] == [b"f"]

    run(main())


def test_one_of_joined_requests_is_left_alone() -> None:
    shelf = Shelf(chunk=512)

    async def main() -> None:
        async with BatchLoader(shelf, max_memory=1000) as loader:
            batches = loader.get_batches([request_of(*names_of(20)), request_of(*names_of(5))])
            await anext(await anext(batches))
            assert [metadata.name async for metadata, _ in await anext(batches)] == names_of(5)
            assert loader.statistics().held_bytes == 0

    run(main())
    assert [len(names) for names in shelf.requests] == [25]


def test_large_objects_are_asked_for_one_by_one_once_that_is_known() -> None:
    shelf = Shelf(chunk=65_536)
    names = names_of(10, 300_000)

    async def main() -> None:
        async with BatchLoader(shelf, max_concurrency=1, max_memory="8MiB") as loader:
            assert "sizes are not known" in loader.explain(request_of(*names)).reason
            for _ in range(2):
                assert [metadata.name async for metadata, _ in loader.stream([request_of(*names)])] == names
            assert "faster" in loader.explain(request_of(*names)).reason
            statistics = loader.statistics()
            assert (statistics.requests, statistics.items, statistics.held_bytes) == (11, 20, 0)
            assert statistics.peak_held_bytes > 300_000

    run(main())
    assert len(shelf.requests) == 1
    assert sorted(shelf.alone) == names


def test_either_can_be_forced() -> None:
    names, shelf = names_of(5), Shelf()
    assert run(read(shelf, [request_of(*names)] * 2, way="gets")) == [names] * 2
    assert (shelf.requests, len(shelf.alone)) == ([], 10)
    assert BatchLoader(shelf, item_size="1MiB").explain(request_of(*names)).parts[0].way == "gets"
    assert BatchLoader(shelf, item_size="1MiB", way="batch").explain(request_of()).parts[0].way == "batch"


def test_an_overload_is_noticed_there_too() -> None:
    overloads = [OverloadedError(status=503, message="busy", retryable=True)]
    shelf = Shelf(failing=lambda _: overloads.pop() if overloads else None)

    async def main() -> None:
        async with BatchLoader(shelf, way="gets") as loader:
            assert len([item async for item in loader.stream([request_of("a-1", "b-1")])]) == 2
            assert loader.statistics().concurrency == 4
            await asyncio.sleep(0)

    run(main())


@pytest.mark.parametrize(
    "options", [{"way": "any"}, {"split_above": 0}, {"join_below": -1}, {"item_size": "?"}]
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        BatchLoader(Shelf(), **options)  # type: ignore[arg-type]
