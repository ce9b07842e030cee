"""Items in chunks: read, read in part, skipped, and mixed with whole ones."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch import (
    IncompleteBatchError,
    LimitExceededError,
    Limits,
    ObjectNotFoundError,
    TransportError,
    UsageError,
)
from asyncbatch.batch import BatchRequest, BatchStream

from ..support.batches import FakeObject, FakeSource, request_of, split, tar

pytestmark = pytest.mark.anyio

LARGE = [(name, name.encode() * 6000) for name in "abcd"]


def stream(chunk: int = 700, **options: Any) -> tuple[BatchStream, FakeSource]:  # noqa: ANN401
    """Make a batch of four items; in chunks of 700 bytes they come in parts, in larger ones whole."""
    source = FakeSource(split(tar(LARGE), chunk))
    return BatchStream(source, request_of("abcd"), **options), source


@pytest.fixture(params=[700, 100_000], ids=["in parts", "whole"])
def chunk(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


async def test_members_come_in_chunks(chunk: int) -> None:
    batch, source = stream(chunk)
    seen: list[tuple[str, bytes]] = []
    async with batch.members() as members:
        async for member in members:
            assert batch.stats.items == len(seen) + (chunk > 700)
            chunks = [piece async for piece in member]
            assert all(type(piece) is bytes and piece for piece in chunks)
            assert (len(chunks) > 1) == (chunk == 700)
            seen.append((member.metadata.name, b"".join(chunks)))
            assert member.metadata.size == 6000
            assert batch.stats.items == len(seen)
    assert seen == LARGE
    assert source.body.closed
    assert batch.stats.bytes == 24_000


async def test_members_can_be_read_whole(chunk: int) -> None:
    batch, _ = stream(chunk)
    assert [(one.metadata.name, await one.read()) async for one in batch.members()] == LARGE
    assert batch.stats.items == 4


async def test_what_is_not_read_is_skipped_and_counts(chunk: int) -> None:
    batch, _ = stream(chunk)
    assert [member.metadata.name async for member in batch.members()] == list("abcd")
    assert batch.stats.items == 4
    assert batch.stats.bytes == 24_000


async def test_what_is_read_in_part_is_skipped_for_the_rest(chunk: int) -> None:
    batch, _ = stream(chunk)
    async for member in batch.members():
        async for piece in member:
            assert member.metadata.name.encode() * len(piece) == piece
            break
    assert batch.stats.items == 4


async def test_whole_items_and_chunks_can_be_mixed(chunk: int) -> None:
    batch, _ = stream(chunk)
    assert (await anext(batch)).data == LARGE[0][1]
    member = await anext(batch.members())
    async for _piece in member:
        break
    assert (await anext(batch)).data == LARGE[2][1]  # the rest of the second was skipped
    assert [item.metadata.index for item in await batch.read_all()] == [3]
    assert batch.stats.items == 4


async def test_a_member_that_was_left_takes_nothing_from_the_next(chunk: int) -> None:
    """With two items of one name, the one behind could pass for the other."""
    members = [("a", b"1" * 6000), ("a", b"2" * 6000), ("a", b"3" * 6000), ("a", b"4" * 6000)]
    batch = BatchStream(FakeSource(split(tar(members), chunk)), request_of("aaaa"))
    left = await anext(batch.members())
    iterator = aiter(left)
    first = await anext(iterator)
    assert first in members[0][1]
    assert (await anext(batch)).data == members[1][1]
    if chunk == 700:
        with pytest.raises(UsageError, match="no longer current"):
            await anext(iterator)
    else:
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)
    with pytest.raises(UsageError):
        await left.read()
    assert [item.data for item in await batch.read_all()] == [data for _, data in members[2:]]


async def test_a_member_is_read_once(chunk: int) -> None:
    batch, _ = stream(chunk)
    member = await anext(batch.members())
    await member.read()
    for again in (member.read, member.__aiter__):
        with pytest.raises(UsageError, match="read already"):
            await again()  # type: ignore[misc]
    assert len(await batch.read_all()) == 3  # no harm was done


async def test_an_earlier_member_cannot_be_read(chunk: int) -> None:
    batch, _ = stream(chunk)
    members = batch.members()
    first = await anext(members)
    await anext(members)
    with pytest.raises(UsageError, match="no longer current"):
        await first.read()
    assert [(await member.read()) async for member in members] == [data for _, data in LARGE[2:]]


async def test_an_earlier_member_ended_with_the_batch() -> None:
    batch, _ = stream()
    member = await anext(batch.members())
    await batch.aclose()
    with pytest.raises(UsageError):
        await member.read()


async def test_missing_members_are_told(chunk: int) -> None:
    archive = tar([("gone/a", b""), ("b", b"x" * 6000)])
    batch = BatchStream(FakeSource(split(archive, chunk)), request_of("ab", continue_on_err=True))
    seen = [(one.metadata.missing, one.metadata.error, await one.read()) async for one in batch.members()]
    assert seen == [(True, "gone a", b""), (False, None, b"x" * 6000)]
    strict = BatchStream(FakeSource(split(archive, chunk)), request_of("ab"))
    with pytest.raises(ObjectNotFoundError):
        await anext(strict.members())


async def test_members_keep_the_rules_of_pairing(chunk: int) -> None:
    request = BatchRequest()
    request.add_object_request(FakeObject("a"), start=0, length=2999)
    source = FakeSource(split(tar(LARGE), chunk))
    with pytest.raises(IncompleteBatchError, match="a range of 2999"):
        await anext(BatchStream(source, request).members())
    assert source.body.closed


async def test_a_member_that_is_cut_is_not_delivered() -> None:
    for lost in ([], [TransportError("reset", retryable=True)]):
        for read in ("chunks", "whole", "not at all"):
            source = FakeSource([*split(tar(LARGE)[:9000], 700), *lost])
            batch = BatchStream(source, request_of("abcd"))
            members = batch.members()
            assert await (await anext(members)).read() == LARGE[0][1]
            member = await anext(members)
            got = b""
            with pytest.raises(IncompleteBatchError, match="broke off") as caught:  # noqa: PT012 - any of them
                if read == "chunks":
                    async for piece in member:
                        got += piece
                elif read == "whole":
                    await member.read()
                await anext(members)
            assert LARGE[1][1].startswith(got)
            assert caught.value.delivered == 1
            assert [entry.name for entry in caught.value.missing] == list("bcd")
            assert source.body.closed
            assert batch.stats.items == 1


async def test_a_member_larger_than_the_limit_can_be_read_in_chunks_only(chunk: int) -> None:
    batch, source = stream(chunk, limits=Limits(max_item_size=2999))
    members = batch.members()
    assert b"".join([piece async for piece in await anext(members)]) == LARGE[0][1]
    with pytest.raises(LimitExceededError):
        await (await anext(members)).read()
    assert source.body.closed


async def test_members_of_an_empty_batch() -> None:
    batch = BatchStream(FakeSource(), request_of([]))
    assert [member async for member in batch.members()] == []


async def test_closing_the_members_closes_the_batch() -> None:
    batch, source = stream()
    members = batch.members()
    await anext(members)
    await members.aclose()
    assert source.body.closed
    with pytest.raises(UsageError, match="closed"):
        await anext(members)
