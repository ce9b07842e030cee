"""What users of httpx rely on, through our transport, over loopback sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from asyncbatch import UsageError
from asyncbatch.transport import StreamingTransport, _connection
from asyncbatch.transport._transport import STREAM

from ..support.leaks import nothing_left_open, until
from ..support.raw import RawServer, answering, read_head
from ..support.wire import WireServer, chunked, head, redirect, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ..support.raw import Serve

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=StreamingTransport()) as client:
        yield client


async def test_a_connection_is_used_again(client: httpx.AsyncClient) -> None:
    answers = [reply(200, b"x" * size) for size in (0, 1, 1000, 1_000_000)]
    async with WireServer(*answers) as server:
        for answer in answers:
            response = await client.get(server.url)
            assert answer.endswith(response.content)
            assert response.http_version == "HTTP/1.1"
            assert response.reason_phrase == "Status"
            assert server.connections == 1


@pytest.mark.parametrize("close", ["connection: close", "Connection: Keep-Alive, Close"])
async def test_a_connection_that_is_to_be_closed_is(client: httpx.AsyncClient, close: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{close}\r\ncontent-length: 2\r\n\r\nok".encode()
    async with RawServer(answering(answer, answer)) as server:
        assert (await client.get(server.url)).text == "ok"
        await until(lambda: server.open == 0)
        assert (await client.get(server.url)).text == "ok"
        assert server.accepted == 2


async def test_the_request_may_ask_to_close(client: httpx.AsyncClient) -> None:
    async with RawServer(answering(reply(200), reply(200))) as server:
        await client.get(server.url, headers={"connection": "close"})
        await until(lambda: server.open == 0)


async def test_http_1_0_ends_with_the_connection(client: httpx.AsyncClient) -> None:
    async with RawServer(answering(b"HTTP/1.0 200 OK\r\n\r\nbody")) as server:
        response = await client.get(server.url)
        assert response.text == "body"
        assert response.http_version == "HTTP/1.0"


async def test_informational_responses_are_skipped(client: httpx.AsyncClient) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + reply(
        200, b"body"
    )
    async with WireServer(answer, answer, split=lambda data: [data[:30], data[30:100], data[100:]]) as server:
        for _ in range(2):
            assert (await client.get(server.url)).text == "body"
        assert server.connections == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", head(200, Content_Length="1000")),
        ("HEAD", head(200, Transfer_Encoding="chunked")),
        ("GET", head(204)),
        ("GET", head(304, Content_Length="1000")),
        ("DELETE", head(304)),
        ("GET", head(200, Content_Length="0")),
    ],
)
async def test_what_has_no_body(client: httpx.AsyncClient, method: str, answer: bytes) -> None:
    async with RawServer(answering(answer, reply(200, b"next"))) as server:
        response = await client.request(method, server.url)
        assert response.content == b""
        assert (await client.get(server.url)).text == "next"
        assert server.accepted == 1


async def test_redirects_are_followed_if_one_wishes(client: httpx.AsyncClient) -> None:
    async with WireServer(redirect("/there", 302), reply(200, b"here")) as server:
        response = await client.get(server.url, follow_redirects=True)
        assert response.text == "here"
        assert [asked.target for asked in server.asked] == ["/", "/there"]


async def test_trailers(client: httpx.AsyncClient) -> None:
    answer = head(200, Transfer_Encoding="chunked") + b"2\r\nok\r\n0\r\nX-Count: 3\r\nx-none:\r\n\r\n"
    async with WireServer(answer, answer) as server:
        async with client.stream("GET", server.url) as response:
            assert response.extensions["trailers"] == []
            assert await response.aread() == b"ok"
            assert response.extensions["trailers"] == [(b"x-count", b"3"), (b"x-none", b"")]
            assert httpx.Headers(response.extensions["trailers"])["X-Count"] == "3"
        await client.get(server.url)
        assert server.connections == 1


async def test_a_body_in_many_small_chunks(client: httpx.AsyncClient) -> None:
    body = os.urandom(3_000_000)
    async with WireServer(chunked(body, size=2048), chunked(body, size=100_000)) as server:
        for _ in range(2):
            assert (await client.get(server.url)).content == body


async def test_chunks_are_bytes_and_stay_as_they_are(client: httpx.AsyncClient) -> None:
    body = os.urandom(2_000_000)
    async with WireServer(reply(200, body), reply(200, body)) as server:
        async with client.stream("GET", server.url) as response:
            kept = [chunk async for chunk in response.aiter_raw()]
        assert {type(chunk) for chunk in kept} == {bytes}
        assert b"".join(kept) == body
        response = await client.send(client.build_request("GET", server.url), stream=True)
        assert b"".join([chunk async for chunk in response.extensions[STREAM]]) == body
        await response.aclose()


async def test_a_body_that_was_not_read_to_its_end_closes_its_connection(client: httpx.AsyncClient) -> None:
    async with RawServer(answering(head(200, Content_Length="10") + b"x", reply(200))) as server:
        async with client.stream("GET", server.url) as response:
            assert await anext(response.aiter_raw()) == b"x"
        await until(lambda: server.open == 0)
        with pytest.raises(httpx.StreamClosed):
            await anext(response.extensions[STREAM])


async def test_a_response_that_is_dropped_closes_its_connection(client: httpx.AsyncClient) -> None:
    async with RawServer(answering(head(200, Content_Length="10") + b"x", reply(200))) as server:
        response = await client.send(client.build_request("GET", server.url), stream=True)
        assert server.open == 1
        del response
        gc.collect()  # httpx has it refer to itself
        await until(lambda: server.open == 0)


async def test_what_is_behind_a_body_makes_its_connection_useless(client: httpx.AsyncClient) -> None:
    async with RawServer(answering(reply(200, b"ok") + b"more", b"never")) as server:
        assert (await client.get(server.url)).text == "ok"
        await until(lambda: server.open == 0)


async def test_a_server_that_speaks_unasked_is_hung_up_on(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(200))
        await gate.wait()
        writer.write(reply(408))
        await reader.read()

    async with RawServer(serve) as server:
        await client.get(server.url)
        gate.set()
        await until(lambda: server.open == 0)


async def test_a_server_that_closes_in_one_direction(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(200, b"x" * 500_000))
        writer.write_eof()
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        for _ in range(2):
            assert len((await client.get(server.url)).content) == 500_000
        await until(lambda: server.open == 0)
        assert server.accepted == 2


async def test_a_response_byte_by_byte(client: httpx.AsyncClient) -> None:
    answer = head(200, Transfer_Encoding="chunked") + b"5;x\r\nhello\r\n1\r\n!\r\n0\r\na: b\r\n\r\n"
    async with WireServer(answer, split=lambda data: [bytes([byte]) for byte in data]) as server:
        response = await client.get(server.url)
        assert response.text == "hello!"
        assert response.extensions["trailers"] == [(b"a", b"b")]


async def test_a_second_reader_is_refused(client: httpx.AsyncClient) -> None:
    async with RawServer(_stalling(head(200, Content_Length="2"))) as server:
        async with client.stream("GET", server.url) as response:
            first = asyncio.ensure_future(anext(response.extensions[STREAM]))
            await asyncio.sleep(0)
            with pytest.raises(UsageError, match="being read by another task"):
                await anext(response.extensions[STREAM])
            assert not first.done()
            first.cancel()


async def test_closing_a_response_wakes_the_task_that_reads_it(client: httpx.AsyncClient) -> None:
    async with RawServer(_stalling(head(200, Content_Length="2"))) as server, nothing_left_open():
        response = await client.send(client.build_request("GET", server.url), stream=True)
        reading = asyncio.ensure_future(anext(response.extensions[STREAM]))
        await asyncio.sleep(0)
        await response.aclose()
        with pytest.raises(httpx.StreamClosed):
            await reading
        await until(lambda: server.open == 0)


async def test_unix_sockets(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with RawServer(answering(reply(200, b"unix")), uds=path), nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport(uds=str(path))) as client:
            assert (await client.get("http://anything/")).text == "unix"
        async with httpx.AsyncClient(transport=StreamingTransport(uds=str(path) + "x")) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("http://anything/")


async def test_a_local_address() -> None:
    peers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])
        await answering(reply(200))(reader, writer)

    async with RawServer(serve) as server:
        async with httpx.AsyncClient(transport=StreamingTransport(local_address="127.0.0.9")) as client:
            response = await client.get(server.url)
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("server_addr") == ("127.0.0.1", server.port)
            assert stream.get_extra_info("client_addr")[0] == "127.0.0.9"
    assert peers == ["127.0.0.9"]


async def test_event_hooks_see_what_they_always_did() -> None:
    seen: list[str] = []

    async def on_request(request: httpx.Request) -> None:
        seen.append(request.method)

    async def on_response(response: httpx.Response) -> None:
        await response.aread()
        seen.append(response.text)

    hooks: dict[str, list[Callable[..., Any]]] = {"request": [on_request], "response": [on_response]}
    async with httpx.AsyncClient(transport=StreamingTransport(), event_hooks=hooks) as client:
        async with WireServer(reply(200, b"body")) as server:
            await client.get(server.url)
    assert seen == ["GET", "body"]


def _stalling(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(data)
        await reader.read()

    return serve


async def test_a_stalled_consumer_stops_the_server(client: httpx.AsyncClient) -> None:
    sent = [0] * 4

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = int((await read_head(reader)).split()[1].strip(b"/"))
        writer.write(head(200, Content_Length=str(1 << 40)))
        while True:
            writer.write(bytes(65_536))
            await writer.drain()
            sent[index] += 65_536

    async with RawServer(serve) as server:
        responses = [
            await client.send(client.build_request("GET", f"{server.url}{index}"), stream=True)
            for index in range(4)
        ]
        before: list[int] = []
        while before != sent:  # until nothing moves
            before = sent.copy()
            await asyncio.sleep(0.3)
        held = [response.extensions["network_stream"]._held for response in responses]
        assert all(100_000 < count < 1 << 20 for count in held)
        # What the server believes it has sent, and we do not hold, is in the kernel's buffers.
        for index, response in enumerate(responses):
            while sent[index] == before[index]:
                await anext(response.extensions[STREAM])
        for response in responses:
            await response.aclose()
        await until(lambda: server.open == 0)


async def test_what_a_server_sends_before_it_pauses_is_handed_out(client: httpx.AsyncClient) -> None:
    """Though so much is to come that small pieces of it are not reported at once."""
    size = 3 << 20
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head(200, Content_Length=str(size)) + b"x" * 1000)
        await gate.wait()
        writer.write(bytes(size - 1000))
        await read_head(reader)
        writer.write(reply(200, b"z"))

    async with RawServer(serve) as server:
        async with client.stream("GET", server.url) as response:
            chunks = response.extensions[STREAM]
            assert await anext(chunks) == b"x" * 1000
            gate.set()
            assert sum([len(chunk) async for chunk in chunks]) == size - 1000
        # On the same connection, a byte is reported again.
        assert (await client.get(server.url)).content == b"z"
        assert server.accepted == 1


async def test_reads_grow_where_the_server_is_ahead_and_shrink_again(client: httpx.AsyncClient) -> None:
    size, goes_on, ends = 16 << 20, asyncio.Event(), asyncio.Event()
    data = random.Random(3).randbytes(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await read_head(reader)
            writer.write(head(200, Transfer_Encoding="chunked"))
            for start in range(0, size, 65_536):
                writer.write(b"10000\r\n%b\r\n" % data[start : start + 65_536])
                await writer.drain()
            await goes_on.wait()
            writer.write(b"5\r\nhello\r\n")
            await ends.wait()
            writer.write(b"0\r\n\r\n")

    async with RawServer(serve) as server:
        async with client.stream("GET", server.url) as response:
            connection = response.extensions["network_stream"]
            received, largest = bytearray(), 0
            async for chunk in response.aiter_raw():
                received += chunk
                largest = max(largest, len(chunk))
                if len(received) < size:
                    await asyncio.sleep(0.001)  # the server is ahead
                    assert connection._read_size in {98_304, 917_504}
                elif not goes_on.is_set():
                    goes_on.set()
                else:
                    assert connection._read_size == 98_304 < largest
                    ends.set()
            assert received == data + b"hello"
        assert len(connection._buffer) < 200_000  # not while it rests
        assert (await client.get(server.url)).content == received
        assert server.accepted == 1


def is_paused(response: httpx.Response) -> bool:
    return not response.extensions["network_stream"]._reading


@pytest.fixture
def read_by_itself(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much connections read without a turn of the loop, read by read."""
    sizes: list[int] = []
    readv = os.readv

    def spy(descriptor: int, buffers: list[memoryview]) -> int:
        sizes.append(0)  # unless there is something
        sizes[-1] = readv(descriptor, buffers)
        return sizes[-1]

    monkeypatch.setattr(os, "readv", spy)
    return sizes


