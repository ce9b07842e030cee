"""Transfers that are large, slow, many at once, or given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.aistore import Client

from ..support.leaks import nothing_left_open
from .conftest import request_for
from .stock import NOISE, OBJECTS

if TYPE_CHECKING:
    from asyncbatch.aistore import Bucket

    from .conftest import Stock, Way

pytestmark = [pytest.mark.live, pytest.mark.anyio]

LARGE = NOISE * 20
_STALL = 40.0  # seconds; AIStore cuts a reader off that stalls for 30

NAMES = list(OBJECTS) * 3


async def store_large(bucket: Bucket, count: int) -> list[str]:
    """Store objects of 20 MiB, no two of which are the same."""
    names = [f"large-{number}" for number in range(count)]
    for number, name in enumerate(names):
        await bucket.object(name).put(large(number))
    return names


def large(number: int) -> bytes:
    return LARGE[number:] + LARGE[:number]


async def test_large_objects_come_whole(client: Client, empty_bucket: Bucket, way: Way) -> None:
    names = await store_large(empty_bucket, 2)
    items = await client.get_batch(request_for(map(empty_bucket.object, names), way)).read_all()
    assert [item.data == large(number) for number, item in enumerate(items)] == [True, True]


async def test_large_objects_come_in_chunks(client: Client, empty_bucket: Bucket, way: Way) -> None:
    names = await store_large(empty_bucket, 2)
    count = 0
    async with client.get_batch(request_for(map(empty_bucket.object, names), way)) as batch:
        async for member in batch.members():
            position, expected = 0, large(member.metadata.index)
            async for chunk in member:
                assert chunk == expected[position : position + len(chunk)]
                position += len(chunk)
            assert position == len(LARGE)
            count += 1
    assert count == 2


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [False, True], ids=["items", "chunks"])
async def test_a_reader_that_stalls_gets_the_rest(
    client: Client,
    empty_bucket: Bucket,
    chunks: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    # More than all buffers on the way can hold.
    names = await store_large(empty_bucket, 3) * 3
    delivered = []
    async with client.get_batch(names, bucket=empty_bucket) as batch:
        async for member in batch.members():
            if not chunks:
                data = await member.read()
            else:
                data = b""
                async for chunk in member:
                    if member.metadata.index == 1 and not data:
                        await asyncio.sleep(_STALL)
                    data += chunk
            assert data == large(member.metadata.index % 3)
            if member.metadata.index == 0 and not chunks:
                await asyncio.sleep(_STALL)
            delivered.append(member.metadata.name)
    assert delivered == names


async def test_many_batches_at_once(client: Client, bucket: Bucket, tar_way: Way) -> None:
    async def read(turn: int) -> None:
        names = NAMES[turn:] + NAMES[:turn]
        items = await client.get_batch(request_for(map(bucket.object, names), tar_way)).read_all()
        assert [item.metadata.name for item in items] == names
        assert all(item.data == OBJECTS[item.metadata.name] for item in items)

    async with asyncio.TaskGroup() as group:
        for turn in range(32):
            group.create_task(read(turn))


async def test_a_batch_beside_objects(client: Client, bucket: Bucket) -> None:
    async def get(name: str) -> None:
        assert await bucket.object(name).get() == OBJECTS[name]

    async with asyncio.TaskGroup() as group:
        for name in OBJECTS:
            group.create_task(get(name))
        batch = group.create_task(client.get_batch(NAMES, bucket=bucket).read_all())
    assert [item.data for item in batch.result()] == [OBJECTS[name] for name in NAMES]


async def test_nothing_is_left_open(endpoint: str, stock: Stock, way: Way) -> None:
    async with nothing_left_open(), Client(endpoint) as client:
        bucket = client.bucket(stock.name)
        items = await client.get_batch(request_for(map(bucket.object, NAMES), way)).read_all()
        assert len(items) == len(NAMES)


async def test_a_batch_that_is_left_early_leaves_nothing_open(
    endpoint: str, stock: Stock, tar_way: Way
) -> None:
    async with Client(endpoint) as client:
        bucket = client.bucket(stock.name)
        request = request_for(map(bucket.object, NAMES), tar_way)
        # Also the connection to the proxy, which rests for some seconds.
        async with nothing_left_open(), client.get_batch(request) as batch:
            await anext(batch)
        # The client goes on.
        assert await bucket.object("small/01").get() == OBJECTS["small/01"]


async def test_a_batch_that_is_cancelled_leaves_nothing_open(endpoint: str, stock: Stock, way: Way) -> None:
    # At any moment: before there is an answer, while it comes, and behind its end.
    for turns in (0, 1, 3, 10, 30, 100, 300):
        async with nothing_left_open(), Client(endpoint) as client:
            bucket = client.bucket(stock.name)
            reading = asyncio.ensure_future(
                client.get_batch(request_for(map(bucket.object, NAMES), way)).read_all()
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            try:
                assert len(await reading) == len(NAMES)
            except asyncio.CancelledError:
                continue


async def test_a_redirect_that_somebody_else_has_used_is_not_the_end(
    endpoint: str, stock: Stock, way: Way
) -> None:
    used: list[str] = []

    async def use_up(response: httpx.Response) -> None:
        """Follow the first redirect before the client does: it is good for one use."""
        if response.status_code == 307 and not used:
            used.append(response.headers["location"])
            async with httpx.AsyncClient(trust_env=False, timeout=60) as other:
                first = await other.request("GET", used[0], content=response.request.content)
                assert first.status_code == 200

    async with (
        httpx.AsyncClient(trust_env=False, timeout=60, event_hooks={"response": [use_up]}) as http,
        Client(endpoint, http_client=http) as client,
    ):
        bucket = client.bucket(stock.name)
        items = await client.get_batch(request_for(map(bucket.object, NAMES), way)).read_all()
    assert used
    assert [item.data for item in items] == [OBJECTS[name] for name in NAMES]
