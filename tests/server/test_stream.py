"""Bodies: gathered to chunks, errors in their place, nothing left open, and constant memory."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from typing import TYPE_CHECKING

import httpx
import pytest
from anyio.to_thread import run_sync

from asyncbatch.server import create_app, running
from asyncbatch.server._app import serve_store
from asyncbatch.server._stream import CHUNK_SIZE, Body, CutError

from .doubles import WatchedStore, connection, open_files, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio


def _drain(body: Body) -> list[bytes]:
    chunks = []
    while not body.done:
        chunks.append(body.fill())
    return chunks


def test_pieces_are_gathered() -> None:
    chunks = _drain(Body(b"x" * 1000 for _ in range(1000)))
    assert b"".join(chunks) == b"x" * 1_000_000
    assert [len(chunk) for chunk in chunks] == [263_000, 263_000, 263_000, 211_000]


def test_a_large_piece_is_passed_on_as_it_is() -> None:
    piece = bytes(CHUNK_SIZE)
    body = Body(piece for _ in range(1))
    assert body.fill() is piece
    assert not body.done
    assert body.fill() == b""
    assert body.done


def test_views_become_bytes() -> None:
    assert _drain(Body(memoryview(b"data") for _ in range(1))) == [b"data"]


def test_an_error_comes_after_what_was_good() -> None:
    def pieces() -> Generator[bytes]:
        yield b"good"
        raise CutError("bad")

    body = Body(pieces())
    assert body.fill() == b"good"
    for _ in range(2):
        assert not body.done
        with pytest.raises(CutError, match="bad"):
            body.fill()


def test_an_error_in_the_beginning() -> None:
    def pieces(count: int) -> Generator[bytes]:
        for _ in range(count):
            yield b""
        raise CutError("bad")

    with pytest.raises(CutError, match="bad"):
        Body(pieces(0)).fill()


def test_closing_waits_for_no_thread_and_yet_happens() -> None:
    entered, leave = threading.Event(), threading.Event()
    closed = []

    def pieces() -> Generator[bytes]:
        try:
            entered.set()
            leave.wait(30)
            yield bytes(CHUNK_SIZE)
            yield b"more"
        finally:
            closed.append(threading.current_thread())

    body = Body(pieces())
    thread = threading.Thread(target=body.fill)
    thread.start()
    entered.wait(30)
    body.close()
    assert closed == []
    leave.set()
    thread.join()
    assert closed == [thread]


async def test_a_request_cancelled_in_a_thread_leaves_nothing_open(root: Path) -> None:
    """ASGI servers cancel requests by asyncio's means, of which the thread that reads knows nothing."""
    path = root / "b" / "o"
    path.write_bytes(bytes(1 << 20))
    entered, leave = threading.Event(), threading.Event()

    def on_read(_name: str, offset: int) -> None:
        if offset >= 2 * CHUNK_SIZE:  # behind the first chunk that is sent
            entered.set()
            leave.wait(30)

    app = serve_store(WatchedStore(root, on_read), redirect=False)
    requests: list[asyncio.Task[object]] = []

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        requests.append(task)
        # Under uvicorn a cancelled request would be logged as an error.
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            task.uncancel()

    async with running(recording) as url, connection(url) as (reader, writer):
        writer.write(b"GET /v1/objects/b/o HTTP/1.1\r\nHost: x\r\n\r\n")
        await run_sync(entered.wait, 30)
        requests[0].cancel()
        assert len(await reader.read()) < 1 << 20
        assert str(path) in open_files()
        leave.set()
        await until(lambda: str(path) not in open_files())


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("mime", [".tar", ".tar.lz4"])
async def test_memory_does_not_grow_with_the_batch(root: Path, mime: str, *, streaming: bool) -> None:
    (root / "b" / "large").write_bytes(os.urandom(1 << 20) * 20)
    entries = [{"objname": "large"}] * 8
    app = create_app(root, redirect=False)
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        request = {"in": entries, "mime": mime, "strm": streaming}
        tracemalloc.start()
        try:
            size = 0
            async with http.stream("GET", "/v1/ml/moss/b", json=request) as answer:
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size > 8 * 20 << 20
    assert peak < 12 << 20


async def test_memory_does_not_grow_with_an_upload_or_a_download(root: Path) -> None:
    block = os.urandom(1 << 20)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield block

    app = create_app(root, redirect=False)
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        tracemalloc.start()
        try:
            await http.put("/v1/objects/b/o", content=blocks())
            size = 0
            async with http.stream("GET", "/v1/objects/b/o") as answer:
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size == 60 << 20
    assert peak < 12 << 20
