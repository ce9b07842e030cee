"""Trailers: as ASGI asks for them, behind chunks only, and with nothing behind them out of step."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import uvicorn
from anyio.to_thread import run_sync

from asyncbatch.server import running
from asyncbatch.server._serve import transport_of

from .doubles import connection, exchange, until

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
NAMES = (b"trailer", b"x-sum, x-count")


def _start(status: int = 200, *more: tuple[bytes, bytes], trailers: bool = True) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [NAMES, *more], "trailers": trailers}


def _body(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _trailers(*headers: tuple[bytes, bytes], more: bool = False) -> Message:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": more}


WHOLE = [
    _start(),
    _body(b"ab", more=True),
    _body(b"cd"),
    _trailers((b"x-sum", b"4"), more=True),
    _trailers((b"x-count", b"2")),
]
ON_THE_WIRE = b"2\r\nab\r\n2\r\ncd\r\n0\r\nx-sum: 4\r\nx-count: 2\r\n\r\n"


class _Saying:
    """An application that says what it is told to."""

    def __init__(self, *messages: Message) -> None:
        self._messages = messages
        self.offered: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.offered.append("http.response.trailers" in (scope.get("extensions") or {}))
        for message in self._messages:
            await send(message)


async def test_they_follow_the_last_chunk() -> None:
    app = _Saying(*WHOLE)
    async with running(app) as url:
        answer = await exchange(url, LAST)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"trailer: x-sum, x-count" in head
    assert body == ON_THE_WIRE
    assert app.offered == [True]


async def test_a_connection_goes_on_behind_them_and_pipelines() -> None:
    async with running(_Saying(*WHOLE)) as url:
        answer = await exchange(url, GET + GET + LAST)
    assert answer.count(ON_THE_WIRE) == 3


async def test_another_client_reads_past_them() -> None:
    def ask(url: str) -> list[bytes]:
        client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            bodies = []
            for _ in range(2):
                client.request("GET", "/")
                bodies.append(client.getresponse().read())
            return bodies
        finally:
            client.close()

    async with running(_Saying(*WHOLE)) as url:
        assert await run_sync(ask, url) == [b"abcd", b"abcd"]


async def test_those_that_were_not_used_are_not_those_of_the_next_answer() -> None:
    async with running(_Saying(_start(200, (b"content-length", b"4")), *WHOLE[1:])) as url:
        answer = await exchange(url, GET + LAST)
    assert answer.count(b"\r\n\r\nabcd") == 2
    assert b"x-sum:" not in answer


@pytest.mark.parametrize("status", [204, 304])
async def test_no_trailers_without_a_body(status: int) -> None:
    async with running(_Saying(_start(status), _body(b""), _trailers((b"x-sum", b"4")))) as url:
        answer = await exchange(url, GET + LAST)
    assert answer.count(b"HTTP/1.1 %d" % status) == 2
    assert b"x-sum:" not in answer


@pytest.mark.parametrize(
    "request_", [LAST.replace(b"GET", b"HEAD"), LAST.replace(b"HTTP/1.1", b"HTTP/1.0")], ids=["HEAD", "1.0"]
)
async def test_what_cannot_have_them_is_not_offered_them(request_: bytes) -> None:
    app = _Saying(_start(trailers=False), _body(b"ab"))
    async with running(app) as url:
        answer = await exchange(url, request_)
    assert app.offered == [False]
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n" if b"HEAD" in request_ else b"\r\n\r\nab")


async def test_an_answer_that_promises_none_is_as_ever() -> None:
    async with running(_Saying({"type": "http.response.start", "status": 200}, _body(b"ab"))) as url:
        answer = await exchange(url, GET + LAST)
    assert answer.count(b"2\r\nab\r\n0\r\n\r\n") == 2


@pytest.mark.parametrize("count", [2, 3, 4], ids=["in the body", "behind it", "in the trailers"])
async def test_an_answer_that_breaks_off_has_no_end(count: int, caplog: pytest.LogCaptureFixture) -> None:
    async with running(_Saying(*WHOLE[:count])) as url:
        answer = await exchange(url, GET)
    assert b"2\r\nab\r\n" in answer
    assert b"\r\n0\r\n" not in answer
    assert "without completing response" in caplog.text


async def test_a_client_that_is_gone_by_then() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send(_start())
        await send(_body(b"ab"))
        transport_of(scope).abort()
        await asyncio.sleep(0)
        await send(_trailers((b"x-sum", b"2")))
        ended.set()

    async with running(app) as url, connection(url) as (reader, writer):
        writer.write(GET)
        await ended.wait()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readuntil(b"\r\n0\r\n")


async def test_an_application_finds_no_extension_on_a_stock_server() -> None:
    app = _Saying(_start(trailers=False), _body(b"ab"))
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    answer = await exchange(f"http://127.0.0.1:{port}", LAST)
    assert answer.endswith(b"ab\r\n0\r\n\r\n")
    assert app.offered == [False]
    server.should_exit = True
    await task
