"""Bodies of requests: as fast as the server takes them, and no longer than it wants them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import httpx
import pytest

from asyncbatch.transport import StreamingTransport

from ..support.leaks import nothing_left_open, until
from ..support.raw import RawServer, read_head
from ..support.wire import WireServer, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

CHUNK = bytes(100_000)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=StreamingTransport()) as client:
        yield client


class Body:
    """A stream of chunks that counts those that were taken, and tells whether it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.taken = 0
        self.closed = False
        self._count = count
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while self.taken < self._count:
                self.taken += 1
                yield CHUNK
            if self._error:
                raise self._error
        finally:
            self.closed = True


@pytest.mark.parametrize("size", [0, 1, 5000, 262_144, 262_145, 3_000_000])
async def test_bytes_arrive(client: httpx.AsyncClient, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    async with WireServer(reply(200), reply(200)) as server:
        await client.post(server.url, content=body[:size])
        assert server.asked[0].body == body[:size]
        assert server.asked[0].headers["content-length"] == str(size)
        await client.get(server.url)
        assert server.connections == 1


async def test_a_stream_arrives_in_chunks(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two" * 200_000

    async with WireServer(reply(200), reply(200)) as server:
        await client.post(server.url, content=body())
        assert server.asked[0].body == b"one" + b"two" * 200_000
        assert server.asked[0].headers["transfer-encoding"] == "chunked"
        await client.get(server.url)
        assert server.connections == 1


class Once(httpx.AsyncByteStream):
    """A stream whose iterator has nothing to close."""

    def __aiter__(self) -> OnceIterator:
        return OnceIterator()


class OnceIterator:
    def __init__(self) -> None:
        self._chunks = [b"once"]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()


async def test_a_stream_of_ones_own(client: httpx.AsyncClient) -> None:
    async with WireServer(reply(200)) as server:
        headers = {"host": "host", "content-length": "4"}
        request = httpx.Request("POST", server.url, headers=headers, stream=Once())
        await client.send(request)
        assert server.asked[0].body == b"once"


async def test_the_head_does_not_wait_for_a_stream(client: httpx.AsyncClient) -> None:
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        await arrived.wait()
        yield b"x"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        arrived.set()
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(reply(200))

    async with RawServer(serve) as server:
        await client.post(server.url, content=body())


async def test_a_server_that_stops_reading_stops_the_upload(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await gate.wait()
        await reader.readexactly(len(CHUNK) * 500)
        writer.write(reply(200, b"thanks"))

    body = Body(500)
    headers = {"content-length": str(len(CHUNK) * 500)}
    async with RawServer(serve) as server:
        posting = asyncio.ensure_future(client.post(server.url, content=body, headers=headers))
        before = -1
        while before != body.taken or not before:
            before = body.taken
            await asyncio.sleep(0.1)
        assert body.taken < 400
        gate.set()
        assert (await posting).text == "thanks"
        assert body.taken == 500


async def test_a_server_that_reads_nothing_is_a_write_timeout(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    body = Body(10_000)
    async with nothing_left_open():
        async with RawServer(serve) as server:
            with pytest.raises(httpx.WriteTimeout) as caught:
                await client.post(server.url, content=body, timeout=httpx.Timeout(30, write=0.05))
        assert caught.value.request.url == server.url
    await until(lambda: body.closed)


@pytest.mark.parametrize("kind", ["stream", "bytes"])
async def test_an_error_that_comes_early_ends_the_upload(client: httpx.AsyncClient, kind: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await reader.readexactly(10_000)
        writer.write(reply(413, b"too much", Connection="close"))

    body = Body(10_000)
    async with RawServer(serve) as server, nothing_left_open():
        content = body if kind == "stream" else bytes(100_000_000)
        response = await client.post(server.url, content=content)
        assert response.status_code == 413
        assert response.text == "too much"
        assert body.taken < 10_000
        await until(lambda: body.closed or kind == "bytes")
        await until(lambda: server.open == 0)


async def test_an_error_that_comes_early_on_a_connection_that_stays(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(401, b"who?"))
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        response = await client.post(server.url, content=Body(10_000))
        assert response.text == "who?"
        await until(lambda: server.open == 0)


async def test_a_success_that_comes_early_does_not(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head(100) + head(200, Content_Length="2"))
        await reader.readexactly(len(CHUNK) * 100)
        writer.write(b"ok")
        await reader.read()

    body = Body(100)
    async with RawServer(serve) as server:
        headers = {"content-length": str(len(CHUNK) * 100)}
        response = await client.post(server.url, content=body, headers=headers)
        assert response.text == "ok"
        assert body.taken == 100


async def test_a_success_that_comes_before_the_server_goes_is_returned(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(reply(200, b"enough", Connection="close"))
        await writer.drain()
        writer.write_eof()
        while await reader.read(65_536):  # a close with data unread would be a reset, which takes all with it
            pass

    async with RawServer(serve) as server, nothing_left_open():
        response = await client.post(server.url, content=Body(10_000))
        assert response.text == "enough"


async def test_a_server_that_goes_away(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1000)

    async with RawServer(serve) as server, nothing_left_open():
        body = Body(10_000)
        with pytest.raises((httpx.WriteError, httpx.RemoteProtocolError)):
            await client.post(server.url, content=body)
        await until(lambda: body.closed)
        assert body.taken < 10_000


async def test_what_a_stream_raises_passes_through(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        with pytest.raises(ZeroDivisionError):
            await client.post(server.url, content=Body(2, ZeroDivisionError()))
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("size", [99_999, 100_001])
async def test_a_length_that_is_not_the_streams(client: httpx.AsyncClient, size: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(serve) as server, nothing_left_open():
        with pytest.raises(httpx.LocalProtocolError, match="Content-Length"):
            await client.post(server.url, content=Body(1), headers={"content-length": str(size)})
        await until(lambda: server.open == 0)
