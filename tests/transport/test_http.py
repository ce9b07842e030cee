"""Requests out and bodies in, over loopback sockets."""

from __future__ import annotations

import asyncio
import gzip
from io import BytesIO
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch import LimitExceededError, TransportError, UsageError
from asyncbatch.transport import (
    DEFAULT_TIMEOUT,
    Body,
    StreamingTransport,
    open_http_client,
    public_url,
    read_body,
    read_start,
    send,
)

from ..support.leaks import nothing_left_open, until
from ..support.wire import WireServer, chunked, head, redirect, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http_client(timeout=DEFAULT_TIMEOUT) as client:
        yield client


async def get(client: httpx.AsyncClient, server: WireServer) -> httpx.Response:
    return await send(client, client.build_request("GET", f"{server.url}/path?token=secret"))


def test_our_client_waits_long_for_an_answer_and_short_for_a_connection() -> None:
    timeout = open_http_client(timeout=DEFAULT_TIMEOUT).timeout
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (10, 60, 60, 60)
    assert open_http_client(timeout=None).timeout == httpx.Timeout(None)


async def test_a_response_is_returned_before_its_body(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="4"))
        await gate.wait()
        writer.write(b"body")

    async with WireServer(answer) as server:
        response = await get(client, server)
        assert response.status_code == 200
        gate.set()
        assert await read_body(response, maximum=4, what="x") == b"body"


async def test_redirects_are_not_followed() -> None:
    async with httpx.AsyncClient(follow_redirects=True) as client, WireServer(redirect("/x")) as server:
        response = await get(client, server)
        await response.aclose()
        assert response.status_code == 307
        assert len(server.asked) == 1


async def test_a_body_comes_as_it_was_sent(client: httpx.AsyncClient) -> None:
    packed = gzip.compress(b"x" * 100)
    async with WireServer(reply(200, packed, Content_Encoding="gzip")) as server:
        assert await read_body(await get(client, server), maximum=1000, what="x") == packed
        assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_body_comes_in_chunks_and_tells_its_headers(client: httpx.AsyncClient) -> None:
    async with WireServer(chunked(b"x" * 5000, size=1000, Ais_Version="1")) as server:
        body = Body(await get(client, server))
        assert body.headers["ais-version"] == "1"
        assert b"".join([chunk async for chunk in body]) == b"x" * 5000
        await body.aclose()
        await body.aclose()


@pytest.mark.parametrize("transport", [None, StreamingTransport], ids=["httpx's", "ours"])
async def test_a_body_that_a_hook_has_read_is_there(transport: type[StreamingTransport] | None) -> None:
    async def read(response: httpx.Response) -> None:
        await response.aread()

    packed = gzip.compress(b"body")
    async with (
        WireServer(reply(200, b"body"), reply(200, packed, Content_Encoding="gzip")) as server,
        httpx.AsyncClient(
            transport=transport() if transport else None, event_hooks={"response": [read]}
        ) as client,
    ):
        assert await read_body(await get(client, server), maximum=4, what="x") == b"body"
        with pytest.raises(TransportError, match="already been streamed"):  # as it was stored, it is gone
            await read_body(await get(client, server), maximum=100, what="x")


async def test_what_has_arrived_is_there_without_waiting(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Transfer_Encoding="chunked") + b"1\r\na\r\n")
        await gate.wait()
        writer.write(b"1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")

    async with WireServer(answer) as server:
        body = Body(await get(client, server))
        assert await anext(body) == b"a"
        assert body.take_ready() is None
        reading = asyncio.ensure_future(anext(body))
        await asyncio.sleep(0)
        assert body.take_ready() is None  # somebody waits for it
        gate.set()
        assert await reading == b"bc"
        assert body.take_ready() is None
        with pytest.raises(StopAsyncIteration):
            await anext(body)
    async with WireServer(reply(200, b"body")) as server:
        body = Body(await get(client, server))
        await asyncio.sleep(0.05)
        assert body.take_ready() == b"body"
        assert body.take_ready() is None
        with pytest.raises(StopAsyncIteration):
            await anext(body)


async def test_an_error_is_met_by_whoever_waits(client: httpx.AsyncClient) -> None:
    answer = head(200, Transfer_Encoding="chunked") + b"1\r\na\r\n"
    async with WireServer(answer + b"nonsense") as server:
        body = Body(await get(client, server))
        await asyncio.sleep(0.05)
        assert body.take_ready() is None
        with pytest.raises(TransportError, match="malformed line of a chunk"):
            await anext(body)


async def test_httpxs_own_transport_has_nothing_without_waiting() -> None:
    async with WireServer(reply(200, b"body")) as server, httpx.AsyncClient() as client:
        body = Body(await get(client, server))
        assert body.take_ready() is None
        assert [chunk async for chunk in body] == [b"body"]