async def test_what_is_there_is_read_without_a_turn_of_the_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, read_by_itself: list[int]
) -> None:
    monkeypatch.setattr(_connection, "_BETWEEN_TURNS", 60)
    body = random.Random(4).randbytes(1_400_000)
    answer = chunked(body, size=65_536, Connection="keep-alive")
    async with RawServer(answering(answer, answer)) as server:
        for _ in range(2):
            async with client.stream("GET", server.url) as response:
                await until(partial(is_paused, response))  # the kernel has more, as much as it takes
                received = b"".join([chunk async for chunk in response.aiter_raw()])
            assert received == body
            is_asyncio = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
            assert (sum(read_by_itself) > 200_000) == is_asyncio
            read_by_itself.clear()
        assert server.accepted == 1


async def test_a_consumer_that_takes_its_time_leaves_the_loop_its_turns(
    client: httpx.AsyncClient, read_by_itself: list[int]
) -> None:
    body = bytes(1_400_000)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    async with RawServer(answering(chunked(body, size=65_536))) as server:
        async with client.stream("GET", server.url) as response:
            count()
            seen: list[int] = []
            async for _ in response.aiter_raw():
                seen.append(turns)
                time.sleep(0.001)  # noqa: ASYNC251 - work
    assert len(set(seen)) == len(seen) > 5
    assert sum(read_by_itself) == 0


