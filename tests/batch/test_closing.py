"""However a batch is left, it leaves nothing open."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncbatch import UnsupportedFormatError, UsageError
from asyncbatch.batch import BatchStream

from ..support.batches import FakeSource, request_of, split, tar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.anyio

MEMBERS = [(name, name.encode() * 2000) for name in "abc"]
ARCHIVE = tar(MEMBERS)


async def turn() -> None:
    await asyncio.sleep(0)


def slow_source() -> FakeSource:
    """Awaits before the answer and before every chunk."""
    steps: list[Any] = []
    for piece in split(ARCHIVE, 700):
        steps += [turn, piece]
    return FakeSource(steps, opening=turn)


async def whole(batch: BatchStream) -> int:
    return len(await batch.read_all())


async def in_chunks(batch: BatchStream) -> int:
    async with batch:
        async for member in batch.members():
            async for _piece in member:
                await asyncio.sleep(0)
    return batch.stats.items


@pytest.mark.parametrize("read", [whole, in_chunks])
async def test_a_batch_can_be_cancelled_at_any_await(
    read: Callable[[BatchStream], Coroutine[Any, Any, int]],
) -> None:
    before = asyncio.all_tasks()
    cancelled = 0
    for turns in range(100):
        source = slow_source()
        batch = BatchStream(source, request_of("abc"))
        task = asyncio.ensure_future(read(batch))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.done():
            task.cancel()
        try:
            assert await task == 3
        except asyncio.CancelledError:
            cancelled += 1
        else:
            break
        assert all(body.closed for body in source.bodies)
        if turns:
            assert "failed" in repr(batch) or "closed" in repr(batch)
            with pytest.raises(UsageError):
                await anext(batch)
    else:
        pytest.fail("it never came to its end")
    assert cancelled > 10
    assert asyncio.all_tasks() == before


async def test_a_batch_can_be_left_by_a_cancel_scope() -> None:
    never = asyncio.Event()
    source = FakeSource([ARCHIVE[:3000], never.wait])
    batch = BatchStream(source, request_of("abc"))
    scope = anyio.CancelScope()

    async def read() -> None:
        with scope:
            async with batch:
                assert (await anext(batch)).metadata.name == "a"
                scope.cancel()
                await anext(batch)

    await read()
    assert scope.cancelled_caught
    assert source.body.closed


async def test_leaving_early_closes_the_answer() -> None:
    source = slow_source()
    async with BatchStream(source, request_of("abc")) as batch:
        async for _item in batch:
            break
        closed_early = source.body.closed
    assert (closed_early, source.body.closed) == (False, True)
    assert repr(batch) == "<BatchStream closed, 1 of 3 items delivered>"


async def test_an_error_of_the_reader_closes_the_answer() -> None:
    source = slow_source()
    with pytest.raises(ZeroDivisionError):
        async with BatchStream(source, request_of("abc")):
            raise ZeroDivisionError
    assert source.body.closed


async def test_a_batch_can_be_closed_again_and_at_any_time() -> None:
    source = slow_source()
    batch = BatchStream(source, request_of("abc"))
    await batch.aclose()
    await batch.aclose()
    assert not source.requests
    for use in (batch.__anext__, batch.__aenter__, batch.read_all):
        with pytest.raises(UsageError, match="closed"):
            await use()
    batch = BatchStream(source, request_of("abc"))
    await anext(batch)
    await batch.aclose()
    await batch.aclose()
    assert source.body.closed
    with pytest.raises(UsageError, match="closed"):
        await anext(batch)
    assert batch.stats.items == 1


async def test_closing_a_complete_batch_leaves_it_complete() -> None:
    batch = BatchStream(FakeSource([ARCHIVE]), request_of("abc"))
    await batch.read_all()
    await batch.aclose()
    assert repr(batch).startswith("<BatchStream complete")
    assert await batch.read_all() == []


async def test_a_batch_that_is_closed_while_it_is_opened_keeps_no_answer() -> None:
    gate = asyncio.Event()
    source = FakeSource([ARCHIVE], opening=gate.wait)
    batch = BatchStream(source, request_of("abc"))
    opening = asyncio.ensure_future(batch.read_all())
    await asyncio.sleep(0)
    await batch.aclose()
    gate.set()
    with pytest.raises(UsageError, match="closed while it was opened"):
        await opening
    assert source.body.closed


async def test_an_answer_in_a_format_that_cannot_be_read_is_closed() -> None:
    source = FakeSource([b"PK\x07\x08"], form=".zip")  # a part of a split archive
    batch = BatchStream(source, request_of("abc"))
    with pytest.raises(UnsupportedFormatError):
        await anext(batch)
    assert source.body.closed


async def test_a_batch_that_is_dropped_is_collected() -> None:
    batch = BatchStream(slow_source(), request_of("abc"))
    await anext(batch)
    dropped = weakref.ref(batch)
    del batch
    gc.collect()
    assert dropped() is None
