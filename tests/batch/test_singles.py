"""Batches made of a request per entry: ordered, many at once, in bounded memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import IncompleteBatchError, LimitExceededError, Limits, ObjectNotFoundError, UsageError
from asyncbatch.batch import BatchRequest, BatchStream, EntryAnswer, Server, Singles
from asyncbatch.errors import AuthenticationError, OverloadedError, RemoteError, TransportError
from asyncbatch.transport import RetryPolicy

from ..support.batches import FakeObject, request_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

AT_ONCE = RetryPolicy(max_attempts=3, base_delay=0, max_delay=0)


class Chunks:
    """Data on its way: an error in it is raised, and a function is awaited."""

    def __init__(self, steps: list[Any], closed: Callable[[], None]) -> None:
        self._steps = iter(steps)
        self._closed = [closed]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for step in self._steps:
            await asyncio.sleep(0)
            if isinstance(step, Exception):
                raise step
            if not callable(step):
                chunk: bytes = step
                return chunk
            await step()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        while self._closed:
            self._closed.pop()()


class Objects:
    """A source that has no batches. What an object is may be data, steps of its chunks, or an error."""

    def __init__(self, objects: dict[str, Any], *, sized: bool = True, **bounds: int) -> None:
        self.objects = objects
        self.sized = sized
        self.asked: list[str] = []
        self.open = self.most_open = self.most_held = 0
        self.singles = Singles(self.open_entry, retry=AT_ONCE, **bounds)

    @property
    def server(self) -> Server:
        return Server("fake")

    def check_batch(self, request: BatchRequest) -> None:
        pass

    def reach(self, request: BatchRequest, first: int) -> int:
        return len(request)

    async def open_batch(self, request: BatchRequest) -> Any:  # noqa: ANN401 - an answer
        return self.singles.open(request)

    async def open_entry(self, request: BatchRequest) -> EntryAnswer:
        (entry,) = request.entries
        self.asked.append(entry.name)
        await asyncio.sleep(0)
        found = self.objects.get(entry.name)
        if isinstance(found, list) and found and isinstance(found[0], list):
            found = found.pop(0)  # what comes at this time
        if found is None:
            raise ObjectNotFoundError(status=404, message=f"no {entry.name}", name=entry.name, bucket="b")
        if isinstance(found, Exception):
            raise found
        steps = found if isinstance(found, list) else [found]
        size = sum(len(step) for step in steps if isinstance(step, bytes)) if self.sized else None
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.most_held = max(self.most_held, self.singles.held)
        return EntryAnswer(Chunks(steps, self._close), size)

    def _close(self) -> None:
        self.open -= 1
        self.most_held = max(self.most_held, self.singles.held)

    def batch(self, names: list[str], **options: Any) -> BatchStream:  # noqa: ANN401 - of BatchRequest
        limits = options.pop("limits", Limits())
        return BatchStream(self, request_of(names, **options), retry=AT_ONCE, limits=limits, max_resumes=2)

    def is_idle(self) -> bool:
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("entry ")]
        singles = self.singles
        return not (self.open or singles.running or singles.starting or singles.held or tasks)


async def test_objects_come_in_order_however_long_each_takes() -> None:
    async def late() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    source = Objects({"a": [late, b"one"], "b": b"", "c": b"three"})
    items = await source.batch(["a", "b", "c", "a"]).read_all()
    assert [data for _, data in items] == [b"one", b"", b"three", b"one"]
    assert [item.member_name for item, _ in items] == ["a", "b", "c", "a"]
    assert source.most_open > 1
    assert source.is_idle()


async def test_what_is_missing_or_refused_is_an_item_with_an_error() -> None:
    denied = AuthenticationError(status=403, message="not yours", name="d", bucket="b")
    source = Objects({"a": b"1", "d": denied, "late": [b"12", RemoteError(status=416, message="no range")]})
    batch = source.batch(["a", "gone", "d", "late", "a"], continue_on_err=True)
    items = await batch.read_all()
    assert [(item.missing, item.error, data) for item, data in items] == [
        (False, None, b"1"),
        (True, "no gone", b""),
        (False, "not yours", b""),
        (False, "no range", b""),
        (False, None, b"1"),
    ]
    assert batch.stats.resumes == 0
    assert source.is_idle()


async def test_a_strict_batch_raises_behind_what_came() -> None:
    source = Objects({"a": b"1"})
    batch = source.batch(["a", "gone", "a"])
    assert (await anext(batch)).data == b"1"
    with pytest.raises(ObjectNotFoundError, match="no gone"):
        await anext(batch)
    assert source.is_idle()


@pytest.mark.parametrize("sized", [True, False])
async def test_an_answer_that_breaks_off_is_asked_for_again_by_itself(sized: bool) -> None:  # noqa: FBT001
    lost = TransportError("lost", retryable=True)
    source = Objects({"a": [[b"par", lost], [lost], [b"parts", b"!"]], "b": b"2"}, sized=sized)
    items = await source.batch(["b", "a", "b"]).read_all()
    assert [data for _, data in items] == [b"2", b"parts!", b"2"]
    assert source.asked.count("b") == 2
    assert source.is_idle()


async def test_a_server_that_is_overloaded_is_asked_again_for_what_was_not_delivered() -> None:
    busy = OverloadedError(status=503, message="slow down", retryable=True)
    source = Objects({"a": b"1", "b": [*[[busy]] * 4, [b"2"]]})
    batch = source.batch(["a", "b", "a"])
    assert [data for _, data in await batch.read_all()] == [b"1", b"2", b"1"]
    assert batch.stats.resumes == 1
    source.objects["b"] = busy
    with pytest.raises(IncompleteBatchError) as caught:
        await source.batch(["a", "b", "a"]).read_all()
    assert caught.value.__cause__ is busy
    assert [data for _, data in caught.value.items] == [b"1"]
    assert source.is_idle()


async def test_an_answer_that_always_breaks_off_ends_the_batch() -> None:
    lost = TransportError("lost", retryable=True)
    source = Objects({"a": b"1", "cut": [b"12", lost]})
    batch = source.batch(["a", "cut", "a"], continue_on_err=True)
    with pytest.raises(IncompleteBatchError) as caught:
        await batch.read_all()
    assert [data for _, data in caught.value.items] == [b"1"]
    assert source.is_idle()


async def test_who_asks_in_vain_is_told_so() -> None:
    source = Objects({"a": b"1", "b": AuthenticationError(status=401, message="who?", name="b", bucket="b")})
    batch = source.batch(["a", "b"], continue_on_err=True)
    assert (await anext(batch)).data == b"1"
    with pytest.raises(AuthenticationError, match=r"who\?"):
        await anext(batch)
    assert source.is_idle()


@pytest.mark.parametrize("sized", [True, False])
async def test_a_large_object_comes_in_chunks(sized: bool) -> None:  # noqa: FBT001
    chunk = bytes(300_000)
    source = Objects({"big": [chunk] * 6, "a": b"1"}, sized=sized, max_memory=400_000)
    batch = source.batch(["a", "big", "big", "a"])
    sizes: list[int] = []
    async for member in batch.members():
        sizes.append(sum([len(part) async for part in member]))
        assert source.singles.held <= 400_000 + len(chunk)
    assert sizes == [1, 1_800_000, 1_800_000, 1]
    assert source.most_held <= 400_000 + len(chunk)
    assert source.is_idle()


async def test_a_large_object_that_breaks_off_goes_on_where_it_stopped() -> None:
    chunk = b"x" * 700_000
    lost = TransportError("lost", retryable=True)
    source = Objects({"big": [[chunk, chunk, lost], [chunk, chunk, b"end"]]}, sized=False)
    batch = source.batch(["big"])
    member = await anext(batch.members())
    assert b"".join([part async for part in member]) == chunk + chunk + b"end"
    assert source.is_idle()


async def test_an_error_in_what_was_handed_out_in_part_is_raised() -> None:
    chunk = b"x" * 1_100_000
    source = Objects({"big": [chunk, chunk, RemoteError(status=404, message="gone meanwhile")]}, sized=False)
    batch = source.batch(["big"], continue_on_err=True)
    member = await anext(batch.members())
    with pytest.raises(RemoteError, match="gone meanwhile"):
        _ = [part async for part in member]
    assert source.is_idle()


@pytest.mark.parametrize("sized", [True, False])
async def test_an_error_at_the_end_of_a_large_object_is_its_own(sized: bool) -> None:  # noqa: FBT001
    chunk = b"x" * 1_100_000
    damaged = RemoteError(status=422, message="damaged")
    source = Objects({"a": b"1", "big": [chunk, chunk, damaged], "b": b"2"}, sized=sized)
    batch = source.batch(["a", "big", "b"], continue_on_err=True)
    items = await batch.read_all()
    assert [(item.error, item.missing, data) for item, data in items] == [
        (None, False, b"1"),
        ("damaged", False, b""),
        (None, False, b"2"),
    ]
    with pytest.raises(RemoteError, match="damaged"):
        await source.batch(["a", "big", "b"]).read_all()
    assert source.is_idle()


async def test_limits_hold_for_whole_items() -> None:
    source = Objects({"a": bytes(11)})
    with pytest.raises(LimitExceededError):
        await anext(source.batch(["a"], limits=Limits(max_item_size=10)))
    assert source.is_idle()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), max_size=30),
    memory=st.integers(1, 5000) | st.just(1 << 20),
    concurrency=st.integers(1, 9),
    sized=st.booleans(),
    batches=st.integers(1, 3),
)
def test_no_bound_stops_any_batch(
    sizes: list[int],
    memory: int,
    concurrency: int,
    sized: bool,  # noqa: FBT001
    batches: int,
) -> None:
    async def main() -> None:
        objects = {str(index): bytes(size) for index, size in enumerate(sizes)}
        source = Objects(objects, sized=sized, max_memory=memory, max_concurrency=concurrency)
        answers = await asyncio.gather(*(source.batch(list(objects)).read_all() for _ in range(batches)))
        for items in answers:
            assert [len(data) for _, data in items] == sizes
        assert source.most_open <= concurrency + batches
        if sized:  # one that is due is never kept waiting
            assert source.most_held <= memory + batches * max(sizes, default=0)
        assert source.is_idle()

    asyncio.run(main())


async def test_a_batch_that_nobody_reads_does_not_stop_its_neighbour() -> None:
    source = Objects({str(i): bytes(1000) for i in range(50)}, max_memory=5000, max_concurrency=3)
    stalled, other = source.batch([str(i) for i in range(50)]), source.batch([str(i) for i in range(50)])
    async with stalled:
        await anext(stalled)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(await other.read_all()) == 50
        assert not source.is_idle()
    assert source.is_idle()


async def test_who_has_no_room_asks_for_no_more() -> None:
    source = Objects({"small": b"1", "large": bytes(3000)}, max_memory=10_000, max_concurrency=8)
    async with source.batch(["small"] * 2 + ["large"] * 40) as batch:
        for _ in range(12):
            await anext(batch)
        for _ in range(50):
            await asyncio.sleep(0)
        assert source.singles.held == 9000
        assert source.open == 0
    assert source.is_idle()


async def test_what_is_large_is_not_asked_for_in_numbers_before_that_is_known() -> None:
    source = Objects({"large": bytes(1 << 20)}, max_memory=3 << 20)
    async with source.batch(["large"] * 9) as batch:
        await anext(batch)
        assert source.most_open == 3
    source = Objects({"small": b"1"}, max_memory=3 << 20)
    async with source.batch(["small"] * 200) as batch:
        await batch.read_all()
        assert source.most_open == 64
    assert source.is_idle()


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_nothing_is_left_of_a_batch_that_is_cancelled(steps: int) -> None:
    source = Objects(
        {str(i): [b"12", bytes(600_000), bytes(600_000)] for i in range(9)}, max_memory=2_000_000
    )
    batch = source.batch([str(i) for i in range(9)])

    async def read() -> None:
        async with batch:
            await batch.read_all()

    task = asyncio.create_task(read())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_idle()


async def test_a_request_that_somebody_cancels_is_no_whole_item() -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        await never.wait()

    source = Objects({"a": [b"12", hang]})
    batch = source.batch(["a"])
    reading = asyncio.create_task(batch.read_all())
    await begun.wait()
    (entry,) = [task for task in asyncio.all_tasks() if task.get_name() == "entry 0"]
    entry.cancel()
    with pytest.raises(IncompleteBatchError):
        await reading
    assert source.is_idle()


async def test_an_answer_that_was_closed_has_ended() -> None:
    source = Objects({"a": b"1"})
    answer = source.singles.open(request_of(["a"]))
    await answer.aclose()
    assert [events async for events in answer] == []
    reading = source.singles.open(request_of(["a"]))
    pull = asyncio.ensure_future(anext(reading, None))
    await asyncio.sleep(0)
    await reading.aclose()
    assert await pull is None


@pytest.mark.parametrize("bound", ["max_concurrency", "max_memory"])
def test_bounds_are_at_least_1(bound: str) -> None:
    bounds: dict[str, Any] = {bound: 0}
    with pytest.raises(UsageError, match=f"{bound}=0"):
        Objects({}, **bounds)


async def test_members_are_called_by_their_paths() -> None:
    source = Objects({"shard.tar": b"1"})
    request = BatchRequest()
    request.add_object_request(FakeObject("shard.tar"), archpath="a/b")
    item = await anext(BatchStream(source, request))
    assert item.metadata.member_name == "shard.tar/a/b"
