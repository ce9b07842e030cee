"""Running: ports, signals, and stopping at once whatever the clients do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from anyio.to_thread import run_sync

from asyncbatch.errors import UsageError
from asyncbatch.server import create_app, running, serve
from asyncbatch.server._serve import transport_of

from .doubles import connection, until

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

SCRIPT = """
import asyncio, sys
from asyncbatch.server import create_app, serve
asyncio.run(serve(create_app(sys.argv[1]), port=0, on_listening=lambda url: print(url, flush=True)))
print("returned", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(root: Path, number: int) -> None:
    (root / "b" / "o").write_bytes(bytes(64 << 20))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error", "-c", SCRIPT, str(root)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with (
        httpx.AsyncClient(base_url=url, follow_redirects=True) as http,
        connection(url) as (reader, writer),
    ):
        assert (await http.get("/v1/health")).status_code == 200  # its connection stays open
        writer.write(b"GET /v1/objects/b/o?pid=x&utm=x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(1000)  # and no more
        process.send_signal(number)
        async with asyncio.timeout(10):
            out, err = await process.communicate()
    # On a busy machine asyncio's debug mode remarks that a callback was slow.
    said = [line for line in err.splitlines() if not line.startswith(b"Executing <")]
    assert (out, said, process.returncode) == (b"returned\n", [], 0)


async def test_the_handlers_of_signals_are_given_back(root: Path) -> None:
    def mine(_number: int, _frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    urls = []

    def on_listening(url: str) -> None:
        urls.append(url)
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        await serve(create_app(root), port=0, on_listening=on_listening)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert urls[0].startswith("http://127.0.0.1:")


async def test_in_another_thread_it_leaves_signals_alone(root: Path) -> None:
    listening = threading.Event()
    before = signal.getsignal(signal.SIGTERM)

    def work() -> bool:
        async def main() -> None:
            task = asyncio.create_task(
                serve(create_app(root), port=0, on_listening=lambda _: listening.set())
            )
            await until(listening.is_set)
            assert signal.getsignal(signal.SIGTERM) is before
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        return True

    assert await run_sync(work)


async def test_a_port_that_is_taken(root: Path) -> None:
    async with running(root) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await serve(create_app(root), port=port, on_listening=lambda _: None)
    # and is free again at once
    async with running(root, port=port) as again:
        assert again == url


async def test_ipv6(root: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 on this machine")
    async with (
        running(root, host="::1") as url,
        httpx.AsyncClient(base_url=url, follow_redirects=True) as http,
    ):
        assert url.startswith("http://[::1]:")
        await http.put("/v1/objects/b/o", content=b"data")
        assert (await http.get("/v1/objects/b/o")).content == b"data"
        node = (await http.get("/v1/daemon?what=smap")).json()["proxy_si"]["public_net"]
        assert (node["node_ip_addr"], node["direct_url"]) == ("::1", url)


async def test_the_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        async with running(tmp_path / "nothing"):
            raise AssertionError


async def test_it_stops_while_clients_are_connected(root: Path) -> None:
    (root / "b" / "o").write_bytes(bytes(64 << 20))
    tasks = asyncio.all_tasks()
    server = running(root)
    url = await server.__aenter__()
    async with (
        connection(url) as (reader, writer),
        connection(url) as (idle, _),
        connection(url) as (_, sending),
    ):
        writer.write(b"GET /v1/objects/b/o?pid=x&utm=x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(1000)
        sending.write(b"PUT /v1/objects/b/p?pid=x&utm=x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        hidden = root / ".asyncbatch"
        await until(lambda: hidden.exists() and len(list(hidden.iterdir())) == 1)
        async with asyncio.timeout(5):
            await server.__aexit__(None, None, None)
        assert asyncio.all_tasks() == tasks
        assert list(hidden.iterdir()) == []
        assert len(await reader.read()) < 64 << 20
        assert await idle.read() == b""


async def _connect_for_ever(url: str) -> None:
    while True:
        async with connection(url):
            pass


async def test_running_requests_may_finish_within_the_grace(root: Path) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        started.set()
        await finish.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    server = running(slow, grace=30)
    url = await server.__aenter__()
    async with httpx.AsyncClient() as http:
        get = asyncio.create_task(http.get(url))
        await started.wait()
        stop = asyncio.create_task(server.__aexit__(None, None, None))
        with pytest.raises(ConnectionRefusedError):
            await _connect_for_ever(url)
        finish.set()
        assert (await get).status_code == 204
        await stop


async def test_an_application_that_does_not_end_is_cancelled() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def stubborn(_scope: Scope, _receive: Receive, _send: Send) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(stubborn, grace=-1) as url, connection(url) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        assert not ended.is_set()
    assert ended.is_set()


async def test_answers_are_dated(root: Path) -> None:
    async with running(root) as url, httpx.AsyncClient() as http:
        answer = await http.get(f"{url}/v1/health")
        assert "date" in answer.headers
        assert "server" not in answer.headers


async def test_no_part_of_an_answer_waits_for_the_receipt_of_another(root: Path) -> None:
    """asyncio sets TCP_NODELAY only on what comes from a listener that names its protocol."""
    delays = []
    app = create_app(root)

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        accepted = transport_of(scope).get_extra_info("socket")
        delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await app(scope, receive, send)

    async with running(looking) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/v1/health")).status_code == 200
    assert all(delays)
    assert delays