@pytest.mark.parametrize("answer", [reply(200, b"x" * 5000), chunked(b"x" * 5000, size=1000)])
async def test_a_body_is_passed_on_as_views(client: httpx.AsyncClient, answer: bytes) -> None:
    kept = BytesIO()
    kinds = set()

    def keep(view: memoryview) -> None:
        kinds.add(type(view))
        kept.write(view)

    async with WireServer(answer) as server, nothing_left_open():
        body = Body(await get(client, server))
        assert await body.pass_on(keep, 0) == 0  # it would be more
        while await body.pass_on(keep, 10_000):
            pass
        assert kept.getvalue() == b"x" * 5000
        assert kinds == {memoryview}
        with pytest.raises(StopAsyncIteration):
            await anext(body)


async def test_a_body_that_breaks_off_is_passed_on_so_far(client: httpx.AsyncClient) -> None:
    kept: list[bytes] = []
    async with WireServer(head(200, Content_Length="10", Connection="close") + b"x") as server:
        body = Body(await get(client, server))
        assert await body.pass_on(lambda view: kept.append(bytes(view)), 100) == 1
        with pytest.raises(TransportError, match="9 bytes before the end"):
            await body.pass_on(print, 100)
    assert kept == [b"x"]


async def test_httpxs_own_transport_has_nothing_to_pass_on() -> None:
    async with WireServer(reply(200, b"body")) as server, httpx.AsyncClient() as client:
        body = Body(await get(client, server))
        assert await body.pass_on(print, 100) == 0
        assert [chunk async for chunk in body] == [b"body"]


async def test_a_closed_body_closes_its_connection(client: httpx.AsyncClient) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="999999999"))
        while True:
            writer.write(bytes(1000))
            await writer.drain()

    async with WireServer(endless) as server, nothing_left_open():
        body = Body(await get(client, server))
        assert await anext(body)
        await body.aclose()
        await until(lambda: server.connections == 0)


async def test_an_error_names_the_url_without_its_query_and_password(client: httpx.AsyncClient) -> None:
    broken = head(200, Content_Length="10", Connection="close") + b"x"
    async with WireServer(broken) as server:
        url = f"http://user:secret@127.0.0.1:{server.port}/path?token=secret"
        response = await send(client, client.build_request("GET", url))
        with pytest.raises(TransportError) as caught:
            await read_body(response, maximum=10, what="x")
    assert "secret" not in str(caught.value)
    assert f"body of GET http://127.0.0.1:{server.port}/path" in str(caught.value)
    assert public_url(httpx.URL("http://u:p@h/a?b#c")) == "http://h/a"


@pytest.mark.parametrize(("size", "fits"), [(0, True), (99, True), (100, True), (101, False), (5000, False)])
async def test_a_body_is_held_up_to_the_limit(
    client: httpx.AsyncClient,
    size: int,
    fits: bool,  # noqa: FBT001 - of a table
) -> None:
    async with WireServer(chunked(b"x" * size, size=50)) as server, nothing_left_open():
        response = await get(client, server)
        if fits:
            assert await read_body(response, maximum=100, what="it") == b"x" * size
        else:
            with pytest.raises(LimitExceededError, match=r"^it: .* max_item_size=100"):
                await read_body(response, maximum=100, what="it")
        assert response.is_closed


async def test_the_start_of_a_body_is_read_and_the_rest_is_not(client: httpx.AsyncClient) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, Content_Length="999999999"))
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async with WireServer(reply(200, b"short"), reply(200), endless) as server, nothing_left_open():
        assert await read_start(await get(client, server), 100) == b"short"
        assert await read_start(await get(client, server), 100) == b""
        response = await get(client, server)
        start = await read_start(response, 3000)
        assert 3000 <= len(start) < 3000 + (1 << 18)
        assert response.is_closed
        await until(lambda: server.connections == 0)


async def test_a_client_that_was_closed_sends_nothing(client: httpx.AsyncClient) -> None:
    await client.aclose()
    async with WireServer() as server:
        with pytest.raises(UsageError, match="the client was closed"):
            await get(client, server)
        assert not server.asked


async def test_a_redirect_to_a_malformed_host_is_an_error_of_ours(client: httpx.AsyncClient) -> None:
    async with WireServer(redirect("http://xn--0/")) as server, nothing_left_open():
        with pytest.raises(TransportError, match="malformed host") as caught:
            await get(client, server)
        assert not caught.value.retryable
        await until(lambda: server.connections == 0)


async def test_what_the_body_of_a_request_raises_passes_through(client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        b"\xff".decode()

    async with WireServer(reply(200)) as server:
        with pytest.raises(UnicodeDecodeError):
            await send(client, client.build_request("PUT", server.url, content=body()))
