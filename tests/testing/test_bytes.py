"""Faults of bytes: cuts, stalls, trickles, and answers that are none."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asyncbatch.server import running
from asyncbatch.testing import (
    Cut,
    Empty,
    Expired,
    FaultScript,
    FaultyServer,
    HangUp,
    Stall,
    Status,
    Trickle,
)
from asyncbatch.testing._answer import _on_the_way
from asyncbatch.testing._app import FaultyApp, Watched

from ..support.leaks import nothing_left_open, until
from .asking import NAMES, ask, connected, hear, is_well, request_of, target_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal, TypeAlias

    from starlette.types import Receive, Scope, Send

    from asyncbatch.testing import Fault

    How: TypeAlias = Literal["reset", "close"]
    Hop: TypeAlias = Literal["proxy", "target"]

pytestmark = pytest.mark.anyio

MIMES = [".tar", ".tgz", ".tar.lz4", ".zip"]


@pytest.mark.parametrize("mime", MIMES)
@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "multipart"])
@pytest.mark.parametrize("how", ["reset", "close", "end"])
async def test_a_cut(
    root: Path, mime: str, how: Literal["reset", "close", "end"], *, streaming: bool
) -> None:
    options: dict[str, Any] = {"mime": mime, "strm": streaming}
    async with FaultyServer(root) as server:
        well = await ask(server.url, **options)
        assert is_well(well, mime)
        size = len(well.body)
        for at in (0, 1, size // 2, size - 1, size):
            server.faults.append(Cut(at, how))
            cut = await ask(server.url, **options)
            assert cut.status == 200
            assert len(cut.body) == at
            if streaming:
                assert cut.body == well.body[:at]
            assert cut.was_reset == (how == "reset")
            assert cut.is_ended == (how == "end")
            promised = cut.data.partition(b"\r\n\r\n")[2].partition(b"\r\n")[0]
            assert int(promised, 16) == (at if how == "end" else size)  # of the one chunk that there is
        server.faults.append(Cut(size + 1, how))
        assert is_well(await ask(server.url, **options), mime)
        assert is_well(await ask(server.url, **options), mime)


@pytest.mark.parametrize("how", ["reset", "close", "end"])
async def test_a_cut_far_behind(root: Path, how: Literal["reset", "close", "end"]) -> None:
    """Behind many chunks of the server's, which the client takes before it sees the cut."""
    size = 5 << 20
    (root / "b" / "large").write_bytes(bytes(size))
    async with FaultyServer(root, [Cut(3_000_000, how)], redirect=False) as server:
        cut = await ask(server.url, ["large"], strm=True)
        assert len(cut.body) == 3_000_000
        assert (cut.was_reset, cut.is_ended) == (how == "reset", how == "end")


