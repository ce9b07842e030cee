"""Connections that are kept: how many, how long, for whom, and what if the server has closed them."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch import UsageError
from asyncbatch.transport import StreamingTransport

from ..support.leaks import nothing_left_open, until
from ..support.raw import RawServer, answering, read_head
from ..support.wire import WireServer, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..support.raw import Serve

pytestmark = pytest.mark.anyio


def make(**limits: float | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=StreamingTransport(limits=httpx.Limits(**limits)))  # type: ignore[arg-type]


def always(body: bytes = b"") -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(reply(200, body))

    return serve


async def test_no_more_connections_than_there_may_be() -> None:
    most = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            await read_head(reader)
            most = max(most, server.open)
            await asyncio.sleep(0.001)
            writer.write(reply(200))

    async with RawServer(serve) as server, nothing_left_open(), make(max_connections=3) as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(30)))
        assert server.accepted == most == 3


async def test_who_asks_first_is_served_first() -> None:
    served = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            served.append(int((await read_head(reader)).split()[1].strip(b"/")))
            writer.write(reply(200))

    async with RawServer(serve) as one, RawServer(serve) as other, make(max_connections=1) as client:
        servers = [one, other]
        urls = [f"{servers[index % 3 % 2].url}{index}" for index in range(20)]
        await asyncio.gather(*map(client.get, urls))
    assert served == list(range(20))


async def test_waiting_too_long_for_a_connection_is_a_pool_timeout() -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await gate.wait()
        writer.write(reply(200))

    async with RawServer(serve) as server, make(max_connections=1) as client:
        first = asyncio.ensure_future(client.get(server.url))
        await until(lambda: server.open)
        with pytest.raises(httpx.PoolTimeout) as caught:
            await client.get(server.url, timeout=httpx.Timeout(30, pool=0.01))
        assert caught.value.request.url == server.url
        gate.set()
        assert (await first).status_code == 200


async def test_no_limits_at_all() -> None:
    async with RawServer(always()) as server, make() as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(5)))
        assert server.accepted == server.open == 5


@pytest.mark.parametrize("kept", [0, 2])
async def test_so_many_are_kept(kept: int) -> None:
    async with RawServer(always()) as server, make(max_keepalive_connections=kept) as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(5)))
        await until(lambda: server.open == kept)


async def test_a_kept_connection_makes_room_for_another_origin() -> None:
    async with RawServer(always()) as one, RawServer(always()) as other:
        async with make(max_connections=1) as client:
            for server in (one, other, one):
                await client.get(server.url)
                assert server.open == 1
            await until(lambda: other.open == 0)
        assert (one.accepted, other.accepted) == (2, 1)


async def test_kept_connections_expire() -> None:
    async with RawServer(always()) as server, make(keepalive_expiry=0.05) as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(3)))
        await until(lambda: server.open == 0)
        await client.get(server.url)
        assert server.accepted == 4


async def test_the_server_closes_while_a_connection_rests() -> None:
    async with RawServer(answering(reply(200))) as server, make() as client:
        for count in (1, 2, 3):
            await client.post(server.url)
            await until(lambda: server.open == 0)
            assert server.accepted == count


async def test_a_close_that_the_loop_has_not_seen_yet() -> None:
    # A server in blocking sockets: the loop has no turn.
    closed: list[socket.socket] = []

    def serve() -> None:
        for _ in range(3):
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(reply(200))
            closed.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        async with make() as client:
            for count in (1, 2, 3):
                await client.post(f"http://127.0.0.1:{server.getsockname()[1]}/")
                while len(closed) < count:
                    time.sleep(0.001)  # noqa: ASYNC251 - that is the point
        thread.join()


def dying(*, answered: bytes = b"") -> Serve:
    """Make a server that answers the first request of each connection, and dies of the second."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(200))
        await read_head(reader)
        writer.write(answered)

    return serve


