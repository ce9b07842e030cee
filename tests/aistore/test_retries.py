"""Requests that are sent again, and those that are not."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncbatch import OverloadedError, RemoteError, TransportError
from asyncbatch.aistore import Client
from asyncbatch.transport import RetryPolicy

from ..support.wire import WireServer, redirect, reply

if TYPE_CHECKING:
    import asyncio

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(max_attempts=3, base_delay=0)
BUSY = reply(503, b"starting")


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def tar_of(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def client_of(server: WireServer, policy: RetryPolicy = QUICK) -> Client:
    return Client(server.url, retry=policy)


@pytest.mark.parametrize("failure", [BUSY, reset], ids=["503", "reset"])
async def test_an_object_is_asked_for_again(failure: Any) -> None:  # noqa: ANN401
    async with WireServer(failure, failure, reply(200, b"data")) as server, client_of(server) as client:
        assert await client.bucket("b").object("o").get() == b"data"
    assert len(server.asked) == 3


async def test_a_batch_is_asked_for_again_at_the_proxy() -> None:
    async with WireServer() as server, client_of(server) as client:
        to_target = redirect(f"{server.url}/target")
        server.answers.extend([to_target, BUSY, to_target, reply(200, tar_of("b/o", b"data"))])
        async with client.get_batch(["o"], bucket="b") as batch:
            assert [item.data for item in await batch.read_all()] == [b"data"]
    assert [asked.target.partition("?")[0] for asked in server.asked] == ["/v1/ml/moss/b", "/target"] * 2
    assert len({asked.body for asked in server.asked}) == 1


async def test_bytes_are_put_again_and_a_stream_is_not() -> None:
    async def stream() -> Any:  # noqa: ANN401
        yield b"da"
        yield b"ta"

    async with WireServer() as server, client_of(server) as client:
        server.answers.extend([redirect(f"{server.url}/t"), BUSY, redirect(f"{server.url}/t"), reply(200)])
        await client.bucket("b").object("o").put(b"data")
        assert [asked.body for asked in server.asked] == [b"", b"data"] * 2
    # Where nobody is redirected, an empty body would replace what the first attempt may have stored.
    async with WireServer(reply(200), BUSY, reset, reply(200)) as server, client_of(server) as client:
        await client.bucket("b").object("o").put(b"data")
        assert [asked.body for asked in server.asked] == [b"", b"data", b"data", b"data"]
    async with WireServer(reply(200), BUSY) as server, client_of(server) as client:
        with pytest.raises(OverloadedError):
            await client.bucket("b").object("o").put(stream())
        assert [asked.body for asked in server.asked] == [b"", b"data"]


async def test_what_may_have_been_done_is_not_done_twice() -> None:
    async with WireServer(reset, reply(200)) as server, client_of(server) as client:
        with pytest.raises(TransportError):
            await client.bucket("b").object("o").delete()
        assert len(server.asked) == 1
    async with WireServer(BUSY, reply(200)) as server, client_of(server) as client:
        await client.bucket("b").object("o").delete()  # it was turned away
        assert len(server.asked) == 2


async def test_what_would_fail_again_is_asked_once() -> None:
    async with WireServer(reply(400, b"no")) as server, client_of(server) as client:
        with pytest.raises(RemoteError):
            await client.bucket("b").object("o").get()
        assert len(server.asked) == 1


async def test_retry_after_is_told_and_heeded() -> None:
    answer = reply(429, b"slow down", retry_after="90")
    async with WireServer(answer) as server, client_of(server) as client:
        with pytest.raises(OverloadedError) as caught:
            await client.bucket("b").object("o").get()
        assert caught.value.retry_after == 90
        assert len(server.asked) == 1  # more than the policy waits
    answer = reply(429, b"slow down", retry_after="0")
    async with WireServer(answer, reply(200, b"x")) as server, client_of(server) as client:
        assert await client.bucket("b").object("o").get() == b"x"


async def test_a_server_that_never_answers_is_left_at_the_deadline() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        while True:  # which no read timeout ends
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await anyio.sleep(0.005)

    policy = RetryPolicy(deadline=0.2)
    async with WireServer(trickle) as server, client_of(server, policy) as client:
        with pytest.raises(TransportError, match="deadline"):
            await client.bucket("b").object("o").get()