async def test_a_reset_where_the_system_does_not_tell_what_has_arrived(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(*_: object) -> None:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    async with FaultyServer(root, [Cut(1000)]) as server:
        cut = await ask(server.url)
        assert (cut.was_reset, len(cut.body)) == (True, 1000)


async def test_behind_a_clean_end_the_connection_is_good_for_more(root: Path) -> None:
    async with (
        FaultyServer(root, [Cut(1000, "end"), None, Empty()]) as server,
        httpx.AsyncClient(base_url=server.url, follow_redirects=True) as http,
    ):
        lengths = [
            len((await http.request("GET", "/v1/ml/moss/b", json={"in": [{"objname": "o1"}]})).content)
            for _ in range(3)
        ]
    assert lengths[0] == 1000 < lengths[1]
    assert lengths[2] == 0


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_empty_answer(root: Path, *, streaming: bool) -> None:
    async with FaultyServer(root, [Empty()]) as server:
        empty = await ask(server.url, strm=streaming)
        assert (empty.status, empty.body, empty.is_ended) == (200, b"", True)
        assert is_well(await ask(server.url, strm=streaming))


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize("hop", ["proxy", "target"])
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_no_answer_at_all(root: Path, how: How, hop: Hop, *, redirect: bool) -> None:
    async with FaultyServer(root, [HangUp(how, hop)], redirect=redirect) as server:
        assert await ask(server.url) == (b"", how == "reset")
        assert is_well(await ask(server.url))
        assert [asked.fault for asked in server.requests] == [HangUp(how, hop), None]


@pytest.mark.parametrize("redirect", [True, False])
@pytest.mark.parametrize("hop", ["proxy", "target"])
@pytest.mark.parametrize("status", [409, 429, 500, 503])
@pytest.mark.parametrize("retry_after", [None, 0, 17, "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_status(
    root: Path, status: int, retry_after: int | str | None, hop: Hop, *, redirect: bool
) -> None:
    async with FaultyServer(root, [Status(status, retry_after, hop=hop)], redirect=redirect) as server:
        answer = await ask(server.url)
        assert answer.status == status
        assert answer.headers.get("retry-after") == (None if retry_after is None else str(retry_after))
        assert answer.message == f"status {status}, for a test"
        node = json.loads(answer.body)["node"]
        assert node.startswith("t[" if redirect and hop == "target" else "p[")
        assert is_well(await ask(server.url))


async def test_a_status_with_words_of_its_own(root: Path) -> None:
    async with FaultyServer(root, [Status(503, message="starting up")]) as server:
        assert (await ask(server.url)).message == "starting up"


async def test_an_expired_redirect(root: Path) -> None:
    """It answers as one that was used before, whose URL leads nowhere either."""
    async with FaultyServer(root, [Expired()]) as server:
        target = target_of(await hear(server.url, request_of(NAMES)))
        expired = [await hear(server.url, request_of(NAMES, target)) for _ in range(2)]
        target = target_of(await hear(server.url, request_of(NAMES)))
        assert is_well(await hear(server.url, request_of(NAMES, target)))
        expired.append(await hear(server.url, request_of(NAMES, target)))
        for answer in expired:
            assert (answer.status, json.loads(answer.body)["tcode"]) == (404, "ErrNotFound")
            assert answer.message.startswith("x-get-batch[gbt-")
            assert answer.message.endswith("does not exist")
        assert len(server.requests) == 2


@pytest.mark.parametrize("fault", [Status(503, hop="target"), HangUp(hop="target")])
async def test_a_redirect_is_used_up_by_a_fault(root: Path, fault: Fault) -> None:
    async with FaultyServer(root, [fault]) as server:
        target = target_of(await hear(server.url, request_of(NAMES)))
        await hear(server.url, request_of(NAMES, target))
        assert (await hear(server.url, request_of(NAMES, target))).status == 404


async def test_nothing_expires_without_redirects(root: Path) -> None:
    async with FaultyServer(root, [Expired()], redirect=False) as server:
        assert is_well(await ask(server.url))


async def _answers_others(server: FaultyServer) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{server.url}/v1/health")).status_code == 200


@pytest.mark.parametrize("at", [None, 0, 1, 1000])
async def test_a_stall_without_end(root: Path, at: int | None) -> None:
    loop = asyncio.get_running_loop()
    async with nothing_left_open(), FaultyServer(root, [Stall(math.inf, at)], redirect=False) as server:
        tasks = asyncio.all_tasks()
        with connected(server.url) as connection:
            await loop.sock_sendall(connection, request_of(NAMES, strm=True))
            came = b""
            if at is not None:
                while b"\r\n\r\n" not in came or (at and f"{at:x}\r\n" not in came.decode("latin-1")):
                    came += await loop.sock_recv(connection, 65536)
                head, _, body = came.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK")
                while at and len(body) < len(f"{at:x}") + 2 + at + 2:
                    body += await loop.sock_recv(connection, 65536)
                assert len(body) == (len(f"{at:x}") + 2 + at + 2 if at else 0)
            await until(lambda: server.requests)
            await _answers_others(server)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
        # The client is gone: nobody waits any longer.
        await until(lambda: asyncio.all_tasks() <= tasks)


@pytest.mark.parametrize("at", [None, 0, 1, 1000, 10**9])
async def test_behind_a_stall_the_answer_goes_on(root: Path, at: int | None) -> None:
    async with FaultyServer(root, [Stall(0.001, at)]) as server:
        assert is_well(await ask(server.url, strm=True))


async def test_a_server_stops_in_spite_of_a_stall(root: Path) -> None:
    async with nothing_left_open():
        async with FaultyServer(root, [Stall(math.inf)]) as server:
            with connected(server.url) as connection:
                await asyncio.get_running_loop().sock_sendall(connection, request_of(NAMES))
                await until(lambda: server.requests)
                # and with the client still there
                await server.__aexit__(None, None, None)


async def test_a_server_stops_in_spite_of_a_client_that_does_not_take_what_precedes_a_reset(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "b" / "large").write_bytes(bytes(1 << 20))
    loop = asyncio.get_running_loop()
    waiting = asyncio.Event()

    def on_the_way(transport: asyncio.Transport) -> int:
        waiting.set()
        return _on_the_way(transport)

    monkeypatch.setattr("asyncbatch.testing._answer._on_the_way", on_the_way)
    async with nothing_left_open():
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # it has room for no more
            client.setblocking(False)
            async with FaultyServer(root, [Cut(200_000)], redirect=False) as server:
                await loop.sock_connect(client, ("127.0.0.1", int(server.url.rpartition(":")[2])))
                await loop.sock_sendall(client, request_of(["large"], strm=True))
                await waiting.wait()


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_trickle(root: Path, *, streaming: bool) -> None:
    async with FaultyServer(root, [Trickle(size=700, pause=0), Trickle()]) as server:
        slow = await ask(server.url, strm=streaming)
        assert is_well(slow)
        *chunks, last, end = slow.chunks
        assert {len(chunk) for chunk in chunks} == {700}
        assert 0 < len(last) <= 700
        assert end == b""
        assert {len(chunk) for chunk in (await ask(server.url, strm=streaming)).chunks} >= {0, 100}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("fault", [Cut(10, "end"), Cut(10), Empty(), Stall(0, 10), Trickle(10, 0)])
async def test_errors_have_faults_as_well(root: Path, fault: Fault, *, streaming: bool) -> None:
    """The answer is whatever would have been sent: here a 404, whose length is known."""
    async with FaultyServer(root, [fault]) as server:
        answer = await ask(server.url, NAMES, "/v1/ml/moss/no", strm=streaming)
        assert answer.status == 404
        length = {Cut(10, "end"): 10, Cut(10): 10, Empty(): 0}.get(fault)
        if length is None:
            assert answer.message
            assert answer.is_ended
        else:
            assert len(answer.body) == length
            assert not answer.is_ended  # since all know where the end is
            assert answer.was_reset == (fault == Cut(10))


async def test_an_application_that_goes_on_behind_the_end_is_not_heard() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"abc", "more_body": more})

    objects = Watched(FaultScript([Cut(5, "end"), Cut(5)]), [])
    faulty = FaultyApp(app, Watched(FaultScript(), []), objects, redirects=False)
    async with running(faulty) as url:
        for was_reset in (False, True):
            heard = await hear(url, request_of([], "/v1/objects/b/o"))
            assert (heard.body, heard.is_ended, heard.was_reset) == (b"abcab", not was_reset, was_reset)


async def test_a_client_that_is_gone_before_the_cut(root: Path) -> None:
    (root / "b" / "large").write_bytes(bytes(32 << 20))
    loop = asyncio.get_running_loop()
    async with FaultyServer(root, [Cut(30 << 20)], redirect=False) as server:
        tasks = asyncio.all_tasks()
        with connected(server.url) as connection:
            await loop.sock_sendall(connection, request_of(["large"], strm=True))
            await loop.sock_recv(connection, 1000)
        await until(lambda: asyncio.all_tasks() <= tasks)