async def body() -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
async def test_an_idempotent_request_is_sent_again_on_a_fresh_connection(method: str) -> None:
    async with RawServer(dying()) as server, nothing_left_open(), make() as client:
        await client.get(server.url)
        assert (await client.request(method, server.url)).status_code == 200
        assert server.accepted == 2


async def test_others_are_not() -> None:
    async with RawServer(dying()) as server, nothing_left_open(), make() as client:
        for method, content in (("POST", b""), ("PATCH", b""), ("DELETE", b""), ("PUT", body())):
            await client.get(server.url)
            with pytest.raises(httpx.RemoteProtocolError, match="without a response"):
                await client.request(method, server.url, content=content)
        assert server.accepted == 4


async def test_nor_is_what_was_answered_in_part() -> None:
    async with RawServer(dying(answered=b"HTTP/1.1 2")) as server, make() as client:
        await client.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError, match="in the middle"):
            await client.get(server.url)
        assert server.accepted == 1


async def test_nor_what_fails_on_a_fresh_connection() -> None:
    async with RawServer(answering()) as server, make() as client:
        with pytest.raises(httpx.RemoteProtocolError, match="without a response"):
            await client.get(server.url)
        assert server.accepted == 1


async def test_a_slot_comes_back_whatever_happens() -> None:
    answers = [b"", b"nonsense", head(200, Content_Length="5") + b"1", reply(200, b"end")]
    async with WireServer(*answers) as server, make(max_connections=1) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://127.0.0.1:1/")
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                await client.get(server.url, timeout=httpx.Timeout(30, read=0.05))
        assert (await client.get(server.url)).text == "end"


async def test_closing_while_it_connects() -> None:
    transport = StreamingTransport()
    async with RawServer(always()) as server, nothing_left_open():
        for turns in range(6):
            transport = StreamingTransport()
            asking = asyncio.ensure_future(transport.handle_async_request(httpx.Request("GET", server.url)))
            for _ in range(turns):
                await asyncio.sleep(0)
            await transport.aclose()
            with suppress(UsageError, httpx.ReadError):  # or it was answered before
                await asking


async def test_closing_ends_a_handshake_that_never_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with nothing_left_open():
            client = httpx.AsyncClient(transport=StreamingTransport(), timeout=60)
            asking = asyncio.create_task(client.get(f"https://127.0.0.1:{silent.getsockname()[1]}"))
            with (await asyncio.to_thread(silent.accept))[0]:
                await asyncio.sleep(0.01)
                await client.aclose()
                with pytest.raises(UsageError, match="closed"):
                    await asking


async def test_closing_ends_the_wait_for_a_connection() -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head(200, Content_Length="5"))
        await gate.wait()

    async with nothing_left_open(), RawServer(serve) as server:
        client = make(max_connections=1)
        async with client.stream("GET", server.url):  # keeps the one that there may be
            waiting = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
            await asyncio.sleep(0.01)
            await client.aclose()
            for one in waiting:
                with pytest.raises(UsageError, match="closed"):
                    await one


async def test_many_connections_that_died_are_no_hindrance() -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await gate.wait()
        writer.write(reply(200))

    async with RawServer(serve) as server, make() as client:
        asking = [asyncio.create_task(client.get(server.url)) for _ in range(50)]
        await until(lambda: server.open == 50)
        gate.set()
        await asyncio.gather(*asking)
        server.drop()  # the loop has not seen it yet
        assert (await client.get(server.url)).status_code == 200


def test_closing_behind_the_end_of_the_loop_is_no_error() -> None:
    async def use(client: httpx.AsyncClient) -> None:
        async with RawServer(always()) as server:
            await client.get(server.url)

    client = make()
    asyncio.run(use(client))
    asyncio.run(client.aclose())
    with pytest.raises((UsageError, RuntimeError), match="closed"):
        asyncio.run(client.get("http://127.0.0.1:1"))
    transport = StreamingTransport()
    asyncio.run(transport.aclose())
    with pytest.raises(UsageError, match="closed"):
        asyncio.run(transport.handle_async_request(httpx.Request("GET", "http://127.0.0.1:1")))
