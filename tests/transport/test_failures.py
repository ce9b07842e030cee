"""Servers that break off, stall, or speak no HTTP: errors of httpx's own types that say what was wrong."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.transport import StreamingTransport

from ..support.leaks import nothing_left_open, until
from ..support.raw import RawServer, answering, read_head
from ..support.wire import chunked, head, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..support.raw import Serve

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=StreamingTransport()) as client:
        yield client


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "closed the connection without a response"),
        (b"HTTP/1.1 200 OK\r\nConte", "in the middle of the response's head"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "in the middle of the response's head"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no response of HTTP/1, but b'SSH-2.0'"),
        (b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "no response of HTTP/1"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "no response of HTTP/1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "illegal header line"),
        (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n", "illegal header line"),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", "folded"),
        (b"HTTP/1.1 200 OK\na: b\n\n", "LF alone"),
        (b"HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n", "LF alone"),
        (b"HTTP/1.1 200 OK\r\na: b\n\r\n", "LF alone"),
        (b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n", "illegal header"),
        (head(200, Content_Length="5", Transfer_Encoding="chunked"), "both Content-Length and Transfer-Enc"),
        (head(200, Content_Length="5", content_length="6"), "conflicting Content-Length"),
        (head(200, Content_Length="5, 6"), "conflicting Content-Length"),
        (head(200, Content_Length="+5"), "bad Content-Length"),
        (head(200, Content_Length="-5"), "bad Content-Length"),
        (head(200, Content_Length="5_0"), "bad Content-Length"),
        (head(200, Content_Length="9" * 30), "bad Content-Length"),
        (head(200, Transfer_Encoding="gzip, chunked"), "Only Transfer-Encoding: chunked"),
        (head(200, Transfer_Encoding="identity"), "Only Transfer-Encoding: chunked"),
        (head(200, Transfer_Encoding="chunked", transfer_encoding="chunked"), "multiple Transfer-Encoding"),
        (b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "of HTTP/1.0 has a Transfer-Encoding"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", "without a pending proposal"),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 200, "more than 100 informational"),
        (b"HTTP/1.1 200 OK\r\na: " + b"x" * 200_000, "head of the response exceeds 102400 bytes"),
        (b"HTTP/1.1 200 OK\r\na: " + b"x" * 103_000 + b"\r\n\r\n", "head of the response exceeds 102400"),
        (b"HTTP/1.1 200 OK\r\na: " + b"x" * 200_000 + b"\r\n\r\n", "head of the response exceeds 102400"),
        (head(200, Content_Length="5") + b"four", "closed the connection 1 bytes before the end"),
        (head(200, Transfer_Encoding="chunked") + b"4\r\nfour\r\n", "before the last chunk's end"),
        (head(200, Transfer_Encoding="chunked") + b"4\r\nfour!\r\n", "no CRLF behind"),
        (head(200, Transfer_Encoding="chunked") + b"4x\r\nfour!\r\n", "malformed line"),
    ],
)
async def test_what_breaks_the_protocol_is_named(
    client: httpx.AsyncClient, answer: bytes, message: str
) -> None:
    async with RawServer(answering(answer)) as server, nothing_left_open():
        with pytest.raises(httpx.RemoteProtocolError, match=message) as caught:
            await client.get(server.url)
        assert caught.value.request.url == server.url
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("size", [90_000, 98_304, 102_000])
async def test_a_large_head_is_read(client: httpx.AsyncClient, size: int) -> None:
    text = "x" * size
    async with RawServer(answering(head(200, Content_Length="5", a=text) + b"hello")) as server:
        for _ in range(2):
            response = await client.get(server.url)
            assert (response.headers["a"], response.content) == (text, b"hello")


async def test_protocols_are_not_switched(client: httpx.AsyncClient) -> None:
    answer = head(101, Connection="upgrade", Upgrade="websocket")
    async with RawServer(answering(answer)) as server, nothing_left_open():
        with pytest.raises(httpx.RemoteProtocolError, match="switches protocols"):
            await client.get(server.url, headers={"connection": "upgrade", "upgrade": "websocket"})


def reset(writer: asyncio.StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_a_reset() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_head(reader)
        if b"/body" in asked:
            writer.write(head(200, Content_Length="5"))
            await writer.drain()
        reset(writer)

    async with RawServer(serve) as server, nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            for path in ("head", "body"):
                with pytest.raises(httpx.ReadError, match="reset"):
                    await client.get(server.url + path)


async def test_a_reset_behind_more_than_is_read_at_once() -> None:
    body, is_read = bytes(250_000), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(chunked(body).removesuffix(b"0\r\n\r\n"))
        await is_read.wait()
        reset(writer)

    async with RawServer(serve) as server, nothing_left_open():
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            async with client.stream("GET", server.url) as response:
                connection = response.extensions["network_stream"]
                await until(lambda: not connection._reading)
                is_read.set()
                await until(lambda: server.open == 0)
                chunks = response.aiter_raw()
                received = 0
                while received < len(body):
                    received += len(await anext(chunks))
                with pytest.raises(httpx.ReadError, match="reset"):
                    await anext(chunks)


def stalling(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(data)
        await reader.read()

    return serve


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 200", head(200, Content_Length="2") + b"x", head(100)],
    ids=lambda data: data[:12],
)
async def test_silence_ends_with_the_read_timeout(client: httpx.AsyncClient, data: bytes) -> None:
    async with RawServer(stalling(data)) as server, nothing_left_open():
        timeout = httpx.Timeout(30, read=0.05)
        with pytest.raises(httpx.ReadTimeout) as caught:
            await client.get(server.url, timeout=timeout)
        assert caught.value.request.url == server.url
        await until(lambda: server.open == 0)


async def test_slow_is_not_silent(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for byte in reply(200, b"x" * 20):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    async with RawServer(serve) as server:
        response = await client.get(server.url, timeout=httpx.Timeout(30, read=1))
        assert response.content == b"x" * 20


async def test_a_slow_consumer_is_no_silent_server(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for byte in (b"a", b"b"):
            writer.write(head(200, Content_Length="2") * (byte == b"a") + byte)
            await gate.wait()
            await asyncio.sleep(0.01)

    async with RawServer(serve) as server:
        async with client.stream("GET", server.url, timeout=httpx.Timeout(30, read=0.2)) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"a"
            await asyncio.sleep(0.5)
            gate.set()
            assert await anext(chunks) == b"b"


async def test_a_timeout_may_be_shorter_than_the_one_before(client: httpx.AsyncClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(0.01)
        writer.write(head(200, Content_Length="2"))
        await reader.read()

    async with RawServer(serve) as server:
        stalled = client.send(client.build_request("GET", server.url, timeout=30), stream=True)
        response = await stalled
        response.extensions["asyncbatch.stream"]._seconds = 0.01
        with pytest.raises(httpx.ReadTimeout):
            await response.aread()


async def test_nobody_listens(client: httpx.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(httpx.ConnectError) as caught:
        await client.get(f"http://127.0.0.1:{port}/")
    assert caught.value.request.url.port == port


async def test_a_host_that_has_no_address(client: httpx.AsyncClient) -> None:
    for host in ("nowhere.invalid", "x" * 64 + ".invalid"):
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{host}/")


async def test_a_server_that_does_not_accept_is_a_connect_timeout(client: httpx.AsyncClient) -> None:
    # One connection waits to be accepted, and more do not get so far.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
        first.connect(server.getsockname())
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(server.getsockname())
            async with nothing_left_open():
                port = server.getsockname()[1]
                with pytest.raises(httpx.ConnectTimeout, match=r"within 0\.1 s"):
                    await client.get(f"http://127.0.0.1:{port}/", timeout=httpx.Timeout(30, connect=0.1))
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(
    ("method", "headers"),
    [("CONNECT", {}), ("BAD METHOD", {}), ("GET", {"bad name": "x"}), ("GET", {"name": "x\r\ny: z"})],
)
async def test_a_request_that_http_does_not_have(
    client: httpx.AsyncClient, method: str, headers: dict[str, str]
) -> None:
    async with RawServer(answering(reply(200))) as server:
        with pytest.raises(httpx.LocalProtocolError):
            await client.request(method, server.url, headers=headers)
        assert server.accepted == 0


async def test_a_scheme_that_is_not_http(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.UnsupportedProtocol, match="'ftp'"):
        await client.get("ftp://127.0.0.1/")