async def test_where_much_is_sure_to_come_it_is_waited_for(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, read_by_itself: list[int]
) -> None:
    monkeypatch.setattr(_connection, "_BETWEEN_TURNS", 60)
    body = bytes(4 << 20)
    async with RawServer(answering(reply(200, body))) as server:
        assert (await client.get(server.url)).content == body
    if sys.platform == "linux":
        assert sum(read_by_itself) < 524_288


async def test_what_was_received_before_the_transport_was_closed_can_be_read() -> None:
    transport = StreamingTransport()
    async with RawServer(answering(reply(200, bytes(50_000_000)))) as server:
        async with httpx.AsyncClient(transport=transport) as client:
            async with client.stream("GET", server.url) as response:
                connection = response.extensions["network_stream"]
                await until(lambda: connection._held > 100_000)
                await transport.aclose()
                chunks = response.aiter_raw()
                assert len(await anext(chunks)) > 100_000
                with pytest.raises(httpx.ReadError, match="was closed"):
                    await anext(chunks)


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_cancellation_at_any_turn_leaves_nothing(how: str) -> None:
    answers = [head(200, Transfer_Encoding="chunked") + b"5\r\nhello\r\n", b"5\r\nworld\r\n0\r\n\r\n"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await reader.readexactly(100_000)
            for answer in answers:
                writer.write(answer)
                await writer.drain()
                await asyncio.sleep(0)

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield bytes(10_000)
            await asyncio.sleep(0)

    finished = 0
    limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
    async with RawServer(serve) as server, nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport(limits=limits)) as client:

            async def use() -> None:
                nonlocal finished
                headers = {"content-length": "100000"}
                response = await client.post(server.url, content=upload(), headers=headers)
                assert response.text == "helloworld"
                finished += 1

            for turns in range(1000):
                if how == "task":
                    task = asyncio.ensure_future(use())
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                else:
                    async with anyio.create_task_group() as group:
                        group.start_soon(use)
                        for _ in range(turns):
                            await asyncio.sleep(0)
                        group.cancel_scope.cancel()
                if finished > 2:
                    break
            else:
                pytest.fail("it never came to its end")


