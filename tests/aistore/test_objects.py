"""Objects and buckets as a user holds them: what they are called, and who may read a body when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asyncbatch import ObjectNotFoundError, OverloadedError, RemoteError, UsageError
from asyncbatch.aistore import Client

from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, head, json_error, reply

pytestmark = pytest.mark.anyio


async def test_what_is_held_tells_what_it_is() -> None:
    async with Client("http://127.0.0.1:8080") as client:
        bucket = client.bucket("b", provider="gs", namespace="#n")
        assert (bucket.name, bucket.provider, bucket.namespace) == ("b", "gcp", "#n")
        obj = bucket.object("o")
        assert (obj.name, obj.bucket) == ("o", bucket)
        assert [repr(one) for one in (client, bucket, obj)] == [
            "<aistore.Client http://127.0.0.1:8080>",
            "<Bucket gcp://#nb>",
            "<Object gcp://b/o>",
        ]


async def test_errors_that_are_not_expected_are_raised() -> None:
    busy = json_error(503, "", "wait")
    async with WireServer(busy, busy, head(503), busy) as server, Client(server.url) as client:
        bucket = client.bucket("b")
        for action in (
            bucket.create(exist_ok=True),
            bucket.destroy(missing_ok=True),
            bucket.exists(),
            bucket.object("o").delete(missing_ok=True),
        ):
            with pytest.raises(OverloadedError):
                await action


async def test_a_body_is_read_inside_its_block_only() -> None:
    async with WireServer(reply(200, b"data")) as server, Client(server.url) as client:
        body = client.bucket("b").object("o").open()
        with pytest.raises(UsageError, match="async with"):
            await anext(body)
        with pytest.raises(UsageError, match="async with"):
            aiter(body)
        await body.aclose()
        body = client.bucket("b").object("o").open()
        async with body:
            with pytest.raises(UsageError, match="already"):
                await body.__aenter__()
            assert [chunk async for chunk in body] == [b"data"]
        assert body.info.size == 4
        with pytest.raises(UsageError, match="this body is closed already"):
            await anext(body)
        with pytest.raises(UsageError, match="this body is closed already"):
            await body.__aenter__()
        assert len(server.asked) == 1


async def test_a_body_that_is_left_early_closes_its_connection() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="999999999"))
        while True:
            writer.write(bytes(1000))
            await writer.drain()

    async with WireServer(endless) as server, nothing_left_open(), Client(server.url) as client:
        async with client.bucket("b").object("o").open() as body:
            assert await anext(body)
        await until(lambda: server.connections == 0)


async def test_a_body_has_one_reader() -> None:
    gate = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="4"))
        await gate.wait()
        writer.write(b"data")

    async with WireServer(answer) as server, nothing_left_open(), Client(server.url) as client:
        async with client.bucket("b").object("o").open() as body:
            first = asyncio.ensure_future(anext(body))
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="being read already"):
                await anext(body)
            gate.set()
            assert await first == b"data"
            with pytest.raises(StopAsyncIteration):
                await anext(body)


async def test_a_body_that_is_closed_while_it_is_read_stays_closed() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="4"))
        await asyncio.Event().wait()

    async with WireServer(answer) as server, nothing_left_open(), Client(server.url) as client:
        async with client.bucket("b").object("o").open() as body:
            first = asyncio.ensure_future(anext(body))
            await asyncio.sleep(0)
            await body.aclose()
            first.cancel()
            await asyncio.wait([first])
            with pytest.raises(UsageError, match="closed"):
                await anext(body)


async def test_a_body_that_is_missing_raises_on_opening() -> None:
    async with WireServer(json_error(404, "ErrNotFound", "gone")) as server, Client(server.url) as client:
        with pytest.raises(ObjectNotFoundError):
            async with client.bucket("b").object("o").open():
                pytest.fail("it was opened")


async def test_an_error_is_retryable_or_not_as_its_status_says() -> None:
    async with WireServer(json_error(409, "", "x"), json_error(400, "", "x")) as server:
        async with Client(server.url) as client:
            for retryable in (True, False):
                with pytest.raises(RemoteError) as caught:
                    await client.bucket("b").object("o").get()
                assert caught.value.retryable is retryable


async def test_a_name_that_no_url_has_room_for_is_refused_before_anything_is_sent() -> None:
    async with WireServer() as server, Client(server.url) as client:
        obj = client.bucket("b").object("o" * 70_000)
        for use in (obj.get, obj.head):
            with pytest.raises(UsageError, match=r"/v1/objects/b/ooo.*too long") as caught:
                await use()
            assert len(str(caught.value)) < 200
        assert not server.asked


@pytest.mark.parametrize("data", [["a"], 5, None])
async def test_what_is_no_data_is_refused_before_anything_is_sent(data: Any) -> None:  # noqa: ANN401
    async with WireServer() as server, Client(server.url) as client:
        with pytest.raises(UsageError, match=f"cannot store {type(data).__name__}"):
            await client.bucket("b").object("o").put(data)
        assert not server.asked


def test_a_client_of_another_event_loop_is_refused() -> None:
    async def make_and_use() -> Client:
        async with WireServer(reply(200, b"data")) as server, Client(server.url) as client:
            assert await client.bucket("b").object("o").get() == b"data"
            return client

    async def use(client: Client) -> None:
        with pytest.raises(UsageError, match="another event loop"):
            await client.bucket("b").object("o").get()

    asyncio.run(use(asyncio.run(make_and_use())))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf", "does not tell where it ends"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ndata", "encoded as gzip"),
    ],
    ids=["an end that only the connection tells", "an encoding that was not asked for"],
)
async def test_a_body_that_cannot_be_known_to_be_the_data_is_refused(answer: bytes, problem: str) -> None:
    async with nothing_left_open(), WireServer(answer) as server, Client(server.url) as client:
        with pytest.raises(RemoteError, match=problem):
            await client.bucket("b").object("o").get()
