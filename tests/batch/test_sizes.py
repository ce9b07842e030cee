"""Items whose size only their end tells: those of a zip that was written as a stream."""

from __future__ import annotations

import pytest

from asyncbatch import IncompleteBatchError
from asyncbatch.batch import BatchStream

from ..support.batches import FakeObject, FakeSource, request_of, split
from ..support.cluster import Cluster
from ..support.zips import Entry, build

pytestmark = pytest.mark.anyio

DATA = bytes(range(256)) * 400
ENTRIES = [Entry(name.encode(), DATA, 0, 0, "signed") for name in "abc"]


def stream(entries: list[Entry], length: int | None = None, *, missing: bool = False) -> BatchStream:
    """Make a batch of a, b and c, all in parts; of b a range is asked for."""
    request = request_of("a", continue_on_err=missing)
    request.add_object_request(FakeObject("b"), length=length)
    request.add_object_request(FakeObject("c"))
    return BatchStream(FakeSource(split(build(entries), 5000), form=".zip"), request)


async def test_whole_items() -> None:
    batch = stream(ENTRIES, len(DATA))
    items = await batch.read_all()
    assert [(item.metadata.name, item.metadata.size, item.data) for item in items] == [
        (name, len(DATA), DATA) for name in "abc"
    ]
    assert batch.stats.bytes == 3 * len(DATA)


@pytest.mark.parametrize("how", ["read", "iterate", "begin", "skip"])
async def test_items_in_chunks(how: str) -> None:
    batch = stream(ENTRIES, len(DATA))
    async for member in batch.members():
        # A range is held until it is known to be one.
        assert member.metadata.size == (len(DATA) if member.metadata.name == "b" else 0)
        if how == "read":
            assert await member.read() == DATA
        elif how == "iterate":
            assert b"".join([chunk async for chunk in member]) == DATA
        elif how == "begin":
            assert member.metadata.size < len(await anext(aiter(member))) + 1
        if how in {"read", "iterate"}:
            assert member.metadata.size == len(DATA)
    assert batch.stats.items == 3
    assert batch.stats.bytes == 3 * len(DATA)


async def consume(batch: BatchStream, how: str) -> None:
    if how == "items":
        await batch.read_all()
    async for member in batch.members():
        if how == "read":
            await member.read()
        elif how == "iterate":
            assert [chunk async for chunk in member]
        elif how == "begin":
            await anext(aiter(member))


@pytest.mark.parametrize("how", ["items", "read", "iterate", "begin", "skip"])
async def test_a_range_that_is_not_what_was_asked_for(how: str) -> None:
    batch = stream(ENTRIES, 1000)
    with pytest.raises(IncompleteBatchError, match="1000 bytes was asked for, and 102400 bytes came"):
        await consume(batch, how)
    assert batch.stats.items == 1


async def test_what_stands_for_an_error_has_no_data() -> None:
    entries = [ENTRIES[0], Entry(b"gone/b", DATA, 0, 0, "signed"), ENTRIES[2]]
    with pytest.raises(IncompleteBatchError, match="stands for an error, and has 102400 bytes"):
        await stream(entries, missing=True).read_all()


@pytest.mark.parametrize("how", ["read", "iterate", "begin", "skip"])
async def test_a_range_that_was_dropped_is_never_handed_out(how: str) -> None:
    """Its object's first bytes would be taken for the range's: only the end tells how many there are."""
    objects = {"a": DATA, "b": bytes(5) + DATA * 2, "c": DATA}
    request = request_of("a")
    request.add_object_request(FakeObject("b"), start=5, length=len(DATA))
    request.add_object_request(FakeObject("c"))
    whole = build([Entry(name.encode(), data, 0, 0, "signed") for name, data in objects.items()])
    cluster = Cluster(objects, [lambda _: split(whole, 5000)])
    cluster.form = ".zip"
    batch = BatchStream(cluster, request, max_resumes=2)
    async for member in batch.members():
        cluster.form = ".tar"  # when it asks again
        if how == "read":
            assert await member.read() == DATA
        elif how == "iterate":
            assert b"".join([chunk async for chunk in member]) == DATA
        elif how == "begin":
            assert DATA.startswith(await anext(member))
    assert batch.stats.items == 3
    assert len(cluster.asked) == 2