async def test_closing_the_transport_ends_what_is_under_way() -> None:
    async with RawServer(_stalling(head(200, Content_Length="2"))) as server, nothing_left_open():
        transport = StreamingTransport()
        client = httpx.AsyncClient(transport=transport)
        response = await client.send(client.build_request("GET", server.url), stream=True)
        reading = asyncio.ensure_future(response.aread())
        await asyncio.sleep(0)
        await transport.aclose()
        with pytest.raises(httpx.ReadError, match="the transport was closed") as caught:
            await reading
        assert caught.value.request.url == server.url
        with pytest.raises(UsageError, match="was closed"):
            await client.get(server.url)
        await transport.aclose()
        await client.aclose()


async def test_a_transport_is_closed_by_its_block() -> None:
    async with WireServer(reply(200)) as server, nothing_left_open():
        async with StreamingTransport() as transport:
            response = await transport.handle_async_request(httpx.Request("GET", server.url))
            assert response.status_code == 200
        await until(lambda: server.connections == 0)


def test_another_event_loop_is_refused() -> None:
    transport = StreamingTransport()

    async def get() -> None:
        async with WireServer(reply(200)) as server:
            await transport.handle_async_request(httpx.Request("GET", server.url))
        await asyncio.sleep(0)

    asyncio.run(get())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(get())
